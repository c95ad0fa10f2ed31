"""Finds the process that writes to SQLite's file now. All others wait for it, however long."""

from pathlib import Path

from django.db import connection

LOCKS = Path("/proc/locks")
# The byte of the -shm file that a writer locks: WAL_WRITE_LOCK in SQLite's wal.c.
WRITE_LOCK = "120"


def process() -> int:
    """Return its id; 0 when there is none, on PostgreSQL, and where Linux does not list locks."""
    return of(connection.settings_dict["NAME"]) if connection.vendor == "sqlite" else 0


def of(database: str | Path) -> int:
    """Return the same for this database file."""
    try:
        inode = Path(f"{database}-shm").stat().st_ino
        lines = LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        words = line.split()
        if words[3:4] == ["WRITE"] and words[5].endswith(f":{inode}") and words[6] == WRITE_LOCK:
            return int(words[4])
    return 0
