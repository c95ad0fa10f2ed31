"""The task, its wake-ups, and the tick: emptying the queue, ending in time, stopping."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ

from config.server import supervisor
from events.alerts import finding
from events.alerts.problems import ProblemCode
from events.deciding.inbox import Inbox
from events.execution.loop import Loop
from events.execution.senders import Senders
from events.models import Delivery, EventLog, RuleRun, Worker
from events.queue import wake, wake_pipe
from events.worker import heartbeat, scheduler, tasks
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration, ThinkificUser
from integrations.thinkific.calls import Get
from integrations.thinkific.sandbox.faults import Fault
from rules.actions import ACTIONS, Action, ActionOutcome
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

CLUSTER = "here-1"


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch) -> None:
    """As after a fork: no threads yet, no cluster, and no connection outlives its job."""
    monkeypatch.setattr(tasks, "_senders", [])
    monkeypatch.setattr(heartbeat, "_last", {})
    monkeypatch.delenv(heartbeat.CLUSTER, raising=False)
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)


@pytest.fixture
def cluster(transactional_db, monkeypatch) -> str:
    """This process works for a cluster that `manage.py up` started."""
    scheduler.register(CLUSTER)
    monkeypatch.setenv(heartbeat.CLUSTER, CLUSTER)
    return CLUSTER


@pytest.fixture
def short_task(settings) -> None:
    """A task that claims for a quarter of two seconds, with calls of half a second at most."""
    settings.TASK_SECONDS = 2.0
    settings.CALL_DEADLINE_SECONDS = 0.5


def _wake_ups() -> int:
    return int(OrmQ.objects.count())


# Draining


def test_a_task_reads_what_came_in_and_carries_it_out_at_once_in_threads(world: World):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    for number in range(12):
        body = {
            "type": "Order",
            "customer": {"email": f"buyer{number}@example.com"},
            "order": {"id": number},
            "product": {"id": 1, "name": "Watercolour"},
        }
        assert world.post(body, "product_purchased").status_code == 200
    OrmQ.objects.all().delete()
    world.sandbox.switches.latency = 0.05
    tasks.work()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"read"}
    assert list(RuleRun.objects.values_list("status", flat=True)) == ["done"] * 12
    assert set(EventLog.objects.values_list("status", flat=True)) == {"done"}
    assert all(world.access(f"buyer{number}@example.com", course) for number in range(12))
    assert _most_at_once(world) > 1
    assert _wake_ups() == 0


def _most_at_once(world: World) -> int:
    calls = world.sandbox.calls
    return max(
        sum(other.at <= call.at < (other.until or other.at) for other in calls) for call in calls
    )


def test_at_most_eight_calls_of_a_site_are_under_way(world: World):
    course = world.course()
    for _ in range(24):
        queued.run(course)
    world.sandbox.switches.latency = 0.1
    tasks.work()
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"done"}
    assert 2 <= _most_at_once(world) <= 8


def test_a_task_takes_up_what_a_dead_worker_left(world: World):
    made = queued.run(world.course())
    (run,) = claim(8)
    queued.let_lapse(run)
    tasks.work()
    assert (queued.again(made).status, queued.again(made).attempts) == ("done", 2)


def test_two_tasks_at_once_do_everything_once(world: World):
    course = world.course()
    made = [queued.run(course) for _ in range(12)]

    def other() -> None:
        mine = Loop(Senders(4), call_until=time.monotonic() + 5)
        while mine.turn():
            pass

    queued.at_once(tasks.work, other)
    assert {(queued.again(run).status, queued.again(run).attempts) for run in made} == {("done", 1)}
    assert len(world.school.users) == 12
    assert len(world.sandbox.calls) == 24


# Ending in time


def test_a_task_ends_in_time_though_the_site_is_slow_and_wakes_the_next(world, settings):
    # Claims for a second. An answer that a busy machine delays must not count as none.
    settings.TASK_SECONDS, settings.CALL_DEADLINE_SECONDS = 7.0, 3.0
    course = world.course()
    for _ in range(150):
        queued.run(course)
    world.sandbox.switches.latency = 0.2
    tasks.work()
    found = list(RuleRun.objects.values_list("status", flat=True))
    assert "running" not in found
    assert 1 <= found.count("done") < 150
    assert _wake_ups() == 1


def test_tasks_one_after_the_other_get_everything_done(world, settings):
    settings.TASK_SECONDS, settings.CALL_DEADLINE_SECONDS = 7.0, 3.0
    course = world.course()
    for _ in range(60):
        queued.run(course)
    world.sandbox.switches.latency = 0.3
    rounds = 0
    while RuleRun.objects.exclude(status="done").exists():
        rounds += 1
        assert rounds < 100  # 4 or 5 where nothing else runs
        tasks.work()
    assert rounds > 1
    assert set(RuleRun.objects.values_list("attempts", flat=True)) == {1}
    assert len(world.school.enrollments) == 60


def test_a_task_ends_in_time_though_the_site_never_answers(world, short_task):
    course = world.course()
    for _ in range(60):
        queued.run(course)
    world.sandbox.faults.add(Fault("black_hole", times=None))
    tasks.work()
    assert 1 <= len(world.sandbox.calls) < 60  # the others are left to the next task
    assert not RuleRun.objects.filter(status="running").exists()


def test_two_runs_of_a_small_budget_do_not_take_turns_for_ever(world, short_task, settings):
    """Each needs two calls, and a task has time for two when the first goes out early."""
    settings.THINKIFIC_CALLS_PER_MINUTE = 75
    course = world.course()
    for name in ("dana", "eve"):
        user = world.school.add_user(f"{name}@example.com")
        customer = factories.CustomerFactory.create(email=user.email)
        ThinkificUser.objects.create(
            integration=world.integration, customer=customer, user_id=user.id
        )
        queued.run(course, customer)
    gap, tolerance = rate_limit.spacing()
    CallBudget.objects.update(next_slot=rate_limit.EpochNow() + tolerance + gap)
    give_up = time.monotonic() + 60
    while RuleRun.objects.exclude(status="done").exists():
        assert time.monotonic() < give_up, f"{len(world.sandbox.calls)} calls"
        tasks.work()
    assert len(world.school.enrollments) == 2


def test_what_is_due_does_not_wait_for_the_whole_inbox(world, monkeypatch):
    made = queued.run(world.course())
    seen: list[str] = []

    def flood(_: object) -> int:
        # More comes in than can be read.
        seen.append(queued.again(made).status)
        return int("done" not in seen)

    monkeypatch.setattr(Inbox, "step", flood)
    tasks.work()
    assert "done" in seen  # while more still came in


# Never raising


def test_a_task_never_raises_when_the_database_fails(world, log_lines):
    queued.run(world.course())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE events_rulerun RENAME TO away")
    try:
        tasks.work()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO events_rulerun")
    (line,) = [line for line in log_lines if "work_broke_off" in line]
    assert "away" not in line
    assert "events_rulerun" not in line
    tasks.work()
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"done"}


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    with queued.nothing_personal() as lines:
        yield lines


@pytest.mark.parametrize("error", [OperationalError("dana@example.com"), MemoryError()])
def test_a_task_never_raises_whatever_breaks(transactional_db, monkeypatch, log_lines, error):
    def broken(_: object) -> int:
        raise error

    monkeypatch.setattr(Inbox, "step", broken)
    tasks.work()
    (line,) = [line for line in log_lines if "work_broke_off" in line]
    assert type(error).__name__ in line


def test_a_run_that_cannot_be_finished_is_left_to_its_lease(
    world, monkeypatch, log_lines, short_task
):
    def lose_the_table(attempt, order):
        yield Get("/users")
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE events_rulerun RENAME TO away")
        return ActionOutcome("done", "Done.")

    action = Action.CREATE_COURSE_ENROLLMENT
    made = queued.run(world.course())
    with monkeypatch.context() as patch:
        patch.setitem(ACTIONS, action, replace(ACTIONS[action], run=lose_the_table))
        tasks.work()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE away RENAME TO events_rulerun")
    stored = queued.again(made)
    assert (stored.status, stored.attempts) == ("running", 1)
    assert any("work_broke_off" in line for line in log_lines)
    queued.let_lapse(stored)
    tasks.work()
    assert queued.again(made).status == "done"


# Stopping, and signs of life


def silence(cluster: str) -> float | None:
    return Worker.objects.filter(name=cluster).silence()


def test_a_task_notes_the_cluster_that_ran_it(cluster):
    assert silence(cluster) is None
    tasks.work()
    silent = silence(cluster)
    assert silent is not None
    assert 0 <= silent < 2


def test_a_task_of_no_cluster_notes_nothing(transactional_db):
    scheduler.register(CLUSTER)
    tasks.work()
    assert silence(CLUSTER) is None


def test_a_cluster_that_is_to_stop_claims_nothing_more(world, cluster):
    made = queued.run(world.course())
    scheduler.ask_to_stop(cluster)
    tasks.work()
    assert (queued.again(made).status, queued.again(made).attempts) == ("waiting", 0)
    assert world.calls() == []
    assert _wake_ups() == 0
    assert silence(cluster) is not None


def test_a_task_finishes_what_runs_when_it_is_told_to_stop(world, cluster, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 0.05)
    course = world.course()
    for _ in range(60):
        queued.run(course)
    world.sandbox.switches.latency = 0.3

    def stop_soon() -> None:
        give_up = time.monotonic() + 5
        while not world.sandbox.calls and time.monotonic() < give_up:
            time.sleep(0.01)
        scheduler.ask_to_stop(cluster)

    queued.at_once(tasks.work, stop_soon)
    found = list(RuleRun.objects.values_list("status", flat=True))
    assert "running" not in found
    assert 4 <= found.count("done") < 60
    assert _wake_ups() == 0


def test_a_long_task_goes_on_showing_life(world, cluster, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 0.05)
    queued.run(world.course())
    world.sandbox.switches.latency = 0.4
    seen = set()

    def look() -> None:
        while not RuleRun.objects.filter(status="done").exists():
            seen.add(Worker.objects.get().seen_at)
            time.sleep(0.05)

    queued.at_once(tasks.work, look)
    assert len(seen) >= 3


class StillCluster:
    """A program that is started once and lives on."""

    running_seconds = 0.0

    def __init__(self, *_: object, **__: object) -> None:
        self.started = False

    def start(self, **_: str) -> None:
        assert not self.started
        self.started = True

    def may_start(self) -> bool:
        return True

    def alive(self) -> bool:
        return True

    def ask_to_stop(self) -> None:
        pass

    def end(self, grace: float = 0.0) -> None:
        pass


def test_a_cluster_that_was_started_without_the_database_is_enlisted_later(db, monkeypatch):
    noted: list[str] = []

    def enlist(name: str) -> None:
        noted.append(name)
        if len(noted) == 1:
            raise OperationalError("away")

    ticks = iter(range(3))

    def tick(name: str, *, beat_after: float) -> None:
        if next(ticks) == 2:
            up.stop()

    monkeypatch.setenv(wake_pipe.WRITE_END, "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(supervisor, "Program", StillCluster)
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(scheduler, "register", enlist)
    monkeypatch.setattr(scheduler, "tick", tick)
    up = supervisor.Supervisor(listener=None, workers=1)
    up.run()
    assert noted == [up.cluster_name] * 2


def test_a_cluster_is_enlisted_and_dismissed(db):
    scheduler.register(CLUSTER)
    scheduler.ask_to_stop(CLUSTER)
    scheduler.register(CLUSTER)
    assert not Worker.objects.get(name=CLUSTER).stopping
    scheduler.register("here-2")
    scheduler.deregister(CLUSTER)
    assert [worker.name for worker in Worker.objects.all()] == ["here-2"]


# Wake-ups


def test_one_wake_up_waits_at_a_time(transactional_db):
    for _ in range(3):
        wake.wake()
    assert _wake_ups() == 1


def test_the_first_wake_up_of_a_process_is_as_good_as_any(transactional_db):
    wake._broker.cache_clear()  # as in a process that has just begun
    wake.wake()
    assert _wake_ups() == 1


def test_a_wake_up_that_was_taken_suppresses_none(transactional_db):
    wake.wake()
    OrmQ.objects.update(lock=timezone.now() + timedelta(seconds=300))
    wake.wake()
    wake.wake()
    assert _wake_ups() == 2


def test_a_wake_up_commits_with_what_it_is_about(transactional_db):
    with transaction.atomic():
        wake.wake()
        transaction.set_rollback(True)
    assert _wake_ups() == 0


def test_a_wake_up_names_the_task_and_carries_no_data(transactional_db):
    wake.wake()
    task = OrmQ.objects.get().task
    assert (task["func"], task["args"], task["kwargs"]) == ("events.worker.tasks.work", (), {})


# The tick


def _seen(cluster: str, *, seconds_ago: float) -> None:
    past = Now() - timedelta(seconds=seconds_ago)
    Worker.objects.filter(name=cluster).update(seen_at=past)


def test_workers_are_silent_after_two_minutes_by_the_clock_of_the_database(cluster, monkeypatch):
    scheduler.register("ended yesterday")
    assert Worker.objects.are_silent()
    tomorrow = timezone.now() + timedelta(days=1)
    monkeypatch.setattr(timezone, "now", lambda: tomorrow)
    for seconds, silent in ((100, False), (140, True)):
        _seen(cluster, seconds_ago=seconds)
        assert Worker.objects.are_silent() is silent
        assert [each.code for each in finding.find(codes=[ProblemCode.NO_WORKER])] == (
            [ProblemCode.NO_WORKER] if silent else []
        )


def test_a_tick_wakes_a_cluster_that_was_never_seen(cluster):
    assert scheduler.tick(cluster, beat_after=10) is None
    assert _wake_ups() == 1


def test_a_tick_leaves_a_lively_cluster_alone_when_nothing_is_due(cluster):
    _seen(cluster, seconds_ago=3)
    silent = scheduler.tick(cluster, beat_after=10)
    assert silent == pytest.approx(3, abs=1)
    assert _wake_ups() == 0


def test_a_tick_sends_a_heartbeat_to_a_silent_cluster(cluster):
    _seen(cluster, seconds_ago=11)
    scheduler.register("another")
    _seen("another", seconds_ago=0)  # the life of another one says nothing about ours
    assert scheduler.tick(cluster, beat_after=10) == pytest.approx(11, abs=1)
    assert _wake_ups() == 1
    tasks.work()
    silent = silence(cluster)
    assert silent is not None
    assert silent < 2


def _new_delivery() -> None:
    queued.event(None)
    Delivery.objects.update(state=Delivery.State.NEW)


def _lapsed_run() -> None:
    queued.run(factories.DestinationFactory.create())
    queued.let_lapse(*claim(1))


def _orphaned_run() -> None:
    queued.run(factories.DestinationFactory.create())
    Integration.objects.all().delete()


DUE = {
    "a delivery to read": _new_delivery,
    "a run that is due": lambda: queued.run(factories.DestinationFactory.create()),
    "a lease that ran out": _lapsed_run,
    "a run whose integration was deleted": _orphaned_run,
}


@pytest.mark.parametrize("what", DUE)
def test_a_tick_wakes_when_something_is_due(cluster, what):
    DUE[what]()
    _seen(cluster, seconds_ago=0)
    scheduler.tick(cluster, beat_after=10)
    assert _wake_ups() == 1
    tasks.work()
    assert not scheduler.anything_due()


def _run_at(**site: object) -> RuleRun:
    integration = factories.IntegrationFactory.create(**site)
    return queued.run(factories.DestinationFactory.create(integration=integration))


def _run_at_a_paused_site() -> None:
    rate_limit.block(_run_at().integration_id or 0, CallBudget.Blocked.KEY, 600)


def _run_that_waits() -> None:
    RuleRun.objects.filter(pk=_run_at().pk).update(next_attempt_at=Now() + timedelta(seconds=60))


NOT_DUE = {
    "a run at a site that is off": lambda: _run_at(enabled=False),
    "a run at a paused site": _run_at_a_paused_site,
    "a run that waits for its time": _run_that_waits,
    "a run under way": lambda: (_run_at(), claim(1)),
}


@pytest.mark.parametrize("what", NOT_DUE)
def test_a_tick_does_not_wake_for_what_cannot_be_done_now(cluster, what):
    NOT_DUE[what]()
    _seen(cluster, seconds_ago=0)
    scheduler.tick(cluster, beat_after=10)
    assert _wake_ups() == 0
