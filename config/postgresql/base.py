"""The database engine for PostgreSQL: a thread with limited patience does not wait for ever.

Neither the server's time limits nor TCP's help against a server that stands still: it runs no
clock, and its kernel goes on answering. So the wait itself ends, on our side. What was sent may
still be carried out later; a caller that sets a limit must be able to tell by a key of its own.

The other way round the server helps: it ends a transaction in which we have stood still for longer
than a lease, so that a machine that is frozen or cut off in the middle of a write bars no other.
A migration may compute for longer than that between two statements, and is not ended.
"""

from typing import Any, Self, TypeVar

import psycopg
from django.conf import settings
from django.db import OperationalError
from django.db.backends.postgresql import base, schema
from django.db.backends.utils import CursorWrapper
from psycopg import errors
from psycopg.abc import PQGen

from integrations import database_timeout

# psycopg and libpq wait at least so long for a new connection, whatever they are told.
SHORTEST_CONNECT = 2
# A plan is kept from the third time on; before, each asking of a new connection would cost more.
KEPT_AFTER = 2
Found = TypeVar("Found")


class Connection(psycopg.Connection[Any]):
    """Each wait for the server ends with the patience of the thread."""

    def wait(self, gen: PQGen[Found], interval: float = 0.1, timeout: float | None = None) -> Found:
        if timeout is None and database_timeout.limited():
            timeout = database_timeout.left()
        try:
            return super().wait(gen, interval, timeout)
        except errors.IdleInTransactionSessionTimeout as error:
            # psycopg calls it an internal error, but it is a connection that was lost.
            raise psycopg.OperationalError(str(error)) from error


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Django's, with all the time that a migration needs."""

    def __enter__(self) -> Self:
        super().__enter__()
        with self.connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
        return self


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with such connections, which also keep the plans of what is asked often."""

    SchemaEditorClass = SchemaEditor

    def keeping_cursor(self) -> CursorWrapper:
        """As `cursor`, but what it executes is prepared by the server and its plan is kept.

        Not for the ORM's own statements, in which the values are written: each is another one.
        """
        self.ensure_connection()
        self.connection.cursor_factory = base.ServerBindingCursor
        try:
            return self.cursor()
        finally:
            self.connection.cursor_factory = base.Cursor

    def init_connection_state(self) -> None:
        super().init_connection_state()
        # Not among the connection's options, which a pooler may refuse.
        self.connection.execute(
            f"SET idle_in_transaction_session_timeout = '{settings.LEASE_SECONDS}s'"
        )

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if database_timeout.limited():
            if database_timeout.left() < SHORTEST_CONNECT:
                raise OperationalError("no time is left to connect again")
            conn_params = {**conn_params, "connect_timeout": int(database_timeout.left())}
        connection = super().get_new_connection(conn_params)
        connection.__class__ = Connection  # Django does not ask which class it shall make
        connection.prepare_threshold = KEPT_AFTER
        return connection
