"""Databases that are made once per test run; each process copies them.

Migrations take seconds, and so does the work after them.
"""

import atexit
import contextlib
import fcntl
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

# Makes a database, given its URL. Its processes have ended when it returns.
Maker = Callable[[str], None]
# A folder shared by all processes of a test run.
shared: Path | None = None


@cache
def file(name: str, make: Maker, begin: Path | None = None) -> Path:
    """Return the SQLite file of this name; the first caller makes it from a copy of `begin`."""
    found = _folder() / f"{name}.sqlite3"
    with _alone(name):
        if not found.exists():
            # It gets its name only when it is complete, including its write-ahead log.
            half = found.with_stem(f"{name}-half")
            if begin is not None:
                shutil.copy(begin, half)
            make(f"sqlite:///{half}")
            with contextlib.closing(sqlite3.connect(half)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            half.rename(found)
    return found


def database(name: str, make: Maker, server: str, begin: str = "template1") -> str:
    """Return the name of such a database on the PostgreSQL server of this URL.

    The process that made it drops it when it ends; whoever needs it after that makes it again.
    """
    run = hashlib.sha256(str(_folder()).encode()).hexdigest()[:12]
    found = f"admit_{name}_{run}"
    with _alone(name), psycopg.connect(server, autocommit=True) as connection:
        asked = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(asked, [found]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {found}_half TEMPLATE {begin}")
            make(on(server, f"{found}_half"))
            connection.execute(f"ALTER DATABASE {found}_half RENAME TO {found}")
            atexit.register(drop, server, found)
    return found


def drop(server: str, name: str) -> None:
    """Drop a database of the server, if both exist."""
    with (
        contextlib.suppress(psycopg.OperationalError),  # the server has gone
        psycopg.connect(server, autocommit=True) as connection,
    ):
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def on(server: str, name: str) -> str:
    """Return the URL of that database on the server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    with (_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _folder() -> Path:
    if shared is not None:
        return shared
    own = Path(tempfile.mkdtemp(prefix="admit-prepared-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own
