"""Web servers, worker cluster and their watchdog: what `manage.py up` runs."""

import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable

from django.conf import settings
from django.db import Error, connection

from config.server import child, restart
from config.server.daily_backup import DailyBackup
from config.server.program import Program
from config.sqlite import writer
from events.alerts import rounds
from events.queue import wake_pipe
from events.receiving import answer_counts, disk, spool
from events.worker import heartbeat, scheduler, watching
from integrations.database.database_timeout import DatabaseTimeout

log = logging.getLogger(__name__)
TICK_SECONDS = 1.0
# A new cluster loads the program first, slowly on a busy machine.
FIRST_SIGN_SECONDS = 30.0
# Seconds for processes whose main process was killed to finish their requests.
ORPHANS_SECONDS = 5.0
# Spooled files go before new work: up to this many seconds at the start, then at each tick.
FIRST_DRAIN_SECONDS = 10.0
DRAIN_SECONDS = 0.5
# The time limit for a look for problems that `up` starts because no worker looks.
LOOK_SECONDS = 120.0


class Supervisor:
    """Starts the programs, ticks, restarts what died or fell silent, and stops all of it.

    `listener` is the web server's socket (None: no web server). It is kept open here so that
    connections wait, and are not refused, while the web server restarts. So are the sockets by
    which that hands connections to the program for the pages. `workers` is how many processes the
    cluster has: None for the setting, 0 for no cluster.
    """

    def __init__(self, *, listener: socket.socket | None, workers: int | None) -> None:
        self._listener = listener
        read_end, write_end = wake_pipe.create()
        # For the scheduler in this process, and for every child, which gets our environment.
        os.environ[wake_pipe.WRITE_END] = str(write_end)
        self._cluster: Program | None = None
        self._servers = self._web_servers(listener, write_end) if listener else []
        if workers != 0:
            env = {"WORKER_PROCESSES": str(workers)} if workers else {}
            # Without a web server here, events received elsewhere reach no pipe of ours.
            pipe = {wake_pipe.READ_END: str(read_end)} if listener else {}
            self._cluster = Program("cluster", env=env | pipe, files=[read_end, write_end])
        self._alerts = Program("alerts", env={})
        self._backup = DailyBackup()
        self._generation = 0
        self._enlisted = False
        self._reached_at = 0.0
        self._barred_at: float | None = None
        # Workers that were just started get time to look first.
        self._look_at = time.monotonic() + 2 * settings.ALERT_SECONDS
        self._stopping = False
        self._restart_asked = False
        self.restarting = False

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
        """Serve until SIGTERM or SIGINT; then finish what runs and leave no process behind.

        SIGHUP ends it too if the program that is on the disk now can start: `restarting` is true
        then, and the listener is left open for it.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        signal.signal(signal.SIGHUP, self._ask_to_restart)
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
                self._backup.watch()
                if self._restart_asked:
                    self._prepare_restart()
                self._nap(TICK_SECONDS)
        finally:
            self._end_all()

    def stop(self, *_: object) -> None:
        """End `run` soon; also a signal handler."""
        self._stopping = True

    def _ask_to_restart(self, *_: object) -> None:
        self._restart_asked = True

    def _prepare_restart(self) -> None:
        self._restart_asked = False
        if restart.can_start():
            self.restarting = self._stopping = True
        else:
            log.error("restart_refused")

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
        """Look for problems from here when no worker does: `up` must report that none works."""
        if alerts.started and (not alerts.alive() or alerts.running_seconds > LOOK_SECONDS):
            alerts.end()
        elif not alerts.started and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + settings.ALERT_SECONDS / 2
            self._note(lambda: alerts.start() if rounds.overdue() else None)

    def _silent(self, cluster: Program) -> bool:
        """Tick the scheduler. Returns True when the cluster has been silent for too long."""
        timeout = settings.HEARTBEAT_TIMEOUT
        try:
            with _patience():
                if not self._enlisted:  # started without the database: signs would not count
                    self._enlist()
                silent = scheduler.tick(self.cluster_name, beat_after=timeout / 6)
        except Error as error:
            # Without the database no worker can report: that is not the cluster's fault.
            self._out_of_reach(error)
            self._reached_at = time.monotonic()
            return self._bars_all(cluster)
        self._barred_at = None
        reached = time.monotonic() - self._reached_at
        if silent is None:
            return min(cluster.running_seconds, reached) > max(timeout, FIRST_SIGN_SECONDS)
        return min(silent, reached) > timeout

    def _bars_all(self, cluster: Program) -> bool:
        """Return whether a process of the cluster has hung in a write to SQLite for too long."""
        if not cluster.has(writer.process()):
            self._barred_at = None
            return False
        self._barred_at = self._barred_at or time.monotonic()
        return time.monotonic() - self._barred_at > settings.HEARTBEAT_TIMEOUT

    def _start_cluster(self, cluster: Program) -> None:
        self._generation += 1
        self._enlisted = False
        self._reached_at = time.monotonic()
        self._note(self._enlist)
        self._note(scheduler.forget_old)
        cluster.start(**{heartbeat.CLUSTER: self.cluster_name})

    def _enlist(self) -> None:
        scheduler.register(self.cluster_name)
        self._enlisted = True

    def _end_all(self) -> None:
        if self._listener and not self.restarting:
            self._listener.close()  # clients that connect from now on are refused and try again
        self._note(lambda: scheduler.ask_to_stop(self.cluster_name))
        self._alerts.end()
        self._backup.end()
        cluster = [self._cluster] if self._cluster else []
        if self.restarting:
            # Keep receiving until the workers have finished.
            self._end(cluster)
            cluster = []
        self._end([*self._servers, *cluster])

    def _end(self, programs: list[Program]) -> None:
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
        """Write to the database if it can be reached; the programs do not depend on it."""
        try:
            with _patience():
                step()
        except Error as error:
            self._out_of_reach(error)

    def _out_of_reach(self, error: Error) -> None:
        log.error("database_out_of_reach", extra={"error": type(error).__name__})
        connection.close()


def _patience() -> DatabaseTimeout:
    # A hanging database must not keep us from the web server, the watchdog and the stop signal.
    return DatabaseTimeout(settings.STORE_SECONDS)
