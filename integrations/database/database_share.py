"""Leave the database to others after writing: SQLite lets one writer in at a time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

# On SQLite, others get this many times as long as was written.
LEAVE_TIMES = 3


def time_for_others(began: float, *, times: float = LEAVE_TIMES) -> float:
    """Return for how many seconds to leave the database after writing since `began`.

    `began` is in monotonic seconds. With PostgreSQL that is 0: it lets others write meanwhile.
    """
    return times * (time.monotonic() - began) if connection.vendor == "sqlite" else 0.0


@contextmanager
def short_transaction(
    *,
    times: float = LEAVE_TIMES,
    spares_server: bool = False,
    leave: Callable[[float], object] = time.sleep,
) -> Iterator[float]:
    """A transaction after which the database is left to others. Yields its monotonic beginning.

    With `spares_server`, a server is spared the load too, for as long as the transaction took.
    """
    with transaction.atomic():
        began = time.monotonic()
        yield began
    seconds = time_for_others(began, times=times)
    if spares_server and connection.vendor != "sqlite":
        seconds = time.monotonic() - began
    if seconds:
        leave(seconds)
