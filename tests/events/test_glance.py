"""What the list of customers says about each, and the totals on a customer's page."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.access import by_hand
from events.access.by_hand import Author
from events.models import EventLog, Grant
from events.reports.customers import customer_access
from events.reports.customers.glance import Glance, counted, glances, totals
from integrations.models import Customer, Destination, Integration
from integrations.sentences import format_day
from tests.support.pages import signed_in
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA, OLGA = "dana@example.com", "olga@example.com"
MIA = Author("mia@example.com", "A gift")


@pytest.fixture
def course(world: World) -> Destination:
    """A course that a purchase gives, and its refund ends."""
    found = world.course()
    world.rule("product_purchased", "create_course_enrollment", found, product="1048001")
    world.rule("product_refunded", "expire_course_enrollment", found, product="1048001")
    return found


def buy(world: World, email: str = DANA, order: int = 1183, name: str = "10_product") -> EventLog:
    event = world.sell(name, customer__email=email, order__id=order)
    world.settle()
    return event


def seen(email: str = DANA) -> Glance:
    customer = Customer.objects.get(email=email)
    return glances([customer])[customer.pk]


def line(email: str = DANA) -> str:
    customer = Customer.objects.get(email=email)
    return totals(customer, customer_access.describe(customer).targets)


def test_what_a_purchase_gave_and_what_was_bought_last_are_seen(world, course):
    buy(world)
    last = buy(world, order=1190)
    found = seen()
    assert (found.names, found.more, found.not_in) == (["Course Two"], 0, False)
    assert found.until == ""
    assert found.last == last
    assert last.ordered_at
    assert line() == f"2 orders · 1 course now · first purchase {format_day(last.ordered_at)}"


def test_a_refund_leaves_nothing(world, course):
    buy(world)
    world.sell("10_product", "product_refunded", customer__email=DANA, order__id=1183)
    world.settle()
    assert (seen().names, seen().not_in) == ([], False)
    assert line().startswith("1 order · no course now · ")


def test_a_course_that_is_gone_from_thinkific_is_no_course_that_anybody_has(world, course):
    buy(world)
    Destination.objects.update(gone_at=timezone.now())
    assert (seen().names, seen().targets, seen().not_in) == ([], [], False)
    assert "no course now" in line()


def test_who_paid_and_got_nothing_is_not_in(world):
    buy(world)
    assert (seen().names, seen().not_in) == ([], True)
    EventLog.objects.update(dealt_with_at=timezone.now())
    assert not seen().not_in


def test_who_paid_a_moment_ago_is_on_the_way_and_then_in_or_not_in(world, course):
    world.sell("10_product", customer__email=DANA)
    assert (seen().names, seen().not_in, seen().on_the_way) == ([], False, True)
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=3))
    assert (seen().names, seen().not_in, seen().on_the_way) == ([], True, False)
    world.settle()
    assert (seen().not_in, seen().on_the_way) == (False, False)


def test_nobody_is_on_the_way_whose_key_is_refused_or_who_is_owed_something_else(world, course):
    world.sell("10_product", customer__email=DANA)
    Integration.objects.update(connection="refused")
    assert (seen().not_in, seen().on_the_way) == (True, False)
    Integration.objects.update(connection="connected")
    assert (seen().not_in, seen().on_the_way) == (False, True)
    world.sell("10_product", customer__email=DANA, product__id=78, order__id=1190)
    assert (seen().not_in, seen().on_the_way) == (True, False)


def test_an_end_that_is_set_is_told_where_nothing_else_gives_the_course(world, course):
    day = timezone.localdate() + timedelta(days=9)
    buy(world)
    dana = Customer.objects.get(email=DANA)
    other = world.course("Drawing Faces")
    by_hand.give(dana, other, MIA, day)
    world.settle()
    assert (seen().names, seen().more) == (["Drawing Faces", "Course Two"], 1)
    assert seen().until == f"1 ends {format_day(day)}"
    by_hand.give(dana, course, MIA, day)
    world.settle()
    assert seen().until == f"1 ends {format_day(day)}"  # the purchase keeps the other one


def test_many_customers_cost_as_many_questions_as_one(world, course):
    buy(world, DANA)
    buy(world, OLGA, order=1190)
    both = list(Customer.objects.order_by("pk"))
    with CaptureQueriesContext(connection) as one:
        glances(both[:1])
    with CaptureQueriesContext(connection) as two:
        assert all(each.names for each in glances(both).values())
    assert len(two) == len(one) <= 7


def test_who_bought_nothing_has_nothing_and_is_owed_nothing(db):
    customer = Customer.objects.create(email=DANA)
    assert glances([customer]) == {customer.pk: Glance([], [], [])}
    assert totals(customer, ()) == "no order · no course now"


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ([], ""),
        (["course:1"], "1 course"),
        (["bundle:1", "course:1", "course:2"], "2 courses and 1 bundle"),
    ],
)
def test_courses_and_bundles_are_counted_apart(targets, text):
    assert counted(targets) == text


def test_a_bundle_of_which_a_course_has_ended_is_had_in_part(world):
    first, second = world.course("Ink"), world.course("Oil")
    bundle = world.bundle(first, second, name="Everything Pass")
    world.rule("product_purchased", "create_bundle_enrollment", bundle, product="1048001")
    world.rule("product_refunded", "expire_course_enrollment", first, product="1048001")
    buy(world)
    assert seen().names == ["Everything Pass"]
    buy(world, name="20_product")
    assert not world.access(DANA, first)
    assert world.access(DANA, second)
    assert seen().names == ["Everything Pass, in part"]
    answer: Any = signed_in(roles.MANAGER).post(reverse("admin:csv-customers"))
    assert "Everything Pass, in part" in b"".join(answer.streaming_content).decode()
