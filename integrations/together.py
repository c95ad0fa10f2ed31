"""Transactions of several threads written as one, where the database takes one writer at a time.

SQLite's writers queue, and each of them waits for the disk while the others wait for it. So what
has come together in the queue of this process goes in with one commit. PostgreSQL does that by
itself.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.db import IntegrityError, connection, transaction

T = TypeVar("T")


class _Part(Generic[T]):
    """The work of one thread, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T
        self.error: BaseException | None = None
        self.over = False

    def carry_out(self, *, alone: bool) -> None:
        # Alone it needs no savepoint: what it leaves half done undoes the transaction itself.
        try:
            with transaction.atomic(savepoint=not alone):
                self._result = self._work()
        except BaseException as error:
            self.error = error

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._result


_waiting: deque[_Part[Any]] = deque()
_turn = threading.Lock()


def write(work: Callable[[], T]) -> T:
    """Do `work` in a transaction; what it returned, once that is committed.

    Raises what `work` raises, and then nothing of it was written; or what the commit raises, and
    then nothing of any of them was. On SQLite another thread may do the work, in its turn, and
    does it again when what others wrote kept it from being committed.
    """
    if connection.vendor != "sqlite":
        with transaction.atomic():
            return work()
    part = _Part(work)
    _waiting.append(part)
    with _turn:
        if not part.over:
            _carry_out([_waiting.popleft() for _ in range(len(_waiting))])
    return part.result()


def _carry_out(parts: list[_Part[Any]]) -> None:
    try:
        with transaction.atomic():
            for part in parts:
                part.carry_out(alone=len(parts) == 1)
                # On a full disk SQLite takes back the whole transaction, not only this part.
                if part.error is not None and transaction.get_rollback():
                    raise part.error
    except BaseException as error:
        rest = [part for part in parts if part.error is None]
        if isinstance(error, IntegrityError) and len(parts) > 1:
            # One of them refers to what is gone, which shows at the commit and not whose it was.
            for part in rest:
                _carry_out([part])
            return
        for part in rest:
            part.error = error
    finally:
        for part in parts:
            part.over = True
