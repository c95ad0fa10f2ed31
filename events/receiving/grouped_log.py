"""Log what strangers can cause at will: counted, and at most once a minute."""

import threading
import time
from collections.abc import Callable

EVERY_SECONDS = 60.0
_all: list["GroupedLog"] = []


class GroupedLog:
    """Logs the first occurrence at once, and then, once a minute, how many followed.

    `say` is called with that number, which is at least 1, and writes the line.
    """

    def __init__(self, say: Callable[[int], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._count = 0
        self._told_at = -EVERY_SECONDS
        _all.append(self)

    def add(self) -> None:
        """Count one more."""
        with self._lock:
            self._count += 1
        self.tell()

    def tell(self, *, at_once: bool = False) -> None:
        """Log what was counted since the last line, if that is a minute ago or `at_once`."""
        with self._lock:
            count, now = self._count, time.monotonic()
            early = now < self._told_at + EVERY_SECONDS and not at_once
            if not count or early:
                return
            self._count, self._told_at = 0, now
        self._say(count)


def flush_all(*, at_once: bool = False) -> None:
    """Log what is due of every grouped log. A process that has a loop calls this now and then."""
    for each in _all:
        each.tell(at_once=at_once)
