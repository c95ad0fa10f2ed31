"""Undoing what was done for many at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import moving, undo_batch, undo_preview
from events.execution.rerun import rerun
from events.models import Batch, EventLog, Grant, RuleRun
from events.queue import wake
from events.reports.changed_rules.left_behind import left_behind
from events.reports.changed_rules.left_behind_summary import summarize
from events.reports.customers import customer_access
from events.reports.earlier import backfill
from events.reports.owed import promise
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Customer, Destination, Product
from integrations.sentences import LONG, format_day, format_time
from rules import changing
from rules.models import Rule
from tests.support import queued
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
MIA = Author("mia@example.com", "By mistake")
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


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


def reasons(batch: Batch) -> list[str]:
    return [one.why_not for one in undo_preview.preview(batch)]


def undo(batch: Batch) -> dict[str, int]:
    """Somebody looks, and presses the button."""
    looked = [one.number for one in undo_preview.preview(batch)]
    return undo_batch.undo(batch, looked, Batch(title="Undo", started_by="Mia")).left


def test_buyers_that_a_rule_was_run_for_lose_what_it_gave_and_are_offered_again(world, ink):
    rule, batch = enrolled_late(world, ink)
    world.settle()
    assert world.access("b0@example.com", ink)
    assert undo(batch) == {}
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert not world.access("b1@example.com", ink)
    assert set(Grant.objects.values_list("state", flat=True)) == {"waived"}
    assert (promise.not_in(), len(backfill.preview(rule).undone)) == ([], 2)
    assert undo_preview.preview(batch)[0].why_not == "the access has ended since"


def test_undoing_what_held_a_course_as_well_leaves_it_open_by_the_first_purchase(world, ink):
    late = world.sell(customer__email=DANA, order__id=1183, product__id=77)
    world.rule("product_purchased", GIVES, ink)
    world.rule("product_refunded", ENDS, ink)
    world.sell(customer__email=DANA, order__id=1184)
    world.settle()
    made = world.rule("product_purchased", GIVES, ink, product="77")
    batch = Batch.objects.create(title="For earlier buyers", started_by="Mia")
    rerun([each.event for each in backfill.preview(made).run], batch=batch)
    batch.save()
    world.settle()
    assert Grant.objects.active().count() == 2
    assert undo(batch) == {}
    world.settle()
    assert late.runs.order_by("-pk")[0].code == "kept"
    assert world.access(DANA, ink)
    assert [each.event.pk for each in backfill.preview(made).undone] == [late.pk]
    world.sell("20_product", customer__email=DANA, order__id=1184, product__id=1048001)
    world.settle()
    assert not world.access(DANA, ink)


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
    return rule, event, move(world, rule)


def move(world: World, rule: Rule) -> Batch:
    """Everybody is moved to what the rule gives now."""
    batch = Batch.objects.create(title="Move", started_by="Mia")
    rows = left_behind(rule.pk).rows
    moving.move([(row.event, [each.pk for each in row.grants], row.gives) for row in rows], batch)
    batch.save()
    world.settle()
    return batch


def test_who_was_moved_is_moved_back_and_can_be_moved_once_more(world, ink, faces, moved):
    rule, event, batch = moved
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (False, True)
    assert undo(batch) == {}
    world.settle()
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (True, False)
    (row,) = left_behind(rule.pk).rows
    assert (row.event, row.line.what) == (event, "Give Drawing Faces, end Ink and Wash")
    lines = customer_access.describe(Customer.objects.get()).lines
    assert [line.text for line in lines if "was deleted" in line.text] == []  # the rule is there
    assert promise.not_in() == []
    entry = AuditEntry.objects.get(act="batch_undone")
    assert (entry.before, entry.after) == (
        {"access": ["Drawing Faces"]},
        {"access": ["Ink and Wash"], "batch": Batch.objects.latest("pk").pk},
    )


@pytest.mark.each_database
def test_who_was_moved_back_has_it_by_its_rule_where_other_rules_ran_for_the_purchase_too(
    world, ink, faces
):
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    world.rule("product_purchased", GIVES, world.course("Another"), product="1048001")
    world.sell("10_product")
    world.settle()
    changing.point_to([rule], faces, on=True)
    undo(move(world, rule))
    world.settle()
    (told,) = summarize().told
    assert (told.rule, told.courses, told.moves) == (rule, ["Ink and Wash"], True)
    move(world, rule)
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (False, True)


def test_who_was_moved_back_at_another_address_has_it_by_its_rule(world, ink, faces):
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    world.sell("10_product")
    world.settle()
    by_hand.move(Customer.objects.get(), "dana@new.example", MIA)
    world.settle()
    changing.point_to([rule], faces, on=True)
    undo(move(world, rule))
    world.settle()
    assert world.access("dana@new.example", ink)
    (told,) = summarize().told
    assert (told.rule, told.courses, told.moves) == (rule, ["Ink and Wash"], True)
    move(world, rule)
    assert world.access("dana@new.example", faces)
    assert not world.access("dana@new.example", ink)


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
    assert [one.why_not for one in undo_preview.preview(batch)] == [why, ""]
    assert undo(batch) == {why: 1}


def test_who_was_refunded_since_does_not_get_back_what_was_ended(world, moved):
    _, event, batch = moved
    world.sell("20_product", order__id=event.order_id)
    (one,) = undo_preview.preview(batch)
    assert one.why_not.startswith(f"order {event.order_id} was refunded on ")


def test_what_the_purchase_had_before_stays(world, ink):
    _, batch = enrolled_late(world, ink, 1)
    world.settle()
    rule = world.rule("subscription_charged", GIVES, ink)
    same = {"customer__email": "b0@example.com", "order__id": 1180, "product__id": 1048001}
    event = world.sell("31_", **same)
    assert event.runs.get().rule == rule
    (one,) = undo_preview.preview(batch)
    assert one.why_not == "something else of the same purchase gives it too"


@pytest.mark.each_database
def test_two_who_press_at_once_undo_it_once(world, ink):
    _, batch = enrolled_late(world, ink, 1)
    world.settle()
    queued.at_once(*[lambda: undo(batch)] * 3)
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert AuditEntry.objects.filter(act="batch_undone").count() == 1


# After the product was deleted


def test_buyers_that_a_rule_was_run_for_lose_it_also_once_the_product_is_deleted(world, ink):
    _, batch = enrolled_late(world, ink)
    world.settle()
    name = Product.objects.get().name
    Product.objects.all().delete()
    assert undo(batch) == {}
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert promise.not_in() == []
    lines = customer_access.describe(Customer.objects.earliest("pk")).lines
    assert any(f"what was given for {name} (order 1180)." in str(line.text) for line in lines)


def test_who_was_moved_is_moved_back_once_the_product_is_deleted_and_a_refund_ends_it(
    world, ink, faces, moved
):
    _, event, batch = moved
    Product.objects.all().delete()
    assert undo(batch) == {}
    world.settle()
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (True, False)
    world.rule("product_refunded", ENDS, ink)
    world.sell("20_product", order__id=event.order_id)
    world.settle()
    assert not world.access(DANA, ink)


def test_what_is_bought_of_another_deleted_product_does_not_take_a_refund_back(world, moved):
    _, event, batch = moved
    world.sell("20_product", order__id=event.order_id)
    world.sell("10_product", order__id=77, product__id=77)
    Product.objects.all().delete()
    (one,) = undo_preview.preview(batch)
    assert one.why_not.startswith(f"order {event.order_id} was refunded on ")


# What was given and what was ended of one purchase, on two events of it


@pytest.fixture
def renewed(world: World, ink: Destination, faces: Destination) -> tuple[EventLog, Batch]:
    """Dana's purchase was charged once more before she was moved, and that gave the course, too."""
    rules = [
        world.rule(trigger, GIVES, ink, product="1048001")
        for trigger in ("product_purchased", "subscription_charged")
    ]
    event = world.sell("10_product")
    same: dict[str, Any] = {"order__id": event.order_id, "product__id": 1048001}
    charged = world.sell("31_", customer__email=DANA, **same)
    world.settle()
    for rule in rules:
        rule.destination = faces
        rule.save()
    batch = move(world, rules[0])
    assert {run.event for run in RuleRun.objects.filter(pk__in=batch.run_ids)} == {event, charged}
    return event, batch


