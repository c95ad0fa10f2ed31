"""Statements that are asked again and again: PostgreSQL keeps their plans, half of their time."""

from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.utils import CursorWrapper


def cursor() -> CursorWrapper:
    """A cursor whose statements keep their plans where the engine can; their values are bound."""
    # The connection itself: through Django's proxy for it each attribute costs a look-up.
    connection = connections[DEFAULT_DB_ALIAS]
    keeping: Callable[[], CursorWrapper] = getattr(connection, "keeping_cursor", connection.cursor)
    return keeping()
