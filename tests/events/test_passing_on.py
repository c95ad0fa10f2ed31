"""A rule that passes on what SamCart sent gives no access, and every report knows that."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from events.execution import email_correction, rerun, retry_reasons, wait_reasons
from events.models import Delivery, EventLog, Grant, RuleRun
from events.reports import dashboard, review, simulation
from events.reports.customers import customer_access
from events.reports.earlier import backfill
from events.reports.owed import promise
from events.reports.system import trigger_coverage
from integrations.calls import rate_limit
from integrations.models import CallBudget
from rules.models import Rule
from rules.triggers import Trigger
from tests.support import factories
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

PRODUCT = "1048001"
THREE_LINES = "02_order_products_array_bump_and_upsell"


def notify(shop: Shop, trigger: str = "product_purchased", product: str = "", **facts: Any) -> Rule:
    """A rule that posts to a receiver which nobody serves."""
    facts.setdefault("integration", factories.ReceiverFactory(name="My CRM"))
    return shop.rule(trigger, product, action="send_http_post", destination=None, **facts)


def done(event: EventLog) -> None:
    """Let the event's runs be done."""
    event.runs.update(status="done", finished_at=timezone.now())
    Grant.objects.filter(runs__event=event).update(seen_at=timezone.now())
    event.status = EventLog.Status.DONE
    event.save(update_fields=["status"])


def lines(event: EventLog) -> list[str]:
    assert event.customer is not None
    return [line.text for line in customer_access.describe(event.customer).lines]


def test_the_run_copies_all_that_it_will_do(shop):
    rule = notify(shop)
    event = shop.sell()
    run = event.runs.get()
    assert (run.rule, run.integration, run.customer) == (rule, rule.integration, event.customer)
    assert (run.action, run.site) == ("send_http_post", rule.integration.site)
    assert (run.destination_id, run.destination_name, run.target) == (None, "My CRM", "")
    assert str(run) == "Send HTTP POST: My CRM"
    assert run.message_id is not None


# Paid and got nothing


@pytest.mark.parametrize("status", ["waiting", "done", "failed"])
def test_a_purchase_that_was_only_passed_on_gave_nothing(shop, status):
    notify(shop)
    event = shop.sell()
    event.runs.update(status=status)
    EventLog.objects.update(status=status)
    event.refresh_from_db()
    assert event.gave_nothing
    assert review.needs_a_person(event)
    assert list(review.gave_nothing()) == [event]
    assert any("but no rule gives anything for it." in line for line in lines(event))
    assert event.customer is not None
    assert "We received your payment" in customer_access.describe(event.customer).reply
    EventLog.objects.update(received_at=timezone.now())
    assert list(promise.unfulfilled()) == [event]


def test_a_purchase_that_enrolls_as_well_gave_something(shop):
    notify(shop)
    shop.rule()
    event = shop.sell()
    assert not event.gave_nothing
    assert list(review.gave_nothing()) == []


def test_what_another_line_has_passed_on_gave_nothing_either(shop):
    notify(shop)
    first = shop.sell(THREE_LINES)
    assert [event.gave_nothing for event in EventLog.objects.order_by("line")] == [True] * 3
    assert [event.runs.count() for event in EventLog.objects.order_by("line")] == [1, 0, 0]
    assert first.line == 0


def test_a_rule_that_is_off_and_only_passes_on_is_not_what_the_buyer_lacks(shop):
    notify(shop, enabled=False)
    event = shop.sell()
    (line,) = lines(event)
    assert line.endswith("but no rule gives anything for it.")
    assert not event.fits_what_is_off
    shop.rule(enabled=False)
    other = shop.sell("10_product", minutes=20)
    assert other.fits_what_is_off


def test_a_refund_that_was_only_passed_on_promises_the_customer_nothing(shop):
    notify(shop, "product_refunded")
    event = shop.sell("20_product")
    done(event)
    assert event.customer is not None
    report = customer_access.describe(event.customer)
    (line,) = report.lines
    assert "bought nothing that a rule gives access for" in line.text
    assert "We found no course" in report.reply


def test_no_order_got_through_that_was_only_passed_on(shop):
    notify(shop)
    event = shop.sell()
    done(event)
    assert not dashboard.an_order_got_through()
    shop.rule()
    done(shop.sell("10_product", minutes=20))
    assert dashboard.an_order_got_through()


# Rules that came later


