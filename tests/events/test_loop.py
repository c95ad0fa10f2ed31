"""The worker's loop: many runs in one commit, what breaks it, and what a stopped worker sends."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from events.execution import loading
from events.execution.loop import Loop
from events.execution.senders import Senders
from events.models import RuleRun
from integrations.models import ApiCall, Customer, Intent, ThinkificUser
from integrations.thinkific import memory
from integrations.thinkific.attempt import Account, Note
from integrations.thinkific.calls import Get
from integrations.thinkific.memory import Memory
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import ACTIONS, Action, ActionOutcome
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

CREATE = Action.CREATE_COURSE_ENROLLMENT


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[str]]:
    with queued.nothing_personal() as lines:
        yield lines


@pytest.fixture
def act(monkeypatch):
    """Let Create Course Enrollment do something else."""
    return lambda function: monkeypatch.setitem(
        ACTIONS, CREATE, replace(ACTIONS[CREATE], run=function)
    )


def _claimed(world: World, number: int) -> list[RuleRun]:
    course = world.course()
    for at in range(number):
        queued.run(course, at=at)
    claimed = claim(number)
    assert len(claimed) == number
    return claimed


def _customer(run: RuleRun) -> Customer:
    assert run.customer is not None
    return run.customer


def _statuses() -> list[str]:
    return list(RuleRun.objects.order_by("pk").values_list("status", flat=True))


# Many at once


def test_many_runs_under_way_share_their_commits(world: World):
    claimed = _claimed(world, 4)
    worker = queued.loop()
    worker.claimed += claimed
    with CaptureQueriesContext(connection) as asked:
        worker.finish()
    commits = [each for each in asked.captured_queries if each["sql"] == "COMMIT"]
    assert _statuses() == ["done"] * 4
    # One by one they take three each: before each of two calls, and at the end.
    assert len(commits) < 3 * 4


def test_a_turn_with_nothing_to_write_asks_the_database_nothing(world: World):
    worker = queued.loop()
    worker.claimed += _claimed(world, 1)
    world.sandbox.switches.latency = 0.3
    worker.turn()
    worker.turn()
    assert worker.senders.under_way == 1
    with CaptureQueriesContext(connection) as asked:
        worker.turn(wait=0.0)
    assert not asked.captured_queries
    worker.finish()
    assert _statuses() == ["done"]


# What breaks a turn


def test_nothing_of_a_turn_is_lost_while_the_database_is_away(world: World, monkeypatch):
    claimed = _claimed(world, 2)
    write, failures = memory.write, iter([True, False, True, True, False])

    def away(learned: Iterable[tuple[Memory, Iterable[Note]]]) -> None:
        write(learned)
        if next(failures, False):
            raise OperationalError("the database is away")

    monkeypatch.setattr(memory, "write", away)
    queued.carry_out(*claimed)
    assert _statuses() == ["done", "done"]
    assert sorted(world.calls()) == ["POST /enrollments"] * 2 + ["POST /users"] * 2
    assert ApiCall.objects.filter(run_id__in=[run.pk for run in claimed]).count() == 4
    assert set(RuleRun.objects.values_list("attempts", flat=True)) == {1}
    assert not Intent.objects.exists()


def test_a_fault_of_ours_is_logged_once_however_long_the_database_is_away(
    world: World, monkeypatch, act, log_lines
):
    def broken(attempt, order):
        raise RuntimeError("A fault of ours.")

    act(broken)
    claimed = _claimed(world, 1)
    write, failures = memory.write, iter([True, True])

    def away(learned: Iterable[tuple[Memory, Iterable[Note]]]) -> None:
        if next(failures, False):
            raise OperationalError("the database is away")
        write(learned)

    monkeypatch.setattr(memory, "write", away)
    queued.carry_out(*claimed)
    assert queued.again(claimed[0]).code == "broken"
    assert sum("action_broke" in line for line in log_lines) == 1


def test_runs_that_were_claimed_begin_once_the_database_is_back(world: World, monkeypatch):
    claimed = _claimed(world, 1)
    load, failures = loading.conversations, iter([True])

    def away(runs: Any) -> Any:
        if next(failures, False):
            raise OperationalError("the database is away")
        return load(runs)

    monkeypatch.setattr(loading, "conversations", away)
    queued.carry_out(*claimed)
    assert _statuses() == ["done"]


def test_what_is_learned_of_a_deleted_customer_ends_that_run_alone(world: World, act):
    def delete(attempt, order):
        yield Get("/users")
        if attempt.person.email == gone.email:
            gone.delete()
            attempt.remember(Account(77))
        else:
            attempt.remember(Account(78))
        return ActionOutcome("done", "Done.")

    act(delete)
    first, second, third = _claimed(world, 3)
    gone = _customer(second)
    queued.carry_out(first, second, third)
    assert _statuses() == ["done"] * 3
    assert set(ThinkificUser.objects.values_list("user_id", flat=True)) == {78}
    # Its calls are kept, for they need no customer.
    assert {first.pk, third.pk} <= set(ApiCall.objects.values_list("run_id", flat=True))


def test_a_row_that_cannot_be_written_ends_its_own_run_and_no_other(
    world: World, monkeypatch, log_lines
):
    claimed = _claimed(world, 3)
    bad = claimed[1]
    create = ApiCall.objects.bulk_create

    def refuse(rows: list[ApiCall]) -> list[ApiCall]:
        if any(row.run_id == bad.pk for row in rows):
            raise IntegrityError("dana@example.com")
        return create(rows)

    monkeypatch.setattr(ApiCall.objects, "bulk_create", refuse)
    queued.carry_out(*claimed)
    assert _statuses() == ["done", "waiting", "done"]
    assert queued.again(bad).code == "broken"
    assert any("unwritable" in line for line in log_lines)


def test_an_action_that_breaks_ends_its_own_run_and_no_other(world: World, act):
    run = ACTIONS[CREATE].run

    def broken(attempt, order):
        if attempt.person.email == unlucky.email:
            raise RuntimeError("A fault of ours.")
        return (yield from run(attempt, order))

    act(broken)
    claimed = _claimed(world, 2)
    unlucky = _customer(claimed[0])
    queued.carry_out(*claimed)
    assert _statuses() == ["waiting", "done"]
    assert "Admit itself failed (RuntimeError)" in queued.again(claimed[0]).message


# A worker that stood still


def test_a_call_that_could_outlast_its_lease_is_not_sent_and_stays_in_doubt(
    world: World, settings, monkeypatch
):
    (run,) = _claimed(world, 1)
    settings.LEASE_SECONDS, settings.CALL_DEADLINE_SECONDS = 1, 2
    queued.carry_out(run)
    assert not world.calls()
    assert Intent.objects.get().target == "user"
    stored = queued.again(run)
    assert (stored.status, stored.attempts, stored.code) == ("waiting", 0, "out_of_time")


def test_a_thread_that_stood_still_sends_nothing():
    class NeverAsked:
        def send(self, call: object) -> Any:
            raise AssertionError("It was sent.")

    senders: Senders[str] = Senders(1)
    senders.send("a run", NeverAsked(), Get("/users"), not_after=0.0)
    ((who, reply),) = senders.replies(wait=5, gather=0)
    assert who == "a run"
    assert type(reply).__name__ == "OutOfTime"
    assert senders.under_way == 0


def test_answers_that_come_together_are_taken_together():
    class Echo:
        def send(self, call: object) -> Any:
            raise RuntimeError(str(call))

    senders: Senders[int] = Senders(4)
    for number in range(4):
        senders.send(number, Echo(), Get("/users"), not_after=float("inf"))
    found: list[int] = []
    while senders.under_way:
        found += [who for who, reply in senders.replies(wait=5, gather=0.02)]
    assert sorted(found) == [0, 1, 2, 3]
    assert senders.replies(wait=0, gather=0) == []


# Fairness


def test_a_site_that_does_not_answer_holds_up_no_other(world: World):
    slow, other = world.course(), world.sandbox.add_school("bay", key=factories.KEY)
    quick = factories.DestinationFactory.create(
        integration=factories.connected("bay", name="Bay School"),
        external_id=other.add_course("Course One").id,
    )
    for at in range(12):
        queued.run(slow, at=at)
    world.sandbox.faults.add(Fault("delay", delay=1.0, times=8))
    worker = Loop(Senders(16))
    while not worker.senders.under_way:
        worker.turn()
    made = queued.run(quick)
    while queued.again(made).status != "done":
        worker.turn(wait=0.01)
    assert "running" in _statuses()
    worker.finish()
    assert set(_statuses()) == {"done"}
