"""A rule now leads to another course: earlier buyers get what it gives now."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.execution import moving
from events.execution.rerun import rerun
from events.models import Batch, Delivery, EventLog, Grant, RuleRun
from events.queue import wake
from events.reports.changed_rules.left_behind import by_deleted_rules, left_behind, with_still_given
from events.reports.customers import customer_access
from events.reports.earlier import backfill, batch_preview
from events.reports.owed import promise
from events.reports.sentences.leads import EndAccess
from integrations import audit
from integrations.models import AuditEntry, Customer, Destination
from rules.models import Rule
from tests.support import queued
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def rule(world: World, ink: Destination) -> Rule:
    return world.rule("product_purchased", GIVES, ink, product="1048001")


def lead(rule: Rule, course: Destination) -> None:
    """Somebody edits the rule."""
    rule.destination = course
    rule.save()


def bought(world: World) -> EventLog:
    """Dana bought and has what the rule gave then."""
    event = world.sell("10_product")
    world.settle()
    return event


# Running the rules again


def test_a_rule_that_leads_elsewhere_since_runs_once_more(world, rule, ink, faces):
    event = bought(world)
    lead(rule, faces)
    (line,) = batch_preview.of_rerun([event]).done
    assert line.what == "Enroll in Drawing Faces"
    assert rerun([event]).queued == 1
    assert rerun([event]).left == {"its action continues by itself": 1}
    world.settle()
    assert world.access(DANA, faces)
    assert world.access(DANA, ink)  # it was given, and nobody has ended it
    assert set(event.runs.values_list("rule", "destination_name")) == {
        (rule.pk, "Ink and Wash"),
        (rule.pk, "Drawing Faces"),
    }


def test_many_that_nothing_can_be_done_for_cost_as_many_questions_as_one(world, rule):
    for number in range(4):
        world.sell("10_product", order__id=1183 + number)
    found = list(EventLog.objects.select_related("customer", "delivery").order_by("pk"))
    waiting, failed = found[:2], found[2:]
    of_failed = RuleRun.objects.filter(event__in=failed)
    of_failed.update(status="failed", code="no_email", customer=None)
    for events, says in ((waiting, "Waits"), (failed, "its e-mail address cannot be used")):
        with CaptureQueriesContext(connection) as one:
            batch_preview.of_rerun(events[:1])
        with CaptureQueriesContext(connection) as two:
            left = batch_preview.of_rerun(events).left_out
        assert [each.why_not.startswith(says) for each in left] == [True, True], left
        assert len(two) == len(one)


def test_what_failed_gives_what_its_rule_gives_now(world, rule, ink, faces):
    event = world.sell("10_product")
    RuleRun.objects.update(status="failed", code="refused")
    lead(rule, faces)
    (line,) = batch_preview.of_rerun([event]).done
    assert line.what == "Enroll in Drawing Faces"
    assert rerun([event]).queued == 1
    world.settle()
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)
    assert RuleRun.objects.count() == 1
    assert dict(Grant.objects.values_list("name", "state")) == {
        "Ink and Wash": "waived",
        "Drawing Faces": "active",
    }


def rule_changed(world: World) -> list[str]:
    lines = customer_access.describe(Customer.objects.get()).lines
    return [str(line.text) for line in lines if line.code == "rule_changed"]


def test_the_customers_page_says_what_the_rule_gives_now(world, rule, ink, faces):
    event = bought(world)
    assert rule_changed(world) == []
    lead(rule, faces)
    order = event.order_id
    assert rule_changed(world) == [
        f"The rule that gave Ink and Wash (order {order}) gives Drawing Faces now."
    ]
    rerun([event])
    assert rule_changed(world) == []


def test_what_another_purchase_gives_already_is_offered_to_be_held_as_well(world, rule, ink, faces):
    event = bought(world)
    lead(rule, faces)
    world.rule("product_purchased", "create_course_enrollment", faces, product="77")
    world.sell("10_product", order__id=1190, product__id=77)
    world.settle()
    assert world.access(DANA, faces)
    (line,) = rule_changed(world)
    assert "gives Drawing Faces now." in line
    rerun([event])
    assert rule_changed(world) == []
    assert Grant.objects.active().filter(name="Drawing Faces").count() == 2


# Moving the buyers


def move(rule: int) -> Batch:
    """Somebody presses the button of the page for all of them."""
    found, batch = left_behind(rule), Batch(title="Move")
    moving.move(
        [(row.event, [each.pk for each in row.grants], row.gives) for row in found.rows], batch
    )
    return batch


def told(number: int) -> list[tuple[str, str]]:
    """What would be done for which order, or why not."""
    return [(row.event.order_id, row.why_not or row.line.what) for row in left_behind(number).rows]


def test_those_who_have_what_a_rule_gave_before_are_found(world, rule, ink, faces):
    event = bought(world)
    assert told(rule.pk) == []
    lead(rule, faces)
    assert told(rule.pk) == [(event.order_id, "Give Drawing Faces, end Ink and Wash")]
    rerun([event])
    assert told(rule.pk) == [(event.order_id, "End Ink and Wash")]
    move(rule.pk)
    world.settle()
    assert told(rule.pk) == []
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)


def test_who_bought_before_the_rule_is_found_as_well(world, ink, faces):
    event = world.sell("10_product")
    rule = world.rule("product_purchased", GIVES, ink, product="1048001")
    rerun([event])
    world.settle()
    lead(rule, faces)
    assert [order for order, _ in told(rule.pk)] == [event.order_id]


def test_of_a_deleted_rule_its_buyers_alone_are_found(world, rule, ink, faces):
    other = world.rule("product_purchased", GIVES, faces, product="1048001")
    event = bought(world)
    number = rule.pk
    rule.delete()
    other.delete()
    assert told(number) == [(event.order_id, "End Ink and Wash")]
    assert told(other.pk or 0) == []
    move(number)
    world.settle()
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)


def test_the_page_of_a_buyer_of_a_deleted_rule_says_so_and_how_to_end_it(world, rule, ink):
    event = bought(world)
    rule.delete()
    says = (
        f"The rule that gave Ink and Wash (order {event.order_id}) was deleted, and no rule gives "
        "it for this purchase now. It stays open until it is ended."
    )
    assert rule_changed(world) == [says]
    (line,) = customer_access.describe(Customer.objects.get()).lines[1:]
    held = f"{ink.integration_id} course:{ink.external_id}"
    assert line.leads == (EndAccess(Customer.objects.get().pk, held),)
    again = world.rule("product_purchased", GIVES, ink, product="1048001")
    assert rule_changed(world) == []
    again.delete()
    moving.keep([(event, list(Grant.objects.all()))])
    assert rule_changed(world) == []


def test_a_buyer_of_a_deleted_rule_is_moved_to_what_another_one_gives_by_now(
    world, rule, ink, faces
):
    event, number = bought(world), rule.pk
    rule.delete()
    world.rule("product_purchased", GIVES, faces, product="1048001")
    assert told(number) == [(event.order_id, "Give Drawing Faces, end Ink and Wash")]
    product = event.product_id or 0
    assert [row.line.what for row in by_deleted_rules([product]).rows] == [told(number)[0][1]]
    assert by_deleted_rules([product + 1]).rows == []
    assert rule_changed(world) == [
        f"The rule that gave Ink and Wash (order {event.order_id}) was deleted. The same purchase "
        "gives Drawing Faces now. Enrolling this buyer gives Drawing Faces, and Ink and Wash stays "
        "open."
    ]
    move(number)
    world.settle()
    assert (told(number), by_deleted_rules([product]).rows) == ([], [])
    assert rule_changed(world) == []
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)


def test_what_is_passed_on_is_not_sent_again_to_who_is_moved(world, rule, ink, faces):
    event, number = bought(world), rule.pk
    rule.delete()
    world.rule("product_purchased", GIVES, faces, product="1048001")
    world.notify_rule("product_purchased")
    move(number)
    assert set(event.runs.values_list("action", flat=True)) == {GIVES, ENDS}


def test_whose_access_was_ended_paid_and_is_not_in_and_a_new_rule_is_offered_for_her(
    world, rule, ink, faces
):
    event, number = bought(world), rule.pk
    rule.delete()
    assert promise.not_in() == []
    move(number)
    world.settle()
    assert promise.not_in() == [event.pk]
    assert promise.promise(promise.unfulfilled()).not_in == 1
    new = world.rule("product_purchased", GIVES, faces, product="1048001")
    (row,) = backfill.preview(new).run
    assert row.event == event
    rerun([event])
    world.settle()
    assert promise.not_in() == []
    assert backfill.preview(new).run == []
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)


def test_who_keeps_another_course_of_the_purchase_is_in(world, rule, ink, faces):
    world.rule("product_purchased", GIVES, faces, product="1048001")
    bought(world)
    number = rule.pk
    rule.delete()
    move(number)
    world.settle()
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)
    assert promise.not_in() == []


def test_what_another_rule_gives_as_well_is_left_alone(world, rule, ink, faces):
    bought(world)
    world.rule("product_purchased", GIVES, ink)
    lead(rule, faces)
    assert told(rule.pk) == []


def off(rule: Rule) -> str:
    rule.enabled = False
    rule.save()
    return "the rule is turned off: turn it on first"


def payload_removed(rule: Rule) -> str:
    removed = timezone.now() + timedelta(days=180)
    Delivery.objects.update(sealed_body=b"", body_removed_at=removed)
    return "what SamCart sent was removed after 180 days"


@pytest.mark.parametrize("meanwhile", [off, payload_removed])
def test_who_cannot_get_the_new_course_keeps_the_old_one(world, rule, ink, faces, meanwhile):
    event = bought(world)
    lead(rule, faces)
    why = meanwhile(rule)
    assert told(rule.pk) == [(event.order_id, why)]


def test_nothing_is_taken_where_the_new_course_must_wait_for_a_person(world, rule, ink, faces):
    event = bought(world)
    lead(rule, faces)
    Delivery.objects.update(withdrawn=True)
    found = left_behind(rule.pk)
    grants = [each.pk for each in found.rows[0].grants]
    left = moving.move([(event, grants, [rule])], Batch(title="Move"))
    assert left == {"what it would get instead was not given: see the event": 1}
    world.settle()
    assert world.access(DANA, ink)


@pytest.mark.each_database
def test_two_who_press_at_once_move_a_buyer_once(world, rule, ink, faces):
    bought(world)
    lead(rule, faces)
    queued.at_once(*[lambda: move(rule.pk)] * 3)
    world.settle()
    assert RuleRun.objects.count() == 3
    assert (world.access(DANA, faces), world.access(DANA, ink)) == (True, False)


def test_who_was_moved_before_a_crash_is_of_the_batch_and_is_carried_out(
    world, rule, ink, faces, monkeypatch
):
    for number in range(2):
        email = f"b{number}@example.com"
        world.sell("10_product", customer__email=email, order__id=1180 + number)
    world.settle()
    lead(rule, faces)
    record, recorded = audit.record, []

    def die(*args: Any, **facts: Any) -> None:
        recorded.append(args)
        if len(recorded) > 1:
            raise RuntimeError("The process dies.")
        record(*args, **facts)

    monkeypatch.setattr(audit, "record", die)
    before = set(RuleRun.objects.values_list("pk", flat=True))
    with pytest.raises(RuntimeError):
        move(rule.pk)
    made = set(RuleRun.objects.values_list("pk", flat=True)) - before
    kept = Batch.objects.get(title="Move")
    assert (set(kept.run_ids), len(made)) == (made, 2)
    assert kept.new_ids == [kept.run_ids]
    assert wake.queued()
    world.settle()
    emails = ("b0@example.com", "b1@example.com")
    assert [world.access(email, faces) for email in emails].count(True) == 1


def test_what_was_moved_is_kept_in_the_audit(world, rule, ink, faces):
    bought(world)
    lead(rule, faces)
    move(rule.pk)
    entry = AuditEntry.objects.get(act="buyers_moved")
    assert (entry.before, entry.after) == (
        {"access": ["Ink and Wash"]},
        {"access": ["Drawing Faces"], "batch": Batch.objects.latest("pk").pk},
    )


def test_no_more_is_asked_for_many_buyers_than_for_few(
    world, rule, faces, django_assert_max_num_queries
):
    for number in range(1, 8):
        world.sell("10_product", customer__email=f"p{number}@example.com", order__id=number)
    lead(rule, faces)
    with django_assert_max_num_queries(11):
        assert left_behind(rule.pk).customers == 7


def kept(rule: Rule) -> None:
    """A person lets the buyers of this rule keep what it gave before."""
    moving.keep((row.event, row.grants) for row in left_behind(rule.pk).rows)


def test_who_was_said_to_keep_a_course_is_not_offered_another_one_on_the_customers_page(
    world, rule, ink, faces
):
    bought(world)
    lead(rule, faces)
    assert len(rule_changed(world)) == 1
    kept(rule)
    assert rule_changed(world) == []


def test_who_was_said_to_keep_a_course_has_it_by_the_rule_that_gives_it_again(
    world, rule, ink, faces
):
    bought(world)
    lead(rule, faces)
    kept(rule)
    assert left_behind(rule.pk).rows == []
    lead(rule, ink)
    assert [run.destination_name for run in left_behind(rule.pk).still] == ["Ink and Wash"]


def test_the_preview_says_what_stays_open_by_another_purchase(world, rule, ink, faces):
    bought(world)
    world.rule("product_purchased", GIVES, ink, product="77")
    world.sell("10_product", product__id=77, order__id=9)
    world.settle()
    lead(rule, faces)
    (row,) = with_still_given(left_behind(rule.pk)).rows
    assert row.line.what == "Give Drawing Faces; kept through something else: Ink and Wash"
    Grant.objects.filter(order_id="9").update(state="ended")
    (row,) = with_still_given(left_behind(rule.pk)).rows
    assert row.line.what == "Give Drawing Faces, end Ink and Wash"
