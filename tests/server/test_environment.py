"""A missing or malformed setting stops the start with a sentence that names it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment import Reader

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
KEY = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="

# setting: values that must be refused
MALFORMED = {
    "SECRET_KEY": ["", "   ", "tiny-key"],
    "FIELD_ENCRYPTION_KEYS": ["", ",", "abc", KEY[:-4], f"{KEY},{KEY[1:]}", "ü" * 44],
    "DEBUG": ["perhaps", "", "2"],
    "PUBLIC_URL": [
        "admit.example.com",
        "ftp://admit.example.com",
        "https://",
        "https://admit.example.com:99999",
        "https://admit.example.com/?a=1",
        "https://admit.example.com/hooks",
        "https://[::1",
        "https://admit example.com",
    ],
    "TIME_ZONE": ["Mars/Olympus", "", "../etc/passwd", "Europe"],
    "DATABASE_URL": ["mysql://a:hidden-word@b/c", "nothing", "postgres://a:hidden-word@b:port/c"],
    "REDIS_URL": ["localhost:6379", "http://:hidden-word@127.0.0.1"],
    "THINKIFIC_API_URL": ["api.thinkific.com", "https://"],
    "TRUSTED_PROXIES": ["proxy.example.com", "10.0.0.300", "10.0.0.1/24", "10.0.0.0/33"],
    "WEB_CONCURRENCY": ["0", "two", "-1", "1.5", ""],
    "THINKIFIC_CALLS_PER_MINUTE": ["-1", "fast", "9" * 5000],
    "RETRY_DELAYS": ["", "soon", "0,-5", "1,nan", "inf", "0;30"],
    "LEASE_SECONDS": ["2", "a minute", "²"],
    "HEARTBEAT_TIMEOUT": ["0", "never"],
    "BACKUP_AT": ["25:00", "3", "at night"],
    "BACKUP_KEEP": ["", "7", "7,", "7,-1", "a,b", "7,4,1"],
    "BACKUP_RECIPIENT": ["age1nobody", "ssh-rsa nobody", "hidden-word"],
    "KEEP_PAYLOADS_DAYS": ["", "-1", "half a year", "180.5", "36501", "9" * 5000],
    "KEEP_EXCHANGES_DAYS": ["", "90d", "²"],
    "KEEP_AUDIT_DAYS": ["for ever", "-1"],
    "KEEP_EVENTS_DAYS": ["for ever", "-0", "99999999"],
    "DELINQUENT_IS_CANCELED": ["sometimes"],
    "ENDINGS_AN_HOUR": ["-1", "few", ""],
    "EMAIL_URL": ["mail.example.com", "imap://mail.example.com", "smtp://:hidden-word@"],
    "BALLAST_MB": ["-1", "much", ""],
    "METRICS_TOKEN": ["short-token"],
    "PING_URL": ["watch.example.com/hidden-word", "https:///hidden-word", "https://[hidden-word"],
    "PING_SECONDS": ["0", "often"],
    "CANARY": ["hourly"],
    "LOG_FORMAT": ["", "xml"],
    "LANGUAGE_CODE": ["", "tlh", "es-MX"],
    "ALLOW_PRIVATE_NOTIFY_URLS": ["10.0.0.0/8", ""],
}
CASES = [(name, value) for name, values in MALFORMED.items() for value in values]
READ_IN_ONE_START = """
import importlib, os, sys
from django.core.exceptions import ImproperlyConfigured
import config.settings as settings
for line in sys.stdin.buffer.read().decode().split("\\x1e"):
    name, value = line.split("\\x1f")
    kept = os.environ.get(name)
    os.environ[name] = value
    try:
        importlib.reload(settings)
        print("started", end="\\x1e")
    except ImproperlyConfigured as error:
        print(error, end="\\x1e")
    os.environ.pop(name)
    if kept is not None:
        os.environ[name] = kept
"""


def environment(**changes: str) -> dict[str, str]:
    """The least that a start needs, and nothing of this machine's settings."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "ADMIT_ENV_FILE": os.devnull,
        "SECRET_KEY": "x" * 40,
        "FIELD_ENCRYPTION_KEYS": KEY,
    } | changes


SETTINGS_AS_TEXT = """
import config.settings as settings
for name in dir(settings):
    if name.isupper():
        print(name, "=", repr(getattr(settings, name)))
"""


