"""Connections to SQLite: one writer at a time, and the next one does not oversleep.

SQLite's own way of waiting sleeps up to 100 ms between two looks, so that with a few writers the
database stood idle for half of the time (measured). Here the threads of a process queue for a lock
in memory, and only the first of them asks SQLite, three times a millisecond (which gets a tenth
more done than once a millisecond: measured).
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from django.db.backends.sqlite3.base import SQLiteCursorWrapper

from integrations.database import database_timeout
from integrations.finding.ordering import SORTED_AS, sorted_as

LOOK_SECONDS = 0.0003
Answer = TypeVar("Answer")
_turns: dict[str, threading.Lock] = {}
# A lock that another thread held when the process was forked would never be given back.
os.register_at_fork(after_in_child=_turns.clear)


# The last few are remembered: sorting rules by product asks for each name several times in a row.
@lru_cache(maxsize=16)
def _sorted_as(text: str | None) -> str | None:
    """The SQL function of integrations.finding.ordering."""
    return None if text is None else sorted_as(text)


class Connection(sqlite3.Connection):
    """The connection of Django's engine, with the turn that its transaction holds.

    It waits at most `timeout` seconds for other writers, and no longer than the thread's limit.
    """

    def __init__(self, database: str, *, timeout: float = 5.0, **options: Any) -> None:
        super().__init__(database, timeout=0.0, **options)  # our code waits instead
        self.timeout = timeout
        self._name = database
        self._turn: threading.Lock | None = None
        self.create_function(SORTED_AS, 1, _sorted_as, deterministic=True)

    def cursor(self, factory: object = None) -> "Cursor":  # type: ignore[override]
        """Return a cursor that waits, in place of the one that Django asks for."""
        return super().cursor(Cursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement with which Django prepares a new connection.

        Even PRAGMA journal_mode waits: SQLite lets nobody in while the last process that had the
        file open cleans up, or the first one after a crash recovers.
        """
        ask = super().execute
        return self.patiently(lambda: ask(sql, parameters), self.waits_until())

    def commit(self) -> None:
        super().commit()
        self.give_turn()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self.give_turn()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.give_turn()

    def waits_until(self) -> float:
        """Return when a wait that begins now must end, in monotonic seconds."""
        return min(time.monotonic() + self.timeout, database_timeout.until())

    @staticmethod
    def patiently(ask: Callable[[], Answer], until: float) -> Answer:
        """Ask until SQLite is not busy.

        Raises sqlite3.OperationalError if it still is at `until`.
        """
        while True:
            try:
                return ask()
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > until:
                    raise
            time.sleep(LOOK_SECONDS)

    def take_turn(self, until: float) -> None:
        """Wait to be the one thread of this process that writes.

        Raises sqlite3.OperationalError if another thread still writes at `until`.
        """
        turn = _turns.setdefault(self._name, threading.Lock())
        if not turn.acquire(timeout=max(0.0, until - time.monotonic())):
            raise sqlite3.OperationalError("database is locked by another thread")
        self._turn = turn

    def give_turn(self) -> None:
        """Let the next thread write, if the turn was ours."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()


class Cursor(SQLiteCursorWrapper):
    """Waits for single statements and for BEGIN. Inside a transaction it need not wait."""

    def execute(self, query: str, params: Any = None) -> Any:
        connection = self.connection
        assert isinstance(connection, Connection)
        if connection.in_transaction:
            return super().execute(query, params)
        until = connection.waits_until()
        if query.startswith("BEGIN"):
            connection.take_turn(until)
        ask = super().execute
        try:
            return connection.patiently(lambda: ask(query, params), until)
        except BaseException:
            connection.give_turn()
            raise
