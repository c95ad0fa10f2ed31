"""Web server, worker cluster and their watchdog: what `manage.py up` runs."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time

from django.conf import settings
from django.db import Error, connection

from config import child
from events import life, ticker

log = logging.getLogger(__name__)
TICK_SECONDS = 1.0


class Program:
    """A child in a process group of its own that dies with us."""

    def __init__(self, name: str, env: dict[str, str]) -> None:
        self.name = name
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._leash = -1

    def start(self, **env: str) -> None:
        """Start the program with these variables on top of its own."""
        ours, self._leash = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "config.child", self.name],
            env=os.environ | self._env | env | {child.LEASH: str(ours)},
            cwd=settings.BASE_DIR,
            pass_fds=[ours],
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
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


class Supervisor:
    """Starts both programs, ticks, restarts what died or fell silent, and stops all of it."""

    def __init__(self, *, bind: str | None, workers: int | None) -> None:
        self._web = Program("web", {child.BIND: bind}) if bind else None
        env = {} if not workers else {"WORKER_PROCESSES": str(workers)}
        self._cluster = Program("cluster", env) if workers != 0 else None
        self._generation = 0
        self._started_at = 0.0
        self._failures = 0
        self._stopping = False

    @property
    def cluster_name(self) -> str:
        return f"{socket.gethostname()[:60]}-{os.getpid()}-{self._generation}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then finish what runs and leave no process behind."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        try:
            if self._web:
                self._web.start()
            if self._cluster:
                self._start_cluster()
            while not self._stopping:
                self._watch()
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

    def _watch(self) -> None:
        if self._web and not self._web.alive():
            self._web.end()
            self._after_failure("web_died")
            self._web.start()
        if self._cluster:
            self._watch_cluster(self._cluster)

    def _watch_cluster(self, cluster: Program) -> None:
        if not cluster.alive():
            return self._restart_cluster(cluster, "cluster_died")
        timeout = settings.HEARTBEAT_TIMEOUT
        try:
            silent = ticker.tick(self.cluster_name, beat_after=timeout / 6)
        except Error as error:
            # Without the database nobody can show life: that is no fault of the cluster's.
            log.error("database_out_of_reach", extra={"error": type(error).__name__})
            connection.close()
            self._started_at = time.monotonic()
            return None
        running = time.monotonic() - self._started_at
        if (running if silent is None else min(silent, running)) > timeout:
            return self._restart_cluster(cluster, "cluster_silent")
        if silent is not None:
            self._failures = 0
        return None

    def _restart_cluster(self, cluster: Program, why: str) -> None:
        cluster.end()
        self._after_failure(why)
        try:
            ticker.dismiss(self.cluster_name)
        except Error:
            connection.close()
        self._start_cluster()

    def _after_failure(self, what: str) -> None:
        """Say it and wait, longer each time: what dies at once must not spin."""
        self._failures += 1
        log.error(what, extra={"restart_in": min(30, 2**self._failures // 2)})
        self._nap(min(30, 2**self._failures // 2))

    def _start_cluster(self) -> None:
        assert self._cluster is not None
        self._generation += 1
        self._started_at = time.monotonic()
        try:
            ticker.enlist(self.cluster_name)
        except Error as error:
            log.error("database_out_of_reach", extra={"error": type(error).__name__})
            connection.close()
        self._cluster.start(**{life.CLUSTER: self.cluster_name})

    def _end_all(self) -> None:
        try:
            ticker.ask_to_stop(self.cluster_name)
        except Error:
            connection.close()
        programs = [program for program in (self._web, self._cluster) if program]
        for program in programs:
            program.ask_to_stop()
        for program in programs:
            program.end(grace=settings.TASK_SECONDS + 15)
        try:
            ticker.dismiss(self.cluster_name)
        except Error:
            connection.close()
