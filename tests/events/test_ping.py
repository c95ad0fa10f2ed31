"""The dead-man ping is sent while all is well, and delays nothing."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from events.alerts import finding
from events.models import Canary, Worker
from events.worker import ping, watching
from tests.support import factories, live
from tests.support.postgres import free_port
from tests.support.queued import run
from tests.support.receiver import Receiver, answers, healthy, silent

pytestmark = [pytest.mark.first_database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def watch(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """What is called while all is well, and it is."""
    Worker.objects.create(name="one", seen_at=Now())
    monkeypatch.setattr(ping, "_failing", False)
    monkeypatch.setattr(ping, "_next_at", 0.0)
    for each in (watching.PING, watching.CANARY):
        monkeypatch.setattr(each, "_thread", None)
    with Receiver(path="/a-secret-path?status=up") as receiver:
        settings.PING_URL = receiver.url
        yield receiver


def logged(caplog: Any) -> list[str]:
    return [record.msg for record in caplog.records if record.msg.startswith("ping")]


def test_its_address_is_called_as_it_stands(watch):
    ping.send()
    (request,) = watch.requests
    assert (request.method, request.target) == ("GET", "/a-secret-path?status=up")
    assert request.body == b""


def test_failures_are_logged_once_and_so_is_their_end(watch, settings, caplog):
    caplog.set_level("INFO")
    address = settings.PING_URL
    for _ in range(2):
        settings.PING_URL = f"http://127.0.0.1:{free_port()}/a-secret-path"
        ping.send()
        settings.PING_URL = address
        watch.behavior = answers(404)
        ping.send()
    assert logged(caplog) == ["ping_failed"]
    watch.behavior = healthy
    ping.send()
    ping.send()
    assert logged(caplog) == ["ping_failed", "ping_works_again"]
    assert "a-secret-path" not in "".join(str(vars(record)) for record in caplog.records)


def test_it_is_never_sent_in_a_transaction(watch):
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        ping.send()
    assert watch.requests == []


def test_it_is_sent_every_so_often_and_one_that_gets_no_answer_holds_nothing_up(watch, settings):
    settings.PING_SECONDS = 3600
    watch.behavior = silent
    for _ in range(3):
        watching.tick()
    live.until(lambda: watch.requests)
    settings.PING_SECONDS = 0
    watching.tick()  # the one before is still under way
    assert len(watch.requests) == 1


def test_nothing_is_called_unless_it_is_wanted(watch, settings):
    settings.PING_URL, settings.CANARY = "", False
    watching.tick()
    assert (watching.PING._thread, watching.CANARY._thread) == (None, None)


@pytest.mark.parametrize(
    ("wrong", "stays_away"), [("no_worker", True), ("canary", True), ("failed", False)]
)
def test_it_stays_away_while_something_is_wrong_that_stops_sales(
    watch, settings, wrong: str, stays_away: bool
):
    settings.CANARY = True
    account = factories.MarketplaceFactory.create()
    if wrong == "no_worker":
        Worker.objects.update(seen_at=Now() - timedelta(minutes=4))
    elif wrong == "canary":
        Canary.objects.create(marketplace=account, next_at=Now(), step="dns", failures=2)
    else:
        run(factories.DestinationFactory.create(), status="failed")
    assert finding.lasting()
    ping.send()
    assert watch.requests == [] if stays_away else len(watch.requests) == 1
