"""Checks whether a backup could be restored, without touching the database in use."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.migrations.loader import MigrationLoader

from config.backup import archive, engines
from config.backup.archive import Backup, Manifest
from config.backup.rows import Query, counts
from integrations import secrets
from integrations.models import Integration, WebhookSecret

# Table and column of each secret that only FIELD_ENCRYPTION_KEYS can open.
SEALED = (
    (Integration._meta.db_table, "sealed_secret"),
    (WebhookSecret._meta.db_table, "sealed"),
)


@dataclass(frozen=True, slots=True)
class BackupFinding:
    """A sentence about a backup. One that is not `good` is a reason not to restore it."""

    sentence: str
    good: bool = True


def examine(backup: Backup) -> list[BackupFinding]:
    """Return what was found: origin, migrations, damage, row counts, keys and spool.

    Raises BackupError when the backup cannot be opened here.
    """
    manifest = backup.manifest
    engine = engines.of(manifest.database)
    with engine.opened(backup.database) as query:
        found = [_about(manifest), *_of_migrations(manifest)]
        problems = engine.problems(query)
        found += [BackupFinding(problem, good=False) for problem in problems]
        if not problems:
            found += [*_of_rows(manifest, query), _of_keys(manifest, query)]
    return [*found, *_of_spool(backup)]


def _about(manifest: Manifest) -> BackupFinding:
    made_at = datetime.fromisoformat(manifest.made_at)
    kind = engines.NAMES[manifest.database]
    return BackupFinding(
        f"Made by Admit {manifest.version} on {made_at:%d %b %Y at %H:%M} UTC from {kind}."
    )


def _of_migrations(manifest: Manifest) -> Iterator[BackupFinding]:
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if unknown := set(manifest.migrations) - known:
        yield BackupFinding(
            f"It was made by a newer program, whose {len(unknown)} migrations are not known here. "
            f"Install Admit {manifest.version} or a newer one first.",
            good=False,
        )
    elif missing := known - set(manifest.migrations):
        yield BackupFinding(f"It is older than this program by {len(missing)} migrations.")


def _of_rows(manifest: Manifest, query: Query) -> Iterator[BackupFinding]:
    rows = counts(query, list(manifest.rows))
    if rows == manifest.rows:
        yield BackupFinding(
            f"The database is whole: {sum(rows.values()):,} rows in {len(rows)} tables, as many as "
            "were backed up."
        )
    for table, number in manifest.rows.items():
        if rows[table] != number:
            sentence = f"{table} has {rows[table]:,} rows, and {number:,} were backed up."
            yield BackupFinding(sentence, good=False)


def _of_keys(manifest: Manifest, query: Query) -> BackupFinding:
    here = set(archive.fingerprints(manifest.made_at)) & set(manifest.keys)
    keys = f"{len(here)} of the {len(manifest.keys)} keys of that time are on this server"
    sealed = [
        str(value)
        for table, field in SEALED
        for (value,) in query(f'SELECT "{field}" FROM "{table}" WHERE "{field}" <> \'\'')  # noqa: S608
    ]
    opened = sum(map(_opens, sealed))
    if opened < len(sealed) or not here:
        return BackupFinding(
            f"FIELD_ENCRYPTION_KEYS open {opened} of its {len(sealed)} stored secrets, and {keys}. "
            "Put the keys of that time into FIELD_ENCRYPTION_KEYS.",
            good=False,
        )
    return BackupFinding(f"FIELD_ENCRYPTION_KEYS open all {len(sealed)} stored secrets; {keys}.")


def _opens(sealed: str) -> bool:
    try:
        secrets.reveal(sealed)
    except secrets.SecretUnreadable:
        return False
    return True


def _of_spool(backup: Backup) -> Iterator[BackupFinding]:
    there, promised = len(backup.spooled), backup.manifest.spooled
    if there != promised:
        sentence = f"Its spool has {there:,} files, and {promised:,} were backed up."
        yield BackupFinding(sentence, good=False)
    elif there:
        yield BackupFinding(f"Its spool has {there:,} files.")
