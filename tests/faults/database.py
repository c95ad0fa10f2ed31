"""Looks at the database of a stage, and blocks it, from outside."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.postgres import Server


@dataclass(frozen=True, slots=True)
class Place:
    """Where the databases of stages are made: SQLite files if there is no server URL."""

    url: str = ""
    server: Server | None = None

    @property
    def name(self) -> str:
        return "PostgreSQL" if self.url else "SQLite"


@dataclass
class Database:
    """SQLite or PostgreSQL by its URL; `server` is set when it may be killed."""

    url: str
    server: Server | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, on a new connection; its changes are kept."""
        with self._connected() as connection:
            cursor = connection.execute(sql)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    def number(self, sql: str) -> int:
        """Return the only value of the only row."""
        return int(self.ask(sql)[0][0])

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        """Block other writers: for this table, or on SQLite for everything."""
        with self._connected() as connection:
            if self.is_sqlite:
                connection.execute("BEGIN IMMEDIATE")
            else:
                connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            try:
                yield
            finally:
                connection.rollback()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        if self.is_sqlite:
            opened = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)
            with contextlib.closing(opened):
                # Autocommit until we say BEGIN; a commit without one does nothing.
                opened.isolation_level = None
                yield opened
        else:
            with contextlib.closing(psycopg.connect(self.url, connect_timeout=5)) as opened_there:
                yield opened_there
