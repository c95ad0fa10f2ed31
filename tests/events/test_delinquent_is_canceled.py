"""Whatever asks whether a rule is for an event honors `DELINQUENT_IS_CANCELED`, on and off."""

from typing import Any

import pytest
from django.db.models import Exists, OuterRef

from events.execution import retry_by_hand, retry_reasons
from events.models import EventLog, RuleRun
from events.reports.access.open_access import given_by_a_rule_now
from events.reports.customers import left_behind_customer
from events.reports.earlier import backfill, earlier, rule_preview
from integrations.models import Destination
from rules.fired import fired_by, runs_for
from rules.models import Rule
from rules.triggers import Trigger
from tests.support import factories, queued
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
DELINQUENT, CANCELED = "33_subscription", "subscription_canceled"


@pytest.fixture(params=[True, False], ids=["on", "off"], autouse=True)
def also(request: pytest.FixtureRequest, settings: Any) -> bool:
    """Whether rules for canceled subscriptions run for delinquent ones, too."""
    settings.DELINQUENT_IS_CANCELED = request.param
    return bool(request.param)


@pytest.fixture
def failed(world: World, ink: Destination) -> RuleRun:
    """An action that the rule for canceled subscriptions had for a delinquent one, and failed."""
    event = world.sell(DELINQUENT)
    rule = world.rule(CANCELED, GIVES, ink)
    return queued.again(queued.run(ink, of=event, rule=rule, status="failed"))


@pytest.mark.second_database
def test_a_query_finds_the_rules_of_every_event_that_python_finds(db):
    rules = {each: factories.RuleFactory.create(trigger=each) for each in Trigger}
    dana = factories.CustomerFactory.create()
    for trigger in Trigger:
        event = queued.event(dana, trigger=trigger)
        outer = EventLog.objects.filter(pk=event.pk)
        found = {
            each
            for each, rule in rules.items()
            if outer.filter(
                Exists(Rule.objects.filter(runs_for(OuterRef("trigger")), pk=rule.pk))
            ).exists()
        }
        assert found == set(fired_by(trigger))


def test_the_events_that_a_preview_counts_are_found_when_the_rule_is_there(world, ink, also):
    event = world.sell(DELINQUENT)
    rule = world.rule(CANCELED, GIVES, ink)
    (counted,) = rule_preview.previews([rule])
    found = [row.event for row in backfill.preview(rule).run]
    assert (counted.events, found) == ((1, [event]) if also else (0, []))


def test_a_rule_that_has_not_run_beside_another_one_is_found(world, ink, faces, also):
    world.rule("subscription_delinquent", GIVES, ink)
    event = world.sell(DELINQUENT)
    world.settle()
    rule = world.rule(CANCELED, GIVES, faces)
    assert list(earlier.not_run([rule])) == ([event] if also else [])


@pytest.mark.parametrize("on", [True, False])
def test_what_a_rule_that_is_on_gives_for_it_is_given_by_a_rule_now(failed, also, on):
    Rule.objects.update(enabled=on)
    assert RuleRun.objects.filter(given_by_a_rule_now()).exists() is (also and on)


def test_a_rule_is_for_the_events_that_it_runs_for(failed, also):
    rule = Rule.objects.get()
    assert failed.event.is_for(rule) is also
    rule.trigger = "product_refunded"
    assert not failed.event.is_for(rule)


def test_who_has_what_the_rule_gave_before_gets_what_it_gives_now(failed, faces, also):
    RuleRun.objects.update(grant=queued.grant(failed), status="done")
    Rule.objects.update(destination=faces)
    found = left_behind_customer.of_customer(failed.customer)
    assert [each.instead for each in found] == ([[failed.rule]] if also else [])


def test_what_failed_is_known_to_give_another_course_now(failed, faces, also):
    Rule.objects.update(destination=faces)
    assert retry_reasons.is_outdated(queued.again(failed)) is also


def test_a_retry_gives_what_the_rule_names_now_if_the_course_is_gone(failed, ink, faces, also):
    Destination.objects.filter(pk=ink.pk).update(gone_at=failed.received_at)
    Rule.objects.update(destination=faces)
    assert retry_by_hand.retry([queued.again(failed)]) == (1, {})
    assert queued.again(failed).destination_name == (faces.name if also else ink.name)
