"""Backups of PostgreSQL: dumped by pg_dump, checked in a temporary database, and restored."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo

from config.backup.errors import BackupError
from config.backup.rows import Query, counts

FILE = "database.dump"
# The user that restores owns the tables.
_OURS = ["--no-owner", "--no-privileges"]


def take(target: Path, *, without: list[str]) -> dict[str, int]:
    """Dump the database as of one moment, and return the row count of each table in the dump.

    The tables `without` are dumped without their rows. Raises BackupError.
    """
    dump = _program("pg_dump")
    with psycopg.connect(_address(), password=_password()) as own:
        own.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        query = _query(own)
        moment = f"--snapshot={query('SELECT pg_export_snapshot()')[0][0]}"
        leave = [f"--exclude-table-data={table}" for table in without]
        where = [f"--file={target}", f"--dbname={_address()}"]
        _run([dump, "--format=custom", *_OURS, moment, *leave, *where])
        return counts(query, _tables(query)) | dict.fromkeys(without, 0)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Query]:
    """Restore the dump into a temporary database, yield a function that queries it, and drop it.

    Raises BackupError.
    """
    restore = _program("pg_restore")
    name = f"admit_check_{secrets.token_hex(6)}"
    with psycopg.connect(_address(), password=_password(), autocommit=True) as own:
        try:
            own.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        except psycopg.errors.InsufficientPrivilege:
            raise BackupError(
                "A backup is tried in a database of its own, and this user of PostgreSQL may make "
                f'none. Allow it: ALTER ROLE "{own.info.user}" CREATEDB.'
            ) from None
        try:
            address = make_conninfo(_address(), dbname=name)
            _run([restore, "--exit-on-error", *_OURS, f"--dbname={address}", str(file)])
            with psycopg.connect(address, password=_password()) as copy:
                yield _query(copy)
        finally:
            own.execute(f"DROP DATABASE {name} WITH (FORCE)")


def problems(query: Query) -> list[str]:
    """Return no problems: a dump whose rows violate a constraint cannot be restored at all."""
    return []


def replace(file: Path, *, tables: list[str]) -> None:
    """Replace these tables, and all tables of our models, by the dump in one transaction.

    Raises BackupError; then nothing was changed.
    """
    restore = [_program("pg_restore"), *_OURS, "--file=-", str(file)]
    words = [_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    psql = [*words, "--output=/dev/null", f"--dbname={_address()}"]
    known = connection.introspection.django_table_names(only_existing=True)
    every = sorted({*tables, *known})
    drop = ", ".join(f'"{table}"' for table in every)
    # Dropping a table does not drop the functions that its triggers call.
    functions = "".join(f"DROP FUNCTION {each} CASCADE;\n" for each in _trigger_functions(every))
    connection.close()
    with _piped(psql, stdin=subprocess.PIPE) as taking:
        assert taking.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # psql has ended; _said tells why
            # Without the COMMIT below nothing is kept, for example when this process is killed.
            begin = f"BEGIN;\nDROP TABLE IF EXISTS {drop} CASCADE;\n{functions}"
            taking.stdin.write(begin.encode())
            taking.stdin.flush()
            with _piped(restore, stdout=taking.stdin) as giving:
                said = _said(giving)
            # SIGPIPE means that psql ended first; psql's own message says why.
            if giving.returncode not in (0, -signal.SIGPIPE):
                taking.kill()  # before its input ends, so that it commits nothing
                raise BackupError(f"pg_restore failed, and nothing was changed: {said}")
            with contextlib.suppress(BrokenPipeError):
                taking.stdin.write(b"COMMIT;\n")
                taking.stdin.close()
        said = _said(taking)
    if taking.returncode:
        raise BackupError(f"The database was not restored, and is as it was: {said}")


def _trigger_functions(tables: list[str]) -> list[str]:
    """Return the functions that triggers of these tables call, with their argument types."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT pg_trigger.tgfoid::regprocedure::text FROM pg_trigger "
            "JOIN pg_class ON pg_class.oid = pg_trigger.tgrelid "
            "WHERE NOT pg_trigger.tgisinternal AND pg_class.relname = ANY(%s)",
            [tables],
        )
        return [name for (name,) in cursor.fetchall()]


def _piped(words: list[str], **ends: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, env=_env(), stderr=subprocess.PIPE, **ends)  # noqa: S603


def _said(program: "subprocess.Popen[bytes]") -> str:
    """Wait until the program closes stderr, and return the last line that it wrote there."""
    assert program.stderr is not None
    said = program.stderr.read().decode("utf-8", "replace").strip()
    return said.splitlines()[-1] if said else "it gave no reason."


def _address() -> str:
    """Return the connection string of the database, without the password."""
    own = connection.settings_dict
    named = {"dbname": "NAME", "host": "HOST", "port": "PORT", "user": "USER"}
    words = {word: str(own[name]) for word, name in named.items() if own[name]}
    # String options such as sslmode. Not libpq's full list of parameters, some of which older
    # client programs do not know.
    return make_conninfo(**words, **{k: v for k, v in own["OPTIONS"].items() if isinstance(v, str)})


def _password() -> str:
    return str(connection.settings_dict["PASSWORD"] or "")


def _env() -> dict[str, str]:
    # The password is not passed as an argument, which every user of the machine could read.
    quiet = {"PGOPTIONS": "-c client_min_messages=warning"}
    return os.environ | quiet | ({"PGPASSWORD": _password()} if _password() else {})


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"{name} is not here, and PostgreSQL's backups need it. Install the client programs of "
            "your server's version, on Debian and Ubuntu: sudo apt-get install postgresql-client."
        )
    return found


def _run(words: list[str]) -> None:
    with _piped(words, stdin=subprocess.DEVNULL) as program:
        said = _said(program)
    if program.returncode:
        raise BackupError(f"{Path(words[0]).name} failed: {said}")


def _query(opened: "psycopg.Connection[Any]") -> Query:
    return lambda sql: opened.execute(sql.encode()).fetchall()


def _tables(query: Query) -> list[str]:
    named = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return [str(row[0]) for row in query(named)]
