"""The first line of a customer's page matches what the school really holds."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from config.admin.parts import badges, event_result
from events.access import by_hand
from events.execution import retry_by_hand, reviewing, undo_batch, undo_preview
from events.models import Batch, EventLog, Grant, RuleRun, Worker
from events.reports.customers import customer_access, letter
from integrations.models import Customer, Integration, WebhookSecret
from integrations.notify_url import signature
from integrations.thinkific.sandbox import Fault
from rules.models import Rule
from rules.triggers import Trigger
from tests.support.place import Place, place_for
from tests.support.receiver import Receiver, answers
from tests.support.world import World

pytestmark = pytest.mark.first_database
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def place(world: World) -> Place:
    return place_for(world, "course")


def _rules(place: Place) -> QuerySet[Rule]:
    """The rules of the school."""
    return Rule.objects.filter(integration=place.world.integration)


def _turn_off(place: Place) -> None:
    Integration.objects.filter(pk=place.world.integration.pk).update(enabled=False)


def answer() -> customer_access.AccessReport:
    return customer_access.describe(Customer.objects.get(email="dana@example.com"))


def bought(place: Place) -> None:
    place.buy(order__id=1183)


def refunded(place: Place) -> None:
    place.buy(order__id=1183)
    place.buy("20_product", order__id=1183)


def bought_again(place: Place) -> None:
    refunded(place)
    place.buy(order__id=1190)


def course_gone(place: Place) -> None:
    place.world.school.remove_course(place.world.school.courses[place.sold.external_id])
    place.buy(order__id=1183)


def turned_off(place: Place) -> None:
    _turn_off(place)
    place.buy(order__id=1183)


def key_rejected(place: Place) -> None:
    place.world.sandbox.faults.add(Fault("status", status=401, times=2))
    place.buy(order__id=1183)


def not_paid(place: Place) -> None:
    place.buy(order__id=1183, product__status="Declined")


def no_rule(place: Place) -> None:
    _rules(place).delete()
    place.world.sell("10_product", order__id=1183)


def ending_waits(place: Place) -> None:
    place.buy(order__id=1183)
    _turn_off(place)
    place.buy("20_product", order__id=1183)


def administrator(place: Place) -> None:
    place.on_site(roles=["site_admin"])
    place.buy(order__id=1183)


def rule_off(place: Place) -> None:
    _rules(place).update(enabled=False)
    place.world.sell("10_product", order__id=1183)


def no_rule_refunded(place: Place) -> None:
    no_rule(place)
    place.world.sell("20_product", order__id=1183)


def no_rule_refunded_dealt_with(place: Place) -> None:
    no_rule_refunded(place)
    reviewing.mark_reviewed(EventLog.objects.all(), by="Mia")


def rule_off_refunded(place: Place) -> None:
    """The rule that gives was off, and the one that ends had nothing to end."""
    _rules(place).filter(trigger="product_purchased").update(enabled=False)
    place.world.sell("10_product", order__id=1183)
    place.buy("20_product", order__id=1183)


def no_rule_dealt_with(place: Place) -> None:
    no_rule(place)
    reviewing.mark_reviewed(EventLog.objects.all(), by="Mia")


def unknown_type(place: Place) -> None:
    place.world.sell("91_edge_unknown")


def withdrawn_address(place: Place) -> None:
    WebhookSecret.objects.update(expires_at=timezone.now() - timedelta(days=1))
    place.buy(order__id=1183)


def another_not_paid(place: Place) -> None:
    bought(place)
    place.buy(order__id=1190, product__status="Declined")


def one_of_two_refunded(place: Place) -> None:
    bought(place)
    place.buy(order__id=1190)
    place.buy("20_product", order__id=1183)


def both_refunded(place: Place) -> None:
    one_of_two_refunded(place)
    place.buy("20_product", order__id=1190)


def refunded_without_a_rule(place: Place) -> None:
    bought(place)
    _rules(place).filter(trigger="product_refunded").delete()
    place.buy("20_product", order__id=1183)


def ending_dismissed(place: Place) -> None:
    bought(place)
    place.world.sandbox.faults.add(Fault("status", status=422))
    place.buy("20_product", order__id=1183)
    failed = RuleRun.objects.filter(status="failed", integration=place.world.integration)
    retry_by_hand.dismiss(failed, by="Mia")


def one_of_two_refunded_without_a_rule(place: Place) -> None:
    refunded_without_a_rule(place)
    place.buy(order__id=1190)


def only_refunded(place: Place) -> None:
    place.buy("20_product", order__id=1183)


def site_removed(place: Place) -> None:
    bought(place)
    _rules(place).delete()
    Integration.objects.filter(pk=place.world.integration.pk).delete()


SITUATIONS: list[tuple[Callable[[Place], None], str, str]] = [
    (bought, "good", "Dana has had Course One since"),
    (refunded, "quiet", "Dana has no access to Course One: the refund of order 1183 on"),
    (bought_again, "good", "Dana has had Course One since"),
    (
        course_gone,
        "bad",
        "Dana does not have Course One yet: it failed (order 1183). Course One is",
    ),
    (turned_off, "wait", "it is waiting (order 1183). Art Academy is turned off"),
    (key_rejected, "wait", "Waits because the API key of Art Academy does not work."),
    (not_paid, "wait", "yet: it waits for you (order 1183). SamCart reports this line as Declined"),
    (no_rule, "wait", "(order 1183), but no rule gives anything for it."),
    (rule_off, "wait", "for it: the rule that matches is turned off. Once it is on, run"),
    (ending_waits, "wait", "Dana still has Course One: ending it is waiting"),
    (administrator, "wait", "This e-mail is an administrator of Art Academy"),
    (no_rule_refunded, "quiet", "got nothing; order 1183 was refunded on"),
    (no_rule_dealt_with, "quiet", "no rule gave anything for it, and Mia dealt with it on"),
    (unknown_type, "wait", "which Admit does not know. Say once which trigger it is"),
    (
        withdrawn_address,
        "wait",
        "yet: it waits for you (order 1183). It was sent to a withdrawn address",
    ),
    (
        another_not_paid,
        "wait",
        "Dana has Course One; giving it once more waits for you (order 1190).",
    ),
    (
        one_of_two_refunded,
        "good",
        "through order 1190, which keeps it open after the refund of order 1183 on",
    ),
    (both_refunded, "quiet", "Dana has no access to Course One: the refund of order 1190 on"),
    (refunded_without_a_rule, "wait", ", though order 1183 was refunded on"),
    (ending_dismissed, "wait", " should have ended the access, but did not. Dismissed by Mia."),
    (one_of_two_refunded_without_a_rule, "good", "Dana has had Course One since"),
    (only_refunded, "quiet", "There is no student with this e-mail on the site"),
    (site_removed, "wait", "Check in Thinkific whether it still opens."),
]


@pytest.mark.parametrize(
    ("happened", "kind", "text"), SITUATIONS, ids=[each[0].__name__ for each in SITUATIONS]
)
def test_the_first_line_tells_how_it_stands(place, happened, kind, text):
    happened(place)
    first = answer().lines[0]
    assert first.kind == kind
    assert text in first.text
    says_yes = re.search("Dana has (had )?Course|still has", first.text) is not None
    if happened not in {administrator, site_removed}:
        assert says_yes is place.has_access(place.courses[0])


@pytest.mark.parametrize("happened", [no_rule_refunded, rule_off_refunded])
def test_a_refunded_purchase_that_gave_nothing_is_told_once_and_asks_nothing(place, happened):
    happened(place)
    (line,) = answer().lines
    assert line.text.startswith("Paid for Example Course One (order 1183) and got nothing; order")
    assert "dealt with" not in line.text
    bought = EventLog.objects.get(trigger="product_purchased")
    event_result.note([bought])
    assert event_result.result(bought) == ("Paid, refunded", badges.GREY)


def test_a_refund_of_one_payment_leaves_the_others_to_be_looked_at(place):
    no_rule(place)
    bought = EventLog.objects.filter(trigger="product_purchased")
    bought.update(subscription_id="900")
    place.world.sell("31_subscription", order__id=1184, order__subscription_id=900)
    place.world.sell("20_product", order__id=1183)
    event_result.note([event := bought.get()])
    assert event_result.result(event) == ("Paid, nothing given", badges.AMBER)
    assert any("Mark it as dealt with if nothing is owed." in each.text for each in answer().lines)


def test_a_course_that_a_refunded_bundle_gave_too_is_said_to_be_kept(world):
    place = place_for(world, "bundle")
    world.rule("product_purchased", "create_course_enrollment", place.courses[0], product="77")
    place.buy(order__id=1)
    _rules(place).filter(product=None, trigger="product_purchased").update(enabled=False)
    place.buy(order__id=2, product__id=77)
    place.buy("20_product", order__id=1)
    kept, ended = (line.text for line in answer().lines)
    assert [place.has_access(course) for course in place.courses] == [True, False, False]
    assert kept.startswith("Dana has had Course One since")
    assert "through order 2, which keeps it open after the refund of order 1 on" in kept
    assert ended.startswith("Dana has no access to All of it: the refund of order 1 on")


def test_what_was_dismissed_is_not_said_to_be_given(place):
    course_gone(place)
    retry_by_hand.dismiss(RuleRun.objects.all(), by="Mia")
    (line,) = answer().lines
    assert (line.kind, line.code) == ("quiet", "not_given")
    assert line.text.startswith("Dana: Course One was not given. Dismissed by Mia. Before: Course")


def test_nobody_known_is_said_so(db):
    dana = Customer.objects.create(email="dana@example.com", email_as_sent="dana@example.com")
    (line,) = customer_access.describe(dana).lines
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
    assert "Your access to Course One ended" in answer().reply
    assert "You have access" not in answer().reply


REPLIES: list[tuple[Callable[[Place], None], str]] = [
    (no_rule, "We received your payment for Example Course One (order 1183)"),
    (no_rule_refunded, "About your purchase of Example Course One: order 1183 was refunded on"),
    (
        no_rule_refunded_dealt_with,
        "About your purchase of Example Course One: order 1183 was refunded on",
    ),
    (rule_off_refunded, "About your purchase of Example Course One: order 1183 was refunded on"),
    (
        no_rule_dealt_with,
        "We received your order for Example Course One (order 1183) and dealt with it.",
    ),
    (another_not_paid, "You have access to Course One."),
    (one_of_two_refunded, "You have access to Course One."),
    (both_refunded, "Your access to Course One ended with the refund of order 1190 on"),
    (refunded_without_a_rule, "Your access to Course One is still open."),
    (only_refunded, "We found no course"),
    (ending_waits, "Your access to Course One is about to end because of the refund of order 1183"),
    (site_removed, "We are sorting out your access to Course One"),
    (turned_off, "We are sorting out your access to Course One"),
]


@pytest.mark.parametrize(("happened", "text"), REPLIES, ids=[each[0].__name__ for each in REPLIES])
def test_the_reply_says_no_more_than_is_true(place, happened, text):
    happened(place)
    reply = answer().reply
    assert text in reply
    assert ("You have access" in reply) is (happened in {another_not_paid, one_of_two_refunded})


LETTER = letter.Template("{course}: {what happened}", "en")


def written(place: Place, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What a letter of these two fields says for each."""
    monkeypatch.setattr(letter, "current", lambda: LETTER)
    courses, _, happened = answer().reply.partition(": ")
    return courses, happened


