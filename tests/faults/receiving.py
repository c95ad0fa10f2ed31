"""Faults while SamCart's POSTs come in."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.faults.fault import Fault
from tests.faults.stage import STILL_SECONDS, Stage
from tests.support import live, postgres
from tests.support.postgres import Server

# Every this many kills, the main process of the web server is killed instead of a worker.
MAIN_TOO = 5


def web_killed(stage: Stage) -> float:
    """Kill a worker or the main process with SIGKILL at random moments during a burst."""
    kills, sales, gap = (25, 1500, 2.0) if stage.long else (5, 60, 0.8)
    running = stage.up()
    with stage.trading(every=0.05):
        for killed in range(kills):
            time.sleep(stage.dice.uniform(0.05, gap))
            # Leave a newly started process alone until it serves, which may take long.
            main, *workers = live.until(partial(_web, running), what="a web server")
            victim = main if killed % MAIN_TOO == MAIN_TOO - 1 else stage.dice.choice(workers)
            os.kill(victim, signal.SIGKILL)
        stage.mended()
        # A slow or busy machine reaches fewer kills.
        with contextlib.suppress(AssertionError):
            live.until(lambda: len(stage.sales) >= sales, seconds=STILL_SECONDS)
    stage.notes.append(f"{kills} kills")
    return stage.heal()


def _web(running: live.Running) -> list[int]:
    """Return the main process and its workers; nothing while there is no worker."""
    main = running.program("web")
    workers = [each.pid for each in live.children(main)]
    return [main, *workers] if workers else []


def database_held(stage: Stage) -> float:
    """Another program holds the lock that every write needs."""
    stage.up()
    with stage.trading(every=0.1, sellers=4):
        time.sleep(1)
        with stage.database.held("events_delivery"):
            _all_are_taken(stage, 10 if stage.long else 5)
        stage.mended()
        time.sleep(1)
    return stage.heal()


def postgres_killed(stage: Stage) -> float:
    """PostgreSQL stops without warning, stays away for a while, and recovers."""
    server = stage.database.server
    assert server is not None
    running = stage.up()
    for away in (5, 20) if stage.long else (5,):
        with stage.trading(every=0.1, sellers=4):
            time.sleep(1.5)
            server.kill()
            _all_are_taken(stage, away)
            server.start()
            stage.mended()
            time.sleep(1)
        assert running.process.poll() is None, running.output()
    return stage.heal()


def postgres_frozen(stage: Stage) -> float:
    """PostgreSQL answers nothing and closes nothing while web server and cluster die."""
    server = stage.database.server
    assert server is not None
    running = stage.up()
    with stage.trading(every=0.1, sellers=4):
        time.sleep(1.5)
        with _frozen(server):
            time.sleep(1)
            dead = [running.program("web"), running.program("cluster")]
            for pid in dead:
                os.kill(pid, signal.SIGKILL)
            live.until(lambda: running.program("web") not in dead, what="another web server")
            live.until(lambda: running.program("cluster") not in dead, what="another cluster")
            live.until(partial(_serves, stage, len(stage.sales)), what="one who is acknowledged")
            _all_are_taken(stage, 12 if stage.long else 3)
        stage.mended()
        thawed = datetime.now(UTC)
        time.sleep(1)
    # A cluster that nobody had recorded would show no life and count as silent.
    seconds = stage.heal(also=lambda: stage.seen_at(running) > thawed)
    assert "cluster_silent" not in running.output(), "the cluster was started again"
    with _frozen(server):
        code = running.terminate()
        assert code == 0, f"up ended with {code} while PostgreSQL stood still"
    stage.up()
    return seconds


def _serves(stage: Stage, before: int) -> bool:
    return any(sale.acknowledged for sale in stage.sales[before:])


@contextlib.contextmanager
def _frozen(server: Server) -> Iterator[None]:
    """Freeze the server: it keeps its port and its connections but does nothing."""
    assert server.process is not None
    main = server.process.pid
    # Freeze the main process first, so that it starts no other process.
    os.kill(main, signal.SIGSTOP)
    stopped = [main, *(each.pid for each in live.tree(main))]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def disk_full(stage: Stage) -> float:
    """The disk of SQLite's file is full for a while; the spool is on another disk."""
    disk = _small_disk(stage)
    seconds = _full_for_a_while(stage, disk)
    refused = [sale for sale in stage.sales if not sale.acknowledged]
    assert not refused, f"{len(refused)} were refused"
    return seconds


