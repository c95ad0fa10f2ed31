"""Only the user that runs Admit can read the files that it writes."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import private_files
from tests.support import live


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """As a login shell or systemd has it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Every file and folder below, with its rights."""
    return {
        str(path.relative_to(folder)): f"{stat.S_IMODE(path.stat().st_mode):o}"
        for path in sorted(folder.rglob("*"))
    }


def test_a_new_database_and_spool_are_private(tmp_path):
    database = tmp_path / "new" / "admit.sqlite3"
    with live.installation(tmp_path, seeded=False) as admit:
        admit.database = f"sqlite:///{database}"
        assert admit.manage("migrate").returncode == 0
        admit.up("--no-worker")
        assert admit.sell("dana@example.com") == 404  # written by each process, read by none
        found = modes(tmp_path)
        assert found["new"] == found["spool"] == "700"
        assert {"new/admit.sqlite3", "new/admit.sqlite3-wal"} <= set(found)
        assert {mode for name, mode in found.items() if name.startswith("new/")} == {"600"}


@pytest.mark.parametrize("command", [["migrate"], ["status"], ["up", "--no-web", "--workers", "0"]])
def test_what_is_open_to_others_is_closed_by_every_command(tmp_path, command):
    with live.installation(tmp_path) as admit:
        spool = tmp_path / "spool"
        spool.mkdir(mode=0o755)
        kept = [tmp_path / "live.sqlite3", tmp_path / "live.sqlite3-backup", spool / "a.known"]
        for path in kept:
            path.touch()
            path.chmod(0o644)
        other = tmp_path / "other"
        other.touch()
        other.chmod(0o644)
        admit.manage(*command)
        assert [f"{stat.S_IMODE(path.stat().st_mode):o}" for path in kept] == ["600"] * 3
        assert stat.S_IMODE(spool.stat().st_mode) == 0o700
        # What is not ours stays as it is.
        assert stat.S_IMODE(other.stat().st_mode) == 0o644


def test_what_cannot_be_closed_is_told_and_stops_nothing(settings, tmp_path, monkeypatch, caplog):
    settings.SPOOL_DIR = tmp_path
    for name in ("a", "b"):
        (tmp_path / name).touch(mode=0o644)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(private_files, "_ours", lambda: iter(sorted(tmp_path.iterdir())))
    monkeypatch.setattr(Path, "chmod", refuse)
    private_files.tighten()
    assert [record.message for record in caplog.records] == ["file_open_to_others"] * 2
