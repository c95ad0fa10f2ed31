"""`manage.py setup`: the first run of a real installation, and the `.env` that it writes."""

import os
import pty
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from config import env_file
from config.management.commands import setup
from tests.support import live

GIVEN = ["--time-zone", "Europe/Berlin", "--email", "Me@Example.com"]


@pytest.fixture
def fresh(tmp_path) -> Iterator[live.Installation]:
    """A machine on which nothing was set up yet."""
    with live.installation(tmp_path, seeded=False, bare=True) as admit:
        yield admit


def values(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


@pytest.mark.slow
def test_setup_makes_an_installation_that_works_and_a_second_run_leaves_it_alone(fresh):
    file = fresh.folder / ".env"
    first = fresh.manage("setup", "--public-url", f"{fresh.address}/", *GIVEN)
    assert (first.returncode, first.stderr) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = values(file)
    assert (written["PUBLIC_URL"], written["TIME_ZONE"]) == (fresh.address, "Europe/Berlin")
    assert written["REQUIRE_SECOND_FACTOR"] == "true"
    assert len(written["SECRET_KEY"]) > 40
    link = found(r"me@example\.com chooses a password, and signs in, under (\S+)", first.stdout)
    assert link.startswith(f"{fresh.address}/admin/")
    address = found(r"The address for SamCart \(keep it secret\): (\S+)", first.stdout)
    assert address.startswith(f"{fresh.address}/hooks/samcart/")
    assert "Next:" in first.stdout
    assert "manage.py up" in first.stdout

    # A public address that is no longer right can be told again; everything else stays.
    other = ["--public-url", "https://admit.example.com", "--time-zone", "UTC", *GIVEN[2:]]
    second = fresh.manage("setup", *other)
    assert (second.returncode, second.stderr) == (0, "")
    later = found(r"me@example\.com chooses a password, and signs in, under (\S+)", second.stdout)
    assert later.startswith("https://admit.example.com/admin/")
    assert f"https://admit.example.com{urlsplit(address).path}" in second.stdout
    assert values(file) == written | {"PUBLIC_URL": "https://admit.example.com", "TIME_ZONE": "UTC"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in fresh.folder.glob(".env*")] == [".env"]

    running = fresh.up(PUBLIC_URL=fresh.address)
    body = {"type": "Order", "customer": {"email": "dana@example.com"}, "product": {"id": 7}}
    assert requests.post(address, json=body, timeout=20).text == "Stored.\n"
    assert "This link does not work anymore" in requests.get(link, timeout=20).text
    _signs_in(f"{fresh.address}{urlsplit(later).path}")
    third = fresh.manage("setup", *other)
    assert "me@example.com can sign in already; the password stays as it is." in third.stdout
    assert running.terminate() == 0


def _signs_in(link: str) -> None:
    with requests.Session() as browser:
        page = browser.get(link, timeout=20).url
        chosen = "correct horse battery staple"
        form = {
            "new_password1": chosen,
            "new_password2": chosen,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        answer = browser.post(page, form, timeout=20).text
        # Which everybody needs, unless setup was told otherwise.
        assert "Set up your second factor" in answer


def test_setup_asks_at_a_terminal_until_it_can_use_the_answer(fresh):
    # The test above lets setup migrate, which takes its time.
    shutil.copy(live.migrated_file(), fresh.folder / "live.sqlite3")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(live.ROOT / "manage.py"), "setup", "--time-zone", "UTC"],
        cwd=live.ROOT,
        env=fresh.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    talk = [
        ("address, https://…: ", "admit.example.com"),
        ("is no address of a server", "http://admit.example.com"),
        ("SamCart needs an https address", " https://admit.example.com/ "),
        ("Your e-mail address: ", "me"),
        ("me is no e-mail address.", "me@example.com"),
        ("a second factor at sign-in, a code of an app? (yes): ", "perhaps"),
        ("perhaps is neither yes nor no.", "no"),
        ("Next:", ""),
    ]
    said = ""
    try:
        for expected, answer in talk:
            while expected not in said:
                said += os.read(ours, 4096).decode()
            said = said.partition(expected)[2]
            if answer:
                os.write(ours, f"{answer}\n".encode())
        live.until(lambda: _drained(ours) and process.poll() is not None)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0
    written = values(fresh.folder / ".env")
    assert written["PUBLIC_URL"] == "https://admit.example.com"
    assert written["REQUIRE_SECOND_FACTOR"] == "false"


def _drained(terminal: int) -> bool:
    """Read what is left, so that no writer waits for us; Linux says so with an error at its end."""
    try:
        return not os.read(terminal, 4096)
    except OSError:
        return True


def test_what_is_missing_without_a_terminal_ends_with_2_and_writes_nothing(fresh):
    ended = fresh.manage("setup", *GIVEN)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "CommandError: Give --public-url: there is no terminal to ask at.\n"
    assert list(fresh.folder.iterdir()) == []


def test_a_bad_value_ends_with_2_and_writes_nothing(fresh):
    ended = fresh.manage("setup", "--public-url", "http://admit.example.com", *GIVEN)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "CommandError: SamCart needs an https address.\n"
    assert list(fresh.folder.iterdir()) == []


def test_help_needs_no_installation_and_makes_none(fresh):
    ended = fresh.manage("setup", "--help")
    assert ended.returncode == 0
    assert "manage.py setup --public-url https://admit.example.com" in ended.stdout
    assert list(fresh.folder.iterdir()) == []


def test_other_commands_say_what_is_missing(fresh):
    ended = fresh.manage("status")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Admit cannot start. SECRET_KEY is missing. Set it in .env;")


def test_a_database_without_tables_is_said_plainly(tmp_path):
    with live.installation(tmp_path, seeded=False) as admit:
        ended = admit.manage("status", "--json")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("The database cannot be used (no such table: ")
    assert "run manage.py migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_keys_that_do_not_open_the_secret_are_said_plainly(tmp_path):
    other = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="
    with live.installation(tmp_path, FIELD_ENCRYPTION_KEYS=other) as admit:
        (tmp_path / ".env").write_text("PUBLIC_URL=https://old.example.com\n", encoding="utf-8")
        url = ["--public-url", admit.address, "--samcart", "Main shop"]
        ended = admit.manage("setup", *url, *GIVEN)
    assert ended.returncode == 1
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS of this server" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://admit.example.com", "https://admit.example.com"),
        (" https://admit.example.com:8443/ ", "https://admit.example.com:8443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_of_a_server_is_taken(text: str, url: str):
    assert setup.public_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "admit.example.com",
        "ftp://admit.example.com",
        "https://",
        "https://admit.example.com/admin",
        "https://admit.example.com?x=1",
        "https://admit.example.com#x",
        "https://me:secret@admit.example.com",
        "https://admit.example.com:99999",
        "https://admit.example.com:port",
        "https://admit.example.com\nDEBUG=true",
        "https://[::1",
        "http://admit.example.com",
    ],
)
def test_what_is_no_address_of_a_server_is_not(text: str):
    with pytest.raises(ValueError, match="address"):
        setup.public_url(text)


