"""The disks that receiving writes to, and the ballast that is given up when one is full.

The ballast is a file of BALLAST_MB on each of these disks, kept by `manage.py up`. It is emptied
when the disk is full, so that receiving goes on while somebody makes room. An empty file means that
the ballast was given up; no file means that there is none.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from django.conf import settings
from django.db import connection

from integrations.sentences import say
from rules.listing import listed

log = logging.getLogger(__name__)
MB = 1024 * 1024
# Less free space than either of these, in MB and as a share of the disk, is too little.
LITTLE_MB = 1024
LITTLE_SHARE = 0.05
FILE = "ballast"
FULL = (errno.ENOSPC, errno.EDQUOT)
# In multiples of the ballast's size: it is given up if less than the first is free, and made if
# there is room for the second.
GIVE_UP_BELOW = 0.25
MAKE_FROM = 3


class Step(Enum):
    """What to do about a ballast."""

    NOTHING = auto()
    GIVE_UP = auto()
    MAKE = auto()
    REMOVE = auto()


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk.

    `what` says what is on it, "the spool folder and the database". Sizes are in bytes.
    """

    what: str
    folder: Path
    free: int
    size: int

    @property
    def ballast(self) -> Path:
        return self.folder / FILE

    @property
    def given_up(self) -> bool:
        return _size(self.ballast) == 0

    @property
    def is_low(self) -> bool:
        """Whether somebody must make room."""
        return self.given_up or self.free < max(LITTLE_MB * MB, LITTLE_SHARE * self.size)


def folders() -> dict[str, Path]:
    """Return the folders that Admit writes to, by what is in them. One may not exist yet."""
    found: dict[str, Path] = {say("the spool folder"): Path(settings.SPOOL_DIR)}
    # The disk of a PostgreSQL server cannot be seen from here.
    if connection.vendor == "sqlite":
        found[say("the database")] = Path(str(connection.settings_dict["NAME"])).parent
    return found


def disks() -> list[Disk]:
    """Return the disks of these folders, each once."""
    found: dict[int, tuple[list[str], Path]] = {}
    for what, folder in folders().items():
        with contextlib.suppress(OSError):
            names, _ = found.setdefault(folder.stat().st_dev, ([], folder))
            names.append(what)
    usage = {folder: shutil.disk_usage(folder) for _, folder in found.values()}
    return [
        Disk(listed(names), folder, usage[folder].free, usage[folder].total)
        for names, folder in found.values()
    ]


def step(*, free: int, held: int | None, wanted: int) -> Step:
    """Return what to do, by the bytes free, held by a ballast (None: no file) and wanted."""
    if not wanted:
        return Step.NOTHING if held is None else Step.REMOVE
    if held and free < wanted * GIVE_UP_BELOW:
        return Step.GIVE_UP
    if held != wanted and free + (held or 0) >= wanted * MAKE_FROM:
        return Step.MAKE
    return Step.NOTHING


def keep_ballast() -> None:
    """Make, give up or remove the ballast of each disk, by its free space and BALLAST_MB."""
    wanted = settings.BALLAST_MB * MB
    for disk in disks():
        todo = step(free=disk.free, held=_size(disk.ballast), wanted=wanted)
        try:
            if todo is Step.GIVE_UP:
                give_up(disk.folder)
            elif todo is Step.MAKE:
                _make(disk.ballast, wanted)
            elif todo is Step.REMOVE:
                disk.ballast.unlink(missing_ok=True)
        except OSError as error:
            log.warning("ballast_not_kept", extra={"error": type(error).__name__})


def giving_up_ballast(folder: Path, write: Callable[[], None]) -> None:
    """Call `write`. If the disk of the folder is full, give up the ballast and call it again."""
    try:
        write()
    except OSError as error:
        if error.errno not in FULL or not give_up(folder):
            raise
        write()


def give_up(folder: Path) -> bool:
    """Empty the ballast in this folder. Return False if it holds nothing."""
    ballast = folder / FILE
    if not _size(ballast):
        return False
    os.truncate(ballast, 0)
    log.error("ballast_given_up", extra={"folder": folder})
    return True


def _size(ballast: Path) -> int | None:
    try:
        return ballast.stat().st_size
    except OSError:
        return None


def _make(ballast: Path, size: int) -> None:
    number = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.ftruncate(number, 0)
        # Allocate it: a sparse file would hold no room.
        os.posix_fallocate(number, 0, size)
    except OSError:
        ballast.unlink()
        raise
    finally:
        os.close(number)
    log.info("ballast_made", extra={"folder": ballast.parent})
