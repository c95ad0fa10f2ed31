"""Claim, carry out, finish: leases, crashes, rows deleted meanwhile, and the event's status."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Barrier

import pytest
from django.conf import settings as live_settings
from django.db.models.functions import Now
from django.utils import timezone

from events.execution import due_work, recovery, retry_by_hand, retry_reasons, wait_reasons
from events.models import EventLog, RuleRun
from events.models.event_status import refresh_event
from events.worker import scheduler
from integrations.calls import rate_limit
from integrations.models import ApiCall, CallBudget
from integrations.thinkific.attempt import Account
from integrations.thinkific.calls import Get, Post
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import ACTIONS, Action, ActionOutcome
from tests.support import factories, queued
from tests.support.database_url import database_url
from tests.support.queued import claim

CREATE = Action.CREATE_COURSE_ENROLLMENT
DONE, FAILED, WAITING = RuleRun.Status.DONE, RuleRun.Status.FAILED, RuleRun.Status.WAITING


@pytest.fixture
def act(monkeypatch):
    """Let Create Course Enrollment do something else."""
    return lambda function: monkeypatch.setitem(
        ACTIONS, CREATE, replace(ACTIONS[CREATE], run=function)
    )


# Claim


def _claim_until_empty() -> list[int]:
    claimed: list[int] = []
    while some := claim(4):
        claimed += [each.pk for each in some]
    return claimed


def test_workers_at_once_claim_disjoint_runs(transactional_db):
    courses = factories.DestinationFactory.create_batch(4)
    made = {queued.run(course).pk for course in courses for _ in range(8)}
    shares = queued.at_once(*[_claim_until_empty] * 4)
    claimed = [pk for share in shares for pk in share]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == made


CLAIMER = """
import django; django.setup()
from events.execution.claiming import claims
print("ready", flush=True); input()
claimed = []
while some := [str(run.pk) for runs in claims(2) for run in runs]:
    claimed += some
