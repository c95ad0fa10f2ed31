"""The order of actions for one customer and site, and what is due when a run begins."""

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from events.execution import retry_by_hand
from events.models import RuleRun
from integrations.models import ThinkificUser
from integrations.sentences import format_day
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import Action
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

EXPIRE = Action.EXPIRE_COURSE_ENROLLMENT


@pytest.fixture
def course(db):
    return factories.DestinationFactory.create()


@pytest.fixture
def customer(db):
    return factories.CustomerFactory.create()


def _claimed() -> list[int]:
    return [run.pk for run in claim(16)]


# Who goes before whom


@pytest.mark.parametrize(
    ("earlier", "holds"),
    [
        ("waiting", True),
        ("running", True),
        ("failed", False),
        ("held", False),
        ("skipped", False),
        ("done", False),
    ],
)
def test_what_was_received_earlier_holds_the_later_run_only_while_it_goes_on(
    course, customer, earlier, holds
):
    first = queued.run(course, customer, at=1, status=earlier)
    later = queued.run(course, customer, at=2)
    claimed = _claimed()
    assert (later.pk in claimed) is not holds
    assert (first.pk in claimed) is (earlier == "waiting")


@pytest.mark.parametrize("earlier", ["course", "bundle"])
@pytest.mark.parametrize("later", ["course", "bundle"])
def test_what_waits_for_its_time_holds_nothing_back(customer, earlier, later):
    first = factories.DestinationFactory.create(kind=earlier)
    other = factories.DestinationFactory.create(kind=later, integration=first.integration)
    in_an_hour = timezone.now() + timedelta(hours=1)
    queued.run(first, customer, at=1, next_attempt_at=in_an_hour)
    made = queued.run(other, customer, at=2)
    assert _claimed() == [made.pk]
    RuleRun.objects.filter(pk=made.pk).update(status="done")
    refund = queued.run(first, customer, at=3, action=EXPIRE)
    assert _claimed() == [refund.pk]


def test_a_later_run_under_way_holds_an_earlier_one_too(course, customer):
    failed = queued.run(course, customer, at=1, status="failed")
    later = queued.run(course, customer, at=2)
    assert _claimed() == [later.pk]
    retry_by_hand.retry([failed])
    assert _claimed() == []
    RuleRun.objects.filter(pk=later.pk).update(status="failed")
    assert _claimed() == [failed.pk]


def test_other_customers_and_other_sites_do_not_wait(course, customer):
    first = queued.run(course, customer, at=1)
    queued.run(course, customer, at=2)
    elsewhere = queued.run(factories.DestinationFactory.create(), customer, at=3)
    somebody_else = queued.run(course, at=4)
    assert set(_claimed()) == {first.pk, elsewhere.pk, somebody_else.pk}


def test_another_course_of_the_same_site_waits_too(course, customer):
    other = factories.DestinationFactory.create(integration=course.integration)
    first = queued.run(course, customer, at=1)
    queued.run(other, customer, at=2)
    assert _claimed() == [first.pk]


def test_runs_received_at_the_same_moment_go_by_id(course, customer):
    made = [queued.run(course, customer, at=7) for _ in range(3)]
    for run in made:
        assert _claimed() == [run.pk]
        RuleRun.objects.filter(pk=run.pk).update(status="done")


def test_a_retried_earlier_run_goes_before_what_was_received_later(course, customer):
    failed = queued.run(course, customer, at=1, status="failed")
    later = queued.run(course, customer, at=2)
    retry_by_hand.retry([failed])
    assert _claimed() == [failed.pk]
    RuleRun.objects.filter(pk=failed.pk).update(status="done")
    assert _claimed() == [later.pk]


def test_a_run_gives_way_to_one_that_was_read_later_but_received_earlier(course, customer):
    later = queued.run(course, customer, at=2)
    earlier = queued.run(course, customer, at=1)
    assert _claimed() == [earlier.pk]
    RuleRun.objects.filter(pk=earlier.pk).update(status="done")
    assert _claimed() == [later.pk]