def test_what_was_given_and_ended_for_one_purchase_is_undone_together(world, ink, faces, renewed):
    event, batch = renewed
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (False, True)
    (one,) = undo_preview.preview(batch)
    named = [[run.destination_name for run in runs] for runs in (one.gave, one.ended)]
    assert (one.event, named) == (event, [["Drawing Faces"], ["Ink and Wash"]])
    assert undo(batch) == {}
    world.settle()
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (True, False)
    assert not EventLog.objects.filter(gave_nothing=True).exists()


def test_what_keeps_a_part_of_a_purchase_keeps_all_of_it(world, ink, faces, renewed):
    _, batch = renewed
    Grant.objects.filter(name="Ink and Wash").update(state="active")
    assert undo(batch) == {"the access was given again since": 1}
    world.settle()
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (False, True)


def test_two_events_of_a_purchase_that_give_the_same_course_are_undone_together(world, ink):
    event = world.sell("10_product")
    same = {"order__id": event.order_id, "product__id": 1048001}
    charged = world.sell("31_", customer__email=DANA, **same)
    for trigger in ("product_purchased", "subscription_charged"):
        world.rule(trigger, GIVES, ink, product="1048001")
    batch = Batch.objects.create(title="Again", started_by="Mia")
    rerun([event, charged], batch=batch)
    world.settle()
    assert (len(batch.new_ids), len(undo_preview.preview(batch))) == (2, 1)
    assert undo(batch) == {}
    world.settle()
    assert not world.access(DANA, ink)


