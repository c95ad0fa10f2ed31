"""The dead-man ping: it is sent while all is well, and waited for by nobody here."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from events.worker import canary, ping, watching
from tests.support import live
from tests.support.postgres import free_port
from tests.support.receiver import Receiver, answers, healthy, silent

pytestmark = [pytest.mark.first_database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def watch(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """What is called while all is well."""
    monkeypatch.setattr(ping, "_failing", False)
    with Receiver(path="/a-secret-path?status=up") as receiver:
        settings.PING_URL = receiver.url
        yield receiver


def told(caplog: Any) -> list[str]:
    return [record.msg for record in caplog.records if record.msg.startswith("ping")]


def test_its_address_is_called_as_it_stands(watch):
    ping.send()
    (request,) = watch.requests
    assert (request.method, request.target) == ("GET", "/a-secret-path?status=up")
    assert request.body == b""


def test_failures_are_told_once_and_so_is_their_end(watch, settings, caplog):
    caplog.set_level("INFO")
    address = settings.PING_URL
    for _ in range(2):
        settings.PING_URL = f"http://127.0.0.1:{free_port()}/a-secret-path"
        ping.send()
        settings.PING_URL = address
        watch.behavior = answers(404)
        ping.send()
    assert told(caplog) == ["ping_failed"]
    watch.behavior = healthy
    ping.send()
    ping.send()
    assert told(caplog) == ["ping_failed", "ping_works_again"]
    assert "a-secret-path" not in "".join(str(vars(record)) for record in caplog.records)


def test_it_is_never_sent_in_a_transaction(watch):
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        ping.send()
    assert watch.requests == []


def test_it_is_sent_every_so_often_and_one_that_gets_no_answer_holds_nothing_up(watch, settings):
    settings.PING_SECONDS = 3600
    watcher = watching.Watcher()
    watch.behavior = silent
    for _ in range(3):
        watcher.tick()
    live.until(lambda: watch.requests)
    watcher._ping_at = 0.0
    watcher.tick()  # the one before is still under way
    assert len(watch.requests) == 1


def test_nothing_is_called_unless_it_is_wanted(watch, settings, monkeypatch):
    settings.PING_URL, settings.CANARY = "", False
    watcher = watching.Watcher()
    watcher.tick()
    assert watcher._threads == {}


def test_a_canary_that_breaks_is_told_and_begun_again(settings, monkeypatch, caplog):
    def broken() -> None:
        raise KeyError("dana@example.com")

    monkeypatch.setattr(canary, "due", lambda: True)
    monkeypatch.setattr(canary, "go_on", broken)
    settings.PING_URL = ""
    watcher = watching.Watcher()
    for _ in range(2):
        watcher.tick()
        watcher._threads["canary"].join(live.PATIENCE)
    broke = [record for record in caplog.records if record.msg == "watching_broke_off"]
    assert [vars(record)["error"] for record in broke] == ["KeyError", "KeyError"]
