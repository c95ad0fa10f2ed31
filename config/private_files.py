"""Customers' data on the disk: for the user that runs Admit, and for nobody else.

New files are private by the umask that config.settings sets for every command. Those that an
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
    """Take the rights of other users away; what cannot be changed is told in the log."""
    for path in _ours():
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)
        except FileNotFoundError:
            continue  # it was only there for a moment
        except OSError:
            log.warning("file_open_to_others", extra={"file": path})


def _ours() -> Iterator[Path]:
    spool, var = Path(settings.SPOOL_DIR), settings.BASE_DIR / "var"
    # A folder of the owner's choice may hold other things, and be meant for others.
    yield from (folder for folder in (var, spool) if folder.is_dir())
    if spool.is_dir():
        yield from spool.iterdir()
    yield Path(settings.ERASED_FILE)
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        file = Path(str(database["NAME"]))
        # With what SQLite keeps beside it, and copies that were named after it.
        yield from file.parent.glob(f"{file.name}*")
