"""When a rule last ran is when it last did something, whatever the event was about."""

from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from django.utils import timezone

from events.execution import rerun, retry_by_hand
from events.models import EventLog, RuleRun
from events.reports.system.last_run import former_course, with_last_run
from rules.models import Rule
from tests.support.world import World

GIVES = "create_course_enrollment"
LAST_WEEK = timedelta(days=7)


def last_run(rule: Rule) -> datetime | None:
    found: Any = with_last_run(Rule.objects.filter(pk=rule.pk)).get()
    return cast(datetime | None, found.last_run)


def age(event: EventLog, by: timedelta = LAST_WEEK) -> None:
    """As if it had come, and had been dealt with, so long ago."""
    at = timezone.now() - by
    EventLog.objects.filter(pk=event.pk).update(received_at=at)
    times = {"received_at": at, "started_at": at, "finished_at": at}
    RuleRun.objects.filter(event=event).update(**times)


@pytest.fixture
def sold(world: World) -> tuple[EventLog, Rule]:
    """An old event that no rule was there for, and a rule that did one of yesterday."""
    old = world.sell("10_product", customer__email="old@example.com", order__id=1)
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="1048001")
    age(old)
    newer = world.sell("10_product", customer__email="new@example.com", order__id=2)
    world.settle()
    age(newer, timedelta(days=1))
    return old, rule


def test_a_rule_that_never_ran_has_no_last_run(world):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="1048001")
    assert last_run(rule) is None


def test_the_last_run_is_that_of_the_newest_event(sold):
    _, rule = sold
    assert last_run(rule) == RuleRun.objects.get().finished_at


def test_the_rules_run_again_for_one_old_event_count_as_a_run(world, sold):
    old, rule = sold
    assert rerun.rerun([old]).queued == 1
    world.settle()
    run = RuleRun.objects.get(event=old)
    assert run.received_at < RuleRun.objects.exclude(event=old).get().received_at
    assert last_run(rule) == run.started_at


def test_an_old_action_that_is_tried_again_counts_as_a_run(world, sold):
    old, rule = sold
    rerun.rerun([old])
    world.settle()
    age(old)
    RuleRun.objects.filter(event=old).update(status="failed", code="unknown")
    before = last_run(rule)
    assert retry_by_hand.retry(RuleRun.objects.filter(event=old))[0] == 1
    world.settle()
    again = last_run(rule)
    assert before is not None
    assert again is not None
    assert again > before


def changed_to(world: World, rule: Rule, course: str) -> Any:
    rule.destination = world.course(course)
    rule.save()
    return with_last_run(Rule.objects.filter(pk=rule.pk)).get()


def test_a_run_that_went_to_the_course_of_before_names_it(world, sold):
    _, rule = sold
    ran: Any = with_last_run(Rule.objects.filter(pk=rule.pk)).get()
    assert former_course(ran) == ""
    assert former_course(changed_to(world, rule, "Faces")) == "Ink"
    world.sell("10_product", customer__email="third@example.com", order__id=3)
    world.settle()
    assert former_course(with_last_run(Rule.objects.filter(pk=rule.pk)).get()) == ""


def test_an_old_action_that_is_tried_again_names_the_course_it_gave(world, sold):
    old, rule = sold
    rerun.rerun([old])
    world.settle()
    assert former_course(changed_to(world, rule, "Faces")) == "Ink"


def test_a_rule_that_never_ran_has_no_former_course(world):
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="1048001")
    assert former_course(with_last_run(Rule.objects.filter(pk=rule.pk)).get()) == ""
