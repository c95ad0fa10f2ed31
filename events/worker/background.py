"""Long work that a worker does in threads beside its loop, so that it delays no buyer.

These compare with Thinkific and tell people what is wrong. A thread may die with its process:
another one goes on with what it has written.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import QuerySet

from events.alerts import delivery, rounds
from events.comparison import comparing

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BackgroundWork:
    """One kind of such work: `due` says whether there is any, `go_on(until)` does it.

    It has `task_times` times as long as a task. A thread that is not back after twice that time
    hangs, and another one takes its place.
    """

    name: str
    due: Callable[[], bool]
    go_on: Callable[[float], object]
    task_times: float
    _thread: threading.Thread | None = None
    _until: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> threading.Thread | None:
        """Start a thread if something is due and none runs. Return the running thread, if any."""
        with self._guard:
            if self._thread and self._thread.is_alive() and time.monotonic() < self._until:
                return self._thread
            self._thread = None
            if self.due():
                lasts = self.task_times * settings.TASK_SECONDS
                until = time.monotonic() + lasts
                self._until = until + lasts
                self._thread = threading.Thread(
                    target=self._run, args=[until], daemon=True, name=self.name
                )
                self._thread.start()
            return self._thread

    def _run(self, until: float) -> None:
        try:
            self.go_on(until)
        except Exception as error:
            # Its lease ends by itself, and another thread goes on.
            log.error(
                "background_broke_off",
                extra={"what": self.name, "error": type(error).__name__},
            )
        finally:
            connections.close_all()


def _alert(until: float) -> None:
    rounds.look()
    delivery.send_due(until=until)


def _compare(until: float) -> None:
    comparing.go_on(until=until)


def _found(*due: Callable[[], QuerySet[Any]]) -> bool:
    """Whether any of these finds a row. One query, because it is asked once a second."""
    first, *others = (find().order_by() for find in due)
    return first.union(*others, all=True).exists()


COMPARING = BackgroundWork("comparing", lambda: _found(comparing.due), _compare, task_times=10)
ALERTING = BackgroundWork(
    "alerting", lambda: _found(rounds.due, delivery.due), _alert, task_times=1
)
ALL = (COMPARING, ALERTING)


def begin() -> None:
    """Start a thread for each of them that has something to do."""
    for each in ALL:
        each.begin()


def due() -> bool:
    """Whether any of them has something to do."""
    return _found(comparing.due, rounds.due, delivery.due)
