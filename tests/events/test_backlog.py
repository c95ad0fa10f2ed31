"""What waits is counted up to a limit, and shown with the time that it takes."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from config.admin.pages.integrations import integration_messages
from events.models import RuleRun, Worker
from events.models.runs import DELAYED
from events.reports import counting
from events.reports.system import backlog
from events.retention.delete_integration import summarize
from integrations.models import Destination, Integration
from integrations.sentences import say
from tests.support import factories, queued


@pytest.fixture
def course(db) -> Destination:
    found: Destination = factories.DestinationFactory.create()
    return found


@pytest.mark.parametrize(
    ("calls", "runs", "said"),
    [
        (110, 0, "about 1 minute"),
        (110, 1, "about 1 minute"),
        (110, 37, "about 1 minute"),
        (110, 55, "about 1 minute"),
        (110, 56, "about 2 minutes"),
        (110, 5000, "about 91 minutes"),
        (110, 5500, "about 2 hours"),
        (110, 9999, "about 3 hours"),
        (110, 10_000, "over 3 hours"),
        (10, 9999, "about 33 hours"),
        (5, 9999, "about 2 days"),
        (1, 9999, "about 13 days"),
        (0, 37, "about 1 minute"),
        (0, 9999, "about 34 minutes"),
    ],
)
def test_the_time_follows_from_the_calls_that_a_site_may_get(settings, calls, runs, said):
    settings.THINKIFIC_CALLS_PER_MINUTE = calls
    assert backlog.time_needed(runs) == said


def test_a_receiver_takes_one_call_for_each_message_and_more_of_them(settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    crm = Integration(app=Integration.App.NOTIFY_URL)
    assert backlog.time_needed(900, crm) == "about 3 minutes"


def test_only_what_waits_is_counted_for_one_site_and_for_all(course):
    other = factories.DestinationFactory.create()
    for _ in range(3):
        queued.run(course)
    queued.run(other)
    for status in set(RuleRun.Status) - {RuleRun.Status.WAITING}:
        queued.run(course, status=status)
    assert backlog.waiting(course.integration) == 3
    assert backlog.waiting(other.integration) == 1
    assert backlog.waiting() == 4


def test_an_ending_of_a_later_day_is_planned_and_does_not_wait(course):
    queued.run(course)
    tomorrow = timezone.now() + timedelta(days=1)
    queued.run(course, code=DELAYED, next_attempt_at=tomorrow)
    assert backlog.waiting(course.integration) == 1
    assert backlog.waiting(course.integration, planned=True) == 2
    assert summarize(course.integration).waiting == 2


def test_nothing_is_counted_past_the_bound(course, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(counting, "MAX_COUNT", 2)
    for _ in range(3):
        queued.run(course)
    with django_assert_num_queries(1) as seen:
        assert backlog.waiting(course.integration) == 2
    assert "LIMIT 2" in seen[0]["sql"]
    assert counting.format_count(2) == "2+"


def test_where_no_integration_keeps_anything_that_is_not_counted(course, django_assert_num_queries):
    queued.run(course)
    with django_assert_num_queries(4):
        assert backlog.waiting_counts(Integration.objects.all()) == backlog.WaitingCounts(1)


def test_what_waits_is_said_to_go_on_once_a_worker_runs(db, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 400
    Worker.objects.create(name="w", seen_at=timezone.now())
    says = backlog.goes_on_sentence
    assert says(0) == ""
    assert says(1) == "1 waiting action continues now, about 1 minute."
    assert says(370) == "370 waiting actions continue now, about 2 minutes."
    Worker.objects.all().delete()
    assert says(2) == "2 waiting actions continue as soon as a worker runs."


def test_what_waits_goes_on_with_a_wake_up(course, rf, django_user_model):
    request = rf.get("/")
    request.user = django_user_model.objects.create(username="mia")
    saved, says = say("Saved."), integration_messages.with_what_goes_on
    said = [says(request, saved, course.integration, 0)]
    assert not OrmQ.objects.exists()
    for waiting in (1, 370):
        said.append(says(request, saved, course.integration, waiting))
        assert OrmQ.objects.count() == 1
    assert [text.partition(" waiting")[0] for text in said] == ["Saved.", "Saved. 1", "Saved. 370"]
