"""The database of a stage, looked at and held up from outside."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.postgres import Server


@dataclass(frozen=True, slots=True)
class Place:
    """Where the databases of stages are made: SQLite files when there is no server's URL."""

    url: str = ""
    server: Server | None = None

    @property
    def name(self) -> str:
        return "PostgreSQL" if self.url else "SQLite"


@dataclass
class Database:
    """SQLite or PostgreSQL by its URL; `server` is there when it may be killed."""

    url: str
    server: Server | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement, on a connection of its own; what it changes is kept."""
        with self._connected() as connection:
            cursor = connection.execute(sql)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    def number(self, sql: str) -> int:
        """The only value of the only row."""
        return int(self.ask(sql)[0][0])

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        """Nobody else can write: into the table, or on SQLite at all."""
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
