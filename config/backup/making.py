"""Making a backup while Admit runs."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config.backup import archive, engines, folder
from events.receiving import spool_contents


def make() -> Path:
    """Write a new backup, note it as the last good one, delete expired ones, and return its path.

    Raises BackupError or OSError; the note then still names the earlier backup.
    """
    made_at = datetime.now(UTC).replace(microsecond=0)
    with folder.working() as room:
        # Copied before the database: a file that Admit reads in between is then in both, and a
        # restore stores it once.
        spooled = _copy_of_spool(room / archive.SPOOL)
        engine = engines.ours()
        database = room / engine.FILE
        rows = engine.take(database, without=tables_of_sessions())
        manifest = archive.Manifest(
            version=settings.VERSION,
            made_at=made_at.isoformat(),
            database=connection.vendor,
            migrations=sorted(f"{app}.{name}" for app, name in _applied()),
            rows=rows,
            spooled=len(spooled),
            keys=archive.fingerprints(made_at.isoformat()),
        )
        draft = room / ("draft.age" if settings.BACKUP_RECIPIENT else "draft")
        archive.write(draft, manifest, database, spooled, settings.BACKUP_RECIPIENT)
        file = folder.finish(draft, made_at=made_at)
    folder.rotate()
    return file


def tables_of_sessions() -> list[str]:
    """Return the session tables.

    Backups leave out their rows, so that nobody can sign in with them.
    """
    return [
        model._meta.db_table
        for model in apps.get_models()
        if issubclass(model, AbstractBaseSession)
    ]


def _applied() -> list[tuple[str, str]]:
    return list(MigrationRecorder(connection).applied_migrations())


def _copy_of_spool(target: Path) -> list[Path]:
    """Copy the spool's files to `target`, sealed as they are, and return the copies."""
    target.mkdir()
    copies = []
    for file in spool_contents.paths():
        try:
            copies.append(Path(shutil.copy(file, target)))
        except FileNotFoundError:
            continue  # it is in the database by now
    return copies
