"""What a person lets a refunded buyer keep stays until somebody decides otherwise."""

import csv
import io
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.execution import delayed, rerun
from events.models import Batch, EventLog, Grant, RuleRun
from events.reports.changed_rules import refunded
from events.reports.customers import customer_access
from events.reports.earlier import backfill
from events.reports.sentences.leads import EndAccess
from integrations.models import AuditEntry, Customer, Destination
from rules.models import Rule
from tests.support.pages import said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
SOLD = "1048001"
PAGE = "admin:refunded"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER, first_name="Max")


@pytest.fixture
def ink(world: World) -> Destination:
    """Ink, sold by a purchase rule alone; Gus and Flo bought it and were refunded."""
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    for number, name in enumerate(("gus", "flo")):
        sale(world, name, number)
        sale(world, name, number, "20_product")
    return course


def sale(world: World, name: str, order: int, what: str = "10_product", **facts: str) -> EventLog:
    event = world.sell(
        what,
        customer__email=f"{name}@example.com",
        customer__first_name=name.capitalize(),
        customer__last_name="West",
        order__id=1180 + order,
        **facts,
    )
    world.settle()
    return event


def let_keep(manager: Client, name: str = "flo") -> None:
    (found,) = (
        each
        for each in refunded.refunded_with_access()
        if each.grants[0].customer.email == f"{name}@example.com"
    )
    manager.post(reverse(PAGE), {"chosen": found.event.pk, "keep": "1"})


def new_rule(world: World, course: Destination, **facts: object) -> Rule:
    return world.rule("product_refunded", ENDS, course, product=SOLD, **facts)


def refund(name: str) -> EventLog:
    return EventLog.objects.get(trigger="product_refunded", customer__email=f"{name}@example.com")


