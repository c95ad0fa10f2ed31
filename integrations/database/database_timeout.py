"""Limit how long a thread waits for the database, so that no POST of SamCart waits forever.

The database engines under `config` ask this module. Without a limit, they wait as usual.
"""

import threading
import time
from types import TracebackType
from typing import Self

_mine = threading.local()


class DatabaseTimeout:
    """A budget in seconds for all `with` blocks of this object together."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = 0.0
        self.spent = 0.0

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        _mine.until = self._since + self._seconds - self.spent
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.spent += time.monotonic() - self._since
        _mine.until = float("inf")


def until() -> float:
    """Return when this thread stops waiting, in monotonic seconds; infinite if it has no limit."""
    limit: float = getattr(_mine, "until", float("inf"))
    return limit


def limited() -> bool:
    """Return whether this thread has a limit."""
    return until() < float("inf")


def left() -> float:
    """Return the seconds until the limit, at least 0."""
    return max(0.0, until() - time.monotonic())