print(" ".join(claimed), flush=True)
"""


def test_processes_at_once_claim_disjoint_runs(transactional_db):
    courses = factories.DestinationFactory.create_batch(3)
    made = {queued.run(course).pk for course in courses for _ in range(8)}
    environment = os.environ | {"DATABASE_URL": database_url()}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER],
            cwd=live_settings.BASE_DIR,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    claimed: list[int] = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        told, _ = worker.communicate(timeout=20)
        assert worker.returncode == 0
        claimed += map(int, told.split())
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == made


def test_all_processes_share_what_a_site_gets_at_once(transactional_db, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    course = factories.DestinationFactory.create()
    for _ in range(20):
        queued.run(course)
    shares = queued.at_once(*[lambda: len(claim(16))] * 4)
    assert sum(shares) == 8
    assert RuleRun.objects.filter(status="running").count() == 8


def test_a_process_leaves_others_their_share_of_a_site(db, settings):
    settings.WORKER_PROCESSES = 2
    course = factories.DestinationFactory.create()
    for _ in range(40):
        queued.run(course)
    site = ("thinkific", course.integration_id)
    assert len(claim(64, busy={site: 1})) == 15
    assert claim(64, busy={site: 9}) == []  # it claims again when half is done


def test_a_process_uses_the_whole_budget_of_a_site_by_itself(db, settings):
    settings.WORKER_PROCESSES, settings.THINKIFIC_CALLS_PER_MINUTE = 2, 110
    course = factories.DestinationFactory.create()
    for _ in range(20):
        queued.run(course)
    assert len(claim(16)) == 8


def test_a_busy_site_leaves_room_for_others(db):
    course, other = factories.DestinationFactory.create_batch(2)
    for _ in range(40):
        queued.run(course)
    assert len(_claim_all(64)) == 32
    queued.run(other)
    assert [run.integration_id for run in claim(1)] == [other.integration_id]


@pytest.mark.parametrize(("calls", "most"), [(0, 32), (110, 8), (30, 4), (6, 1), (1, 1)])
def test_a_site_with_few_calls_gets_few_runs_at_once(db, settings, calls, most):
    settings.THINKIFIC_CALLS_PER_MINUTE = calls
    course = factories.DestinationFactory.create()
    for _ in range(40):
        queued.run(course)
    assert len(_claim_all(64)) == most


@pytest.mark.parametrize(("calls", "too_late", "early"), [(6, 36, 45), (110, 1.5, 6)])
def test_a_run_begins_only_when_there_is_time_for_all_of_its_calls(
    db, settings, calls, too_late, early
):
    settings.THINKIFIC_CALLS_PER_MINUTE = calls
    course = factories.DestinationFactory.create()
    made = queued.run(course)
    gap, tolerance = rate_limit.spacing()
    CallBudget.objects.update(next_slot=rate_limit.EpochNow() + tolerance + gap)
    assert claim(8, until=time.monotonic() + too_late) == []
    assert [run.pk for run in claim(8, until=time.monotonic() + early)] == [made.pk]


def test_one_process_leaves_half_of_a_sites_runs_to_others(db, settings):
    settings.WORKER_PROCESSES = 2
    course = factories.DestinationFactory.create()
    for _ in range(40):
        queued.run(course)
    assert [len(claim(64)) for _ in range(3)] == [16, 16, 0]


def _claim_all(threads: int) -> list[RuleRun]:
    """What so many threads have in hand when no more is to be had."""
    claimed: list[RuleRun] = []
    while more := claim(threads - len(claimed)):
        claimed += more
    return claimed


def test_the_oldest_runs_of_a_site_come_first(db):
    course = factories.DestinationFactory.create()
    made = [queued.run(course, at=at) for at in (5, 1, 4, 2, 3)]
    oldest = sorted(made, key=lambda run: run.received_at)
    assert [run.pk for run in claim(3)] == [run.pk for run in oldest[:3]]


def test_what_is_not_due_is_not_claimed(db):
    course = factories.DestinationFactory.create()
    queued.run(course, next_attempt_at=timezone.now() + timedelta(minutes=1))
    for status in ("running", "done", "skipped", "failed", "held"):
        queued.run(course, status=status)
    assert claim(8) == []
    assert not due_work.exists()


def test_a_site_without_a_budget_row_is_served_too(db):
    course = factories.DestinationFactory.create()
    CallBudget.objects.all().delete()
    made = queued.run(course)
    assert due_work.exists()
    assert [run.pk for run in claim(8)] == [made.pk]


def test_the_attempt_is_counted_and_stored_before_the_work(world, act):
    seen: list[RuleRun] = []

    def look(attempt, order):
        yield from ()
        seen.extend(queued.at_once(lambda: queued.again(made)))
        return ActionOutcome("done", "Looked.")

    act(look)
    made = queued.run(world.course())
    queued.drain()
    (stored,) = seen
    assert (stored.attempts, stored.status) == (1, "running")
    assert stored.lease_token is not None
    made = queued.again(made)
    assert (made.attempts, made.status, made.message) == (1, "done", "Looked.")


# The lease


def _taken_over(run: RuleRun) -> RuleRun:
    """Another worker claims the run while the first one still works on it."""
    queued.let_lapse(run)
    recovery.revive()
    (mine,) = claim(8)
    assert mine.pk == run.pk
    return mine


def test_who_lost_the_lease_writes_only_what_the_attempt_learned(world, act):
    def overslept(attempt, order):
        yield Get("/users")
        attempt.remember(Account(77))
        others.append(_taken_over(run))
        return ActionOutcome("done", "Too late.")

    others: list[RuleRun] = []
    act(overslept)
    queued.run(world.course())
    (run,) = claim(8)
    with queued.log_lines() as lines:
        queued.carry_out(run)
    stored = queued.again(run)
    assert (stored.status, stored.attempts, stored.crashes) == ("running", 2, 1)
    assert stored.lease_token == others[0].lease_token
    assert stored.message != "Too late."
    assert ApiCall.objects.filter(run_id=run.pk).count() == 1
    assert world.integration.thinkific_users.get().user_id == 77
    assert any("lease_lost" in line for line in lines)


def test_who_lost_the_lease_sends_nothing_more(world, act):
    def overslept(attempt, order):
        yield Get("/users")
        _taken_over(run)
        yield Post("/users", {"email": "a@example.com"}, "user")
        return ActionOutcome("done", "Too late.")

    act(overslept)
    queued.run(world.course())
    (run,) = claim(8)
    queued.carry_out(run)
    assert world.calls() == ["GET /users"]
    assert queued.again(run).status == "running"
    assert ApiCall.objects.filter(run_id=run.pk).count() == 1


def test_the_lease_is_renewed_before_each_call(world, settings, act):
    def slow(attempt, order):
        for _ in range(2):
            RuleRun.objects.filter(pk=run.pk).update(lease_until=Now() + timedelta(seconds=1))
            yield Get("/users")
            until = queued.again(run).lease_until
            assert until is not None
            left.append(until - timezone.now())
        return ActionOutcome("done", "Done.")

    settings.LEASE_SECONDS = 30
    left: list[timedelta] = []
    act(slow)
    queued.run(world.course())
    (run,) = claim(8)
    queued.carry_out(run)
    assert len(left) == 2
    assert all(timedelta(seconds=25) < each <= timedelta(seconds=31) for each in left)


def test_a_lapsed_lease_that_nobody_took_is_still_ours(world, act):
    def slow(attempt, order):
        yield from ()
        queued.let_lapse(run)
        return ActionOutcome("done", "Done.")

    act(slow)
    queued.run(world.course())
    (run,) = claim(8)
    queued.carry_out(run)
    assert queued.again(run).status == "done"


def test_a_run_under_a_valid_lease_is_left_alone(db):
    queued.run(factories.DestinationFactory.create())
    (run,) = claim(8)
    assert recovery.revive() == 0
    assert not due_work.exists()
    assert queued.again(run).lease_token == run.lease_token


# Crashes


def test_a_run_whose_worker_died_goes_on(world):
    course = world.course()
    made = queued.run(course)
    (run,) = claim(8)
    queued.let_lapse(run)
    assert due_work.exists()
    assert recovery.revive() == 1
    stored = queued.again(made)
    assert (stored.status, stored.attempts, stored.crashes) == ("waiting", 1, 1)
    assert stored.message == "Admit stopped while it carried this out; it continues by itself."
    assert stored.lease_token is None
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts, stored.crashes) == ("done", 2, 0)
    assert [row.active for row in world.school.enrollments] == [True]


def test_five_crashes_without_a_result_make_a_failed_run(db):
    made = queued.run(factories.DestinationFactory.create())
    for _ in range(5):
        (run,) = claim(8)
        queued.let_lapse(run)
        recovery.revive()
    stored = queued.again(made)
    assert (stored.status, stored.attempts, stored.crashes) == ("failed", 5, 5)
    assert stored.message == (
        "Admit stopped 5 times while it carried this out. Call your technician, then retry."
    )
    assert stored.finished_at is not None
    assert stored.next_attempt_at is None
    assert stored.event.status == "failed"
    assert claim(8) == []
    assert retry_by_hand.retry([stored]) == (1, {})
    assert queued.again(made).crashes == 0


def test_a_result_of_any_kind_ends_the_count_of_crashes(world):
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=500))
    for _ in range(2):
        (run,) = claim(8)
        queued.let_lapse(run)
        recovery.revive()
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts, stored.crashes) == ("waiting", 3, 0)


def test_reviving_at_once_counts_a_crash_once(transactional_db):
    course = factories.DestinationFactory.create()
    made = [queued.run(course) for _ in range(6)]
    queued.let_lapse(*_claim_all(8))
    queued.at_once(*[recovery.revive] * 4)
    assert {queued.again(run).crashes for run in made} == {1}


# What is not listed, and what is gone


@pytest.mark.parametrize("mark", ["unlisted_at", "gone_at"])
def test_a_mark_of_ours_keeps_nobody_out_of_a_course_that_thinkific_has(world, mark):
    course = world.course()
    setattr(course, mark, timezone.now())
    course.save()
    made = queued.run(course)
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.message) == ("done", "Enrolled in Course Two.")
    # An enrollment shows that it is there; in the list it is not.
    course.refresh_from_db()
    assert course.gone_at is None
    assert (course.unlisted_at is None) == (mark == "gone_at")


@pytest.mark.parametrize("kind", ["course", "bundle"])
def test_only_thinkifics_answer_makes_a_course_gone_and_a_retry_asks_again(world, kind):
    course = world.course()
    sold = course if kind == "course" else world.bundle(course)
    shelf = world.school.courses if kind == "course" else world.school.bundles
    taken = shelf.pop(sold.external_id)
    made = queued.run(sold, action=Action(f"create_{kind}_enrollment"))
    queued.drain()
    stored = queued.again(made)
    assert stored.status == "failed"
    assert "is gone from Thinkific" in stored.message
    sold.refresh_from_db()
    assert (sold.gone_at is None, sold.listed) == (False, True)
    shelf[sold.external_id] = taken
    assert retry_by_hand.retry([stored]) == (1, {})
    queued.drain()
    assert queued.again(made).status == "done"
    sold.refresh_from_db()
    assert sold.gone_at is None


def test_ending_an_access_is_tried_though_the_course_is_marked_as_gone(world):
    course = world.course()
    customer = factories.CustomerFactory.create()
    user = world.school.add_user(customer.email, first_name="Dana", last_name="Example")
    world.school.enroll(user, world.school.courses[course.external_id])
    assert world.access(customer.email, course)
    course.gone_at = timezone.now()
    course.save()
    made = queued.run(course, customer, action=Action.EXPIRE_COURSE_ENROLLMENT)
    queued.drain()
    assert queued.again(made).status == "done"
    assert not world.access(customer.email, course)


@pytest.mark.parametrize("what", ["integration", "customer"])
def test_a_run_without_its_integration_or_customer_fails_in_plain_words(db, what):
    made = queued.run(factories.DestinationFactory.create())
    getattr(made, what).delete()
    assert due_work.exists()
    assert claim(8) == []
    recovery.revive()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("failed", 0)
    assert stored.message == (
        f"The {what} was deleted before this could be carried out. "
        "Do it by hand if it is still wanted."
    )
    assert stored.finished_at is not None
    assert EventLog.objects.get(pk=made.event_id).status == "failed"
    assert not due_work.exists()


def test_a_run_whose_integration_is_deleted_under_way_fails_in_plain_words(world, act):
    def delete(attempt, order):
        yield Get("/users")
        world.integration.delete()
        yield Get("/users")

    act(delete)
    made = queued.run(world.course())
    (run,) = claim(8)
    queued.carry_out(run)
    recovery.revive()
    stored = queued.again(made)
    assert stored.status == "failed"
    assert stored.message.startswith("The integration was deleted")


def test_runs_of_an_integration_that_is_off_wait_and_then_go_on(world):
    course = world.course()
    world.integration.enabled = False
    world.integration.save()
    made = queued.run(course)
    assert not due_work.exists()
    assert claim(8) == []
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 0)
    assert wait_reasons.reason(stored) == (
        "Art Academy is turned off; this continues when it is turned on."
    )
    assert world.calls() == []
    world.integration.enabled = True
    world.integration.save()
    assert due_work.exists()
    queued.drain()
    assert queued.again(made).status == "done"


def test_a_waiting_run_says_what_it_waits_for(db):
    course = factories.DestinationFactory.create()
    first = queued.run(course, message="Thinkific was down.")
    second = queued.run(course, first.customer, at=1)
    assert wait_reasons.reason(first) == "Thinkific was down."
    assert (
        wait_reasons.reason(second) == "Waits until another action for the same customer is done."
    )
    assert wait_reasons.reason(queued.run(course)) == "Waits for its turn."
    done = queued.run(course, status=DONE, message="Enrolled.")
    assert wait_reasons.reason(done) == "Enrolled."


def test_what_was_claimed_just_now_is_not_said_to_wait_for_another_action(db):
    course = factories.DestinationFactory.create()
    shown = queued.run(course)  # as a page has read it
    assert claim(8)
    assert wait_reasons.reason(shown) == "Waits for its turn."
    later = queued.run(course, shown.customer, at=1)
    assert "another action for the same customer" in wait_reasons.reason(later)


# The event's status

STATUSES = [
    (("done",), "done"),
    (("skipped",), "skipped"),
    (("failed",), "failed"),
    (("held",), "held"),
    (("waiting",), "waiting"),
    (("running",), "waiting"),
    (("done", "done"), "done"),
    (("done", "skipped"), "done"),
    (("skipped", "skipped"), "skipped"),
    (("done", "waiting"), "waiting"),
    (("done", "running"), "waiting"),
    (("done", "failed"), "failed"),
    (("running", "failed"), "failed"),
    (("held", "failed"), "failed"),
    (("held", "waiting"), "held"),
    (("held", "done"), "held"),
    (("done", "skipped", "failed", "held", "waiting", "running"), "failed"),
]


@pytest.mark.parametrize(("statuses", "expected"), STATUSES)
def test_the_events_status_follows_from_its_runs(db, statuses, expected):
    event = queued.event(factories.CustomerFactory.create())
    for status in statuses:
        queued.run(factories.DestinationFactory.create(), of=event, status=status)
    refresh_event(event.pk)
    event.refresh_from_db()
    assert event.status == expected


@pytest.mark.parametrize(
    ("others", "expected"),
    [((), "waiting"), (("done",), "done"), (("failed",), "failed"), (("skipped",), "waiting")],
)
def test_what_was_done_does_not_wait_for_a_last_day_to_come(db, others, expected):
    event, course = queued.event(factories.CustomerFactory.create()), factories.DestinationFactory
    queued.run(course.create(), of=event, code="delayed")
    for status in others:
        queued.run(course.create(), of=event, status=status)
    refresh_event(event.pk)
    event.refresh_from_db()
    assert event.status == expected


def test_no_update_is_lost_when_two_runs_of_an_event_end_at_once(transactional_db, act):
    ready = Barrier(2)

    def together(attempt, order):
        yield from ()
        ready.wait(10)
        return ActionOutcome("done", "Done.")

    act(together)
    events = []
    for _ in range(8):
        event = queued.event(factories.CustomerFactory.create())
        for course in factories.DestinationFactory.create_batch(2):
            queued.run(course, of=event)
        queued.at_once(*[partial(queued.carry_out, run) for run in claim(16)])
        events.append(event)
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"done"}
    for event in events:
        event.refresh_from_db()
        assert event.status == "done"


# Retry by a person

WHY_NOT = [
    ("waiting", {}, "continues by itself"),
    ("running", {}, "continues by itself"),
    ("done", {}, "it had succeeded"),
    ("skipped", {}, "nothing is due by it"),
    ("skipped", {"code": "dismissed"}, "somebody has dismissed it"),
    ("failed", {"customer": None}, retry_reasons.NO_EMAIL),
    ("failed", {"integration": None}, "its integration was deleted"),
]


@pytest.mark.parametrize(("status", "facts", "reason"), WHY_NOT)
def test_retry_says_why_a_run_was_left(db, status, facts, reason):
    made = queued.run(factories.DestinationFactory.create(), status=status)
    RuleRun.objects.filter(pk=made.pk).update(**facts)
    assert retry_by_hand.retry([queued.again(made)]) == (0, {reason: 1})
    assert queued.again(made).status == status


@pytest.mark.parametrize("status", ["failed", "held"])
def test_retry_begins_anew_at_once(db, status):
    made = queued.run(
        factories.DestinationFactory.create(),
        status=status,
        attempts=12,
        crashes=2,
        message="No.",
        next_attempt_at=None,
        finished_at=timezone.now(),
    )
    refresh_event(made.event_id)
    assert retry_by_hand.retry(RuleRun.objects.all()) == (1, {})
    stored = queued.again(made)
    assert (stored.status, stored.attempts, stored.crashes) == ("waiting", 0, 0)
    assert (stored.message, stored.finished_at) == ("Queued again.", None)
    assert stored.event.status == "waiting"
    assert [run.pk for run in claim(8)] == [made.pk]


def test_retry_counts_what_was_queued_and_what_was_left(db):
    course = factories.DestinationFactory.create()
    for status in ("failed", "held", "done", "done", "waiting", "skipped"):
        queued.run(course, status=status)
    queued_again, left = retry_by_hand.retry(RuleRun.objects.order_by("pk"))
    assert retry_by_hand.retried_sentence(queued_again, left) == (
        "2 queued, 2 skipped: it had succeeded, 1 skipped: continues by itself, "
        "1 skipped: nothing is due by it."
    )


def test_a_retry_keeps_what_somebody_else_has_changed_meanwhile(db):
    made = queued.run(factories.DestinationFactory.create(), status=FAILED)
    seen = queued.again(made)
    RuleRun.objects.filter(pk=made.pk).update(destination_name="Another course")
    assert retry_by_hand.retry([seen]) == (1, {})
    assert queued.again(made).destination_name == "Another course"


def test_retry_leaves_what_changed_while_it_looked(db):
    made = queued.run(factories.DestinationFactory.create(), status=FAILED)
    outdated = queued.again(made)
    assert retry_by_hand.retry([queued.again(made)]) == (1, {})
    assert retry_by_hand.retry([outdated]) == (0, {"it has just changed": 1})
    assert retry_by_hand.retried_sentence(0, {"it has just changed": 1}) == (
        "0 queued, 1 skipped: it has just changed."
    )


def test_a_tick_finds_what_is_due_lapsed_or_left_over(db):
    assert not scheduler.anything_due()
    course = factories.DestinationFactory.create()
    queued.run(course)
    assert scheduler.anything_due()
    (run,) = claim(8)
    assert not scheduler.anything_due()
    queued.let_lapse(run)
    assert scheduler.anything_due()