def test_a_rule_that_is_made_later_is_not_run_for_whom_a_person_let_keep_it(manager, world, ink):
    let_keep(manager)
    rule = new_rule(world, ink)
    added = words(manager.get(reverse("admin:new-rule-added"), {"rule": rule.pk}))
    assert "1 refunded buyer still has Ink. Kept on purpose: Flo West. See and end it" in added
    page = words(manager.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "1 refunded buyer still has Ink." in page
    assert "End it for this customer now" in page
    assert "gus@example.com 1180 Example Course One" in page
    assert "End access to Ink" in page
    assert "Kept on purpose: Max let the buyer keep Ink on" in page
    # A refund cannot be marked as dealt with.
    assert "mark it as dealt with" not in page
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    assert [world.access(f"{name}@example.com", ink) for name in ("gus", "flo")] == [False, True]


def test_running_the_rules_of_the_refund_again_ends_nothing_that_was_kept(manager, world, ink):
    let_keep(manager)
    new_rule(world, ink)
    came = rerun.rerun([refund("flo"), refund("gus")])
    world.settle()
    assert [world.access(f"{name}@example.com", ink) for name in ("gus", "flo")] == [False, True]
    assert came.queued == 1
    assert "1 event left out: kept on purpose: Max let the buyer keep Ink on" in came.sentence()
    page = reverse("admin:events_eventlog_change", args=[refund("flo").pk])
    assert "Run the rules again for this event" not in words(manager.get(page))
    for name, left_out in (("flo", True), ("gus", False)):
        simulated = manager.get(reverse("admin:simulate"), {"event": refund(name).pk})
        told = re.search(
            r"Max let the buyer keep Ink on .+: running the rules again leaves this event out\.",
            words(simulated),
        )
        assert bool(told) == left_out


def test_an_ending_that_waits_for_its_day_ends_nothing_that_was_kept_meanwhile(world, ink):
    rule = new_rule(world, ink, delay_days=3)
    rerun.rerun([refund("flo")])
    Grant.objects.filter(customer__email="flo@example.com").update(
        kept_at=timezone.now(), kept_by="max"
    )
    run = RuleRun.objects.get(rule=rule)
    assert run.is_pending
    RuleRun.objects.filter(pk=run.pk).update(next_attempt_at=run.received_at)
    assert delayed.decide_due() == 1
    world.settle()
    run.refresh_from_db()
    assert (run.status, run.code) == ("skipped", "let_keep")
    assert str(run.message).startswith("Nothing was ended: max let the buyer keep Ink on")
    assert world.access("flo@example.com", ink)


def test_a_refund_that_comes_after_the_decision_ends_it(manager, world, ink):
    let_keep(manager)
    new_rule(world, ink)
    sale(world, "flo", 1, "20_product", refund_transaction_id="re_2")
    assert not world.access("flo@example.com", ink)


def test_the_preview_of_a_new_rule_does_not_count_what_was_kept(manager, world, ink):
    let_keep(manager)
    rule = new_rule(world, ink)
    Rule.objects.filter(pk=rule.pk).delete()
    page = words(
        manager.get(
            reverse("admin:new-rule"),
            {
                "product": rule.product_id,
                "trigger": "product_refunded",
                "integration": ink.integration_id,
                "action": ENDS,
                "destination": ink.pk,
            },
        )
    )
    assert "It would have ended the access of Gus West." in page
    assert "Kept on purpose, so not counted: Flo West." in page


def test_turning_on_the_rule_tells_only_of_those_who_are_not_kept(manager, world, ink):
    let_keep(manager)
    rule = new_rule(world, ink, enabled=False)
    page = manager.post(
        reverse("admin:rules_rule_do_switch_on", args=[rule.pk]), {"back": "/admin/"}, follow=True
    )
    told = "1 refunded buyer still has Ink. Kept on purpose: Flo West."
    assert any(told in text for text in said(page))


def test_the_customers_page_and_the_letter_are_calm_about_what_was_kept(manager, world, ink):
    let_keep(manager)
    flo = Customer.objects.get(email="flo@example.com")
    page = manager.get(reverse("admin:integrations_customer_change", args=[flo.pk]))
    text = words(page)
    assert "though order 1181 was refunded on" in text
    assert "Max let the buyer keep Ink on" in text
    assert "If the customer should not keep it" not in text
    report = customer_access.describe(flo)
    (line,) = report.lines
    assert (line.kind, line.code) == ("good", "let_keep")
    held = f"{ink.integration_id} course:{ink.external_id}"
    assert line.leads == (EndAccess(flo.pk, held),)
    assert "End access" in text
    assert "sorting out" not in report.reply
    assert "You have access to Ink" in report.reply


def test_the_result_of_the_refund_is_the_same_on_every_page_and_in_the_file(manager, world, ink):
    let_keep(manager)
    flo, gus = refund("flo"), refund("gus")
    for page in (
        reverse("admin:events_eventlog_change", args=[flo.pk]),
        reverse("admin:integrations_customer_change", args=[flo.customer_id]),
        reverse("admin:integrations_product_change", args=[flo.product_id]),
        reverse("admin:events_eventlog_changelist"),
    ):
        assert "Kept on purpose" in words(manager.get(page)), page
    for page in (
        reverse("admin:events_eventlog_change", args=[gus.pk]),
        reverse("admin:integrations_product_change", args=[gus.product_id]),
        reverse("admin:events_eventlog_changelist"),
    ):
        assert "Still has access" in words(manager.get(page)), page
    file = b"".join(manager.post(reverse("admin:csv-log"), {"confirmed": "1"}).streaming_content)
    rows = csv.DictReader(io.StringIO(file.decode("utf-8-sig")))
    results = {row["E-mail"]: row["Result"] for row in rows if row["Event"] == "Product Refunded"}
    assert results == {"flo@example.com": "Kept on purpose", "gus@example.com": "Still has access"}


def test_the_log_asks_no_more_for_many_refunds_than_for_few(manager, world, ink):
    log = reverse("admin:events_eventlog_changelist")

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            manager.get(log)
        return len(asked)

    few = queries()
    for number in range(3, 9):
        sale(world, f"p{number}", number)
        sale(world, f"p{number}", number, "20_product")
    assert queries() <= few


def test_changes_leads_to_what_was_kept_and_one_decision_can_be_taken_back(manager, world, ink):
    let_keep(manager)
    let_keep(manager, "gus")
    entries = AuditEntry.objects.filter(act="refunded_kept")
    assert entries.count() == 2
    changes = manager.get(reverse("admin:integrations_auditentry_changelist"))
    assert f'href="{reverse(PAGE)}?back=' in changes.content.decode()
    page = words(manager.get(reverse(PAGE)))
    assert "Max let the buyer keep Ink on" in page
    assert "End access" in page
    number = next(
        each.event.pk
        for each in refunded.refunded_with_access(kept=True)
        if each.grants[0].customer.email == "flo@example.com"
    )
    manager.post(reverse(PAGE), {"again": number})
    (found,) = refunded.refunded_with_access()
    assert found.grants[0].customer.email == "flo@example.com"
    assert found.grants[0].kept_by == ""
    assert len(refunded.refunded_with_access(kept=True)) == 1


def test_a_buyer_who_was_kept_before_the_refund_is_told_of_after_it(manager, world):
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    sale(world, "flo", 1)
    Grant.objects.update(kept_at=EventLog.objects.get().received_at)
    sale(world, "flo", 1, "20_product")
    assert len(refunded.refunded_with_access()) == 1
    assert refunded.refunded_with_access(kept=True) == []


def test_nothing_is_offered_when_everybody_is_kept(manager, world, ink):
    let_keep(manager)
    let_keep(manager, "gus")
    rule = new_rule(world, ink)
    assert backfill.preview(rule).customers == 0
    added = words(manager.get(reverse("admin:new-rule-added"), {"rule": rule.pk}))
    assert "Kept on purpose: Flo West and Gus West." in added
    assert "See and end it" not in added
    assert not Batch.objects.exists()


def test_of_rules_for_all_products_only_that_of_the_kept_course_says_so(manager, world, ink):
    let_keep(manager)
    paper = world.course("Paper")
    rules = [world.rule("product_refunded", ENDS, course, product=None) for course in (ink, paper)]
    page = manager.get(reverse("admin:new-rule-added"), {"rule": [rule.pk for rule in rules]})
    assert words(page).count("Kept on purpose: Flo West.") == 1
    # Nor does a rule for another course say so when it is turned on alone.
    of_paper, kept = backfill.preview(rules[1]), backfill.preview(rules[0]).kept
    assert (of_paper.kept, [each.email for each in kept]) == ([], ["flo@example.com"])