def test_both_fields_of_a_letter_tell_of_the_same_courses(place, monkeypatch):
    bought(place)
    world = place.world
    refunded_one, undone, given = (world.course(name) for name in ("Refunded", "Undone", "Given"))
    for number, course in (("71", refunded_one), ("72", undone)):
        world.rule("product_purchased", GIVES, course, product=number)
        world.rule("product_refunded", ENDS, course, product=number)
    world.sell(order__id=1201, product__id=71)
    late = world.sell(order__id=1202, product__id=72)
    world.sell("20_product", order__id=1201, product__id=71)
    world.settle()
    dana = Customer.objects.get(email="dana@example.com")
    by_hand.give(dana, given, by_hand.Author("mia@example.com", "A gift"))
    batch = Batch(title="By mistake", started_by="Mia")
    batch.add_new(late.runs.all())
    batch.save()
    undo_batch.undo(batch, [one.number for one in undo_preview.preview(batch)], Batch(title="Undo"))
    world.settle()
    courses, happened = written(place, monkeypatch)
    assert courses == "Given, Course One, Refunded and Undone"
    assert all(name in happened for name in ("Given", "Course One", "Refunded", "Undone"))


def test_a_letter_names_the_product_only_where_it_tells_of_no_course(place, monkeypatch):
    no_rule(place)
    assert written(place, monkeypatch)[0] == "Example Course One"
    place.world.rule("product_purchased", GIVES, place.sold, product="77")
    place.world.sell(order__id=1190, product__id=77)
    place.world.settle()
    courses, happened = written(place, monkeypatch)
    assert courses == "Course One"
    assert "We received your payment for Example Course One (order 1183)" in happened


