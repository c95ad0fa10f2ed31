"""Keeps customers' data on the disk readable by the user that runs Admit alone.

New files are private by the umask that config.settings sets for every command. Files that an
earlier version left open to others are closed here.
"""

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def tighten() -> None:
    """Remove other users' rights, and log the files for which that fails."""
    for path in _ours():
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)
        except FileNotFoundError:
            continue  # deleted meanwhile
        except OSError:
            log.warning("file_open_to_others", extra={"file": path})


def _ours() -> Iterator[Path]:
    # The folders of the database and of ERASED_FILE are not changed: the owner chose them, and they
    # may hold other users' files.
    kept = [Path(folder) for folder in (settings.SPOOL_DIR, settings.BACKUP_DIR)]
    yield from (folder for folder in (settings.BASE_DIR / "var", *kept) if folder.is_dir())
    for folder in kept:
        if folder.is_dir():
            yield from folder.iterdir()
    yield Path(settings.ERASED_FILE)
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        file = Path(str(database["NAME"]))
        # Includes SQLite's -wal and -shm files, and copies whose names begin like the database's.
        yield from file.parent.glob(f"{file.name}*")
