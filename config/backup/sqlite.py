"""Backups of SQLite: the file is copied while it is in use, checked, and restored."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from django.db import connection

from config.backup.rows import Query, counts

FILE = "database.sqlite3"
# How long to wait for another program that is writing.
LOCK_SECONDS = 30


def take(target: Path, *, without: list[str]) -> dict[str, int]:
    """Copy the database as of one moment, and return the row count of each table in the copy.

    VACUUM INTO lets others write meanwhile, does not have to start over when they do, and leaves
    out the pages of deleted rows. The tables `without` are emptied in the copy.
    """
    with _opened(Path(str(connection.settings_dict["NAME"])), mode="rw") as source:
        source.execute("VACUUM INTO ?", [str(target)])
    with _opened(target, mode="rw") as copy:
        copy.execute("PRAGMA secure_delete = ON")
        for table in without:
            copy.execute(f'DELETE FROM "{table}"')  # noqa: S608 - a table of our own
        return counts(_query(copy), _tables(copy))


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Query]:
    """Open the copy read-only and yield a function that queries it."""
    with _opened(file, mode="ro") as copy:
        yield _query(copy)


def problems(query: Query) -> list[str]:
    """Return the problems that SQLite finds in the file; none when it is intact."""
    try:
        found = [str(row[0]) for row in query("PRAGMA integrity_check(10)")]
        orphans = len(query("PRAGMA foreign_key_check"))
    except sqlite3.DatabaseError as error:
        return [f"SQLite cannot read the database: {error}."]
    told = [f"SQLite says: {line}." for line in found if line != "ok"]
    return told + ([f"{orphans} rows refer to rows that are not there."] if orphans else [])


def replace(file: Path, *, tables: list[str]) -> None:
    """Replace the database by the copy, in one transaction."""
    connection.close()
    target = sqlite3.connect(str(connection.settings_dict["NAME"]), timeout=LOCK_SECONDS)
    with contextlib.closing(target), _opened(file, mode="ro") as source:
        source.backup(target)


@contextlib.contextmanager
def _opened(file: Path, *, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{file.resolve().as_uri()}?mode={mode}"
    opened = sqlite3.connect(address, uri=True, isolation_level=None, timeout=LOCK_SECONDS)
    with contextlib.closing(opened):
        yield opened


def _query(opened: sqlite3.Connection) -> Query:
    return lambda sql: opened.execute(sql).fetchall()


def _tables(opened: sqlite3.Connection) -> list[str]:
    named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [str(row[0]) for row in opened.execute(named)]
