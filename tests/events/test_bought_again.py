"""Who was refunded and bought the product again paid for the later order alone."""

from typing import Any

import pytest
from django.urls import reverse

from config.staff import roles
from events.execution import retry_by_hand
from events.execution.rerun import rerun
from events.models import EventLog, Grant, RuleRun
from events.reports import simulation
from events.reports.changed_rules import left_behind, refunded
from events.reports.earlier import backfill, batch_preview
from events.reports.owed import promise
from integrations.models import Customer, Destination
from rules.models import Rule
from rules.triggers import Trigger
from tests.support.pages import signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

VIOLA = "viola@example.com"
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
SOLD = "1048001"


def sell(world: World, order: int, name: str = "10_product") -> EventLog:
    event = world.sell(name, customer__email=VIOLA, order__id=order)
    world.settle()
    return event


@pytest.fixture
def first(world: World) -> EventLog:
    """Viola bought, was refunded and bought again, and there was no rule."""
    bought = sell(world, 5402)
    sell(world, 5402, "20_product")
    sell(world, 5403)
    return bought


@pytest.fixture
def ink(world: World) -> Destination:
    return world.course("Ink and Wash")


@pytest.fixture(params=[SOLD, None], ids=["of the product", "global"])
def rule(request, world: World, first: EventLog, ink: Destination) -> Rule:
    world.rule("product_refunded", ENDS, ink, product=request.param)
    return world.rule("product_purchased", GIVES, ink, product=request.param)


def test_the_refunded_order_is_no_earlier_purchase(world, rule):
    preview = backfill.preview(rule)
    assert [row.event.order_id for row in preview.run] == ["5403"]
    (left,) = preview.left_out
    assert (left.event.order_id, left.why_not[:23]) == ("5402", "order 5402 was refunded")


def test_the_refund_of_the_later_order_ends_what_its_buyer_got(world, rule, ink):
    signed_in(roles.MANAGER).post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    assert world.access(VIOLA, ink)
    assert {grant.order_id for grant in Grant.objects.filter(state="active")} == {"5403"}
    sell(world, 5403, "20_product")
    assert not world.access(VIOLA, ink)


def test_running_the_rules_again_leaves_it_out_and_says_so_beforehand(world, rule, first):
    (reason,) = rerun([first]).left
    assert reason.startswith("order 5402 was refunded on")
    assert not first.runs.exists()
    told = simulation.simulate(
        world.marketplace,
        Trigger.PRODUCT_PURCHASED,
        product=first.product,
        email=VIOLA,
        event=first,
    )
    assert any("order 5402 was refunded on" in note for note in told.notes)


def test_only_the_later_order_is_paid_and_gave_nothing(first):
    owed = [event.order_id for event in promise.owed(Customer.objects.get())]
    assert owed == ["5403"]
    assert [event.order_id for event in promise.unfulfilled()] == ["5403"]


def test_what_failed_for_it_is_not_retried_but_by_a_person_who_wants_it_anyway(world, ink):
    world.rule("product_purchased", GIVES, ink, product=SOLD)
    taken = world.school.courses.pop(ink.external_id)
    sell(world, 5402)
    sell(world, 5402, "20_product")
    sell(world, 5403)
    world.school.courses[ink.external_id] = taken
    run = RuleRun.objects.get(event__order_id="5402")
    assert run.status == "failed"
    queued, left = retry_by_hand.retry([run])
    assert (queued, [reason[:23] for reason in left]) == (0, ["order 5402 was refunded"])
    (line,) = batch_preview.of_retry([run], anyway=True).done
    assert "; order 5402 was refunded on" in line.what
    assert retry_by_hand.retry([run], anyway=True) == (1, {})


@pytest.fixture
def both_open(world: World, ink: Destination) -> Destination:
    """An order gave it, was refunded while nothing ended that, and she bought it again."""
    world.rule("product_purchased", GIVES, ink, product=SOLD)
    sell(world, 5402)
    sell(world, 5402, "20_product")
    sell(world, 5403)
    assert Grant.objects.filter(state="active").count() == 2
    return ink


def test_what_a_refunded_order_still_gives_is_listed_once_nothing_else_gives_it(world, both_open):
    world.rule("product_refunded", ENDS, both_open, product=SOLD)
    assert refunded.refunded_with_access() == []
    sell(world, 5403, "20_product")
    assert world.access(VIOLA, both_open)
    (left,) = refunded.refunded_with_access()
    assert (left.event.order_id, left.refund.order_id) == ("5402", "5402")
    manager = signed_in(roles.MANAGER)
    told = "1 buyer was refunded and still has Ink and Wash: no rule ended it."
    assert told in words(manager.get(reverse("admin:index")))
    assert told in words(manager.get(reverse("admin:refunded")))
    manager.post(reverse("admin:refunded"), {"chosen": left.event.pk})
    world.settle()
    assert not world.access(VIOLA, both_open)


def test_a_rule_for_refunds_is_run_for_it_though_she_bought_it_again(world, both_open):
    made = world.rule("product_refunded", ENDS, both_open, product=SOLD)
    preview = backfill.preview(made)
    assert [row.event.order_id for row in [*preview.run, *preview.unchanged]] == ["5402"]


def test_she_is_not_moved_for_the_refunded_order(world, both_open):
    rule = Rule.objects.get()
    rule.destination = world.course("Drawing Faces")
    rule.save()
    found = {row.event.order_id: row for row in left_behind.left_behind(rule.pk).rows}
    assert found["5402"].why_not.startswith("order 5402 was refunded on")
    assert found["5403"].why_not == ""


# Without an order number


def sell_nameless(world: World, name: str) -> None:
    nameless: dict[str, Any] = {"order__id": None, "order__subscription_id": None}
    world.sell(name, customer__email=VIOLA, product__id=SOLD, **nameless)
    world.settle()


def test_a_bundle_bought_again_is_given_again_even_if_no_sale_names_an_order(world):
    one = world.course("One")
    whole = world.bundle(one, world.course("Two"))
    world.rule("product_purchased", "create_bundle_enrollment", whole)
    world.rule("product_refunded", "expire_bundle_enrollment", whole)
    for name, has in (("12_product", True), ("20_product", False), ("12_product", True)):
        sell_nameless(world, name)
        assert world.access(VIOLA, one) is has


def test_a_course_bought_again_without_an_order_number_outlives_the_refund_of_another_order(
    world, ink
):
    world.rule("product_purchased", GIVES, ink)
    world.rule("product_refunded", ENDS, ink)
    for name in ("12_product", "20_product", "12_product"):
        sell_nameless(world, name)
    other: dict[str, Any] = {"order__id": 7, "product__id": "1048011", "customer__email": VIOLA}
    for name in ("12_product", "20_product"):
        world.sell(name, **other)
        world.settle()
    assert world.access(VIOLA, ink)
