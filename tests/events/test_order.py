"""Order for one customer and site, and what a later event has overtaken."""

import itertools
from datetime import timedelta

import pytest
from django.utils import timezone

from events.execution import retry_by_hand
from events.models import RuleRun
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import Action
from tests.support import factories, queued
from tests.support.queued import claim

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


def test_an_earlier_run_that_waits_for_its_time_holds_the_later_one(course, customer):
    in_an_hour = timezone.now() + timedelta(hours=1)
    queued.run(course, customer, at=1, next_attempt_at=in_an_hour)
    queued.run(course, customer, at=2)
    assert _claimed() == []


@pytest.mark.parametrize(
    ("earlier", "later", "holds"),
    [
        ("course", "course", False),
        ("bundle", "course", True),
        ("course", "bundle", True),
        ("bundle", "bundle", True),
    ],
)
def test_what_waits_for_its_time_holds_no_other_course(customer, earlier, later, holds):
    first = factories.DestinationFactory.create(kind=earlier)
    other = factories.DestinationFactory.create(kind=later, integration=first.integration)
    in_an_hour = timezone.now() + timedelta(hours=1)
    queued.run(first, customer, at=1, next_attempt_at=in_an_hour)
    made = queued.run(other, customer, at=2)
    assert _claimed() == ([] if holds else [made.pk])
    refund = queued.run(first, customer, at=3, action=EXPIRE)
    assert refund.pk not in _claimed()


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


# Overtaken


def _refused_purchase(world, course, customer) -> RuleRun:
    """A purchase that Thinkific refused, and the refund that came after it and was done."""
    world.sandbox.faults.add(Fault("status", status=400, method="POST"))
    purchase = queued.run(course, customer, at=1, order="4711")
    refund = queued.run(
        course, customer, at=2, order="4711", trigger="product_refunded", action=EXPIRE
    )
    queued.drain()
    assert queued.again(purchase).status == "failed"
    assert queued.again(refund).status == "done"
    return queued.again(purchase)


OVERTAKEN = "Overtaken by the refund of order 4711, which was received later and is done already."


def _let_wait(run: RuleRun) -> None:
    """As if it had waited for long: a person's retry would leave it out beforehand."""
    RuleRun.objects.filter(pk=run.pk).update(status="waiting", next_attempt_at=queued.START)


def test_a_purchase_that_comes_after_its_refund_is_skipped(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    purchase = _refused_purchase(world, course, customer)
    world.sandbox.clear_calls()
    _let_wait(purchase)
    queued.drain()
    purchase = queued.again(purchase)
    assert (purchase.status, purchase.message) == ("skipped", OVERTAKEN)
    assert purchase.event.status == "skipped"
    assert world.calls() == []
    assert not world.access(customer.email, course)


def test_doing_it_anyway_carries_out_what_was_overtaken(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    purchase = _refused_purchase(world, course, customer)
    _let_wait(purchase)
    queued.drain()
    purchase = queued.again(purchase)
    assert retry_by_hand.retry([purchase]) == (0, {"a later event has overtaken it": 1})
    assert retry_by_hand.retry([purchase], anyway=True) == (1, {})
    queued.drain()
    purchase = queued.again(purchase)
    assert (purchase.status, purchase.message) == ("done", "Enrolled in Course Two.")
    assert purchase.event.status == "done"
    assert world.access(customer.email, course)


def test_another_course_is_not_overtaken(world):
    course, other = world.course(), world.course("Course Three")
    customer = factories.CustomerFactory.create()
    _refused_purchase(world, course, customer)
    of_other = queued.run(other, customer, at=1, status="failed")
    retry_by_hand.retry([of_other])
    queued.drain()
    assert queued.again(of_other).status == "done"
    assert world.access(customer.email, other)


@pytest.mark.parametrize("status", ["failed", "held", "skipped"])
def test_a_later_event_that_was_not_carried_out_overtakes_nothing(world, status):
    course, customer = world.course(), factories.CustomerFactory.create()
    purchase = queued.run(course, customer, at=1)
    queued.run(course, customer, at=2, trigger="product_refunded", action=EXPIRE, status=status)
    queued.drain()
    assert queued.again(purchase).status == "done"
    assert world.access(customer.email, course)


def test_the_same_event_does_not_overtake_itself(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    event = queued.event(customer)
    first = queued.run(course, of=event, status="failed")
    queued.run(course, of=event, status="done")
    retry_by_hand.retry([first])
    queued.drain()
    assert queued.again(first).message == "Enrolled in Course Two."


def test_neither_another_customer_nor_another_site_overtakes(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    queued.run(course, at=5, status="done")
    elsewhere = factories.DestinationFactory.create(external_id=course.external_id)
    queued.run(elsewhere, customer, at=5, status="done")
    purchase = queued.run(course, customer, at=1)
    queued.drain()
    assert queued.again(purchase).status == "done"


def test_a_held_purchase_that_is_released_after_its_refund_is_skipped(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    held = queued.run(course, customer, at=1, status="held")
    queued.run(
        course, customer, at=2, order="4711", trigger="product_refunded", action=EXPIRE,
    )  # fmt: skip
    queued.drain()
    retry_by_hand.retry([held])
    queued.drain()
    held = queued.again(held)
    assert (held.status, held.message) == ("skipped", OVERTAKEN)


def test_the_sentence_does_without_an_order_that_is_not_known(world):
    course, customer = world.course(), factories.CustomerFactory.create()
    purchase = queued.run(course, customer, at=1)
    queued.run(course, customer, at=2, trigger="subscription_canceled", status="done")
    queued.drain()
    assert queued.again(purchase).message == (
        "Overtaken by the cancellation, which was received later and is done already."
    )
