"""Restores a backup: replaces the database, and adds to this machine's spool."""

from django.conf import settings
from django.db import DatabaseError, connection

from config.backup import engines
from config.backup.archive import Backup
from config.backup.errors import BackupError
from events.models import EventLog, Worker
from events.receiving import spool_folder


def check_target(backup: Backup, *, replacing: bool) -> None:
    """Raise BackupError if the database of this installation must not be overwritten."""
    if backup.manifest.database != connection.vendor:
        engines.of(backup.manifest.database)
        raise BackupError(
            "This is a backup of SQLite, and DATABASE_URL names PostgreSQL. Name a SQLite file."
        )
    events, silent = _in_use()
    if silent is not None and silent < settings.HEARTBEAT_TIMEOUT / 2:
        raise BackupError(
            f"A worker showed life {silent:.0f} seconds ago. Stop Admit on all machines, wait half "
            "a minute, and restore then."
        )
    if events and not replacing:
        raise BackupError(
            f"The database has {events:,} events, which a restore deletes. Back it up first, then "
            "add --replace."
        )


def _in_use() -> tuple[int, float | None]:
    """Return the number of events, and the seconds since a worker was last seen.

    Without tables these are 0 and None.
    """
    try:
        return EventLog.objects.count(), Worker.objects.silence()
    except DatabaseError:
        return 0, None  # it has no tables yet
    finally:
        connection.close()


def restore(backup: Backup) -> None:
    """Replace the database, and add the backup's spooled files to the spool. Raises BackupError."""
    engines.ours().replace(backup.database, tables=list(backup.manifest.rows))
    for file in backup.spooled:
        # Each file is written whole or not at all. Deliveries that the database already has are not
        # stored again.
        spool_folder.write(spool_folder.path() / file.name, file.read_bytes())
