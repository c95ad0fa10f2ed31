"""A backup made while rows are written restores completely; other files are refused."""

import io
import json
import os
import shutil
import signal
import stat
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.functions import Now

from config.backup import archive, folder, making
from config.backup.errors import BackupError
from events.models import Delivery, EventLog, Worker
from events.worker import scheduler
from integrations import sealed
from integrations.models import Marketplace
from tests.faults.database import Database
from tests.support import live

SERVER = os.environ.get("DATABASE_URL", "")


@pytest.fixture
def backups(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = made = tmp_path / "backups"
    settings.SPOOL_DIR = tmp_path / "spool"
    return made


@pytest.fixture
def admit(tmp_path) -> Iterator[live.Installation]:
    place = (
        live.on_server(tmp_path, SERVER)
        if SERVER.startswith("postgres")
        else live.installation(tmp_path)
    )
    with place as made:
        yield made


@pytest.fixture
def identity(settings: Any, tmp_path: Path) -> Path:
    secret = pyrage.x25519.Identity.generate()
    settings.BACKUP_RECIPIENT = [secret.to_public()]
    file = tmp_path / "key.txt"
    file.write_text(f"# created by age-keygen\n{secret}\n")
    return file


def check(file: Path, capsys: Any, *words: str) -> str:
    capsys.readouterr()
    call_command("restore", str(file), "--check", *words)
    return str(capsys.readouterr().out)


def writing(shop: Marketplace, over: threading.Event, written: list[int]) -> None:
    """One row after the other, each in a transaction of its own, until it is over."""
    try:
        while not over.is_set():
            row = Delivery.objects.create(
                marketplace=shop, sealed_body=sealed.seal(b"{}"), body_digest="x"
            )
            written.append(row.pk)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_backup_made_while_rows_are_written_is_whole(world, backups, capsys):
    shop = Marketplace.objects.get()
    over, written = threading.Event(), list[int]()
    writer = threading.Thread(target=writing, args=(shop, over, written))
    writer.start()
    try:
        live.until(lambda: len(written) > 5)
        before = len(written)
        file = making.make()
        live.until(lambda: len(written) > before)
    finally:
        over.set()
        writer.join()
    said = check(file, capsys)
    assert "The database is whole" in said
    assert "FIELD_ENCRYPTION_KEYS open all 2 stored secrets; 1 of the 1 keys" in said
    assert "It can be restored." in said
    note = json.loads((backups / "last.json").read_text())
    assert note == {
        "made_at": folder.backups()[0].made_at.isoformat(),
        "file": file.name,
        "bytes": file.stat().st_size,
    }
    modes = {f"{stat.S_IMODE(path.stat().st_mode):o}" for path in backups.iterdir()}
    assert modes == {"600"}


@pytest.mark.slow
@pytest.mark.each_database
def test_what_is_restored_is_what_was_there(admit, tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    spooled = spool / "20261128T000000.000000Z-a.known"
    spooled.write_bytes(b"sealed")
    made = admit.manage("backup")
    assert made.returncode == 0, made.stderr
    (file,) = (tmp_path / "backups").glob("admit-*")
    spooled.unlink()
    ask(admit, "UPDATE integrations_marketplace SET name = 'Changed'")
    done = admit.manage("restore", str(file))
    assert done.returncode == 0, done.stderr
    assert "manage.py erase_person --reapply" in done.stdout
    assert ask(admit, "SELECT name FROM integrations_marketplace") == "Main shop"
    assert spooled.read_bytes() == b"sealed"
    assert (
        ask(admit, "SELECT note FROM integrations_auditentry WHERE act = 'restored'") == file.name
    )


KILLS = """\
#!/bin/sh
case "$*" in *--file=-*) kill -9 $PPID; exit 0;; esac
exec {program} "$@"
"""


@pytest.mark.slow
@pytest.mark.each_database
@pytest.mark.skipif(not SERVER.startswith("postgres"), reason="only PostgreSQL needs programs")
def test_a_restore_that_is_killed_in_the_middle_changes_nothing(admit, tmp_path):
    assert admit.manage("backup").returncode == 0
    (file,) = (tmp_path / "backups").glob("admit-*")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pg_restore"
    program.write_text(KILLS.format(program=shutil.which("pg_restore")))
    program.chmod(0o700)
    path = f"{program.parent}:{os.environ['PATH']}"
    assert admit.manage("restore", str(file), PATH=path).returncode == -signal.SIGKILL
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'"
    live.until(lambda: ask(admit, others) == 0, what="the end of psql")
    assert ask(admit, "SELECT name FROM integrations_marketplace") == "Main shop"


def ask(admit: live.Installation, sql: str) -> Any:
    rows = Database(admit.database).ask(sql)
    return rows[0][0] if rows else None


@pytest.mark.django_db(transaction=True)
def test_a_database_with_events_and_one_with_a_worker_are_not_overwritten(world, backups):
    file = making.make()
    shop = Marketplace.objects.get()
    delivery = Delivery.objects.create(
        marketplace=shop, sealed_body=sealed.seal(b"{}"), body_digest="x"
    )
    delivery.refresh_from_db()
    EventLog.objects.create(
        delivery=delivery, marketplace=shop, trigger="", received_at=delivery.received_at
    )
    with pytest.raises(CommandError, match="has 1 events, which a restore deletes"):
        call_command("restore", str(file))

    scheduler.register("here")
    Worker.objects.update(seen_at=Now())
    with pytest.raises(CommandError, match="Stop Admit on all machines"):
        call_command("restore", str(file), "--replace")


@pytest.mark.django_db(transaction=True)
def test_an_encrypted_backup_opens_for_its_recipient_alone(
    world, backups, identity, tmp_path, capsys
):
    file = making.make()
    assert file.suffix == ".age"
    assert not list(backups.glob("**/database*"))
    assert "It can be restored." in check(file, capsys, "--identity", str(identity))
    with pytest.raises(CommandError, match="is encrypted"):
        check(file, capsys)
    other = tmp_path / "other.txt"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(CommandError, match=r"other\.txt does not open"):
        check(file, capsys, "--identity", str(other))
    other.write_text("no key")
    with pytest.raises(CommandError, match="holds no secret key"):
        check(file, capsys, "--identity", str(other))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    with pytest.raises(CommandError, match="does not open"):
        check(file, capsys, "--identity", str(identity))


@pytest.mark.django_db(transaction=True)
def test_without_the_keys_of_its_time_a_backup_is_not_good(world, backups, settings, capsys):
    file = making.make()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="would not restore all"):
        check(file, capsys)
    said = capsys.readouterr().out
    assert "open 0 of its 2 stored secrets, and 0 of the 1 keys of that time" in said


@pytest.mark.django_db(transaction=True)
def test_neither_sessions_nor_keys_are_in_a_backup(world, backups, settings, tmp_path, client):
    client.force_login(User.objects.create_user("dana"))
    assert making.tables_of_sessions()
    file = making.make()
    archive.read(file, tmp_path, identity=None)
    found = b"".join(part.read_bytes() for part in (tmp_path / "parts").glob("*.*"))
    for secret in (client.cookies["sessionid"].value, *settings.FIELD_ENCRYPTION_KEYS):
        assert secret.encode() not in found
    manifest = json.loads((tmp_path / "parts" / "manifest.json").read_text())
    assert all(manifest["rows"][table] == 0 for table in making.tables_of_sessions())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("content", [b"", b"nothing", b"\x1f\x8b nothing"])
def test_what_is_no_backup_is_said_to_be_none(backups, tmp_path, content: bytes):
    file = tmp_path / "other.tar.gz"
    file.write_bytes(content)
    with pytest.raises(CommandError, match="is not a backup of Admit"):
        call_command("restore", str(file), "--check")
    with pytest.raises(CommandError, match="does not exist"):
        call_command("restore", str(tmp_path / "none"), "--check")


def part(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, "manifest.json"
    return made


def with_parts(file: Path, *parts: tarfile.TarInfo) -> Path:
    """An archive of these alone, each of zeros."""
    with tarfile.open(file, "w:gz") as tar:
        for each in parts:
            tar.addfile(each, io.BytesIO(bytes(each.size)))
    return file


@pytest.mark.parametrize(
    "wrong",
    [
        part("../outside"),
        part("/tmp/outside"),
        part("other.txt"),
        part("manifest.json"),
        part("spool/../manifest.json"),
        part("spool/a/b.known"),
        part("spool/.hidden"),
        part("spool/a.known", kind=tarfile.SYMTYPE),
        part("spool/a.known", kind=tarfile.LNKTYPE),
        part("spool/a.known", kind=tarfile.DIRTYPE),
        part("spool/a.known", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda wrong: f"{wrong.name} {wrong.type.decode()}",
)
def test_what_is_no_part_of_a_backup_is_not_even_unpacked(tmp_path, wrong):
    file, room = with_parts(tmp_path / "other.tar.gz", part("manifest.json"), wrong), tmp_path / "x"
    room.mkdir()
    with pytest.raises(BackupError, match="is not a backup of Admit"):
        archive.read(file, room, identity=None)
    (unpacked,) = (each for each in room.rglob("*") if each.is_file())
    assert unpacked.name == "manifest.json"
    assert unpacked.stat().st_mode & 0o777 == 0o600


def test_a_backup_that_the_disk_has_no_room_for_is_not_unpacked(tmp_path, monkeypatch):
    file = with_parts(tmp_path / "large.tar.gz", part("database.dump", 5_000_000))
    free = archive.LEFT_FREE + 4_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(BackupError, match="5,000,000 bytes, and the disk of BACKUP_DIR"):
        archive.read(file, tmp_path, identity=None)
    assert not list(tmp_path.glob("**/database.dump"))


@pytest.mark.django_db(transaction=True)
def test_rows_that_are_missing_and_a_newer_program_are_found(world, backups, monkeypatch, capsys):
    real = archive.Manifest

    def other(**facts: Any) -> Any:
        rows = facts["rows"] | {"events_delivery": 7}
        return real(**facts | {"rows": rows, "migrations": ["events.9999_later"]})

    monkeypatch.setattr(archive, "Manifest", other)
    file = making.make()
    monkeypatch.undo()
    with pytest.raises(CommandError, match="would not restore all"):
        check(file, capsys)
    said = capsys.readouterr().out
    assert "events_delivery has 0 rows, and 7 were backed up." in said
    assert "made by a newer program" in said


def test_days_and_then_weeks_are_kept(backups, settings):
    backups.mkdir()
    newest = datetime(2026, 11, 28, 3, 30, tzinfo=UTC)
    for hours in range(0, 24 * 60, 12):
        at = newest - timedelta(hours=hours)
        (backups / f"admit-{at:%Y%m%dT%H%M%SZ}.tar.gz.age").touch()
    (backups / "admit-notes.txt").touch()
    settings.BACKUP_KEEP = (0, 0)
    assert folder.rotate() == []
    settings.BACKUP_KEEP = (3, 4)
    folder.rotate()
    kept = [f"{each.made_at:%a %d %b %H}" for each in folder.backups()]
    assert kept == [
        "Sat 28 Nov 03",
        "Fri 27 Nov 15",
        "Thu 26 Nov 15",
        "Sun 22 Nov 15",
        "Sun 15 Nov 15",
        "Sun 08 Nov 15",
    ]
    assert (backups / "admit-notes.txt").exists()


def test_two_at_once_do_not_disturb_each_other_and_what_a_killed_one_left_goes(backups):
    with folder.working() as room:
        (room / "database.sqlite3").touch()
        with pytest.raises(BackupError, match="is running"), folder.working():
            pass
    left = backups / f"{folder.WORK}left"
    left.mkdir()
    (left / "database.sqlite3").touch()
    with folder.working():
        assert not left.exists()
