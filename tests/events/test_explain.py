"""Why a person has a course or not is read from the grants, and the same everywhere."""

import json
import re
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.models.runs import DISMISSED
from events.reports.customers import customer_access
from events.reports.sentences import why
from events.reports.sentences.sentence import Sentence
from integrations.calls import rate_limit
from integrations.models import CallBudget, Customer, Integration, Marketplace, ThinkificUser
from rules.models import Rule
from tests.support.pages import markup, signed_in, words
from tests.support.place import EMAIL, Place, place_for
from tests.support.world import World

pytestmark = pytest.mark.first_database


@pytest.fixture
def place(world: World) -> Place:
    """Course One is given by a purchase and a renewal, and ended by a refund."""
    found = place_for(world, "course")
    for trigger in ("subscription_charged", "subscription_restarted"):
        world.rule(trigger, "create_course_enrollment", found.sold)
    return found


def explained(*arguments: str) -> str:
    out = StringIO()
    call_command("explain", EMAIL, *arguments, stdout=out)
    return out.getvalue()


def sentence(course: str = "Course One") -> Sentence:
    (found,) = (
        sentence
        for each, sentence in why.of_customer(Customer.objects.get(email=EMAIL))
        if each.name == course
    )
    return found


def bought(place: Place) -> None:
    place.buy(order__id=1183)


def refunded(place: Place) -> None:
    bought(place)
    place.buy("20_product", order__id=1183)


def given_late(place: Place) -> None:
    bought(place)
    RuleRun.objects.update(finished_at="2040-05-04T10:00Z")


def kept(place: Place) -> None:
    bought(place)
    place.buy(order__id=1190)
    place.buy("20_product", order__id=1183)


def kept_while_the_end_waits(place: Place) -> None:
    both_pay(place)
    Integration.objects.update(enabled=False)
    place.buy("20_product", order__id=1183)


def ended_from_before(place: Place) -> None:
    place.enroll(place.known())
    place.buy("20_product", order__id=1183)


def both_pay(place: Place) -> None:
    bought(place)
    place.buy(order__id=1190)


def refunded_first(place: Place) -> None:
    Marketplace.objects.update(created_at="2019-01-01T00:00Z")
    place.buy("20_product", order__id=1183)
    bought(place)


def unknown_purchase(place: Place) -> None:
    Marketplace.objects.update(created_at="2019-01-01T00:00Z")
    place.buy("20_product", order__id=1183)


def gave_nothing(place: Place) -> None:
    Rule.objects.filter(trigger="product_purchased").update(enabled=False)
    place.world.sell(order__id=1183)
    place.buy("20_product", order__id=1183)


def refunded_twice(place: Place) -> None:
    refunded(place)
    place.world.sell("20_product", order__id=1183, order__total="1.00")
    place.world.settle()


def refunded_while_it_waits(place: Place) -> None:
    place.world.sell(order__id=1183)
    place.world.sell("20_product", order__id=1183)
    place.world.settle()


def dismissed(place: Place) -> None:
    Integration.objects.update(enabled=False)
    bought(place)
    RuleRun.objects.update(status="failed", message="It broke.")
    retry_by_hand.dismiss(RuleRun.objects.all(), by="Mia")


MIA = Author("Mia", "She asked for it.")


def given_by_hand(place: Place) -> None:
    customer = Customer.objects.create(email=EMAIL, email_as_sent=EMAIL, first_name="Dana")
    by_hand.give(customer, place.sold, MIA)
    place.world.settle()


def given_beside(place: Place) -> None:
    bought(place)
    by_hand.give(Customer.objects.get(), place.sold, MIA)
    place.world.settle()


def moved(place: Place) -> None:
    bought(place)
    by_hand.move(Customer.objects.get(), "mia@example.com", MIA)
    place.world.settle()


def ends_on_a_day(place: Place) -> None:
    Rule.objects.filter(trigger="product_refunded").update(delay_days=3)
    refunded(place)


def from_before(place: Place) -> None:
    bought(place)
    Grant.objects.update(source=Grant.Source.BEFORE, until="2050-06-09T12:00Z")


def ended_by_hand(place: Place) -> None:
    bought(place)
    (holding,) = holdings.of_customer(Customer.objects.get())
    by_hand.end(Customer.objects.get(), holding.key, MIA)
    place.world.settle()
    place.buy("31_subscription_charged", order__id=1183, product__id=1048001)


def nothing_goes_on(place: Place) -> None:
    bought(place)
    Grant.objects.update(seen_at=None)


def nothing_goes_on_and_refunded(place: Place) -> None:
    nothing_goes_on(place)
    Rule.objects.exclude(trigger="product_purchased").update(enabled=False)
    place.buy("20_product", order__id=1183)


def event_removed(place: Place) -> None:
    refunded(place)
    EventLog.objects.all().delete()


def one_user_by_two_addresses(place: Place) -> None:
    bought(place)
    place.buy(order__id=1190, customer__email="dana.new@example.com")
    ThinkificUser.objects.update(user_id=1)
    place.buy("20_product", order__id=1183)