def test_workers_at_once_keep_the_order_of_each_customer(transactional_db):
    courses = factories.DestinationFactory.create_batch(2)
    customers = factories.CustomerFactory.create_batch(3)
    for at, course, customer in itertools.product(range(4), courses, customers):
        queued.run(course, customer, at=at)
    carried_out = []
    for _ in range(4):
        shares = queued.at_once(*[lambda: claim(3)] * 3)
        claimed = [run for share in shares for run in share]
        assert len({(run.customer_id, run.integration_id) for run in claimed}) == 6
        carried_out += claimed
        RuleRun.objects.filter(status="running").update(status="done")
    for customer, course in itertools.product(customers, courses):
        mine = [
            run.received_at
            for run in carried_out
            if (run.customer_id, run.integration_id) == (customer.pk, course.integration_id)
        ]
        assert mine == sorted(mine)
        assert len(mine) == 4


# What is due when they begin


NOT_DUE = r"Nothing was given: the refund of order 4711 on \d+ \w+ came first\."


def _sell(world: World, name: str, **changes: Any) -> RuleRun:
    return world.sell(name, order__id=4711, **changes).runs.get()


@pytest.fixture
def shop(world: World) -> World:
    """A shop whose one product gives a course until it is refunded."""
    course = world.course()
    world.rule("product_purchased", Action.CREATE_COURSE_ENROLLMENT, course)
    world.rule("product_refunded", EXPIRE, course)
    return world


def _enrolled(world: World) -> bool:
    return any(row.active for row in world.school.enrollments)


def test_a_purchase_that_was_refunded_while_it_waited_is_skipped_without_a_call(shop):
    shop.sandbox.faults.add(Fault("status", status=500, method="POST"))
    purchase = _sell(shop, "10_product")
    queued.drain()
    refund = _sell(shop, "20_product")
    queued.drain()
    assert queued.again(refund).status == "done"
    shop.sandbox.clear_calls()
    shop.later()
    purchase = queued.again(purchase)
    assert (purchase.status, purchase.code) == ("skipped", "not_due")
    assert re.fullmatch(NOT_DUE, purchase.message)
    assert purchase.event.status == "skipped"
    assert shop.calls() == []
    assert not _enrolled(shop)


def test_doing_it_anyway_gives_what_was_refunded(shop):
    purchase = _sell(shop, "10_product")
    _sell(shop, "20_product")
    queued.drain()
    purchase = queued.again(purchase)
    assert retry_by_hand.retry([purchase]) == (0, {"nothing is due by it": 1})
    assert retry_by_hand.retry([purchase], anyway=True) == (1, {})
    queued.drain()
    assert queued.again(purchase).status == "done"
    assert _enrolled(shop)


def test_a_held_purchase_that_is_released_after_its_refund_gives_nothing(shop):
    held = _sell(shop, "10_product", product__status="Pending")
    assert held.status == "held"
    _sell(shop, "20_product")
    queued.drain()
    assert retry_by_hand.retry([held], anyway=False) == (
        0,
        {f"order 4711 was refunded on {format_day(timezone.now())}": 1},
    )
    queued.drain()
    assert not _enrolled(shop)


def test_an_ending_that_waits_is_given_up_where_another_order_gives_the_course(shop):
    _sell(shop, "10_product")
    refund = _sell(shop, "20_product")
    shop.sell("10_product", order__id=4712)
    queued.drain()
    refund = queued.again(refund)
    assert (refund.status, refund.code) == ("done", "kept")
    assert refund.message == "Kept Course Two: order 4712 still gives it."
    assert _enrolled(shop)


def test_two_customers_who_are_one_thinkific_user_go_one_after_the_other(course, customer):
    twin = factories.CustomerFactory.create()
    for each in (customer, twin):
        ThinkificUser.objects.create(integration=course.integration, customer=each, user_id=7)
    first = queued.run(course, customer, at=1)
    second = queued.run(course, twin, at=2)
    assert _claimed() == [first.pk]
    assert _claimed() == []
    RuleRun.objects.filter(pk=first.pk).update(status="done")
    assert _claimed() == [second.pk]


def test_what_a_purchase_of_the_same_thinkific_user_gives_is_kept(shop):
    _sell(shop, "10_product")
    shop.sell("10_product", order__id=4712, customer__email="dana.old@example.com")
    queued.drain()
    user = ThinkificUser.objects.get(customer__email="dana@example.com").user_id
    ThinkificUser.objects.update(user_id=user)
    refund = _sell(shop, "20_product")
    queued.drain()
    assert queued.again(refund).code == "kept"
    assert _enrolled(shop)
