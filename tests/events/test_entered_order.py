"""A missed order that a person enters; rules decide on it, against the sandbox."""

from typing import Any

import pytest

from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.deciding import entered_order
from events.deciding.entered_order import Order
from events.execution.rerun import rerun
from events.models import EventLog, Grant, RuleRun
from events.reports import rules_now, simulation
from events.reports.earlier import backfill
from events.reports.system import trigger_coverage
from integrations.models import Customer, Destination, Product
from rules.triggers import Trigger
from tests.support.world import World

DANA = "dana@example.com"
SUPPORT = Author("mia@example.com", "SamCart was down")


@pytest.fixture
def course(world: World) -> Destination:
    """A course that the product gives, and that a refund ends."""
    found = world.course()
    world.rule("product_purchased", "create_course_enrollment", found, product="1048001")
    world.rule("product_refunded", "expire_course_enrollment", found, product="1048001")
    return found


def order(world: World, **facts: Any) -> Order:
    product = Product.objects.named(world.marketplace.pk, "product", "1048001", "Watercolor")
    known: dict[str, Any] = {"product": product, "order_id": "1183", "email": DANA}
    return Order(**(known | facts))


def send(world: World, name: str = "10_product", **changes: Any) -> RuleRun:
    """SamCart sends this of the order after all; the run of it."""
    facts: dict[str, Any] = {"product__id": 1048001, "order__id": 1183, "customer__email": DANA}
    world.sell(name, **(facts | changes))
    return world.settle()[-1]


def test_an_entered_order_is_decided_by_the_rules_as_a_purchase_of_now(world, course):
    event = entered_order.enter(
        order(world, email=" Dana@Example.com ", first_name="Dana", last_name="Reyes"), SUPPORT
    )
    (run,) = world.settle()
    assert (run.status, run.code, str(run.customer)) == ("done", "enrolled", DANA)
    assert world.access(DANA, course)
    event.refresh_from_db()
    assert (event.trigger, event.by_hand, event.author, event.author_note) == (
        "product_purchased",
        "order",
        "mia@example.com",
        "SamCart was down",
    )
    assert (event.order_id, event.status, event.delivery) == ("1183", "done", None)
    assert event.what_happened == "Product Purchased (entered by hand)"
    assert [why for _, why in event.verdicts] == ["run", "other_trigger"]
    dana = Customer.objects.get()
    assert (dana.first_name, dana.last_name, dana.email_as_sent) == (
        "Dana",
        "Reyes",
        "Dana@Example.com",
    )
    grant = Grant.objects.get()
    assert (grant.source, grant.order_id, grant.event) == ("purchase", "1183", event)


def test_the_real_event_that_arrives_later_makes_nothing_twice(world, course):
    entered_order.enter(order(world), SUPPORT)
    world.settle()
    run = send(world, customer__email="billing@example.com")
    assert (run.status, run.code, str(run.customer)) == ("done", "already_enrolled", DANA)
    assert Grant.objects.count() == 1
    refunded = send(world, "20_product")
    assert (refunded.status, refunded.code) == ("done", "ended")
    assert not world.access(DANA, course)


def test_an_order_that_was_refunded_before_it_is_entered_gives_nothing(world, course):
    send(world, "20_product")
    entered_order.enter(order(world), SUPPORT)
    run = world.settle()[-1]
    assert (run.status, run.code) == ("skipped", "barred")
    assert not world.access(DANA, course)


def test_a_subscription_that_is_entered_is_the_one_that_renews(world):
    course = world.course()
    for trigger in ("product_purchased", "subscription_charged"):
        world.rule(trigger, "create_course_enrollment", course, product="1048010")
    product = Product.objects.get(external_id="1048010")
    entered_order.enter(
        Order(product, "23300011", "student@example.com", subscription_id="990001"), SUPPORT
    )
    world.settle()
    world.sell("31_subscription_charged")
    run = world.settle()[-1]
    assert (str(run.customer), run.code) == ("student@example.com", "already_enrolled")


def test_an_order_that_is_in_the_log_is_not_entered(world, course):
    send(world)
    with pytest.raises(ValueError, match="Order 1183 with this product is in the log already"):
        entered_order.enter(order(world), SUPPORT)
    other = Product.objects.named(world.marketplace.pk, "product", "1048002", "Bump")
    entered_order.enter(order(world, product=other), SUPPORT)
    with pytest.raises(ValueError, match="in the log already"):
        entered_order.enter(order(world, product=other), SUPPORT)


def test_an_order_with_an_unusable_address_is_not_entered(world, course):
    with pytest.raises(ValueError, match="@"):
        entered_order.enter(order(world, email="dana@@example.com"), SUPPORT)
    assert not EventLog.objects.exists()


def test_an_order_that_no_rule_fits_is_run_once_there_is_one(world):
    event = entered_order.enter(order(world), SUPPORT)
    assert (event.status, event.gave_nothing) == ("no_rule", True)
    course = world.course()
    rule = world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    assert backfill.preview(rule).customers == 1
    assert rerun([event]).queued == 1
    world.settle()
    assert world.access(DANA, course)
    event.refresh_from_db()
    assert (event.status, event.gave_nothing) == ("done", False)
    assert rerun([event]).queued == 0


def test_nothing_of_an_entered_order_is_passed_on(world, course):
    rule = world.notify_rule("product_purchased", product="1048001")
    event = entered_order.enter(order(world), SUPPORT)
    assert [run.action for run in event.runs.all()] == ["create_course_enrollment"]
    assert [rule.pk, "not_sent"] in event.verdicts
    assert rerun([event]).queued == 0
    assert rule not in rules_now.fitting([event])[event.pk]
    told = simulation.simulate(
        world.marketplace, Trigger.PRODUCT_PURCHASED, product=event.product, email=DANA, event=event
    )
    assert rule not in [each.rule for each in told.runs]
    assert "there is nothing to pass on" in dict(told.nearly)[rule]


def test_what_a_person_entered_samcart_did_not_send(world, course):
    entered_order.enter(order(world), SUPPORT)
    heard = trigger_coverage.last_received(world.marketplace, [Trigger.PRODUCT_PURCHASED])
    assert heard == {Trigger.PRODUCT_PURCHASED: None}


def test_what_was_ended_by_hand_stays_ended_when_the_order_arrives(world, course):
    event = entered_order.enter(order(world), SUPPORT)
    world.settle()
    assert event.customer is not None
    by_hand.end(event.customer, holdings.of_customer(event.customer)[0].key, SUPPORT)
    world.settle()
    run = send(world)
    assert (run.status, run.code) == ("skipped", "ended_by_hand")
    assert not world.access(DANA, course)