DAY = r"\d+ \w{3}"
SINCE = rf"since {DAY} \d\d:\d\d"
NONE = "Dana has no access to Course One:"
SITUATIONS: list[tuple[Callable[[Place], None], str, str]] = [
    (bought, "has", f"Dana has had Course One {SINCE} through order 1183\\. If it does not open"),
    (given_late, "has", "Dana has had Course One since 4 May 10:00 through order 1183\\."),
    (both_pay, "has", f"{SINCE} through order 1183 and order 1190\\."),
    (refunded, "ended", f"{NONE} the refund of order 1183 on {DAY} ended it\\.$"),
    (
        kept,
        "kept",
        f"{SINCE} through order 1190, which keeps it open after the refund of order 1183 on {DAY}",
    ),
    (kept_while_the_end_waits, "kept", f"{SINCE} through order 1190, which keeps it open after"),
    (ended_from_before, "ended", f"access to Course One: the refund of order 1183 on {DAY} ended"),
    (
        refunded_first,
        "barred",
        f"{NONE} the refund of order 1183 on {DAY} was received before its purchase\\.$",
    ),
    (
        unknown_purchase,
        "not_given",
        "Dana: no access to Course One was ended\\. Admit knows no purchase of order 1183, so",
    ),
    (
        gave_nothing,
        "not_given",
        "Dana: no access to Course One was ended\\. This purchase gave no access to Course One, so",
    ),
    (refunded_twice, "ended", f"{NONE} the refund of order 1183 on {DAY} ended it\\.$"),
    (
        refunded_while_it_waits,
        "ended",
        f"{NONE} the refund of order 1183 on {DAY} came before it was given\\.$",
    ),
    (dismissed, "not_given", "Course One was not given\\. Dismissed by Mia\\. Before: It broke\\."),
    (given_by_hand, "has", f"Dana has had Course One {SINCE} by hand \\(Mia\\)\\."),
    (given_beside, "has", f"{SINCE} through order 1183 and by hand \\(Mia\\)\\."),
    (moved, "moved", f"{NONE} Mia moved it on {DAY}\\. Moved to mia@example\\.com\\.$"),
    (ends_on_a_day, "has", f"{SINCE} through order 1183\\."),
    (from_before, "has", "Dana has had Course One since before Admit, ending 9 Jun 2050\\."),
    (ended_by_hand, "ended", f"{NONE} Mia ended it on {DAY}\\."),
    (nothing_goes_on, "owed", "through order 1183\\. Retry its action"),
    (
        nothing_goes_on_and_refunded,
        "ended",
        "Dana may still be without Course One, and nothing is due anymore: order 1183 was "
        "refunded on ",
    ),
    (event_removed, "ended", f"{NONE} the refund of order 1183 on {DAY} ended it\\.$"),
    (one_user_by_two_addresses, "kept", f"{SINCE} through order 1190 of dana\\.new@example\\.com,"),
]


@pytest.mark.parametrize(
    ("happened", "code", "text"), SITUATIONS, ids=[each[0].__name__ for each in SITUATIONS]
)
def test_the_sentence_says_who_holds_it_through_what_or_what_ended_it(place, happened, code, text):
    happened(place)
    said = sentence()
    assert said.code == code
    assert re.search(text, said.text), said.text
    opens = code in {"has", "kept", "ending"}
    if happened not in {nothing_goes_on, nothing_goes_on_and_refunded}:
        assert place.has_access(place.courses[0]) is opens


def test_the_sentence_is_the_same_on_every_page_and_in_the_terminal(place):
    kept(place)
    viewer = signed_in(roles.VIEWER)
    dana = Customer.objects.get(email=EMAIL)
    pages = [reverse("admin:integrations_customer_change", args=[dana.pk])]
    pages += [
        reverse("admin:events_eventlog_change", args=[event.pk]) for event in EventLog.objects.all()
    ]
    for page in pages:
        assert words(viewer.get(page)).count(sentence().text) == 1
    assert explained() == f"{sentence().text}\n"


def test_a_refund_under_another_address_is_told_on_both_pages(place):
    bought(place)
    event = place.world.sell("20_product", order__id=1183, customer__email="new@example.com")
    place.world.settle()
    viewer = signed_in(roles.VIEWER)
    dana, other = (Customer.objects.get(email=email) for email in (EMAIL, "new@example.com"))

    def page(customer: Customer) -> str:
        return reverse("admin:integrations_customer_change", args=[customer.pk])

    shown = viewer.get(page(other))
    assert re.search(f"The refund of order 1183 on {DAY} is about {EMAIL}\\.", words(shown))
    assert f'href="{page(dana)}">See the customer' in markup(shown)
    shown = viewer.get(page(dana))
    assert f"{NONE} the refund of order 1183 on" in words(shown)
    timeline = shown.content.decode().partition("Everything that happened")[2]
    assert reverse("admin:events_eventlog_change", args=[event.pk]) in timeline


