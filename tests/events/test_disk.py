"""The ballast: kept while there is room, given up when a disk is full, and made again."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from config.staff import roles
from events.receiving import disk, spool_contents
from events.receiving.disk import MB, Step
from tests.support.pages import signed_in, words
from tests.support.shop import refusing

pytestmark = pytest.mark.first_database
SIZE = 2 * MB


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """A disk of this size."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here ({type(error).__name__})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=20)


def fill(folder: Path) -> Path:
    """Another program's file, which takes all the room there is."""
    file = folder / "another program's"
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while out.write(b"x" * 4096):
            pass
    return file


@pytest.mark.parametrize(
    ("free", "held", "wanted", "todo"),
    [
        (3 * SIZE, None, SIZE, Step.MAKE),
        (3 * SIZE - 1, None, SIZE, Step.NOTHING),  # it would leave too little for others
        (SIZE, SIZE, SIZE, Step.NOTHING),
        (SIZE // 4, SIZE, SIZE, Step.NOTHING),
        (SIZE // 4 - 1, SIZE, SIZE, Step.GIVE_UP),
        (0, 0, SIZE, Step.NOTHING),  # nothing is left to give up
        (SIZE + SIZE // 4, 0, SIZE, Step.NOTHING),  # given up a moment ago
        (3 * SIZE, 0, SIZE, Step.MAKE),
        (2 * SIZE, SIZE // 2, SIZE, Step.NOTHING),  # the setting was changed
        (5 * SIZE // 2, SIZE // 2, SIZE, Step.MAKE),
        (0, SIZE, 0, Step.REMOVE),
        (0, 0, 0, Step.REMOVE),
        (0, None, 0, Step.NOTHING),
    ],
)
def test_it_is_held_while_there_is_room(free: int, held: int | None, wanted: int, todo: Step):
    assert disk.step(free=free, held=held, wanted=wanted) is todo


@pytest.fixture
def folder(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool's folder, on the only disk there is, with ballast wanted."""
    found: Path = tmp_path / "spool"
    settings.SPOOL_DIR, settings.BALLAST_MB = found, SIZE // MB
    monkeypatch.setattr(disk, "folders", lambda: {"the spool folder": found})
    return found


def test_it_comes_goes_and_returns_with_the_room_on_the_disk(folder, settings, monkeypatch):
    folder.mkdir()
    room = SimpleNamespace(free=10 * SIZE, total=20 * SIZE)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)

    def kept() -> tuple[int, bool]:
        disk.keep_ballast()
        (found,) = disk.disks()
        return found.ballast.stat().st_blocks * 512, found.given_up

    assert kept() == (SIZE, False)
    room.free = 0
    assert kept() == (0, True)
    room.free = SIZE
    assert kept() == (0, True)
    room.free = 3 * SIZE
    assert kept() == (SIZE, False)
    assert (folder / disk.FILE).stat().st_mode & 0o777 == 0o600
    settings.BALLAST_MB = 0
    disk.keep_ballast()
    assert list(folder.iterdir()) == []


def test_a_disk_that_refuses_it_is_logged_and_stops_nothing(folder, monkeypatch, caplog):
    folder.mkdir()
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * SIZE, total=20 * SIZE)
    )

    def refuse(*_: Any) -> None:
        raise OSError(errno.EFBIG, "too large")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    disk.keep_ballast()
    assert [record.msg for record in caplog.records] == ["ballast_not_kept"]
    assert list(folder.iterdir()) == []


def test_folders_on_one_disk_are_one(settings, tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    folders = {"the spool folder": one, "the database": other, "nothing": tmp_path / "missing"}
    monkeypatch.setattr(disk, "folders", lambda: folders)
    (found,) = disk.disks()
    assert (found.what, found.folder) == ("the spool folder and the database", one)


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_takes_sales_by_what_the_ballast_gives_up(folder, real_shop):
    with mounted(folder, 8 * MB):
        disk.keep_ballast()
        fill(folder)
        assert shutil.disk_usage(folder).free == 0
        with refusing("events_delivery"):
            assert [real_shop.post(b"{}").status_code for _ in range(3)] == [200] * 3
        assert (spool_contents.counts()["waiting"], disk.disks()[0].given_up) == (3, True)
        assert shutil.disk_usage(folder).free > SIZE // 2
        fill(folder).unlink()
        (folder / "another program's").unlink(missing_ok=True)
        disk.keep_ballast()
        assert not disk.disks()[0].given_up


@pytest.mark.django_db(transaction=True)
def test_without_ballast_a_full_disk_loses_them_and_says_so(folder, settings, real_shop):
    settings.BALLAST_MB = 0
    with mounted(folder, MB):
        disk.keep_ballast()
        fill(folder)
        with refusing("events_delivery"):
            assert real_shop.post(b"{}").status_code == 503


@pytest.mark.django_db
def test_little_room_is_said_with_the_same_words_wherever_it_is_said(folder, monkeypatch):
    folder.mkdir()
    viewer = signed_in(roles.VIEWER)
    room = SimpleNamespace(free=1024 * MB, total=20480 * MB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)

    def pages() -> list[str]:
        asked = (viewer.get(reverse(f"admin:{name}")) for name in ("index", "alerts"))
        return [" ".join(words(answer).split()) for answer in asked]

    assert not any("the disk of the spool folder" in page for page in pages())
    told = "MB are left on the disk of the spool folder."
    # Less than a gigabyte, or than a twentieth of the disk.
    for free, total in ((1023, 10240), (2000, 50000)):
        room.free, room.total = free * MB, total * MB
        assert all(
            f"{free:,} {told} Free some space, or call your technician: once the disk is full"
            in page
            for page in pages()
        )
    (folder / disk.FILE).write_bytes(b"")
    assert all(f"2,000 {told} Admit used up its reserve space" in page for page in pages())
