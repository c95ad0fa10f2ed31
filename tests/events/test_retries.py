"""Retries: what is retried, when and how often, and what fails at once."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from events.execution import due_work, results, retry_by_hand
from events.models import Batch, Grant, RuleRun
from events.queue import wake
from integrations import audit
from integrations.audit import Act
from integrations.errors import OutOfTime, Retry
from integrations.thinkific.calls import Get
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import ACTIONS, Action, enrollments
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

CREATE = Action.CREATE_COURSE_ENROLLMENT


@pytest.fixture(autouse=True)
def log() -> Iterator[list[str]]:
    with queued.nothing_personal() as lines:
        yield lines


def _due_in(run: RuleRun) -> float:
    at = queued.again(run).next_attempt_at
    assert at is not None
    return (at - timezone.now()).total_seconds()


def _attempt(made: RuleRun) -> RuleRun:
    """One attempt, whenever it would have been due."""
    RuleRun.objects.filter(pk=made.pk).update(next_attempt_at=queued.START)
    assert queued.work() == 1
    return queued.again(made)


# What is tried again

FAULTS = [
    *[Fault("status", status=status) for status in (408, 500, 503, 520)],
    Fault("reset"),
    Fault("reset", applied=True),
    Fault("drop"),
    Fault("truncated"),
    Fault("garbage"),
    Fault("garbage", applied=True),
    Fault("html"),
    Fault("html", applied=True),
    Fault("status", status=500, applied=True),
    Fault("black_hole"),
    Fault("black_hole", applied=True),
    Fault("delay", delay=1.0, applied=True),
    Fault("drip_body", delay=0.2),
    Fault("drip_headers", delay=0.2),
]
# Only the deadline ends a call that meets one of these.
WAITED_FOR = {"black_hole", "delay", "drip_body", "drip_headers"}


@pytest.mark.first_database
@pytest.mark.parametrize("which", ["/users", "/enrollments"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.status or ''}")
def test_a_fault_that_may_pass_is_tried_again_and_nothing_is_done_twice(
    world: World, settings, fault, which
):
    if fault.kind in WAITED_FOR:  # else a busy machine's plain answers could come too late
        settings.CALL_DEADLINE_SECONDS = 0.5
    course = world.course()
    made = queued.run(course)
    facts = {name: getattr(fault, name) for name in ("kind", "status", "delay", "applied")}
    world.sandbox.faults.add(Fault(**facts, path=which))
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 1)
    assert 27 - 3 < _due_in(made) <= 33
    assert stored.message
    assert stored.event.status == "waiting"
    assert len(world.sandbox.faults.fired) == 1
    stored = _attempt(made)
    assert (stored.status, stored.attempts) == ("done", 2)
    assert [row.active for row in world.school.enrollments] == [True]
    assert len(world.school.users) == 1
    writes = [call for call in world.sandbox.calls if call.method == "POST"]
    assert len([call for call in writes if call.path == "/users"]) <= 2


def test_a_server_that_cannot_be_reached_is_tried_again(world):
    made = queued.run(world.course())
    world.sandbox.stop()
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 1)
    assert "refused the connection" in stored.message
    world.sandbox.start()
    assert _attempt(made).status == "done"


# When


def test_the_attempts_follow_the_schedule_and_end_with_it(world, settings):
    delays = settings.RETRY_DELAYS
    assert len(delays) == 12
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=500, times=None))
    for number in range(1, 12):
        stored = _attempt(made)
        assert (stored.status, stored.attempts) == ("waiting", number)
        assert 0.9 * delays[number] - 5 <= _due_in(made) <= 1.1 * delays[number]
    stored = _attempt(made)
    assert (stored.status, stored.attempts) == ("failed", 12)
    assert stored.message == (
        "Thinkific answered with an error of its own. Admit tried 12 times and has given up. "
        "Retry when Thinkific works again."
    )
    assert stored.next_attempt_at is None
    assert stored.finished_at is not None
    assert stored.event.status == "failed"
    assert len(world.calls()) == 12
    assert not due_work.exists()


def test_a_person_can_begin_the_schedule_anew(world, settings):
    settings.RETRY_DELAYS = [0.0]
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=500))
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("failed", 1)
    assert "Admit tried once and has given up." in stored.message
    retry_by_hand.retry([stored])
    queued.drain()
    assert (queued.again(made).status, queued.again(made).attempts) == ("done", 1)


def test_short_delays_are_kept_without_anybody_waking_the_runs(world, settings):
    settings.RETRY_DELAYS = [0.0, 0.05, 0.1]
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=500, times=None))
    give_up = time.monotonic() + 10
    while queued.again(made).status == "waiting" and time.monotonic() < give_up:
        queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("failed", 3)
    sent = [call.at for call in world.sandbox.calls]
    assert sent[1] - sent[0] >= 0.045
    assert sent[2] - sent[1] >= 0.09


def test_delays_vary_by_a_tenth_and_no_more(settings):
    settings.RETRY_DELAYS = [0.0, 100.0]
    run = RuleRun(attempts=1)
    found = [results.of_error(run, Retry("Down."), calls=1).again_in for _ in range(300)]
    assert 90 <= min(found) < 92
    assert 108 < max(found) <= 110


def test_how_it_goes_on_is_told_as_long_as_it_does(settings):
    error = Retry("Thinkific sent no answer.", in_doubt=False)
    settings.RETRY_DELAYS = [0.0, 1.0]
    run = RuleRun(action="create_course_enrollment")
    told = []
    for run.attempts in (1, 2):
        told.append(results.of_error(run, error, calls=1))
    assert [(result.status, result.message) for result in told] == [
        ("waiting", "Thinkific sent no answer. Admit tries again by itself."),
        (
            "failed",
            "Thinkific sent no answer. Admit tried 2 times and has given up. "
            "Retry when Thinkific works again.",
        ),
    ]


# What is given up at once


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (302, "another address"),
        (400, "refused the request"),
        (404, "something was not found"),
        (405, "refused the request"),
        (410, "refused the request"),
        (422, "refused the request"),
    ],
)
def test_a_refusal_is_final_at_once(world, status, says):
    made = queued.run(world.course())
    kind = "redirect" if status == 302 else "status"
    world.sandbox.faults.add(Fault(kind, status=status))
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("failed", 1)
    assert says in stored.message
    assert stored.event.status == "failed"
    assert len(world.calls()) == 1


# Faults of our own


@pytest.fixture
def act(monkeypatch):
    """Let Create Course Enrollment do something else."""
    return lambda function: monkeypatch.setitem(
        ACTIONS, CREATE, replace(ACTIONS[CREATE], run=function)
    )


def test_a_bug_of_ours_is_tried_again_and_said_to_be_ours(db, settings, act, log):
    def bug(attempt, order):
        raise KeyError(f"{attempt.person.email} {factories.KEY}")

    settings.RETRY_DELAYS = [0.0, 50.0]
    act(bug)
    made = queued.run(factories.DestinationFactory.create())
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 1)
    assert stored.message == (
        "Admit itself failed (KeyError), not Thinkific. Admit tries again by itself."
    )
    assert 40 < _due_in(made) <= 55
    stored = _attempt(made)
    assert (stored.status, stored.attempts) == ("failed", 2)
    assert stored.message == (
        "Admit itself failed (KeyError), not Thinkific. Admit tried 2 times and has given up. "
        "Call your technician, then retry."
    )
    (first, _) = [line for line in log if "action_broke" in line]
    assert f"run={made.pk}" in first
    assert "in bug" in first  # where it broke, for whoever mends it
    assert "KeyError" in first


def test_an_error_of_the_database_tells_no_row(world, act, log):
    def clash(attempt, order):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO integrations_customer (email, email_as_sent, first_name, last_name) "
                "VALUES (%s, '', '', '')",
                [attempt.person.email],
            )

    act(clash)
    made = queued.run(world.course())
    queued.drain()
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 1)
    assert "(IntegrityError)" in stored.message
    assert "@" not in stored.message
    assert any("action_broke" in line for line in log)


def test_a_bug_in_one_run_does_not_disturb_its_neighbors(world, act):
    def sometimes(attempt, order):
        if order.destination == "Broken":
            raise ZeroDivisionError
        return enrollments.create_course_enrollment(attempt, order)

    act(sometimes)
    broken = world.course("Broken")
    course = world.course()
    poison = queued.run(broken, at=1)
    made = [queued.run(course, at=at) for at in range(2, 6)]
    queued.drain()
    assert queued.again(poison).status == "waiting"
    assert {queued.again(run).status for run in made} == {"done"}


# What is no attempt


def test_a_run_that_finds_no_slot_in_time_waits_for_it_without_an_attempt(world, settings):
    made = queued.run(world.course())
    settings.THINKIFIC_CALLS_PER_MINUTE = 6
    (run,) = claim(1)
    queued.carry_out(run, until=time.monotonic() + 5)
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 0)
    assert stored.message == "Waits for its turn: only so many calls a minute go to Thinkific."
    assert 7 < _due_in(made) <= 10.2
    assert world.calls() == ["POST /users"]


def test_a_run_whose_worker_is_out_of_time_goes_on_at_once_without_an_attempt(world):
    made = queued.run(world.course())
    (run,) = claim(1)
    queued.carry_out(run, until=time.monotonic() - 1)
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("waiting", 0)
    assert _due_in(made) < 0.001  # SQLite's clock rounds to milliseconds, also up
    assert world.calls() == []
    queued.drain()
    assert queued.again(made).status == "done"


def test_a_run_that_calls_without_an_end_is_bounded_by_its_attempts(world, settings, act):
    def walk(attempt, order):
        while True:
            yield Get("/users")

    settings.RETRY_DELAYS = [0.0, 50.0]
    act(walk)
    made = queued.run(world.course())
    for expected in ("waiting", "failed"):
        RuleRun.objects.filter(pk=made.pk).update(next_attempt_at=queued.START)
        (run,) = claim(1)
        queued.carry_out(run, until=time.monotonic() + 2.0)
        stored = queued.again(made)
        assert stored.status == expected
        assert "It was not done after" in stored.message
    assert stored.attempts == 2


@pytest.mark.parametrize(("share", "counts"), [(0.4, False), (0.5, True)])
def test_answers_that_took_most_of_the_time_count_as_an_attempt(settings, share, counts):
    taken = share * settings.TASK_SECONDS
    run = RuleRun(action="create_course_enrollment", attempts=1)
    result = results.of_error(run, OutOfTime("Time was up."), calls=2, answer_seconds=taken)
    assert (result.status, result.counts) == ("waiting", counts)
    assert ("answers are too slow" in result.message) is counts


def test_an_attempt_that_counts_is_kept_after_pauses(world):
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=500))
    world.sandbox.faults.add(Fault("status", status=429, headers={"Retry-After": "40"}, times=2))
    assert _attempt(made).attempts == 1
    assert _attempt(made).attempts == 1
    queued.end_pause(world.integration)
    assert _attempt(made).attempts == 2


# What a person does not want to wait for


def test_what_waits_for_its_next_attempt_makes_it_now(world: World):
    course = world.course()
    world.rule("product_purchased", CREATE, course)
    world.sandbox.faults.add(Fault("status", status=500))
    world.sell("10_product")
    (run,) = world.settle()
    assert (run.status, run.attempts, _due_in(run) > 1) == ("waiting", 1, True)
    assert retry_by_hand.retry([run]) == (1, {})
    (run,) = world.settle()
    assert (run.status, run.attempts) == ("done", 2)


def test_what_has_not_been_tried_yet_goes_on_by_itself(world: World):
    world.rule("product_purchased", CREATE, world.course())
    world.sell("10_product")
    run = RuleRun.objects.get()
    assert retry_by_hand.retry([run]) == (0, {"continues by itself": 1})


def test_what_was_retried_before_a_request_died_is_in_its_batch_and_wakes_a_worker(db, monkeypatch):
    course = factories.DestinationFactory.create()
    first, last = (queued.run(course, status="failed", order=str(order)) for order in (1, 2))
    record = audit.record

    def die(act: Act, about: RuleRun, **values: Any) -> None:
        if about == last:
            raise RuntimeError("The server was stopped.")
        record(act, about, **values)

    monkeypatch.setattr(audit, "record", die)
    with pytest.raises(RuntimeError):
        retry_by_hand.retry([first, last], batch=Batch(title="Retry", started_by="Mia"))
    assert Batch.objects.get().run_ids == [first.pk]
    assert [queued.again(run).status for run in (first, last)] == ["waiting", "failed"]
    assert wake.queued()


@pytest.mark.parametrize("payment", ["waits", "failed, too"])
def test_to_dismiss_what_failed_of_a_purchase_waives_no_payment_that_still_waits(
    world: World, payment: str
):
    course = world.course()
    for trigger in ("product_purchased", "subscription_charged"):
        world.rule(trigger, "create_course_enrollment", course)
    named: dict[str, Any] = {"customer__email": "dana@example.com", "product__id": "1048010"}
    named["order__id"] = 1
    failed = world.sell("12_product", order__subscription_id=901, **named).runs
    failed.update(status="failed", code="x", next_attempt_at=None)
    waiting = world.sell("31_subscription", order__subscription_id=901, **named).runs
    if payment != "waits":
        waiting.update(status="failed", code="x", next_attempt_at=None)
    assert retry_by_hand.dismiss(failed.all(), by="ann") == 1
    grant = Grant.objects.get()
    assert grant.state == ("active" if payment == "waits" else "waived")
    world.settle()
    assert world.access("dana@example.com", course) is (payment == "waits")