def postgres_disk_full(stage: Stage) -> float:
    """PostgreSQL's disk is full for a while; a server that gave up is started again."""
    disk = Path(tempfile.mkdtemp(prefix="admit-disk-"))
    stage.after.callback(disk.rmdir)
    _mount(stage, disk, size="200m")
    folder = postgres.binaries()
    assert folder is not None
    server = stage.after.enter_context(postgres.server(folder, where=disk, synchronous_commit="on"))
    other = stage.admit.folder / "other"
    other.mkdir()
    opened = stage.after.enter_context(live.on_server(other, server.url))
    stage.admit.database = stage.database.url = opened.database
    running = stage.up()
    with stage.trading(every=0.05, sellers=4):
        time.sleep(1)
        _fill(disk / "filling")
        _all_are_taken(stage, 6)
        (disk / "filling").unlink()
        assert server.process is not None
        if server.process.poll() is not None:
            server.start()
        stage.mended()
        time.sleep(1)
    assert "delivery_spooled" in running.output(), "the database took everything"
    return stage.heal()


def disks_full(stage: Stage) -> float:
    """The spool is on the full disk too: what cannot be kept must not be acknowledged."""
    disk = _small_disk(stage)
    stage.admit.env["SPOOL_DIR"] = str(disk / "spool")
    seconds = _full_for_a_while(stage, disk)
    answers = {sale.status for sale in stage.sales}
    assert answers == {200, 503}, f"the answers were {answers}"
    return seconds


def _full_for_a_while(stage: Stage, disk: Path) -> float:
    stage.up()
    with stage.trading(every=0.05, sellers=4):
        time.sleep(1)
        _fill(disk / "filling")
        _while_it_lasts(stage, 6)
        (disk / "filling").unlink()
        stage.mended()
        time.sleep(1)
    return stage.heal()


def _all_are_taken(stage: Stage, seconds: float) -> None:
    """Check that the spool takes what the database cannot."""
    taken, posted = _while_it_lasts(stage, seconds)
    assert taken == posted > 0, f"{taken} of {posted} were acknowledged"


def _while_it_lasts(stage: Stage, seconds: float) -> tuple[int, int]:
    before = len(stage.sales)
    time.sleep(seconds)
    during = stage.sales[before:]
    taken = sum(sale.acknowledged for sale in during)
    stage.notes.append(f"{taken} of {len(during)} acknowledged in {seconds} s of it")
    return taken, len(during)


def _small_disk(stage: Stage) -> Path:
    disk = stage.admit.folder / "disk"
    disk.mkdir()
    _mount(stage, disk, size="16m")
    shutil.copy(stage.database.url.removeprefix("sqlite:///"), disk / "live.sqlite3")
    stage.admit.database = stage.database.url = f"sqlite:///{disk}/live.sqlite3"
    # Less free space than /readyz asks for.
    stage.admit.env["READY_FREE_MB"] = "1"
    return disk


def _mount(stage: Stage, disk: Path, *, size: str) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "admit-faults", str(disk)]
    subprocess.run(mount, check=True, capture_output=True)
    stage.after.callback(subprocess.run, ["umount", str(disk)], check=True)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            pass


def may_mount() -> bool:
    """Return whether this user may mount the small disk that `disk_full` fills."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


FAULTS = [
    Fault("web-killed", "web server killed at random under a burst", web_killed, short=True),
    Fault("database-held", "every write blocked by another program for 10 s", database_held),
    Fault(
        "postgres-killed",
        "PostgreSQL stopped hard and started again",
        postgres_killed,
        only="PostgreSQL",
    ),
    Fault(
        "postgres-frozen",
        "PostgreSQL frozen, web server and cluster killed meanwhile",
        postgres_frozen,
        only="PostgreSQL",
    ),
]
if may_mount():
    FAULTS += [
        Fault("disk-full", "disk full for 6 s", disk_full, only="SQLite"),
        Fault("disks-full", "disk of database and spool full for 6 s", disks_full, only="SQLite"),
        Fault(
            "postgres-disk-full",
            "disk of PostgreSQL full for 6 s",
            postgres_disk_full,
            only="PostgreSQL",
        ),
    ]
