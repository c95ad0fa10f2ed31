"""A child process of `manage.py up`, which starts it, watches it and ends it."""

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from django.conf import settings

from config.server import child

log = logging.getLogger(__name__)
# A program that ran this long did not fail at its start: the next restart is quick again.
STEADY_SECONDS = 10.0
LONGEST_PAUSE = 30.0


class Program:
    """A child in a process group of its own, which dies with this process."""

    def __init__(self, name: str, *, env: dict[str, str], files: Sequence[int] = ()) -> None:
        """`files` are the open file descriptors that it inherits."""
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
        """Whether it was started and not ended since, even if it has died."""
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

    def has(self, pid: int) -> bool:
        """Return whether the process belongs to the program's group."""
        with contextlib.suppress(ProcessLookupError):
            return self._process is not None and pid > 0 and os.getpgid(pid) == self._process.pid
        return False

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and when it was not started."""
        return None if self._process is None else self._process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the main process alone.

        If its whole group gets one, the cluster hangs (measured).
        """
        if self._process is not None and self.alive():
            self._process.terminate()

    def end(self, grace: float = 0.0) -> None:
        """Wait this many seconds for the end, then kill what is left of the group."""
        if self._process is None:
            return
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            log.warning("program_killed", extra={"program": self.name})
        with contextlib.suppress(ProcessLookupError):  # no process is left, as intended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._leash)
        self._process = None

    def failed(self, why: str, *, orphans: float = 0.0) -> None:
        """End what is left of it and pause, longer each time: a failing start must not spin.

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