def settings_with(**changes: str) -> list[str]:
    """All settings with these variables, one a line."""
    read = subprocess.run(
        [sys.executable, "-c", SETTINGS_AS_TEXT],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return read.stdout.splitlines()


def check(*, without: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` with these settings, and without that one."""
    given = environment(**changes)
    given.pop(without, None)
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check"],
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def refusals() -> dict[tuple[str, str], str]:
    """What the settings said to each malformed value; read in one process for the time it takes."""
    told = subprocess.run(
        [sys.executable, "-c", READ_IN_ONE_START],
        env=environment(),
        input="\x1e".join(f"{name}\x1f{value}" for name, value in CASES).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()
    sentences = told.stdout.decode().split("\x1e")[:-1]
    return dict(zip(CASES, sentences, strict=True))


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_malformed_value_is_refused_in_a_sentence_that_names_the_setting(refusals, name, value):
    sentence = refusals[name, value]
    assert sentence.startswith(name)
    assert sentence.rstrip().endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_refusal_shows_no_key_and_no_password(refusals, name, value):
    sentence = refusals[name, value]
    assert "hidden-word" not in sentence
    if name in {"SECRET_KEY", "FIELD_ENCRYPTION_KEYS"}:
        shown = [part for part in value.split(",") if part.strip() and part in sentence]
        assert not shown


@pytest.mark.parametrize("name", ["SECRET_KEY", "FIELD_ENCRYPTION_KEYS"])
def test_a_missing_key_stops_the_start_without_a_traceback(name):
    told = check(without=name)
    assert told.returncode == 1
    assert told.stderr.startswith(f"Admit cannot start. {name} is missing.")
    assert "Traceback" not in told.stderr


def test_a_malformed_env_file_shows_no_key(tmp_path):
    file = tmp_path / ".env"
    file.write_text("SECRET_KEY = a-very-long-key-with-blanks-around-the-sign\nFIELD: key-two\n")
    told = check(without="SECRET_KEY", ADMIT_ENV_FILE=str(file))
    assert told.returncode == 1
    assert "A line of .env is not NAME=value" in told.stderr
    assert "Admit cannot start. SECRET_KEY is missing." in told.stderr
    assert "a-very-long-key" not in told.stderr
    assert "key-two" not in told.stderr


def test_the_least_settings_start():
    told = check(DATABASE_URL="sqlite:///var/check.sqlite3")
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(("calls", "warned"), [("5", True), ("6", False), ("0", False)])
def test_a_budget_too_small_for_one_action_is_warned_of_but_starts(calls, warned):
    told = check(
        DATABASE_URL="sqlite:///var/check.sqlite3",
        LEASE_SECONDS="90",
        THINKIFIC_CALLS_PER_MINUTE=calls,
    )
    assert told.returncode == 0, told.stderr
    assert (f"THINKIFIC_CALLS_PER_MINUTE ({calls}) is too small" in told.stderr) is warned


def test_a_key_may_begin_with_a_dollar_sign(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "$" + "x" * 30)
    assert Reader().text("SECRET_KEY", at_least=20) == "$" + "x" * 30


def test_values_are_read_as_people_write_them(monkeypatch):
    read = Reader()
    monkeypatch.setenv("A", " Yes ")
    assert read.flag("A", default=False) is True
    monkeypatch.setenv("A", "off")
    assert read.flag("A", default=True) is False
    monkeypatch.setenv("A", " one, two ,,three,")
    assert read.words("A", default="") == ["one", "two", "three"]
    monkeypatch.setenv("A", "0, 2.5,30")
    assert read.seconds("A", default="1") == [0.0, 2.5, 30.0]
    monkeypatch.setenv("A", "https://admit.example.com:8443/")
    assert read.web_address("A", default="") == "https://admit.example.com:8443"
    monkeypatch.setenv("A", "Europe/Berlin")
    assert read.time_zone("A", default="UTC") == "Europe/Berlin"
    monkeypatch.setenv("A", f"{KEY}, {KEY}")
    assert read.fernet_keys("A") == [KEY, KEY]


def test_what_is_not_set_has_its_default(monkeypatch):
    monkeypatch.delenv("A", raising=False)
    read = Reader()
    assert read.flag("A", default=True) is True
    assert read.whole("A", default=7, at_least=1) == 7
    with pytest.raises(ImproperlyConfigured, match=r"^A is missing\."):
        read.text("A")


def test_a_database_comes_with_the_options_that_it_needs(monkeypatch, tmp_path):
    monkeypatch.setenv("A", f"sqlite:///{tmp_path}/deep/admit.sqlite3")
    sqlite = Reader().database("A", default=tmp_path / "other.sqlite3", lock_seconds=10)
    assert sqlite["NAME"] == f"{tmp_path}/deep/admit.sqlite3"
    assert (tmp_path / "deep").is_dir()
    assert sqlite["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in sqlite["OPTIONS"]["init_command"]
    assert "synchronous=FULL" in sqlite["OPTIONS"]["init_command"]
    monkeypatch.setenv("A", "postgres://me:word@127.0.0.1:5433/admit")
    postgres = Reader().database("A", default=tmp_path / "other.sqlite3", lock_seconds=10)
    assert postgres["ENGINE"] == "config.postgresql"
    assert (postgres["CONN_MAX_AGE"], postgres["CONN_HEALTH_CHECKS"]) == (60, True)


@pytest.mark.parametrize("public", [{}, {"PUBLIC_URL": "https://admit.example.com"}])
def test_each_commented_line_of_the_example_shows_the_default(public):
    shown = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    if public:
        # It follows PUBLIC_URL; the example shows it for the default one.
        shown = {name: value for name, value in shown.items() if name != "DEFAULT_FROM_EMAIL"}
    assert settings_with(**shown | public) == settings_with(**public)


def test_the_example_names_each_setting_once():
    settings = (ROOT / "config" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'\benv\.\w+\(\s*"(\w+)"', settings))
    named = re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, re.MULTILINE)
    # The demo and an update set these two for their own programs.
    assert sorted(named) == sorted(read - {"ADMIT_DEMO", "ADMIT_RECEIVE_ONLY"})
