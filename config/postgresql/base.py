"""The database engine for PostgreSQL: a thread may set a limit on how long it waits.

A frozen server enforces no time limit of its own, and TCP does not notice it, because its kernel
still answers. So the wait ends on our side. The statement may still be carried out later: a caller
that sets a limit needs a key of its own to find out.

The server in turn ends a transaction that has been idle for longer than a lease, so that a machine
that is frozen or cut off in the middle of a write does not block the others. A migration may
compute for longer than that between two statements, and is not ended.
"""

from typing import Any, Self, TypeVar

import psycopg
from django.conf import settings
from django.db import OperationalError
from django.db.backends.postgresql import base, schema
from django.db.backends.utils import CursorWrapper
from psycopg import errors
from psycopg.abc import PQGen

from integrations.database import database_timeout

# psycopg and libpq wait at least this long for a new connection, whatever is set.
SHORTEST_CONNECT = 2
# Plans are kept from the third use on; earlier, each first use on a new connection costs more.
KEPT_AFTER = 2
Found = TypeVar("Found")


class Connection(psycopg.Connection[Any]):
    """A connection on which each wait for the server ends at the thread's limit."""

    def wait(self, gen: PQGen[Found], interval: float = 0.1, timeout: float | None = None) -> Found:
        if timeout is None and database_timeout.limited():
            timeout = database_timeout.left()
        try:
            return super().wait(gen, interval, timeout)
        except errors.IdleInTransactionSessionTimeout as error:
            # psycopg calls it an internal error; it is a lost connection.
            raise psycopg.OperationalError(str(error)) from error


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Django's schema editor, without the limit on idle time within a transaction."""

    def __enter__(self) -> Self:
        super().__enter__()
        with self.connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
        return self


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's engine with our connections, which also keep the plans of frequent statements."""

    SchemaEditorClass = SchemaEditor

    def keeping_cursor(self) -> CursorWrapper:
        """Return a cursor whose statements the server prepares, and whose plans it keeps.

        Not for the ORM's own statements: they contain their values, so each one is different.
        """
        self.ensure_connection()
        self.connection.cursor_factory = base.ServerBindingCursor
        try:
            return self.cursor()
        finally:
            self.connection.cursor_factory = base.Cursor

    def init_connection_state(self) -> None:
        super().init_connection_state()
        # Set here because a pooler may refuse connection options. Compiling (jit) would take longer
        # than any of our statements.
        self.connection.execute(
            f"SET idle_in_transaction_session_timeout = '{settings.LEASE_SECONDS}s'; SET jit = off"
        )

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if database_timeout.limited():
            if database_timeout.left() < SHORTEST_CONNECT:
                raise OperationalError("no time is left to connect again")
            conn_params = {**conn_params, "connect_timeout": int(database_timeout.left())}
        connection = super().get_new_connection(conn_params)
        connection.__class__ = Connection  # Django offers no way to choose the class
        connection.prepare_threshold = KEPT_AFTER
        return connection
