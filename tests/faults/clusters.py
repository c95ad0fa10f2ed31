"""Faults of django-q2's cluster, and of everything that `manage.py up` starts."""

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.faults.fault import Fault
from tests.faults.stage import Crew, Stage
from tests.support import live

ROLES: dict[str, Callable[[Crew], tuple[int, ...]]] = {
    # A worker that waits for work holds the queue's semaphore, which is never released.
    "idle-workers": lambda pool: pool.workers,
    "pusher": lambda pool: (pool.pusher,),
    "monitor": lambda pool: (pool.monitor,),
    "sentinel": lambda pool: (pool.sentinel,),
    "main": lambda pool: (pool.main,),
}


def _killed(role: str) -> Callable[[Stage], float]:
    def strike(stage: Stage) -> float:
        """The cluster must heal by its own watchdog; a healthy one beside it proves nothing."""
        wounded = stage.up()
        stage.up("--no-web")
        stage.trade(5)
        stage.heal()
        for pid in ROLES[role](stage.pool(wounded)):
            os.kill(pid, signal.SIGKILL)
        killed = datetime.now(UTC)
        stage.mended()
        stage.trade(5)
        # What the dead process left behind may show life for a second or two.
        alive = killed + timedelta(seconds=3)
        seconds = stage.heal(also=lambda: stage.seen_at(wounded) > alive)
        stage.pool(wounded)
        return seconds

    return strike


def two_machines(stage: Stage) -> float:
    """Two clusters run on one database, and only one of them carries out each run."""
    stage.up("--no-worker")
    stage.up("--no-web")
    stage.up("--no-web")
    stage.mended()
    stage.trade(200 if stage.long else 20)
    return stage.heal()


def queue_emptied(stage: Stage) -> float:
    """All wake-ups are deleted, again and again."""
    stage.up()
    until = time.monotonic() + (10 if stage.long else 3)
    with stage.trading(every=0.1, sellers=4):
        while time.monotonic() < until:
            stage.database.ask("DELETE FROM django_q_ormq")
            time.sleep(0.02)
        stage.mended()
    return stage.heal()


def key_changed(stage: Stage) -> float:
    """Wake-ups signed with the old key are queued, and a web server still signs with it."""
    stage.up("--no-worker")
    stage.trade(5)
    assert stage.database.number("SELECT count(*) FROM django_q_ormq") > 0
    stage.up("--no-web", SECRET_KEY="another-key-" + "y" * 40)
    stage.mended()
    stage.trade(5)
    return stage.heal()


def told_to_stop(stage: Stage) -> float:
    """`up` gets SIGTERM while it works, then starts again."""
    stage.sandbox.switches.latency = 0.05
    for _ in range(6 if stage.long else 2):
        running = stage.up()
        with stage.trading(every=0.1, sellers=4):
            time.sleep(stage.dice.uniform(1, 3))
            assert running.terminate() == 0, running.output()
    stage.up()
    stage.mended()
    return stage.heal()


def all_killed(stage: Stage) -> float:
    """`up` itself is killed while it works, as the kernel does when memory is short."""
    stage.sandbox.switches.latency = 0.05
    for _ in range(6 if stage.long else 2):
        running = stage.up()
        with stage.trading(every=0.1, sellers=4):
            time.sleep(stage.dice.uniform(1, 3))
            everybody = live.tree(running.pid)
            running.process.kill()
            running.process.wait()
        live.until(partial(_gone, everybody), what="the end of all")
    stage.up()
    stage.mended()
    seconds = stage.heal()
    failed = stage.database.number("SELECT count(*) FROM events_rulerun WHERE status = 'failed'")
    if failed:
        # On a busy machine one action may be under way at three kills, and is then for a person.
        ended = stage.admit.manage("retry", "--failed")
        assert ended.returncode == 0, ended.stderr
        stage.notes.append(f"{failed} retried by hand")
        stage.heal()
    return seconds


def _gone(processes: list[live.Process]) -> bool:
    return not any(each.alive() for each in processes)


def backlog(stage: Stage) -> float:
    """A day's deliveries wait when the cluster starts."""
    web = stage.up("--no-worker")
    stage.trade(400 if stage.long else 40)
    count = len(stage.sales)
    ago = f"((SELECT max(id) FROM events_delivery) - id) * 86400.0 / {count}"  # noqa: S608
    earlier = (
        f"strftime('%Y-%m-%d %H:%M:%f000', received_at, '-' || ({ago}) || ' seconds')"
        if stage.database.is_sqlite
        else f"received_at - make_interval(secs => {ago})"
    )
    stage.database.ask(f"UPDATE events_delivery SET received_at = {earlier}")  # noqa: S608
    assert web.terminate() == 0
    stage.up()
    stage.mended()
    return stage.heal()


FAULTS = [
    *(
        Fault(
            f"{role}-killed",
            f"{role.replace('-', ' ')} of the cluster killed",
            _killed(role),
            short=role == "idle-workers",
        )
        for role in ROLES
    ),
    *(
        Fault(
            f"{role}-killed-default",
            f"{role.replace('-', ' ')} killed, all settings at their default",
            _killed(role),
            env={"HEARTBEAT_TIMEOUT": "60", "LEASE_SECONDS": "90"},
        )
        for role in ("idle-workers", "monitor")
    ),
    Fault("two-machines", "two `up --no-web` on one database", two_machines),
    Fault("queue-emptied", "queue table emptied all the time", queue_emptied),
    Fault("key-changed", "SECRET_KEY changed with wake-ups queued", key_changed),
    Fault("sigterm", "SIGTERM in the middle, and a new start", told_to_stop, short=True),
    Fault("up-killed", "`up` killed in the middle, and a new start", all_killed),
    Fault("backlog", "a day's backlog on start", backlog),
]
