"""Simulate says what the inbox would decide, also about an ending that waits for its day."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from events.execution import delayed
from events.models import EventLog, RuleRun
from events.reports.simulation import simulate
from integrations.sentences import format_day
from rules.triggers import Trigger
from tests.support.world import World

pytestmark = pytest.mark.first_database
END = "expire_course_enrollment"


@pytest.fixture
def course(world: World):
    course = world.course()
    world.rule("subscription_canceled", END, course, delay_days=3)
    return course


def _notes(event: EventLog) -> list[str]:
    assert event.marketplace is not None
    found = simulate(event.marketplace, Trigger(str(event.trigger)), event=event)
    (run,) = found.runs
    return [str(note) for note in run.notes]


def _long_ago(event: EventLog) -> EventLog:
    EventLog.objects.update(received_at=F("received_at") - timedelta(days=9))
    return EventLog.objects.get(pk=event.pk)


@pytest.mark.parametrize("bought", [True, False])
def test_a_delayed_ending_would_wait_for_its_day_as_the_inbox_makes_it_wait(world, course, bought):
    if bought:
        world.rule("product_purchased", "create_course_enrollment", course)
        world.sell("12_product")
        world.settle()
    event = world.sell("30_subscription")
    run = RuleRun.objects.get(action=END)
    assert (run.status, run.code) == ("waiting", "delayed")
    day = format_day(event.received_at + timedelta(days=3))
    says = f"It would wait. The access ends on {day}, unless it is paid for again by then."
    assert _notes(event) == [says]
    assert run.message in says


def test_one_whose_day_is_over_would_be_decided_at_once(world, course):
    event = _long_ago(world.sell("30_subscription"))
    RuleRun.objects.all().delete()
    assert _notes(event) == []


def test_one_whose_day_is_over_would_be_skipped_if_it_was_paid_for_since(world, course):
    event = _long_ago(world.sell("30_subscription"))
    RuleRun.objects.filter(action=END).update(next_attempt_at=Now())
    world.sell("31_subscription")
    delayed.decide_due()
    run = RuleRun.objects.get(action=END)
    assert run.code == "paid_again"
    assert _notes(event) == [f"It would be skipped. {run.message}"]
