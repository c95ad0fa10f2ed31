"""A person gave access by hand for a purchase that no rule gives anything for: the buyer is in."""

import pytest
from django.urls import reverse

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.models import EventLog
from events.reports import customer_access, glance, nothing_owed, promise
from integrations.models import Customer, Destination
from tests.support.pages import signed_in, words
from tests.support.world import World

ALICE = "alice@example.com"
SUPPORT = Author("mia@example.com", "No rule yet")
GIVES = "create_course_enrollment"


@pytest.fixture
def course(world: World) -> Destination:
    return world.course("Course Two")


def buy(world: World, order: int, product: int = 1048001, email: str = ALICE) -> EventLog:
    return world.sell(customer__email=email, order__id=order, product__id=product)


def alice() -> Customer:
    return Customer.objects.get(email=ALICE)


def give(world: World, course: Destination) -> None:
    by_hand.give(alice(), course, SUPPORT)
    world.settle()


def not_in() -> int:
    return promise.promise(promise.unfulfilled()).not_in


def test_a_buyer_who_was_given_access_by_hand_counts_as_in(world, course):
    buy(world, 1)
    assert not_in() == 1
    assert glance.glances([alice()])[alice().pk].not_in
    give(world, course)
    assert not_in() == 0
    assert not glance.glances([alice()])[alice().pk].not_in


def test_the_pages_say_what_was_given_by_hand_and_when(world, course):
    bought = buy(world, 1)
    manager = signed_in(roles.MANAGER)
    customer = reverse("admin:integrations_customer_change", args=[alice().pk])
    event = reverse("admin:events_eventlog_change", args=[bought.pk])
    log = reverse("admin:events_eventlog_changelist") + "?result=paid_nothing"
    assert "Paid, nothing given" in words(manager.get(event))
    give(world, course)
    text = words(manager.get(customer))
    assert "but no rule gives anything for it. Course Two was given by hand on" in text
    assert "New rule" not in text
    page = manager.get(event)
    assert "no rule gives anything for it. Course Two was given by hand on" in words(page)
    assert "Has it already" in words(page)
    assert 'note-wait"><p>Somebody paid' not in page.content.decode()
    assert "Has it already" in words(manager.get(log))
    assert "paid and is not in" not in words(manager.get(reverse("admin:index")))
    reply = customer_access.describe(alice()).reply
    assert "sorting" not in reply


def test_a_gift_counts_for_one_purchase_only(world, course):
    first, second = buy(world, 1), buy(world, 2, product=77)
    give(world, course)
    assert [*nothing_owed.gifts([first, second])] == [second.pk]
    assert not_in() == 1
    give(world, world.course("Course Three"))
    assert {*nothing_owed.gifts([first])} == {first.pk}
    assert not_in() == 0


def test_what_was_given_before_the_purchase_or_has_ended_does_not_count(world, course):
    buy(world, 1)
    give(world, course)
    bought = buy(world, 2)
    assert nothing_owed.gifts([bought]) == {}
    assert not_in() == 1
    other = world.course("Course Three")
    give(world, other)
    assert not_in() == 0
    (holding,) = [
        each for each in holdings.of_customer(alice()) if each.grants[0].name == other.name
    ]
    by_hand.end(alice(), holding.key, SUPPORT)
    world.settle()
    assert not_in() == 1


def test_once_a_rule_fits_only_what_it_gives_counts(world, course):
    bought = buy(world, 1)
    give(world, world.course("Another"))
    assert not_in() == 0
    world.rule("product_purchased", GIVES, course, product="1048001")
    assert nothing_owed.gifts([bought]) == {}
    assert not_in() == 1
    give(world, course)
    assert not_in() == 0


def test_if_nobody_was_given_anything_that_takes_one_query(world, django_assert_num_queries):
    bought = buy(world, 1)
    with django_assert_num_queries(1):
        assert nothing_owed.gifts([bought]) == {}
