"""What `manage.py up` does beside its work to be watched: the ping, and the canary.

Each in a thread of its own, because both wait for others.
"""

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from events.worker import canary, ping

log = logging.getLogger(__name__)


class Watcher:
    """Begins, at each tick, what is due and not under way."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._ping_at = 0.0

    def tick(self) -> None:
        """Begin the ping and the canary when they are due; waits for neither."""
        if settings.PING_URL and time.monotonic() >= self._ping_at:
            self._ping_at = time.monotonic() + settings.PING_SECONDS
            self._begin("ping", ping.send)
        if not self._is_under_way("canary") and canary.due():
            self._begin("canary", canary.go_on)

    def _is_under_way(self, name: str) -> bool:
        return name in self._threads and self._threads[name].is_alive()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        if not self._is_under_way(name):
            thread = threading.Thread(target=_carry_out, args=[work], name=name, daemon=True)
            self._threads[name] = thread
            thread.start()


def _carry_out(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        # It is tried again; the text of the error may quote a row.
        log.error("watching_broke_off", extra={"error": type(error).__name__})
    finally:
        connections.close_all()
