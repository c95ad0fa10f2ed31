"""The database engine that a backup belongs to: SQLite or PostgreSQL."""

from types import ModuleType

from django.db import connection

from config.backup import postgresql, sqlite
from config.backup.errors import BackupError

ENGINES = {"sqlite": sqlite, "postgresql": postgresql}
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def ours() -> ModuleType:
    """Return the backup module for the database that DATABASE_URL names."""
    return ENGINES[connection.vendor]


def of(kind: str) -> ModuleType:
    """Return the backup module for a backup of this kind.

    Raises BackupError when this installation cannot open such a backup.
    """
    if kind not in ENGINES or (kind == "postgresql" and connection.vendor != kind):
        raise BackupError(
            f"This is a backup of {NAMES.get(kind, kind)}, and DATABASE_URL names "
            f"{NAMES[connection.vendor]}. Name a database of the same kind."
        )
    return ENGINES[kind]