# The batch acted last


def test_the_letter_promises_nothing_of_what_was_undone(world, ink):
    _, batch = enrolled_late(world, ink, 1)
    world.settle()
    undo(batch)
    world.settle()
    letter = customer_access.describe(Customer.objects.get()).reply
    assert "sorting out" not in letter
    assert "another e-mail address" not in letter
    assert "We received your order" in letter
    day = format_day(timezone.now(), LONG)
    assert f"Your access to {ink} ended on {day}: we took back what had given it." in letter


def test_the_page_says_that_it_was_undone_though_the_first_purchase_was_refunded_before(world, ink):
    world.rule("product_purchased", GIVES, ink, product="1048001")
    world.rule("product_refunded", ENDS, ink, product="1048001")
    world.sell("10_product", order__id=1)
    world.settle()
    event = world.sell("10_product", order__id=2)
    RuleRun.objects.filter(event=event).delete()
    Grant.objects.filter(event=event).delete()
    batch = Batch.objects.create(title="Run for earlier buyers", started_by="Mia")
    rerun([event], batch=batch)
    world.settle()
    world.sell("10_product", "product_refunded", order__id=1)
    world.settle()
    assert world.access(DANA, ink)
    new = Batch.objects.create(title="Undo", started_by="Mia")
    undo_batch.undo(batch, [each.number for each in undo_preview.preview(batch)], new)
    world.settle()
    assert not world.access(DANA, ink)
    (line, *_) = customer_access.describe(Customer.objects.get()).lines
    assert "refund" not in str(line.text)
    assert "undid" in str(line.text)


def test_who_undid_what_for_a_customer_is_asked_once_however_much_it_was(world, ink):
    events = [
        world.sell(customer__email=DANA, order__id=1180 + each, product__id=77 + each)
        for each in range(3)
    ]
    for each in range(3):
        world.rule("product_purchased", GIVES, ink, product=str(77 + each))
    batch = Batch.objects.create(title="For earlier buyers", started_by="Mia")
    rerun(events, batch=batch)
    world.settle()
    undo(batch)
    world.settle()
    with CaptureQueriesContext(connection) as asked:
        lines = customer_access.describe(Customer.objects.get()).lines
    assert sum("undid" in str(line.text) for line in lines) == 4
    of_batches = [sql for sql in asked if f"'{Act.BATCH_UNDONE}'" in sql["sql"]]
    assert len(of_batches) == 2  # of the course, and of the purchases