@pytest.mark.parametrize("text", ["", "Berlin", "europe/berlin", "../etc/passwd", "UTC\nDEBUG=1"])
def test_what_is_no_time_zone_is_not(text: str):
    with pytest.raises(ValueError, match="is no time zone"):
        setup.time_zone(text)


@pytest.mark.parametrize("text", ["", "me", "me@", "me@localhost@x", "a b@example.com"])
def test_what_is_no_email_address_is_not(text: str):
    with pytest.raises(ValueError, match="is no e-mail address"):
        setup.email_address(text)


# The file


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nNAME=old\nB=2\n", "A=1\nNAME=new\nB=2\n"),
        ("# NAME=default\nB=2\n", "NAME=new\nB=2\n"),
        ("# NAME=default\nNAME=old\n", "# NAME=default\nNAME=new\n"),
        ("export NAME=old\n", "NAME=new\n"),
        ("NAME=old\nNAME=older\n", "NAME=new\n# NAME=older\n"),
        ("# About NAME=that\nOTHER_NAME=1\n", "# About NAME=that\nOTHER_NAME=1\nNAME=new\n"),
        ("", "NAME=new\n"),
    ],
)
def test_a_name_is_set_and_every_other_line_stays(before: str, after: str):
    assert env_file.with_values(before, {"NAME": "new"}) == after


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    path = Path(tmp_path) / "env"
    monkeypatch.setenv("ADMIT_ENV_FILE", str(path))
    return path


def test_a_new_file_has_fresh_keys_for_its_owner_alone(file):
    assert env_file.create_if_missing(TIME_ZONE="UTC")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = values(file)
    assert first["TIME_ZONE"] == "UTC"
    assert not env_file.create_if_missing(TIME_ZONE="Europe/Berlin")
    assert values(file) == first
    file.unlink()
    env_file.create_if_missing()
    assert values(file)["SECRET_KEY"] != first["SECRET_KEY"]
    assert values(file)["FIELD_ENCRYPTION_KEYS"] != first["FIELD_ENCRYPTION_KEYS"]


def test_a_changed_file_is_for_its_owner_alone_behind_a_link_too(file, tmp_path):
    real = tmp_path / "elsewhere"
    real.write_text("A=1\n", encoding="utf-8")
    real.chmod(0o644)
    file.symlink_to(real)
    env_file.update(A="2")
    assert file.is_symlink()
    assert real.read_text(encoding="utf-8") == "A=2\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_what_is_no_file_is_not_replaced(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv("ADMIT_ENV_FILE", str(pipe))
    with pytest.raises(OSError, match="is not a file"):
        env_file.update(A="2")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_example_names_every_setting_there_is():
    source = (live.ROOT / "config" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source)) - {
        "ADMIT_DEMO",
        "ADMIT_RECEIVE_ONLY",
    }
    assert len(read) > 15
    example = env_file.EXAMPLE.read_text(encoding="utf-8")
    told = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert read - told == set()
    assert told - read == set()
