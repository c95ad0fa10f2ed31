"""The database engine for SQLite: one writer at a time, and the next one does not oversleep.

SQLite's own way of waiting sleeps up to 100 ms between two looks, so that with a few writers the
database stood idle for half of the time (measured). Here the threads of a process queue for a
lock in memory, and only the first of them asks SQLite, three times a millisecond (a tenth more is
carried out so than by asking once: measured).
"""

import os
import sqlite3
import threading
import time
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from integrations import database_timeout

LOOK_SECONDS = 0.0003
_turns: dict[str, threading.Lock] = {}
# A lock that another thread held when the process was forked would never be given back.
os.register_at_fork(after_in_child=_turns.clear)


class Cursor(base.SQLiteCursorWrapper):
    """Waits for its turn in whatever stands alone; inside a transaction it has it."""

    def execute(self, query: str, params: Any = None) -> Any:
        connection = self.connection
        assert isinstance(connection, Connection)
        if connection.in_transaction:
            return super().execute(query, params)
        until = min(time.monotonic() + connection.patience, database_timeout.until())
        while True:
            try:
                return super().execute(query, params)
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > until:
                    raise
            time.sleep(LOOK_SECONDS)


class Connection(sqlite3.Connection):
    """`patience` is for how many seconds a writer waits for the others, the thread's allowing."""

    patience = 0.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection, with the turn that its transaction holds."""

    _turn: "threading.Lock | None" = None

    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), "factory": Connection}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        connection = super().get_new_connection(conn_params)
        assert isinstance(connection, Connection)
        connection.patience = float(conn_params.get("timeout", 5.0))
        connection.execute("PRAGMA busy_timeout = 0")  # from here on we wait ourselves
        return connection

    def create_cursor(self, name: str | None = None) -> Cursor:
        return self.connection.cursor(factory=Cursor)  # type: ignore[no-any-return]

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_turn()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._give_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._give_turn()

    def _take_turn(self) -> None:
        turn = _turns.setdefault(str(self.settings_dict["NAME"]), threading.Lock())
        if not turn.acquire(timeout=min(self.connection.patience, database_timeout.left())):
            raise OperationalError("database is locked by another thread")
        self._turn = turn

    def _give_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()
