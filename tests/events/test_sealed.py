"""What SamCart sent and what a site answered is sealed at rest; old rows follow over time."""

import io
import json
from random import Random
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from events.deciding import inbox
from events.models import Delivery, EventLog, Unsealed
from events.retention import sealing
from events.worker import tasks
from integrations import sealed, secrets
from integrations.models import ApiCall
from tests.support.pages import words
from tests.support.samcart import payload
from tests.support.shop import Shop

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BODY = json.dumps(payload("10_product")).encode()


@pytest.fixture(autouse=True)
def _nothing_is_known_as_closed() -> Any:
    yield
    inbox._not_opened.clear()


@pytest.mark.parametrize(
    "body", [b"", b"{}", BODY, Random(1).randbytes(3000), b"\0 admit", "é".encode() * 9]
)
def test_what_is_sealed_opens_again_and_holds_nothing_in_the_clear(body: bytes):
    stored = sealed.seal(body)
    assert sealed.reveal(stored) == body
    assert sealed.is_sealed(stored) == bool(body)
    assert len(body) < 4 or body not in stored
    text = body.decode("latin-1")
    assert sealed.reveal_text(sealed.seal_text(text)) == text
    assert sealed.seal_text(text).isascii()


def test_what_is_not_sealed_is_read_as_it_is():
    assert sealed.reveal(BODY) == BODY
    assert sealed.reveal_text('{"a": 1}') == '{"a": 1}'


def test_a_body_takes_less_room_sealed_than_it_did_before():
    assert len(sealed.seal(BODY)) < len(BODY)
    assert len(sealed.seal_text(BODY.decode())) < len(BODY)


def test_what_no_key_opens_is_refused_and_as_text_said_so(settings):
    body, text = sealed.seal(b"{}"), sealed.seal_text("{}")
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(secrets.SecretUnreadable):
        sealed.reveal(body)
    for stored in (text, text[:-9], "admit-sealed-1:", "admit-sealed-1:###"):
        assert sealed.reveal_text(stored) == str(sealed.UNREADABLE)


def test_a_posted_body_lies_sealed_in_the_database_and_is_read_as_it_came(shop: Shop):
    event = shop.sell()
    assert str(event.customer) == "dana@example.com"
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM events_delivery")
        ((stored,),) = cursor.fetchall()
    assert b"dana" not in bytes(stored)
    assert json.loads(Delivery.objects.get().body) == payload("10_product")


def test_a_delivery_that_our_keys_do_not_open_waits_and_holds_no_other_up(
    shop: Shop, settings, caplog
):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    closed = shop.receive(payload("10_product"))
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    event = shop.sell("20_product", minutes=1)
    inbox.process()
    closed.refresh_from_db()
    assert closed.state == Delivery.State.NEW
    assert event.trigger == "product_refunded"
    assert [record.message for record in caplog.records].count("deliveries_not_opened") == 1
    # After a restart with the key that was missing.
    inbox._not_opened.clear()
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    inbox.process()
    assert EventLog.objects.get(delivery=closed).trigger == "product_purchased"


@pytest.mark.first_database
def test_the_pages_say_that_a_payload_cannot_be_opened(shop: Shop, admin_client, settings):
    event = shop.sell()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    page = reverse("admin:events_eventlog_change", args=[event.pk])
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS" in words(admin_client.get(page))
    download = reverse("admin:events_eventlog_download", args=[event.pk])
    assert admin_client.get(download).status_code == 404


# What is from before


def in_the_clear(number: int) -> None:
    """So many rows of each table as an earlier version stored them, and the migration's note."""
    marketplace = Delivery.objects.values_list("marketplace", flat=True)[0]
    Delivery.objects.bulk_create(
        Delivery(
            marketplace_id=marketplace,
            sealed_body=BODY,
            body_digest=str(each),
            state=Delivery.State.READ,
        )
        for each in range(number)
    )
    ApiCall.objects.bulk_create(
        ApiCall(
            method="GET",
            url="/",
            milliseconds=1,
            sent_at="2026-03-01T12:00Z",
            request_body="dana@example.com",
            response_body='{"email": "dana@example.com"}' * (each % 2),
        )
        for each in range(number)
    )
    for table, (model, _) in sealing.COLUMNS.items():
        last = model.objects.order_by("pk").values_list("pk", flat=True).last()
        Unsealed.objects.create(table=table, last_id=last)


def stored() -> list[Any]:
    calls = ApiCall.objects.order_by("pk").values_list("request_body", "response_body")
    bodies = Delivery.objects.order_by("pk").values_list("sealed_body", flat=True)
    return [*map(bytes, bodies), *(text for call in calls for text in call if text)]


def is_sealed(value: Any) -> bool:
    return sealed.is_sealed(value) if isinstance(value, bytes) else sealed.is_text_sealed(value)


def test_old_rows_are_sealed_in_steps_and_the_next_worker_goes_on(shop: Shop):
    shop.sell()
    in_the_clear(250)
    first = sealing.go_on(enough=lambda: True, leave=lambda _: None)
    assert first == 99  # of a page one was sealed when it came
    assert 0 < sum(map(is_sealed, stored())) < len(stored())
    rest = sealing.go_on(leave=lambda _: None)
    assert first + rest == 500
    assert all(map(is_sealed, stored()))
    assert not Unsealed.objects.exists()
    assert {delivery.body for delivery in Delivery.objects.all()[:20]} == {BODY}
    call = ApiCall.objects.get(pk=ApiCall.objects.order_by("pk")[1].pk)
    assert call.request_text == "dana@example.com"
    assert json.loads(call.response_text) == {"email": "dana@example.com"}


def test_a_body_that_is_removed_meanwhile_stays_removed(shop: Shop):
    shop.sell()
    in_the_clear(1)
    old = Delivery.objects.latest("pk")
    ran: list[bool] = []

    def remove(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "events_delivery"') and not ran:
            ran.append(True)
            Delivery.objects.filter(pk=old.pk).update(sealed_body=b"")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(remove):
        sealing.go_on(leave=lambda _: None)
    old.refresh_from_db()
    assert ran
    assert old.body == b""


def rotate() -> str:
    out = io.StringIO()
    call_command("rotate_keys", stdout=out)
    return out.getvalue()


def test_a_rotation_seals_the_bodies_again_and_the_old_key_may_go(shop: Shop, settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    shop.sell()
    in_the_clear(2)
    shop.integration.set_secret("a-key-of-the-site")
    shop.integration.save()
    shop.marketplace.webhook_secrets.all().delete()
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert (
        "Re-encrypted 3 payloads of SamCart.\nRe-encrypted 2 exchanges with a site.\n" in rotate()
    )
    assert "payload" not in rotate()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert {delivery.body for delivery in Delivery.objects.all()} == {BODY}
    assert {call.request_text for call in ApiCall.objects.all()} == {"dana@example.com"}
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    with pytest.raises(CommandError, match="3 payloads of SamCart: cannot be opened"):
        rotate()


def test_a_worker_with_nothing_else_to_do_seals_what_is_old(real_shop: Shop):
    real_shop.sell()
    in_the_clear(3)
    tasks.work()
    assert all(map(is_sealed, stored()))
    assert not Unsealed.objects.exists()
