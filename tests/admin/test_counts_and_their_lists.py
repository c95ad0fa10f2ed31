"""What a page counts is what its link lists, and numbers on one page agree with each other."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.models import Batch, EventLog, RuleRun
from events.models.event_status import refresh_event
from events.reports import batches, days
from integrations.sentences import say
from tests.support import factories
from tests.support.pages import ACTIONS, LOG, markup, signed_in, words
from tests.support.queued import grant, run

pytestmark = pytest.mark.first_database

OVERVIEW = "admin:index"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def course(db) -> Any:
    return factories.DestinationFactory.create()


def figures(client: Client) -> dict[str, tuple[str, int]]:
    """Return what each figure of the Overview says, and how many rows its link lists."""
    page = markup(client.get(reverse(OVERVIEW)))
    found = re.findall(
        r'<a class="figure[^"]*"\s+href="([^"]+)"> ?<strong>(\d+)</strong> ?'
        r'<span class="name"> ?([^<]+?) ?</span>',
        page,
    )
    return {
        name: (number, client.get(unescape(where)).context["cl"].result_count)
        for where, number, name in found
    }


def result_chip(client: Client) -> dict[str, str]:
    """Return the number beside each choice of the filter by result."""
    page = markup(client.get(reverse(ACTIONS))).partition('<ul class="sheet">')[2]
    found = re.findall(
        r'<a href="[^"]*"[^>]*> ?([^<]+?) ?<span class="soft">(\d+)</span>',
        page.partition("</ul>")[0],
    )
    return dict(found)


def test_each_figure_of_the_overview_counts_what_its_list_shows(manager, course):
    for status, code in (("done", "enrolled"), ("done", "ended"), ("done", "kept")):
        run(course, status=status, code=code)
    run(course, status="failed")
    run(course, status="waiting", code="no_slot")
    later = timezone.now() + timedelta(days=3)
    run(course, status="waiting", code="delayed", next_attempt_at=later)
    RuleRun.objects.update(received_at=timezone.now())
    shown = figures(manager)
    assert shown["Actions done today"] == ("2", 2)
    assert shown["Waiting"] == ("1", 1)
    assert shown["Failed action"] == ("1", 1)


def test_actions_that_kept_access_have_a_choice_of_their_own_and_are_not_listed_as_done(
    manager, course
):
    run(course, status="done", code="enrolled")
    kept = run(course, status="done", code="kept")
    later = timezone.now() + timedelta(days=3)
    run(course, status="waiting", code="delayed", next_attempt_at=later)

    def listed(choice: str) -> list[int]:
        page = manager.get(reverse(ACTIONS), {"status__exact": choice})
        return [each.pk for each in page.context["cl"].result_list]

    assert listed("kept") == [kept.pk]
    assert kept.pk not in listed("done")
    numbers = result_chip(manager)
    assert (numbers["Done"], numbers["Waiting"]) == ("1", "0")
    assert [numbers["Done"], numbers["Waiting"]] == [
        str(len(listed("done"))),
        str(len(listed("waiting"))),
    ]


def test_the_chart_counts_what_was_carried_out_as_the_figure_of_today_does(course):
    for code in ("enrolled", "kept", "kept"):
        run(course, status="done", code=code)
    RuleRun.objects.update(received_at=timezone.now())
    with CaptureQueriesContext(
        connection,
    ) as asked:
        period = days.until_now(7)
    assert (period.days[-1].done, period.done, period.share) == (1, 1, 100)
    assert len(asked) == 1


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_those_that_kept_access_are_counted_by_an_index_of_their_own(db):
    with CaptureQueriesContext(connection) as asked:
        days.until_now(30)
    (sql,) = [each["sql"] for each in asked.captured_queries]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = " ".join(str(row[-1]) for row in cursor.fetchall())
    assert "COVERING INDEX run_kept" in plan
    assert "COVERING INDEX run_by_status" in plan


def test_the_numbers_of_a_batch_add_up_while_it_runs(manager, course, monkeypatch):
    monkeypatch.setattr(batches, "MAX_LISTED", 3)
    states = [("done", "enrolled")] * 2 + [("failed", "refused"), ("running", "")]
    runs = [run(course, status=status, code=code) for status, code in states]
    runs += [run(course, message=say("Waits.")) for _ in range(6)]
    batch = Batch.objects.create(title="Retry", run_ids=[each.pk for each in runs])
    found = batches.progress(batch)
    over = sum(number for number, _ in found.outcomes)
    assert over == found.over == 3
    assert over + sum(number for _, number in found.waits) + found.others == found.total == 10
    text = words(manager.get(reverse("admin:batch"), {"number": batch.pk}))
    assert "3 of 10 done. 2 enrolled · 1 failed" in text
    assert "4 more actions are still to come" in text


def test_what_was_ended_and_given_again_is_counted_twice_only_when_nothing_goes_on(course):
    ended, waits = run(course, status="done", code="ended"), run(course)
    grant(ended, seen_at=timezone.now())
    batch = Batch(run_ids=[ended.pk, waits.pk])
    assert batches.progress(batch).sentence() == "1 ended"
    RuleRun.objects.filter(pk=waits.pk).update(status="done", code="enrolled")
    assert batches.progress(batch).sentence() == "1 enrolled · 1 ended · 1 given again since"


def test_an_event_whose_action_runs_is_not_said_to_wait(manager, course):
    action = run(course, status="running", attempts=2, message=say("Thinkific did not answer."))
    refresh_event(action.event_id)
    assert EventLog.objects.get().status == "waiting"
    customer = reverse("admin:integrations_customer_change", args=[action.customer_id])
    event = reverse("admin:events_eventlog_change", args=[action.event_id])
    for page in (event, customer, reverse(LOG)):
        badges = re.findall(
            r'<span class="badge [^>]+>.*?</svg>([^<]+)</span>', markup(manager.get(page))
        )
        assert badges
        assert {*badges} == {"Running"}, page
    one = reverse("admin:events_rulerun_change", args=[action.pk])
    for page in (event, customer, one, reverse(ACTIONS)):
        assert "Thinkific did not answer." not in words(manager.get(page)), page
    RuleRun.objects.update(status="waiting")
    assert "Waiting" in words(manager.get(event))
