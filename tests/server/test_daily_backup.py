"""`up` makes a backup each day, and catches up on one that was missed."""

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from config.server import daily_backup, program
from config.server.daily_backup import DailyBackup

pytestmark = pytest.mark.first_database
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def started(settings, tmp_path, monkeypatch) -> list[str]:
    """The programs that were started, none of which really is."""
    settings.BACKUP_DIR = tmp_path
    found: list[str] = []
    monkeypatch.setattr(program.Program, "start", lambda self: found.append(self.name))
    monkeypatch.setattr(timezone, "localtime", lambda: NOW)
    return found


@pytest.mark.parametrize(
    ("at", "hours_ago", "due"),
    [
        (time(3, 30), None, True),
        (time(3, 30), 8, False),
        (time(3, 30), 9, True),
        (time(12, 0), 1, True),
        (time(12, 1), 1, False),
        (time(12, 1), 23, False),
        (time(12, 1), 24, True),
        (None, None, False),
    ],
)
def test_it_is_due_when_none_was_made_since_its_last_time(
    settings, tmp_path: Path, started, at: time | None, hours_ago: int | None, due: bool
):
    settings.BACKUP_AT = at
    if hours_ago is not None:
        made_at = NOW - timedelta(hours=hours_ago)
        (tmp_path / "last.json").write_text(json.dumps({"made_at": made_at.isoformat()}))
    DailyBackup().watch()
    assert started == (["backup"] if due else [])


def test_one_that_failed_is_tried_again_an_hour_later(settings, started, monkeypatch, caplog):
    settings.BACKUP_AT = time(3, 30)
    codes: list[int | None] = [None, 1, None, None]
    monkeypatch.setattr(program.Program, "exit_code", property(lambda _: codes.pop(0)))
    monkeypatch.setattr(program.Program, "end", lambda self: None)
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    daily = DailyBackup()
    daily.watch()
    daily.watch()
    assert "backup_failed" in caplog.text
    daily.watch()
    assert started == ["backup"]
    clock[0] += daily_backup.AGAIN_SECONDS
    daily.watch()
    assert started == ["backup", "backup"]
