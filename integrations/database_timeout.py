"""How long one thread waits for the database: a POST of SamCart's must not wait for ever.

The database engines under `config` ask here; a caller that sets no limit waits as before.
"""

import threading
import time
from types import TracebackType
from typing import Self

_mine = threading.local()


class DatabaseTimeout:
    """So many seconds for all that is done within its blocks, one after the other."""

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
    """When this thread's patience ends, in monotonic seconds; infinite when it has no limit."""
    limit: float = getattr(_mine, "until", float("inf"))
    return limit


def limited() -> bool:
    """Whether it ends at all."""
    return until() < float("inf")


def left() -> float:
    """Seconds until then, at least 0."""
    return max(0.0, until() - time.monotonic())