def test_a_letter_is_signed_with_the_schools_of_its_courses_alone(place, monkeypatch):
    template = letter.Template("{school}", "en")
    monkeypatch.setattr(letter, "current", lambda: template)
    bought(place)
    nord = Integration.objects.create(name="Nord", site="studio-nord")
    fields = _fields(Grant.objects.get()) | {"integration_id": nord.pk, "state": "waived"}
    Grant.objects.create(**fields | {"seen_at": None})  # it was dismissed
    assert {line.code for line in answer().lines} == {"has", "not_given"}
    assert answer().reply == "Art Academy"


def test_the_site_is_named_where_there_are_several(place):
    bought(place)
    there = Integration.objects.create(name="Nord", site="studio-nord")
    Grant.objects.bulk_create(
        Grant(**{**_fields(grant), "integration_id": there.pk}) for grant in Grant.objects.all()
    )
    said = [line.text for line in answer().lines]
    assert any(line.startswith("Dana has had Course One on Nord since") for line in said)
    assert any(line.startswith("Dana has had Course One on Art Academy since") for line in said)


def _fields(grant: Grant) -> dict[str, Any]:
    return {
        field.attname: getattr(grant, field.attname)
        for field in Grant._meta.concrete_fields
        if not field.primary_key
    }


def test_what_waits_is_not_said_to_go_on_while_no_worker_runs(place):
    turned_off(place)
    said = [line.text for line in answer().lines]
    assert any(text.startswith("Nothing is being carried out: no worker has") for text in said)
    Worker.objects.create(name="w", seen_at=timezone.now())
    assert len(answer().lines) == 1