def test_buyers_who_are_enrolled_again_after_an_undo_can_be_undone_again(world, ink):
    _, first = enrolled_late(world, ink, 1)
    world.settle()
    undo(first)
    second = Batch.objects.create(title="Again", started_by="Mia")
    rerun(EventLog.objects.all(), batch=second)
    world.settle()
    assert reasons(first) == ["it was ended and given again since"]
    assert undo(second) == {}
    world.settle()
    assert not world.access("b0@example.com", ink)
    assert reasons(first) == reasons(second) == ["the access has ended since"]


def test_who_is_moved_again_after_an_undo_can_be_moved_back_again(world, ink, faces, moved):
    rule, _, first = moved
    undo(first)
    world.settle()
    second = move(world, rule)
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (False, True)
    assert reasons(first) == ["it was ended and given again since"]
    assert undo(second) == {}
    world.settle()
    assert (world.access(DANA, ink), world.access(DANA, faces)) == (True, False)


def test_what_was_given_back_and_ended_again_is_given_back_by_the_last_batch_alone(world, ink):
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    event = world.sell("10_product")
    world.settle()
    rule.delete()
    batches = [Batch.objects.create(title="End", started_by="Mia") for _ in range(2)]
    for batch in batches:
        moving.move([(event, [Grant.objects.get().pk], ())], batch)
        world.settle()
        if batch is batches[0]:
            undo(batch)
    assert reasons(batches[0]) == ["it was given and ended again since"]
    assert undo(batches[1]) == {}
    world.settle()
    assert world.access(DANA, ink)


def test_an_ending_that_came_too_late_does_not_hide_what_gives_it_besides(world, ink):
    _, batch = enrolled_late(world, ink, 1)
    world.rule("subscription_charged", GIVES, ink)
    same = {"customer__email": "b0@example.com", "order__id": 1180, "product__id": 1048001}
    world.sell("31_", **same)
    late = RuleRun.objects.get(event__trigger="subscription_charged")
    late.pk, late.rule, late.action = None, None, ENDS
    late.skip("late", "It came too late.")
    late.save()
    assert reasons(batch) == ["something else of the same purchase gives it too"]


# Endings that wait


def test_an_ending_that_waits_is_dropped_and_can_wait_again(world, ink):
    world.rule("product_purchased", GIVES, ink)
    event = world.sell("10_product")
    world.settle()
    refund = world.sell("20_product", order__id=event.order_id)
    rule = world.rule("product_refunded", ENDS, ink)
    rule.delay_days = 30
    rule.save()
    batch = Batch.objects.create(title="Again", started_by="Mia")
    rerun([refund], batch=batch)
    assert reasons(batch) == [""]
    assert undo(batch) == {}
    run = RuleRun.objects.get(event=refund)
    assert (run.status, run.code) == ("skipped", "replaced")
    assert run.message == "Nothing was ended: Mia has decided otherwise since."
    assert world.access(DANA, ink)
    assert undo_preview.preview(batch) == []
    assert rerun([refund]).queued == 1
    assert RuleRun.objects.delayed().count() == 1


def test_what_a_purchase_gave_for_some_days_ends_and_nothing_waits_to_end_it(world, ink):
    event = world.sell("10_product")
    world.rule("product_purchased", GIVES, ink)
    rule = world.rule("product_purchased", ENDS, ink)
    rule.delay_days = 30
    rule.save()
    batch = Batch.objects.create(title="Again", started_by="Mia")
    rerun([event], batch=batch)
    world.settle()
    assert RuleRun.objects.delayed().count() == 1
    assert undo(batch) == {}
    world.settle()
    assert not world.access(DANA, ink)
    assert not RuleRun.objects.delayed().exists()
    assert reasons(batch) == ["the access has ended since"]


