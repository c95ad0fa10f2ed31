"""Web servers, worker cluster and their watchdog: what `manage.py up` runs."""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import Error, connection
from django.db.models import Q
from django.db.models.functions import Now

from config.server import child
from events.alerts import round
from events.models import Worker
from events.queue import wake_pipe
from events.receiving import answer_counts, disk, spool
from events.worker import heartbeat, scheduler, watching
from integrations.database_timeout import DatabaseTimeout

log = logging.getLogger(__name__)
TICK_SECONDS = 1.0
# A cluster that has just been started loads the program first, on a busy machine slowly.
FIRST_SIGN_SECONDS = 30.0
# A program that ran this long has not died at its start: the next restart is quick again.
STEADY_SECONDS = 10.0
LONGEST_PAUSE = 30.0
# Processes whose main one was killed finish the requests that they hold, as long as this.
ORPHANS_SECONDS = 5.0
# What was spooled goes before new work: at the start as far as this goes, and then at each tick.
FIRST_DRAIN_SECONDS = 10.0
DRAIN_SECONDS = 0.5
# How long a look for problems may take that `up` starts because no worker looks.
LOOK_SECONDS = 120.0


class Program:
    """A child in a process group of its own that dies with us."""

    def __init__(self, name: str, *, env: dict[str, str], files: Sequence[int] = ()) -> None:
        """`files` are the numbers of open files that it gets as they are."""
        self.name = name
        self._env = env
        self._files = files
        self._process: subprocess.Popen[bytes] | None = None
        self._leash = -1
        self._failures = 0
        self._started_at = 0.0
        self._start_at = 0.0

    @property
    def started(self) -> bool:
        """Whether it was started and not ended since, alive or not."""
        return self._process is not None

    @property
    def running_seconds(self) -> float:
        return time.monotonic() - self._started_at

    def may_start(self) -> bool:
        """False while the pause after a failure lasts."""
        return time.monotonic() >= self._start_at

    def start(self, **env: str) -> None:
        """Start the program with these variables on top of its own."""
        ours, self._leash = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "config.server.child", self.name],
            env=os.environ | self._env | env | {child.LEASH: str(ours)},
            cwd=settings.BASE_DIR,
            pass_fds=[ours, *self._files],
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
        self._started_at = time.monotonic()
        os.close(ours)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM to the main process alone: to the whole group, the cluster hangs (measured)."""
        if self._process is not None and self.alive():
            self._process.terminate()

    def end(self, grace: float = 0.0) -> None:
        """Wait so long for the end, then kill whatever is left of the group."""
        if self._process is None:
            return
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            log.warning("program_killed", extra={"program": self.name})
        with contextlib.suppress(ProcessLookupError):  # nobody is left, as it should be
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._leash)
        self._process = None

    def failed(self, why: str, *, orphans: float = 0.0) -> None:
        """End what is left of it and pause, longer each time: what dies at once must not spin.

        `orphans` is how many seconds the rest of its group has to end by itself.
        """
        if self.running_seconds > STEADY_SECONDS:
            self._failures = 0
        self._await_orphans(orphans)
        self.end()
        self._failures += 1
        pause = min(LONGEST_PAUSE, 2.0 ** (self._failures - 1))
        self._start_at = time.monotonic() + pause
        log.error(why, extra={"restart_in": pause})

    def _await_orphans(self, seconds: float) -> None:
        # The pipe breaks when the last process that holds its other end has ended.
        leash = select.poll()
        leash.register(self._leash, 0)
        leash.poll(seconds * 1000)


class Supervisor:
    """Starts the programs, ticks, restarts what died or fell silent, and stops all of it.

    `listener` is the web server's socket (None: no web server), kept open here so that a
    connection waits, and is not refused, while the web server is started again. So are the
    sockets by which it hands connections to the program for the pages. `workers` is
    how many processes the cluster has: None for the setting, 0 for no cluster.
    """

    def __init__(self, *, listener: socket.socket | None, workers: int | None) -> None:
        self._listener = listener
        read_end, write_end = wake_pipe.create()
        # For the scheduler in this process, and for every program that gets our environment.
        os.environ[wake_pipe.WRITE_END] = str(write_end)
        self._cluster: Program | None = None
        self._servers = self._web_servers(listener, write_end) if listener else []
        if workers != 0:
            env = {"WORKER_PROCESSES": str(workers)} if workers else {}
            # Without a web server here, what comes in elsewhere reaches no pipe of ours.
            pipe = {wake_pipe.READ_END: str(read_end)} if listener else {}
            self._cluster = Program("cluster", env=env | pipe, files=[read_end, write_end])
        self._alerts = Program("alerts", env={})
        self._generation = 0
        self._enlisted = False
        self._reached_at = 0.0
        # A worker that has just been started looks first.
        self._look_at = time.monotonic() + 2 * settings.ALERT_SECONDS
        self._stopping = False

    def _web_servers(self, listener: socket.socket, write_end: int) -> list[Program]:
        self._hand_over = there, here = child.hand_over()
        self._counts = tempfile.TemporaryDirectory(prefix="admit-")
        counting = {answer_counts.FOLDER: self._counts.name}
        env = counting | {
            child.BIND: f"fd://{listener.fileno()}",
            child.HAND_OVER: str(there.fileno()),
        }
        return [
            Program("web", env=env, files=[listener.fileno(), there.fileno(), write_end]),
            Program(
                "pages",
                env=counting | {child.TAKE_OVER: str(here.fileno())},
                files=[here.fileno(), write_end],
            ),
        ]

    @property
    def cluster_name(self) -> str:
        return f"{socket.gethostname()[:60]}-{os.getpid()}-{self._generation}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then finish what runs and leave no process behind."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        try:
            if self._servers:
                spool.prepare()
            self._watch_web()
            self._drain(FIRST_DRAIN_SECONDS)
            while not self._stopping:
                disk.keep_ballast()
                self._watch_web()
                self._drain(DRAIN_SECONDS)
                if self._cluster:
                    self._watch_cluster(self._cluster)
                self._note(watching.tick)
                self._watch_alerts(self._alerts)
                self._nap(TICK_SECONDS)
        finally:
            self._end_all()

    def stop(self, *_: object) -> None:
        """End `run` soon; also a signal handler."""
        self._stopping = True

    def _nap(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.05)

    def _watch_web(self) -> None:
        for server in self._servers:
            if server.started and not server.alive():
                died = {"web": "web_died", "pages": "pages_died"}
                server.failed(died[server.name], orphans=ORPHANS_SECONDS)
            if not server.started and server.may_start():
                server.start()

    def _watch_cluster(self, cluster: Program) -> None:
        if not cluster.started:
            if cluster.may_start():
                self._start_cluster(cluster)
            return
        why = "" if cluster.alive() else "cluster_died"
        if why or self._silent(cluster):
            cluster.failed(why or "cluster_silent")
            self._note(lambda: scheduler.deregister(self.cluster_name))

    def _watch_alerts(self, alerts: Program) -> None:
        """Without a worker somebody must still say that there is none."""
        if alerts.started and (not alerts.alive() or alerts.running_seconds > LOOK_SECONDS):
            alerts.end()
        elif not alerts.started and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + settings.ALERT_SECONDS / 2
            self._note(lambda: alerts.start() if round.overdue() else None)

    def _silent(self, cluster: Program) -> bool:
        """Tick; True when the cluster has shown no life for too long."""
        timeout = settings.HEARTBEAT_TIMEOUT
        try:
            with _patience():
                if not self._enlisted:  # started while the database was away: no sign would count
                    self._enlist()
                silent = scheduler.tick(self.cluster_name, beat_after=timeout / 6)
        except Error as error:
            # Without the database nobody can show life: that is no fault of the cluster's.
            self._out_of_reach(error)
            self._reached_at = time.monotonic()
            return False
        reached = time.monotonic() - self._reached_at
        if silent is None:
            return min(cluster.running_seconds, reached) > max(timeout, FIRST_SIGN_SECONDS)
        return min(silent, reached) > timeout

    def _start_cluster(self, cluster: Program) -> None:
        self._generation += 1
        self._enlisted = False
        self._reached_at = time.monotonic()
        self._note(self._enlist)
        self._note(forget_old_clusters)
        cluster.start(**{heartbeat.CLUSTER: self.cluster_name})

    def _enlist(self) -> None:
        scheduler.register(self.cluster_name)
        self._enlisted = True

    def _end_all(self) -> None:
        if self._listener:
            self._listener.close()  # a client that connects from now on is refused and tries again
        self._note(lambda: scheduler.ask_to_stop(self.cluster_name))
        self._alerts.end()
        programs = [*self._servers, *([self._cluster] if self._cluster else [])]
        for program in programs:
            program.ask_to_stop()
        for program in programs:
            program.end(grace=settings.TASK_SECONDS + 15)
        if self._servers:
            self._counts.cleanup()

    def _drain(self, seconds: float) -> None:
        try:
            spool.drain(seconds=seconds)
        except Error as error:
            self._out_of_reach(error)

    def _note(self, step: Callable[[], object]) -> None:
        """Write to the database if it can be reached; the programs do without."""
        try:
            with _patience():
                step()
        except Error as error:
            self._out_of_reach(error)

    def _out_of_reach(self, error: Error) -> None:
        log.error("database_out_of_reach", extra={"error": type(error).__name__})
        connection.close()


def _patience() -> DatabaseTimeout:
    # One that hangs must not keep us from the web server, the watchdog and the signal to stop.
    return DatabaseTimeout(settings.STORE_SECONDS)


def forget_old_clusters() -> None:
    """Rows of clusters that ended a day ago; younger ones tell when a worker was last seen."""
    Worker.objects.filter(
        Q(seen_at__lt=Now() - timedelta(days=1))
        | Q(seen_at=None, started_at__lt=Now() - timedelta(days=1))
    ).delete()
