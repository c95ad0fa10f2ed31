"""`manage.py sandbox` as a person runs it: a separate process, ended by a signal."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from integrations.notify_url import signature

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {
    "SECRET_KEY": "a-key-for-this-test-alone-and-no-other-place",
    "FIELD_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "PYTHONUNBUFFERED": "1",
}


SECRET = signature.new_secret()


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "sandbox", *arguments]


@pytest.fixture
def running() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command with what it printed."""
    with subprocess.Popen(
        command("--port", "0", "--receiver", SECRET),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if "What came" in line:
                break
        try:
            yield process, printed
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_what_it_prints_and_ends_cleanly(
    running: tuple["subprocess.Popen[str]", str], number: signal.Signals
):
    process, printed = running
    url = re.search(r"THINKIFIC_API_URL=(\S+)", printed)
    key = re.search(r"API key +(\S+)", printed)
    assert url, printed
    assert key, printed
    headers = {"X-Auth-API-Key": key[1], "X-Auth-Subdomain": "acme"}
    answer = requests.get(f"{url[1]}/products", headers=headers, timeout=5)
    for item in answer.json()["items"]:
        if item["productable_type"] in ("Course", "Bundle"):
            assert f"{item['productable_id']}  {item['name']}" in printed

    curl = re.search(r"curl (\S+/switches) -d '(.+)'", printed)
    assert curl, printed
    assert requests.post(curl[1], data=curl[2], timeout=5).json()["calls_per_minute"] == 10
    curl = re.search(r"curl (\S+/faults) -d '(.+)'", printed)
    assert curl, printed
    assert requests.post(curl[1], data=curl[2], timeout=5).ok
    broken = requests.get(f"{url[1]}/products", headers=headers, timeout=5)
    assert broken.status_code == 503

    receiver = re.search(r"takes them at (\S+)\.\n", printed)
    assert receiver, printed
    signed = signature.headers(SECRET, "a", datetime.now(UTC), b"{}")
    assert requests.post(receiver[1], data=b"{}", headers=signed, timeout=5).status_code == 204
    assert requests.post(receiver[1], data=b"[]", headers=signed, timeout=5).status_code == 401

    process.send_signal(number)
    rest, _ = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "The sandbox has ended.\n")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0"), "only on this machine"),  # noqa: S104
        (("--port", "70000"), "from 0 to 65535"),
        (("--port", "many"), "invalid int value"),
        (("--port", "0", "--receiver", "sesame"), "--receiver: A signing secret is whsec_"),
        (("--port", "65535", "--receiver", SECRET), "127.0.0.1 with port 65536 is not that"),
    ],
)
def test_wrong_use_is_said_plainly_and_ends_with_2(arguments: tuple[str, ...], says: str):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_said_plainly_and_ends_with_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert ended.returncode == 1
    assert f"could not take 127.0.0.1 port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_has_an_example():
    ended = run("--help")
    assert ended.returncode == 0
    assert "python manage.py sandbox --port 8901" in ended.stdout
