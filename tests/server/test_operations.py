"""docs/operations.md is true: its alarms match the code, and its backups can be restored."""

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from events.access.ledger import Judgment
from tests.faults.database import Database
from tests.support import live
from tests.support.postgres import binaries

ROOT = live.ROOT
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
APPS = ("config", "events", "rules", "integrations")
SAID = re.compile(r"log\.(?:warning|error|critical|exception)\(\s*\"(\w+)\"")
# The supervisor names what failed in a variable: these words are handed to `failed`.
HANDED = {"web_died", "pages_died", "cluster_died", "cluster_silent", "migrate_failed"}


def test_every_alarm_of_the_code_is_explained_and_no_other():
    sources = [
        path.read_text(encoding="utf-8")
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        # The sandbox is a stand-in for Thinkific and speaks for itself.
        if "sandbox" not in path.parts
    ]
    said = {name for text in sources for name in SAID.findall(text)}
    server = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "config" / "server").glob("*.py")
    )
    assert {name for name in HANDED if f'"{name}"' in server} == HANDED
    calls = sum(
        len(re.findall(r"\blog\.(?:warning|error|critical|exception)\(", t)) for t in sources
    )
    named = sum(len(SAID.findall(text)) for text in sources)
    assert calls == named + 1, "a log line whose name is no plain text: list it in HANDED"
    log = GUIDE.partition("## What the log says")[2]
    explained = re.findall(r"^\| `(\w+)` \|", log, re.MULTILINE)
    assert sorted(explained) == sorted(said | HANDED)


def test_every_setting_and_command_of_the_guide_exists():
    settings = (ROOT / "config" / "settings.py").read_text(encoding="utf-8")
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for name in set(re.findall(r"\b[A-Z]+_[A-Z_]*[A-Z]\b", GUIDE)):
        assert f'"{name}"' in settings or f"${{{name}:" in compose, name
    django = {"migrate", "createsuperuser"}
    for name in set(re.findall(r"manage\.py (\w+)", GUIDE)) - django:
        found = [ROOT / app / "management" / "commands" / f"{name}.py" for app in APPS]
        assert any(path.exists() for path in found), name
    for name in re.findall(r"\]\(([\w.]+)\)", GUIDE):
        assert (ROOT / "docs" / name).exists(), name


def is_whole(copy: live.Installation) -> None:
    """The event is there, and the webhook's secret opens: its address takes a sale."""
    assert [event["email"] for event in copy.events()] == ["dana@example.com"]
    assert copy.manage("migrate", "--check").returncode == 0
    running = copy.up("--no-worker")
    assert copy.request("GET", "/readyz") == (200, "ready\n")
    assert copy.sell("eve@example.com", order=2) == 200
    assert running.terminate() == 0
    # Under any other key nothing opens, and it is said so.
    ended = copy.manage(
        "rotate_keys", FIELD_ENCRYPTION_KEYS="b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="
    )
    assert ended.returncode == 1


def received(admit: live.Installation) -> None:
    running = admit.up("--workers", "1")
    assert admit.sell("dana@example.com") == 200
    stored = "SELECT count(*) FROM events_eventlog"
    live.until(lambda: Database(admit.database).number(stored), what=running.output())


@pytest.mark.slow
def test_a_backup_of_sqlite_taken_while_it_runs_can_be_restored(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    with live.installation(tmp_path / "a") as admit:
        received(admit)
        with closing(sqlite3.connect(tmp_path / "a" / "live.sqlite3")) as source:
            source.execute(f"VACUUM INTO '{tmp_path}/b/live.sqlite3'")
            # What the program sqlite3 calls `.backup`.
            with closing(sqlite3.connect(tmp_path / "c" / "live.sqlite3")) as target:
                source.backup(target)
    for copy in ("b", "c"):
        with live.installation(tmp_path / copy, seeded=False) as restored:
            is_whole(restored)


@pytest.mark.each_database
def test_a_backup_of_postgresql_taken_while_it_runs_can_be_restored(tmp_path):
    server = os.environ.get("DATABASE_URL", "")
    folder = binaries()
    if not server.startswith("postgres") or folder is None:
        pytest.skip("the tests run on SQLite")
    programs = {
        name: shutil.which(name) or str(folder / name) for name in ("pg_dump", "pg_restore")
    }
    dump = tmp_path / "admit.dump"
    with live.on_server(tmp_path, server) as admit:
        received(admit)
        url = admit.database
        subprocess.run(
            [programs["pg_dump"], "--format=custom", f"--file={dump}", url], check=True, timeout=60
        )
    (tmp_path / "b").mkdir()
    name = "restored_copy"
    into = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        subprocess.run(
            [programs["pg_restore"], "--no-owner", f"--dbname={into}", str(dump)],
            check=True,
            timeout=60,
        )
        with live.installation(tmp_path / "b", seeded=False) as restored:
            restored.database = into
            is_whole(restored)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


# Where a run is given its code, in each way that our code writes it.
CODE = re.compile(
    r'\bcode(?:: str)? = "(\w+)"|\bcode="(\w+)"|ActionOutcome\(\s*"(\w+)"|_pause\(\s*"(\w+)"'
    r'|_retry\(\s*run,\s*"(\w+)"|(?:Result|\.end)\(Status\.\w+, "(\w+)"'
    r'|\b(?:GONE|NOT_SHOWN|NO_BODY|DISMISSED|STILL_GIVEN|PUT_BACK) = "(\w+)"'
    r'|\b(?:AMBIGUOUS|CODE|BRAKED|DELAYED|PAID_AGAIN|REPLACED|STUDENT_EMAIL) = "(\w+)"'
    r'|\bUNDECIDED = "(\w+)"'
    r'|\.code = (?:RuleRun\.)?Status\.\w+, "(\w+)"'
    r'|\.code, run\.message = (?:RuleRun\.)?Status\.\w+, "(\w+)"'
)


def test_every_code_of_an_action_is_told_and_no_other():
    given = {
        code
        for app in ("integrations", "rules", "events")
        for path in (ROOT / app).rglob("*.py")
        if not {"sandbox", "migrations", "configuration"} & set(path.parts)
        for groups in CODE.findall(path.read_text(encoding="utf-8"))
        for code in groups
        if code
    }
    given |= {judgment.value for judgment in Judgment if not judgment.is_carried_out}
    (told,) = re.findall(r"which stays: (.*?)\. It is empty", GUIDE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", told)) == given - {"outside"}