def test_a_silent_worker_is_nothing_to_whom_nothing_waits_for(place):
    bought(place)
    (line,) = answer().lines
    assert line.kind == "good"


# Beside it, what SamCart sends is passed on to a receiver


@pytest.fixture(params=[200, 500], ids=["told", "not_told"])
def passed_on(place: Place, settings: Any, request: Any) -> Iterator[None]:
    """A receiver that gets every event, and answers with this status."""
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    secret = signature.new_secret()
    with Receiver(secret, answers(request.param)) as receiver:
        crm = place.world.receiver(receiver.url, secret)
        for trigger in Trigger:
            place.world.notify_rule(trigger, crm)
        yield


@pytest.mark.parametrize(
    ("happened", "kind", "text"), SITUATIONS, ids=[each[0].__name__ for each in SITUATIONS]
)
def test_a_receiver_that_was_told_of_it_or_was_not_changes_nothing_of_that(
    place, passed_on, happened, kind, text
):
    happened(place)
    lines = [line.text for line in answer().lines]
    assert (answer().lines[0].kind, text in lines[0]) == (kind, True)
    # What the receiver was not told comes after all that was said of the customer.
    about_it = [line for line in lines if line.startswith("Send HTTP POST, My CRM: it ")]
    open_runs = RuleRun.objects.filter(integration__name="My CRM").exclude(status="done")
    assert len(about_it) == open_runs.count()
    assert lines[len(lines) - len(about_it) :] == about_it


@pytest.mark.parametrize(("happened", "text"), REPLIES, ids=[each[0].__name__ for each in REPLIES])
def test_a_receiver_is_no_matter_of_the_reply(place, passed_on, happened, text):
    happened(place)
    reply = answer().reply
    assert text in reply
    assert "looking into it" not in reply
