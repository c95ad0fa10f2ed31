"""Undoing what was done for many at once."""

from typing import Any

import pytest

from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import moving, undo_batch
from events.execution.rerun import rerun
from events.models import Batch, EventLog, Grant
from events.reports import backfill, promise
from events.reports.left_behind import left_behind
from integrations.models import AuditEntry, Customer, Destination
from rules.models import Rule
from tests.support import queued
from tests.support.world import World

DANA = "dana@example.com"
MIA = Author("mia@example.com", "By mistake")
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def ink(world: World) -> Destination:
    return world.course("Ink and Wash")


@pytest.fixture
def faces(world: World) -> Destination:
    return world.course("Drawing Faces")


def enrolled_late(world: World, course: Destination, number: int = 2) -> tuple[Rule, Batch]:
    """Buyers from before a rule, for whom it was run."""
    events = [
        world.sell(customer__email=f"b{each}@example.com", order__id=1180 + each)
        for each in range(number)
    ]
    rule = world.rule("product_purchased", GIVES, course)
    batch = Batch.objects.create(title="For earlier buyers", started_by="Mia")
    rerun(events, batch=batch)
    batch.save()
    return rule, batch


def undo(batch: Batch) -> dict[str, int]:
    """Somebody looks, and presses the button."""
    looked = [one.event.pk for one in undo_batch.look(batch)]
    return undo_batch.undo(batch, looked, Batch(title="Undo"))


def test_buyers_that_a_rule_was_run_for_lose_what_it_gave_and_are_offered_again(world, ink):
    rule, batch = enrolled_late(world, ink)
    world.settle()
    assert world.access("b0@example.com", ink)
    assert undo(batch) == {}
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert not world.access("b1@example.com", ink)
    assert set(Grant.objects.values_list("state", flat=True)) == {"waived"}
    assert len(promise.not_in()) == len(backfill.preview(rule).run) == 2
    assert undo_batch.look(batch)[0].why_not == "the access has ended since"


def test_what_is_undone_before_it_was_carried_out_is_never_given(world, ink):
    _, batch = enrolled_late(world, ink)
    undo(batch)
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert "POST /enrollments" not in world.calls()


@pytest.fixture
def moved(world: World, ink: Destination, faces: Destination) -> tuple[Rule, EventLog, Batch]:
    """Dana bought what a rule gave; the rule was changed, and she was moved."""
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    event = world.sell("10_product")
    world.settle()
    rule.destination = faces
    rule.save()
    batch = Batch.objects.create(title="Move", started_by="Mia")
    rows = left_behind(rule.pk).rows
    moving.move([(row.event, [each.pk for each in row.grants], row.gives) for row in rows], batch)
    batch.save()
    world.settle()
    return rule, event, batch


def test_who_was_moved_is_moved_back_and_can_be_moved_once_more(world, ink, faces, moved):
    rule, event, batch = moved
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (False, True)
    assert undo(batch) == {}
    world.settle()
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (True, False)
    (row,) = left_behind(rule.pk).rows
    assert (row.event, row.line.what) == (event, "Give Drawing Faces, end Ink and Wash")
    assert promise.not_in() == []
    entry = AuditEntry.objects.get(act="batch_undone")
    assert (entry.before, entry.after) == (
        {"access": ["Drawing Faces"]},
        {"access": ["Ink and Wash"]},
    )


def test_what_was_ended_for_buyers_is_given_back(world, ink):
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    event, number = world.sell("10_product"), rule.pk
    world.settle()
    rule.delete()
    batch = Batch.objects.create(title="End", started_by="Mia")
    moving.move([(event, [Grant.objects.get().pk], ())], batch)
    batch.save()
    world.settle()
    assert not world.access(DANA, ink)
    assert promise.not_in() == [event.pk]
    assert undo(batch) == {}
    world.settle()
    assert world.access(DANA, ink)
    assert promise.not_in() == []
    assert [row.event for row in left_behind(number).rows] == [event]
    assert undo(batch) == {"the access was given again since": 1}


def refunded(world: World, **order: Any) -> None:
    world.sell("20_product", **order)


def moved_away(world: World, **order: Any) -> None:
    by_hand.move(Customer.objects.get(email=order["customer__email"]), "other@example.com", MIA)


def ended(world: World, **order: Any) -> None:
    customer = Customer.objects.get(email=order["customer__email"])
    (holding,) = holdings.of_customer(customer)
    by_hand.end(customer, holding.key, MIA)


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        (refunded, "the access has ended since"),
        (moved_away, "somebody has moved the access to another e-mail since"),
        (ended, "the access has ended since"),
    ],
)
def test_who_has_changed_since_is_left_out(world, ink, meanwhile, why):
    _, batch = enrolled_late(world, ink)
    world.rule("product_refunded", ENDS, ink)
    world.settle()
    meanwhile(world, customer__email="b0@example.com", order__id=1180)
    world.settle()
    assert [one.why_not for one in undo_batch.look(batch)] == [why, ""]
    assert undo(batch) == {why: 1}


def test_who_was_refunded_since_does_not_get_back_what_was_ended(world, moved):
    _, event, batch = moved
    world.sell("20_product", order__id=event.order_id)
    (one,) = undo_batch.look(batch)
    assert one.why_not.startswith(f"order {event.order_id} was refunded on ")


def test_what_the_purchase_had_before_stays(world, ink):
    _, batch = enrolled_late(world, ink, 1)
    world.settle()
    rule = world.rule("subscription_charged", GIVES, ink)
    same = {"customer__email": "b0@example.com", "order__id": 1180, "product__id": 1048001}
    event = world.sell("31_", **same)
    assert event.runs.get().rule == rule
    (one,) = undo_batch.look(batch)
    assert one.why_not == "something else of the same purchase gives it too"


def test_two_who_press_at_once_undo_it_once(world, ink):
    _, batch = enrolled_late(world, ink, 1)
    world.settle()
    queued.at_once(*[lambda: undo(batch)] * 3)
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert AuditEntry.objects.filter(act="batch_undone").count() == 1