# A request that dies halfway


def test_what_was_undone_before_a_request_died_is_in_a_batch_and_is_carried_out(
    world, ink, monkeypatch
):
    _, batch = enrolled_late(world, ink, 2)
    world.settle()
    last = undo_preview.preview(batch)[1].event
    OrmQ.objects.all().delete()
    record = audit.record

    def die(act: Any, about: Any, **facts: Any) -> None:
        if about == last:
            raise RuntimeError("The server was stopped.")
        record(act, about, **facts)

    monkeypatch.setattr(audit, "record", die)
    with pytest.raises(RuntimeError):
        undo(batch)
    assert wake.queued()
    kept = Batch.objects.get(title="Undo")
    assert kept.run_ids == [RuleRun.objects.exclude(pk__in=batch.run_ids).get().pk]
    world.settle()
    emails = ("b0@example.com", "b1@example.com")
    assert [world.access(email, ink) for email in emails] == [False, True]


def test_what_was_ended_and_given_again_is_had_since_it_was_given_again(world, ink):
    world.rule("product_purchased", GIVES, ink, product="1048001")
    event = world.sell("10_product")
    world.settle()
    past = timezone.now() - timedelta(hours=3)
    EventLog.objects.update(received_at=past)
    Grant.objects.update(opened_at=past, decided_at=past)
    RuleRun.objects.update(received_at=past, finished_at=past)
    batch = Batch.objects.create(title="End", started_by="Mia")
    moving.move([(event, [Grant.objects.get().pk], ())], batch)
    batch.save()
    world.settle()
    ended = RuleRun.objects.filter(code="ended")
    ended.update(finished_at=timezone.now() - timedelta(hours=1))
    undo(batch)
    world.settle()
    given = RuleRun.objects.filter(grant__isnull=False).latest("finished_at").finished_at
    assert given
    lines = customer_access.describe(Customer.objects.get()).lines
    assert lines[0].text.startswith(f"Dana has had Ink and Wash since {format_time(given)} through")


# What retention has removed meanwhile: active grants stay, and the actions that gave them go


GONE = "what gave it is no longer kept"


@pytest.fixture
def unkept(world: World, ink: Destination) -> tuple[EventLog, EventLog, Batch]:
    """Dana bought Ink long ago, has it still, and was refunded while no rule ended it."""
    world.rule("product_purchased", GIVES, ink)
    bought = world.sell(customer__email=DANA)
    world.settle()
    refund = world.sell("20_product", customer__email=DANA)
    RuleRun.objects.filter(grant=Grant.objects.get()).delete()
    return bought, refund, Batch.objects.create(title="End what was refunded", started_by="Mia")


def test_a_refunded_access_whose_actions_are_no_longer_kept_ends_and_is_not_given_back(
    world, ink, unkept
):
    bought, refund, batch = unkept
    purchases = [(bought, [Grant.objects.get().pk], ())]
    left = moving.move(purchases, batch, why=moving.REFUNDED, endings={bought.pk: refund})
    assert left == {}
    world.settle()
    assert not world.access(DANA, ink)
    assert AuditEntry.objects.latest("pk").act == Act.REFUNDED_ENDED
    assert reasons(batch) == [GONE]
    assert undo(batch) == {GONE: 1}
    world.settle()
    assert not world.access(DANA, ink)


def test_a_buyer_whose_actions_are_no_longer_kept_is_not_moved(world, ink, unkept):
    bought, _, batch = unkept
    purchases = [(bought, [Grant.objects.get().pk], ())]
    assert moving.move(purchases, batch) == {GONE: 1}
    assert Grant.objects.get().is_active
    assert world.access(DANA, ink)


def test_a_purchase_that_is_no_longer_kept_is_left_out(world, ink, unkept):
    bought, _, batch = unkept
    purchases = [(bought, [Grant.objects.get().pk], ())]
    Grant.objects.update(event=None)
    EventLog.objects.filter(pk=bought.pk).delete()
    assert moving.move(purchases, batch) == {"it has just changed": 1}