def test_an_enrollment_rule_made_later_finds_its_earlier_buyers_and_posts_nothing_again(shop):
    notify(shop)
    event = shop.sell()
    done(event)
    made = shop.rule()
    found = backfill.preview(made)
    assert [(each.event, list(each.rules)) for each in found.run] == [(event, [made])]
    assert rerun.rerun([event]).queued == 1
    assert [run.rule for run in event.runs.order_by("pk")][1:] == [made]
    event.refresh_from_db()
    assert not event.gave_nothing
    # The verdict of what was passed on stays what it was.
    assert {ran for _, ran, _ in event.sentences()} == {True}


def test_a_notify_rule_made_later_is_run_once_for_a_delivery_whoever_asks(shop):
    shop.sell(THREE_LINES)
    rule = notify(shop)
    events = list(EventLog.objects.order_by("line"))
    assert backfill.preview(rule).customers_of(rule) == 1
    assert rerun.rerun(events).queued == 1
    assert RuleRun.objects.count() == 1
    assert rerun.rerun(events).queued == 0
    assert backfill.preview(rule).run == []


def test_what_the_buyer_has_already_is_said_though_a_notify_rule_fits_too(shop):
    giving = shop.rule(product=PRODUCT)
    done(shop.sell("10_product"))
    RuleRun.objects.update(rule=None)
    Rule.objects.all().delete()
    notify(shop)
    again = shop.sell("10_product", minutes=20)
    assert again.gave_nothing
    shop.rule(product=PRODUCT, destination=giving.destination)
    assert [each.why_not for each in backfill.preview(*Rule.objects.all()).left_out] == [
        f"has {giving.destination} already"
    ]


def test_an_event_whose_address_is_given_later_is_carried_out_and_not_posted_again(shop):
    notify(shop)
    shop.rule()
    event = shop.sell("95_edge")
    RuleRun.objects.filter(action="send_http_post").update(status="failed", code="refused")
    run = RuleRun.objects.get(action="send_http_post")
    assert not email_correction.lacks_email(run)
    assert retry_reasons.why_not(run) == ""
    assert email_correction.runs_to_correct(event)
    assert email_correction.give_email(event, "mia@example.com", by="Mia") == 1
    run.refresh_from_db()
    assert run.status == "failed"


# Simulation, commands, coverage


def test_it_is_simulated_with_the_call_it_would_make(shop):
    rule = notify(shop)
    found = simulation.simulate(shop.marketplace, Trigger.PRODUCT_PURCHASED)
    (planned,) = found.runs
    assert planned.rule == rule
    (call,) = planned.calls
    assert (call.words, call.technical) == (
        "Send what SamCart sent",
        f"POST {rule.integration.site}",
    )
    assert found.notes == []  # it needs no e-mail address
    shop.rule()
    found = simulation.simulate(shop.marketplace, Trigger.PRODUCT_PURCHASED)
    assert any("Without an e-mail address" in note for note in found.notes)


def test_the_simulation_of_an_event_without_a_body_says_that_nothing_could_be_sent(shop):
    notify(shop)
    event = shop.sell()
    Delivery.objects.update(body_removed_at=timezone.now())
    event.refresh_from_db()
    found = simulation.simulate(
        shop.marketplace, Trigger.PRODUCT_PURCHASED, email="dana@example.com", event=event
    )
    assert "not kept anymore" in " ".join(found.runs[0].notes)


def test_the_commands_tell_it_without_a_course(shop):
    notify(shop)
    event = shop.sell()
    event.runs.update(status="failed", code="receiver_gone", message="The receiver is gone.")
    out = StringIO()
    call_command("events", "--json", stdout=out)
    (run,) = json.loads(out.getvalue())["runs"]
    assert (run["action"], run["destination"], run["code"]) == (
        "send_http_post",
        None,
        "receiver_gone",
    )
    out = StringIO()
    call_command("events", stdout=out)
    assert "Send HTTP POST, My CRM: Failed. The receiver is gone." in out.getvalue()


def test_what_waits_says_why_in_words_of_a_receiver(shop):
    rule = notify(shop)
    run = shop.sell().runs.get()
    for why, says in (
        (CallBudget.Blocked.KEY, "Waits because the signing secret of My CRM does not work."),
        (CallBudget.Blocked.AWAY, "Waits because My CRM could not be reached."),
        (CallBudget.Blocked.LIMIT, "Waits because the receiver asked for a pause."),
    ):
        rate_limit.block(rule.integration_id, why, 60)
        assert wait_reasons.reason(run).startswith(says)
        assert ("continues by itself" in wait_reasons.reason(run)) == (
            why != CallBudget.Blocked.KEY
        )


def test_a_trigger_that_only_a_notify_rule_waits_for_is_missed_too(shop):
    notify(shop, "subscription_charged")
    (missing,) = trigger_coverage.missing(shop.marketplace)
    assert (missing.trigger, missing.rules) == (Trigger.SUBSCRIPTION_CHARGED, 1)
