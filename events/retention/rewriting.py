"""Have the database rewrite its files, in which deleted rows would otherwise stay readable."""

import time
from typing import Any

from django.db import Error, connection
from django.utils.translation import gettext_lazy as _

from events.models import (
    ComparisonFinding,
    ComparisonRun,
    Delivery,
    EventLog,
    EventTerm,
    Grant,
    RuleRun,
)
from integrations.models import ApiCall, Customer, Intent, SearchTerm, ThinkificUser
from integrations.sentences import say

TABLES = (
    *(ApiCall, ComparisonFinding, ComparisonRun, Customer, Delivery, EventLog, EventTerm),
    *(Grant, Intent, RuleRun, SearchTerm, ThinkificUser),
)

STILL_IN_LOG = _(
    "The database's -wal file may still hold bytes of deleted rows until Admit is started again: "
    "it was being read."
)
LOG_TRIES, LOG_PAUSE = 20, 0.1


def rewrite() -> str:
    """Clear what deleted rows left in the database's files. Return why that failed, or "".

    SQLite writes its file again; meanwhile the spool takes what SamCart sends. PostgreSQL frees the
    space of deleted rows; its write-ahead log and base backups are up to whoever runs the server.
    """
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("VACUUM")
                return "" if _write_log_back(cursor) else str(STILL_IN_LOG)
            names = [connection.ops.quote_name(model._meta.db_table) for model in TABLES]
            cursor.execute(f"VACUUM {', '.join(names)}")
    except Error as error:
        return say(
            "The database could not be vacuumed now ({error}), so its files may still hold bytes "
            "of deleted rows. Look at the disk, then run this again.",
            error=type(error).__name__,
        )
    return ""


def _write_log_back(cursor: Any) -> bool:
    """Empty the -wal file of SQLite. Return False if readers kept it busy all the time."""
    for _try in range(LOG_TRIES):
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not cursor.fetchone()[0]:  # it is not busy
            return True
        time.sleep(LOG_PAUSE)
    return False
