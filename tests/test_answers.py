"""The first line of a customer's page is true of what the school really holds."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from events import answers
from events.models import RuleRun
from integrations.models import Customer, Destination, Integration
from integrations.thinkific.sandbox import Fault
from tests.place import Place, place_for
from tests.world import World


@pytest.fixture
def place(world: World) -> Place:
    return place_for(world, "course")


def answer() -> answers.Answer:
    return answers.answer(Customer.objects.get(email="dana@example.com"))


def bought(place: Place) -> None:
    place.buy(order__id=1183)


def refunded(place: Place) -> None:
    place.buy(order__id=1183)
    place.buy("20_product", order__id=1183)


def bought_again(place: Place) -> None:
    refunded(place)
    place.buy(order__id=1190)


def course_gone(place: Place) -> None:
    Destination.objects.filter(pk=place.sold.pk).update(gone_at=timezone.now())
    place.buy(order__id=1183)


def turned_off(place: Place) -> None:
    Integration.objects.update(enabled=False)
    place.buy(order__id=1183)


def key_rejected(place: Place) -> None:
    place.world.sandbox.faults.add(Fault("status", status=401))
    place.buy(order__id=1183)


def not_paid(place: Place) -> None:
    place.buy(order__id=1183, product__status="Declined")


def no_rule(place: Place) -> None:
    from rules.models import Rule

    Rule.objects.all().delete()
    place.world.sell("10_product", order__id=1183)


def ending_waits(place: Place) -> None:
    place.buy(order__id=1183)
    Integration.objects.update(enabled=False)
    place.buy("20_product", order__id=1183)


def administrator(place: Place) -> None:
    place.on_site(roles=["site_admin"])
    place.buy(order__id=1183)


SITUATIONS: list[tuple[Callable[[Place], None], str, str]] = [
    (bought, "good", "Dana has Course One since"),
    (refunded, "quiet", "Dana has no access to Course One: Product Refunded of order 1183 on"),
    (bought_again, "good", "Dana has Course One since"),
    (
        course_gone,
        "bad",
        "Dana does not have Course One yet: it failed (order 1183). Course One is",
    ),
    (turned_off, "wait", "it is waiting (order 1183). Art Academy is turned off"),
    (key_rejected, "wait", "Waits because the key of Art Academy does not work."),
    (not_paid, "wait", "Course One is held (order 1183). SamCart reports this line as Declined"),
    (no_rule, "wait", "(order 1183), but no rule gives anything for it."),
    (ending_waits, "wait", "Dana still has Course One: ending it is waiting"),
    (administrator, "wait", "This e-mail is an administrator of Art Academy"),
]


@pytest.mark.parametrize(
    ("happened", "kind", "text"), SITUATIONS, ids=[each[0].__name__ for each in SITUATIONS]
)
def test_the_first_line_tells_how_it_stands(place, happened, kind, text):
    happened(place)
    first = answer().lines[0]
    assert first.kind == kind
    assert text in first.text
    says_yes = "Dana has Course" in first.text or "still has" in first.text
    if happened is not administrator:
        assert says_yes is place.has_access(place.courses[0])


def test_a_course_that_a_bundle_ended_is_not_said_to_be_there(world):
    place = place_for(world, "bundle")
    world.rule("product_purchased", "create_course_enrollment", place.courses[0], product="77")
    place.buy(order__id=1)
    place.buy(order__id=2, product__id=77)
    place.buy("20_product", order__id=1)
    said = [line.text for line in answer().lines]
    assert not place.has_access(place.courses[0])
    assert not any(line.startswith("Dana has Course One") for line in said)
    assert any("no access to Course One: Product Refunded of order 1" in line for line in said)


def test_a_dismissed_action_decides_nothing(place):
    bought(place)
    RuleRun.objects.update(status="skipped", message="Dismissed by Mia. Before: It broke.")
    (line,) = answer().lines
    assert (line.kind, "was not given" in line.text) == ("quiet", True)


def test_nobody_known_is_said_so(db):
    dana = Customer.objects.create(email="dana@example.com", email_as_sent="dana@example.com")
    (line,) = answers.answer(dana).lines
    assert line.text == "Nothing was received for dana@example.com."


def test_the_reply_is_friendly_and_tells_nothing_of_how_it_works(place):
    bought(place)
    reply = answer().reply
    assert reply.startswith("Hi Dana,")
    assert "https://acme.thinkific.com" in reply
    assert "Forgot password?" in reply
    assert not any(word in reply for word in ("Admit", "rule", "API", "webhook"))


def test_a_reply_after_a_refund_does_not_promise_access(place):
    refunded(place)
    assert "your access to Course One ended" in answer().reply
    assert "you have access" not in answer().reply
