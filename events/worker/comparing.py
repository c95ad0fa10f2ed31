"""Comparisons with Thinkific in a thread of their own: they last long, and hold no buyer up.

The thread only reads, gives way before each call, and may die with its process: what it has
written, another one goes on with.
"""

import logging
import threading
import time

from django.conf import settings
from django.db import connections

from events.access import comparing

log = logging.getLogger(__name__)
# So many times as long as a task; the next wake-up begins another thread.
SHARE = 10
_guard = threading.Lock()
_threads: list[threading.Thread] = []


def begin() -> threading.Thread | None:
    """Go on with comparisons that are due, beside the caller; the thread, if there is one."""
    with _guard:
        _threads[:] = [thread for thread in _threads if thread.is_alive()]
        if not _threads and comparing.due():
            thread = threading.Thread(target=_go_on, daemon=True, name="comparing")
            _threads.append(thread)
            thread.start()
        return _threads[0] if _threads else None


def _go_on() -> None:
    try:
        comparing.go_on(until=time.monotonic() + SHARE * settings.TASK_SECONDS)
    except Exception as error:
        # The lease ends by itself, and another one goes on.
        log.error("comparing_broke_off", extra={"error": type(error).__name__})
    finally:
        connections.close_all()
