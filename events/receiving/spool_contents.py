"""What this machine's spool holds: how much, since when, and whose."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from events.receiving import spool_folder
from events.receiving.spool import Spooled, read
from events.receiving.spool_folder import KNOWN, SET_ASIDE, UNKNOWN
from integrations import secrets


def files() -> dict[str, int]:
    """Count the files in this machine's folder by what becomes of them. Opens none.

    Raises OSError if the folder cannot be read.
    """
    names = spool_folder.names()
    aside = sum(name.endswith(SET_ASIDE) for name in names)
    return {"waiting": len(spool_folder.waiting()), "set_aside": aside}


def oldest() -> datetime | None:
    """Return when the delivery that waits longest in this machine's folder was received.

    Raises OSError if the folder cannot be read.
    """
    for file in spool_folder.waiting():
        stamp = file.name.partition("-")[0]
        with contextlib.suppress(ValueError):  # a person may have named it
            return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    return None


def counts() -> dict[str, int | None]:
    """Count this machine's files that wait, were set aside, or cannot be read with our keys.

    The numbers are None if the folder cannot be read.
    """
    try:
        aside = [name for name in spool_folder.names() if name.endswith(SET_ASIDE)]
        waiting = spool_folder.waiting()
        closed = sum(not _opens(file) for file in waiting)
        return {"waiting": len(waiting) - closed, "set_aside": len(aside), "not_ours": closed}
    except OSError:
        return {"waiting": None, "set_aside": None, "not_ours": None}


def paths() -> list[Path]:
    """Return all files here for a backup: sealed, including those set aside."""
    folder, kinds = Path(settings.SPOOL_DIR), (KNOWN, UNKNOWN, SET_ASIDE)
    return [folder / name for name in spool_folder.names() if name.endswith(kinds)]


def opened() -> Iterator[tuple[Path, Spooled]]:
    """Yield each file of this machine that our keys open, including those set aside.

    Raises OSError if the folder cannot be read.
    """
    for path in paths():
        with contextlib.suppress(
            FileNotFoundError, secrets.SecretUnreadable, ValueError, KeyError, TypeError
        ):
            yield path, read(path)


def _opens(file: Path) -> bool:
    try:
        secrets.reveal_bytes(file.read_bytes())
    except FileNotFoundError:
        return True  # brought in at this moment
    except (secrets.SecretUnreadable, OSError):
        return False
    return True
