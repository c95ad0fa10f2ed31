"""BACKUP_DIR: the finished backups, the note about the last good one, and a folder to work in."""

import contextlib
import fcntl
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from config.backup.errors import BackupError
from events.receiving import spool_folder

NAME = re.compile(r"admit-(\d{8}T\d{6}Z)\.tar\.gz(\.age)?")
WORK = ".work-"


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished backup. `made_at` is read from its name."""

    file: Path
    made_at: datetime


@contextlib.contextmanager
def working() -> Iterator[Path]:
    """Yield a private folder on the backups' disk, for one process at a time; removed afterward.

    Leftovers of a killed process are removed as well. Raises BackupError if another process works.
    """
    folder = Path(settings.BACKUP_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(
                "Another backup or restore is running. Try again when it is done."
            ) from None
        for left in folder.glob(f"{WORK}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=WORK, dir=folder) as room:
            yield Path(room)


def finish(draft: Path, *, made_at: datetime) -> Path:
    """Give a complete draft its final name, safe on disk, and note it as the last good backup.

    Returns the finished file.
    """
    suffix = ".tar.gz.age" if draft.suffix == ".age" else ".tar.gz"
    file = Path(settings.BACKUP_DIR) / f"admit-{made_at:%Y%m%dT%H%M%SZ}{suffix}"
    spool_folder.sync(draft)
    draft.rename(file)
    note = {"made_at": made_at.isoformat(), "file": file.name, "bytes": file.stat().st_size}
    fresh = draft.with_name("last.json")
    fresh.write_text(json.dumps(note) + "\n", encoding="utf-8")
    spool_folder.sync(fresh)
    fresh.rename(file.with_name("last.json"))
    spool_folder.sync(file.parent)
    return file


def rotate() -> list[Path]:
    """Delete the backups that BACKUP_KEEP does not keep, and return them.

    If BACKUP_KEEP names 0 days, nothing is deleted.
    """
    days, weeks = settings.BACKUP_KEEP
    kept = backups()
    stay = {each.file for each in _newest_of(kept, "%Y-%m-%d", days)}
    stay |= {each.file for each in _newest_of(kept, "%G-%V", weeks)}
    gone = [each.file for each in kept if each.file not in stay] if days else []
    for file in gone:
        file.unlink(missing_ok=True)
    return gone


def backups() -> list[Kept]:
    """Return the finished backups, newest first."""
    found = [(NAME.fullmatch(file.name), file) for file in Path(settings.BACKUP_DIR).iterdir()]
    kept = [
        Kept(file, datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
        for match, file in found
        if match
    ]
    return sorted(kept, key=lambda each: each.made_at, reverse=True)


def _newest_of(newest_first: list[Kept], period: str, count: int) -> list[Kept]:
    """Return the newest backup of each period, for the last `count` periods that have one.

    `period` is a strftime format that names a day or a week.
    """
    newest: dict[str, Kept] = {}
    for each in newest_first:
        newest.setdefault(each.made_at.strftime(period), each)
    return list(newest.values())[:count]
