"""The lock that lets one transaction decide at a time: decisions build on earlier grants."""

from django.db import connection

# Key of our advisory lock in PostgreSQL. The value is arbitrary, but must never change.
NUMBER = 0x41646D69


def try_lock() -> bool:
    """Try to take the lock until the transaction ends. Return False if another one holds it.

    SQLite needs none: it allows one write transaction at a time.
    """
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [NUMBER])
        return bool(cursor.fetchone()[0])


def lock() -> None:
    """Wait for the lock and hold it until the transaction ends. Does nothing on SQLite."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [NUMBER])
