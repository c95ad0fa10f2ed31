"""One at a time decides: what is granted is worked out from what was granted before."""

from django.db import connection

# The number of our lock among PostgreSQL's advisory locks; any number, but always this.
NUMBER = 0x41646D69


def try_lock() -> bool:
    """Take the lock until the transaction ends; False when another one holds it.

    SQLite's lock is the transaction itself.
    """
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [NUMBER])
        return bool(cursor.fetchone()[0])


def lock() -> None:
    """Wait for the lock, and hold it until the transaction ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [NUMBER])
