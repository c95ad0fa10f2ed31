"""The spool's folder: how a file is written durably, named, and found again.

The end of a name says what becomes of the file: brought in, or set aside for a person.
"""

import contextlib
import os
import time
from pathlib import Path

from django.conf import settings

from events.receiving import disk

# Caps for addresses that were never seen in use: anyone can make those up.
MAX_UNKNOWN = 1000
MAX_UNKNOWN_BYTES = 64 * 1024 * 1024
# A half-written file was never acknowledged. After this long nothing writes it anymore.
STALE_SECONDS = 3600
KNOWN, UNKNOWN, SET_ASIDE = ".known", ".unknown", ".aside"


class Full(Exception):
    """The spool takes no more deliveries for addresses that were never seen in use."""


def path() -> Path:
    """Return the folder, making it if needed. Raises OSError."""
    folder = Path(settings.SPOOL_DIR)
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(folder.parent)
    return folder


def names() -> list[str]:
    """Return the names in the folder, in receipt order. Raises OSError if it cannot be read."""
    try:
        return sorted(os.listdir(settings.SPOOL_DIR))  # noqa: PTH208 - names alone, and quickly
    except FileNotFoundError:
        return []  # nothing was ever spooled here


def waiting() -> list[Path]:
    """Return the files that wait to be brought in, oldest first."""
    folder = Path(settings.SPOOL_DIR)
    return [folder / name for name in names() if name.endswith((KNOWN, UNKNOWN))]


def check_cap(folder: Path, size: int) -> None:
    """Raise Full if one more file of `size` bytes, for an unknown address, is too many."""
    count, total = 1, size
    for entry in os.scandir(folder):
        if entry.name.endswith(UNKNOWN):
            with contextlib.suppress(FileNotFoundError):  # brought in at this moment
                total += entry.stat().st_size
                count += 1
    if count > MAX_UNKNOWN or total > MAX_UNKNOWN_BYTES:
        raise Full


def write(file: Path, content: bytes) -> None:
    """Write the file durably, giving up the ballast if the disk is full. Raises OSError."""
    disk.giving_up_ballast(file.parent, lambda: _write_whole(file, content))


def _write_whole(file: Path, content: bytes) -> None:
    """Write the file whole or not at all, and sync it: its bytes first, then its name."""
    draft = file.with_name(f".{file.name}.tmp")
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync(file.parent)


def sync(path: Path) -> None:
    """Sync this file, or the names in this folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sweep() -> None:
    """Delete drafts that nothing writes anymore."""
    for draft in Path(settings.SPOOL_DIR).glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > STALE_SECONDS:
                draft.unlink()


def set_aside(file: Path) -> None:
    """Keep the file for a person, and do not try it again."""
    with contextlib.suppress(FileNotFoundError):  # another `up` was faster
        file.rename(file.with_name(file.name + SET_ASIDE))
