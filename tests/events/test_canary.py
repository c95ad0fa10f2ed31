"""The canary: from the public address to a worker, and the step at which it broke."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.db.models.functions import Now
from django.utils import timezone

from events.deciding import inbox
from events.models import Canary, Delivery, EventLog, RuleRun
from events.receiving import canary as mark
from events.reports import simulation
from events.worker import canary
from integrations.models import Customer, Marketplace, Product, WebhookSecret
from tests.support import browsing, live
from tests.support.postgres import free_port
from tests.support.receiver import Receiver, answers
from tests.support.world import World

pytestmark = pytest.mark.first_database

Step = Canary.Step


@pytest.fixture
def shop(world: World, settings: Any) -> Iterator[World]:
    """A shop with a rule for each purchase, whose pages and webhook are served."""
    world.rule("product_purchased", "create_course_enrollment", world.course())
    settings.CANARY, settings.CANARY_SECONDS = True, 0.1
    with browsing.serving() as settings.PUBLIC_URL:
        yield world


def result() -> Canary:
    """The canary's row, after it was sent and followed."""
    canary.go_on()
    return Canary.objects.get()


def test_it_goes_from_the_public_address_to_a_worker_and_leaves_nothing(shop, settings, caplog):
    caplog.set_level("INFO")
    settings.CANARY_SECONDS = live.PATIENCE
    with live.working():
        row = result()
    assert row.passed_at is not None
    assert (row.step, row.failures) == (Step.PASSED, 0)
    assert timedelta(minutes=59) < row.next_at - timezone.now() <= timedelta(hours=1)
    (line,) = [record for record in caplog.records if record.msg == "canary_passed"]
    assert vars(line)["would_run"] == 1
    for model in (Delivery, EventLog, RuleRun, Customer, Product):
        assert not model.objects.exists(), model
    assert shop.sandbox.calls == []


def test_none_is_sent_unless_it_is_wanted_and_each_hour_one(shop, settings):
    account = shop.marketplace
    Marketplace.objects.create(name="Without an address")
    assert canary.due() == account
    settings.CANARY = False
    assert canary.due() is None
    settings.CANARY = True
    Canary.objects.create(marketplace=account, next_at=Now() + timedelta(minutes=1))
    assert canary.due() is None
    Canary.objects.update(next_at=Now())
    assert canary.due() == account


def wrong_secret(shop: World, settings: Any) -> None:
    WebhookSecret.objects.update(digest="0" * 64)


def sealed_by_another_key(shop: World, settings: Any) -> None:
    WebhookSecret.objects.update(sealed="not a token")


def no_worker(shop: World, settings: Any) -> None:
    pass


def no_name(shop: World, settings: Any) -> None:
    settings.PUBLIC_URL = "http://no-such-host.invalid"


def no_server(shop: World, settings: Any) -> None:
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"


def no_tls(shop: World, settings: Any) -> None:
    settings.PUBLIC_URL = settings.PUBLIC_URL.replace("http://", "https://")


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        (wrong_secret, Step.SECRET),
        (sealed_by_another_key, Step.ADDRESS),
        (no_worker, Step.WORKER),
        (no_name, Step.DNS),
        (no_server, Step.CONNECTION),
        (no_tls, Step.CERTIFICATE),
    ],
)
def test_the_step_that_is_broken_is_named(shop, settings, caplog, broken, step):
    broken(shop, settings)
    row = result()
    assert (row.step, row.failures, row.passed_at) == (step, 1, None)
    (line,) = [record for record in caplog.records if record.msg == "canary_failed"]
    assert vars(line)["step"] == step.value
    assert shop.secret not in f"{line.getMessage()} {vars(line)}"


@pytest.mark.parametrize(
    ("status", "step", "detail"),
    [
        (502, Step.ANSWER, "502"),
        (301, Step.ANSWER, "301"),
        (404, Step.ANSWER, "404"),
        (200, Step.ARRIVAL, ""),
    ],
)
def test_an_answer_that_is_not_admits_is_named(shop, settings, status, step, detail):
    with Receiver(behavior=answers(status)) as elsewhere:
        settings.PUBLIC_URL = elsewhere.url.removesuffix("/hook")
        row = result()
    assert (row.step, row.detail) == (step, detail)


def test_rules_that_cannot_be_looked_at_are_named(shop, settings, monkeypatch):
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("dana@example.com")

    settings.CANARY_SECONDS = live.PATIENCE
    with live.working():
        monkeypatch.setattr(simulation, "simulate", broken)
        assert (result().step, Canary.objects.get().detail) == (Step.RULES, "KeyError")
        monkeypatch.undo()
        Canary.objects.update(next_at=Now())
        monkeypatch.setattr("rules.engine.decide", broken)
        assert result().step == Step.RULES
    assert not EventLog.objects.exists()


def test_while_no_worker_reads_one_waits_and_no_more_are_sent(shop, settings, caplog):
    for failures in (1, 2, 3):
        Canary.objects.update(next_at=Now())
        row = result()
        assert (row.step, row.failures, Delivery.objects.count()) == (Step.WORKER, failures, 1)
    # A failure that goes on is logged once.
    assert [record.msg for record in caplog.records].count("canary_failed") == 1
    settings.CANARY_SECONDS = live.PATIENCE
    Canary.objects.update(next_at=Now())
    with live.working():
        assert (result().step, Canary.objects.get().failures) == (Step.PASSED, 0)
    assert not Delivery.objects.exists()


def forged(shop: World) -> dict[str, bytes]:
    good = mark.body(shop.marketplace.pk)
    token = json.loads(good)["admit_canary"]
    sale = {"type": "Order", "product": {"id": 1}, "customer": {"email": "dana@example.com"}}
    other = Marketplace.objects.create(name="Another account")
    by_another_key = signing.Signer(key="x" * 40, salt="events.receiving.canary")
    return {
        "a mark of another key": good.replace(
            token.encode(), by_another_key.sign(token.rpartition(":")[0]).encode()
        ),
        "a sale with a good mark": json.dumps({"admit_canary": token} | sale).encode(),
        "another account's": mark.body(other.pk),
        "no mark at all": b'{"admit_canary": "", "type": "Admit canary"}',
        "bytes": b'{"admit_canary": "\xff\x00"}',
        "late": good,
    }


@pytest.mark.parametrize(
    "how",
    [
        "a mark of another key",
        "a sale with a good mark",
        "another account's",
        "no mark at all",
        "bytes",
        "late",
    ],
)
def test_what_is_forged_or_late_is_an_event_as_any_other(shop, how: str, monkeypatch):
    body = forged(shop)[how]
    if how == "late":
        monkeypatch.setattr(mark, "LIFE_SECONDS", -1)
    assert shop.post(body).status_code == 200
    shop.read()
    event = EventLog.objects.get()
    sold = how == "a sale with a good mark"
    assert event.status == (
        "waiting" if sold else "unreadable" if how == "bytes" else "unknown_type"
    )
    assert RuleRun.objects.exists() is sold
    assert Delivery.objects.get().state == Delivery.State.READ


def test_one_that_was_seen_on_the_way_and_is_sent_again_proves_nothing(shop):
    Canary.objects.create(marketplace=shop.marketplace, next_at=Now(), digest="1" * 64)
    assert shop.post(mark.body(shop.marketplace.pk)).status_code == 200
    inbox.process()
    assert Canary.objects.get().read_at is None
    assert not EventLog.objects.exists()
    assert not Delivery.objects.exists()
