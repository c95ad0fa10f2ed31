"""Access that was taken back before it was given: pages and letters do not say that it ended."""

import re

import pytest
from django.db.models import Q
from django.urls import reverse

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import retry_by_hand
from events.models import EventLog, Grant, RuleRun
from events.reports.customers import customer_access
from events.reports.customers.customer_access import AccessReport
from integrations.models import Customer, Integration, Marketplace
from rules.models import Rule
from tests.support.pages import signed_in, words
from tests.support.place import EMAIL, Place, place_for
from tests.support.world import World

pytestmark = pytest.mark.first_database
DAY = r"\d+ \w{3}"
LONG_DAY = r"\d+ \w+ \d{4}"


@pytest.fixture
def place(world: World) -> Place:
    """The purchase gives Course One and Course Two, and the refund ends both."""
    found = place_for(world, "course")
    world.rule("product_purchased", "create_course_enrollment", found.courses[1])
    world.rule("product_refunded", "expire_course_enrollment", found.courses[1])
    return found


def told() -> AccessReport:
    return customer_access.describe(Customer.objects.get(email=EMAIL))


def line(course: str) -> str:
    (text,) = (str(each.text) for each in told().lines if course in each.text)
    return text


def refunded_before_the_second_course(place: Place) -> None:
    """The refund comes when the first course was given and the second was not."""
    place.world.sell(order__id=1183)
    second = RuleRun.objects.filter(destination_name="Course Two")
    second.update(next_attempt_at="2050-01-01T00:00Z")
    place.world.settle()
    place.world.sell("20_product", order__id=1183)
    second.filter(status="waiting").update(next_attempt_at="2020-01-01T00:00Z")
    place.world.settle()
    giving = RuleRun.objects.get(destination_name="Course Two", action__startswith="create")
    assert (giving.status, giving.code) == ("skipped", "not_due")
    assert Grant.objects.get(name="Course Two").seen_at is None


def test_the_page_does_not_say_that_access_ended_which_the_buyer_never_had(place):
    refunded_before_the_second_course(place)
    assert re.fullmatch(
        f"Dana has no access to Course One: the refund of order 1183 on {DAY} ended it\\.",
        line("Course One"),
    )
    assert re.fullmatch(
        f"Dana has no access to Course Two: the refund of order 1183 on {DAY} came before it was "
        "given\\.",
        line("Course Two"),
    )


def test_the_letter_tells_what_ended_apart_from_what_was_never_given(place):
    refunded_before_the_second_course(place)
    letter = told().reply
    cause = f"the refund of order 1183 on {LONG_DAY}"
    assert re.search(f"Your access to Course One ended with {cause}\\.", letter)
    assert re.search(
        f"You have no access to Course Two: {cause} came before you were given access\\.", letter
    )
    assert letter.count("Course Two") == 1


def test_no_row_says_that_access_ended_which_was_never_given(place):
    place.world.sell(order__id=1183)
    place.world.sell("20_product", order__id=1183)
    place.world.settle()
    dana = Customer.objects.get(email=EMAIL)
    manager = signed_in(roles.MANAGER)
    pages = [reverse("admin:integrations_customer_change", args=[dana.pk])]
    pages += [reverse("admin:events_eventlog_changelist")]
    pages += [
        reverse("admin:events_eventlog_change", args=[event.pk]) for event in EventLog.objects.all()
    ]
    for page in pages:
        assert not re.search("(has|had) ended|ended (it|with|on)", words(manager.get(page))), page


def test_what_was_given_without_an_answer_and_then_ended_has_ended(place):
    """The answer to the enrollment was lost, and the refund came before the next attempt."""
    place.world.sell(order__id=1183)
    place.enroll(place.known(), 0)
    place.world.sell("20_product", order__id=1183)
    place.world.settle()
    assert RuleRun.objects.get(code="ended").destination_name == "Course One"
    assert line("Course One").endswith("ended it.")
    assert "Your access to Course One ended with the refund" in told().reply


def test_what_failed_and_was_refunded_was_never_given(place):
    place.world.sell(order__id=1183)
    RuleRun.objects.update(status="failed", message="It broke.", next_attempt_at=None)
    place.world.sell("20_product", order__id=1183)
    place.world.settle()
    assert line("Course One").endswith("came before it was given.")
    assert "ended" not in told().reply


def test_what_was_given_and_is_due_again_after_a_cancellation_has_ended(world):
    place = place_for(world, "course")
    world.rule("subscription_charged", "create_course_enrollment", place.sold)
    world.rule("subscription_canceled", "expire_course_enrollment", place.sold)
    world.sell("12_product", order__id=1183)
    world.settle()
    for name in ("30_subscription_canceled", "31_subscription_charged", "30_subscription_canceled"):
        world.sell(name, order__id=1183)
    world.settle()
    assert line("Course One").endswith("ended it.")


def test_what_was_moved_before_it_was_given_there_is_not_called_never_given(place):
    place.buy(order__id=1183)
    Integration.objects.update(enabled=False)
    by_hand.move(Customer.objects.get(), "mia@example.com", Author("Mia", "She asked."))
    place.world.sell("20_product", order__id=1183)
    Integration.objects.update(enabled=True)
    place.world.settle()
    mia = customer_access.describe(Customer.objects.get(email="mia@example.com"))
    assert not any("before it was given" in line.text for line in mia.lines)
    assert "came before" not in mia.reply


def test_what_a_person_ended_before_it_was_given_is_told_with_the_person_and_the_day(place):
    Integration.objects.update(enabled=False)
    place.world.sell(order__id=1183)
    dana = Customer.objects.get(email=EMAIL)
    for holding in holdings.of_customer(dana):
        by_hand.end(dana, holding.key, Author("Mia", "She asked."))
    Integration.objects.update(enabled=True)
    place.world.settle()
    assert re.search(f"Mia ended it on {DAY}, before it was given\\.", line("Course One"))
    assert re.search(
        f"Your access to Course (One|Two) and Course (One|Two) was canceled on {LONG_DAY}, before "
        "it was opened\\.",
        told().reply,
    )


def test_the_letter_does_not_say_that_access_ended_whose_refund_came_before_its_purchase(place):
    Marketplace.objects.update(created_at="2019-01-01T00:00Z")
    place.world.sell("20_product", order__id=1183)
    place.world.sell(order__id=1183)
    place.world.settle()
    assert "was received before its purchase" in line("Course One")
    assert "came before you were given access." in told().reply
    assert "ended" not in told().reply


def test_what_is_not_due_any_more_is_told_in_the_letter_with_the_refund(place):
    place.buy(order__id=1183)
    Grant.objects.update(seen_at=None)
    Rule.objects.filter(trigger="product_refunded").update(enabled=False)
    place.world.sell("20_product", order__id=1183)
    letter = told().reply
    assert letter.count("About your purchase of ") == 1
    assert re.search(f": order 1183 was refunded on {LONG_DAY}\\.", letter)
    assert "We found no course" not in letter


def test_what_was_dismissed_and_then_refunded_did_not_end(place):
    Integration.objects.update(enabled=False)
    place.world.sell(order__id=1183)
    RuleRun.objects.update(status="failed", message="It broke.")
    retry_by_hand.dismiss(RuleRun.objects.filter(~Q(status="done")), by="Mia")
    Integration.objects.update(enabled=True)
    place.world.sell("20_product", order__id=1183)
    place.world.settle()
    assert "ended" not in told().reply