def test_explain_tells_of_one_course_by_its_name_or_number(place):
    bought(place)
    place.world.rule("product_purchased", "create_course_enrollment", place.courses[1])
    place.buy(order__id=1190)
    assert len(explained().splitlines()) == 2
    number = str(place.courses[1].external_id)
    for course in ("Course Two", "course two", number):
        (line,) = explained("--course", course).splitlines()
        assert line.startswith("Dana has had Course Two since"), course
    line = json.loads(explained("--json", "--course", number))
    assert line == {"code": "has", "kind": "good", "sentence": sentence("Course Two").text}
    assert explained("--course", "Sculpture") == (
        f"Nothing that was received for {EMAIL} names Sculpture.\n"
    )


def test_explain_says_whom_nothing_was_received_for(db):
    with pytest.raises(CommandError, match="Nothing was received for dana@example"):
        explained()


def test_many_courses_cost_no_more_questions_than_one(place):
    bought(place)
    dana = Customer.objects.get(email=EMAIL)
    with CaptureQueriesContext(connection) as few:
        why.of_customer(dana)
    for course in place.courses[1:]:
        place.world.rule("product_purchased", "create_course_enrollment", course)
        place.buy()
    with CaptureQueriesContext(connection) as many:
        assert len(why.of_customer(dana)) == 3
    assert len(many) == len(few) <= 8


def test_rules_for_every_product_tell_nothing_of_courses_that_no_purchase_gave(place):
    for course in place.courses[1:]:
        place.world.rule("product_refunded", "expire_course_enrollment", course)
    refunded(place)
    dana = Customer.objects.get(email=EMAIL)
    (line,) = (str(line.text) for line in customer_access.describe(dana).lines)
    assert line.startswith("Dana has no access to Course One: the refund of order 1183 on ")
    Rule.objects.filter(trigger="product_purchased").delete()
    place.buy(order__id=1184, customer__email="lou@example.com")
    place.buy("20_product", order__id=1184, customer__email="lou@example.com")
    lou = Customer.objects.get(email="lou@example.com")
    (line,) = (str(line.text) for line in customer_access.describe(lou).lines)
    assert line.startswith("Paid for Example Course One (order 1184) and got nothing; order 1184 ")
    # Without anything else to tell, one of them is told.
    EventLog.objects.filter(customer=lou, trigger="product_purchased").delete()
    told = [str(line.text) for line in customer_access.describe(lou).lines]
    assert sum("so nothing had to end" in line for line in told) == 1


# Access that is being ended at this moment


@pytest.fixture
def is_ending(world: World) -> Customer:
    """Dana was refunded, and the action that ends her course waits for its turn."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    world.rule("product_refunded", "expire_course_enrollment", course, product="1048001")
    world.sell("10_product", order__id=1183)
    world.settle()
    world.sell("20_product", order__id=1183)
    return Customer.objects.get()


def test_what_is_about_to_end_is_called_so_on_the_page_and_in_the_letter(is_ending):
    told = customer_access.describe(is_ending)
    assert told.lines[0].text == (
        "Dana's access to Course Two ends in a moment (order 1183). Waits for its turn."
    )
    assert told.targets == (Grant.objects.get().target,)
    assert re.search(
        r"Your access to Course Two is about to end because of the refund of order 1183 on .*\.",
        told.reply,
    )
    assert "will e-mail you soon" not in told.reply


def test_what_is_to_end_and_cannot_because_of_the_key_is_not_said_to_end_in_a_moment(is_ending):
    rate_limit.block(Integration.objects.get().pk, CallBudget.Blocked.KEY, 120)
    told = customer_access.describe(is_ending)
    assert told.lines[0].text.startswith("Dana still has Course Two: ending it is waiting")
    assert "Your access to Course Two is about to end" in told.reply


def test_what_is_being_given_is_not_said_to_wait(world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    world.sell("10_product", order__id=1183)
    RuleRun.objects.update(status="running")
    told = customer_access.describe(Customer.objects.get())
    assert told.lines[0].text == (
        "Dana does not have Course Two yet: it is being given now (order 1183)."
    )


def test_what_a_person_kept_from_ending_is_looked_after(is_ending):
    RuleRun.objects.filter(status="waiting").update(status="skipped", code=DISMISSED)
    assert "is about to end" not in customer_access.describe(is_ending).reply


def test_the_end_of_one_of_two_purchases_is_told_as_such(world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    world.rule(
        "product_refunded", "expire_course_enrollment", course, product="1048001", delay_days=9
    )
    for order in (1183, 1184):
        world.sell("10_product", order__id=order)
    world.settle()
    world.sell("20_product", order__id=1183)
    told = " ".join(line.text for line in customer_access.describe(Customer.objects.get()).lines)
    assert "Access to Course Two through order 1183 ends on " in told
    assert "because of the refund of order 1183 on " in told
    assert "by then. The access stays open through order 1184." in told
