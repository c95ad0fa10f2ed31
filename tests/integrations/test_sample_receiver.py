"""The demo's receiver accepts and shows what Admit signs, and nothing else."""

import socket
from datetime import UTC, datetime

import pytest
import requests

from integrations.errors import Retry
from integrations.notify_url import signature
from integrations.notify_url.client import Client, HttpPost
from integrations.notify_url.sample_receiver import SampleReceiver

BODY = b'{"customer": "<b>Ann</b>"}'


@pytest.fixture
def receiver():
    with SampleReceiver(signature.new_secret()) as running:
        yield running


def post(receiver: SampleReceiver, message_id: str, secret: str = "") -> int:
    client = Client(
        url=receiver.url, secret=secret or receiver.secret, version="1.2.3", allow_private=True
    )
    headers = {"admit-trigger": "product_refunded", "admit-event": "17"}
    return client.send(HttpPost(message_id, BODY, "application/json", "", headers)).status


def page_of(receiver: SampleReceiver) -> str:
    with requests.Session() as browser:
        browser.trust_env = False
        return browser.get(receiver.page, timeout=10).text


def test_a_message_is_kept_once_and_shown_as_text(receiver):
    assert "Nothing so far." in page_of(receiver)

    assert [post(receiver, "a"), post(receiver, "b"), post(receiver, "a")] == [204, 204, 204]

    assert [message.message_id for message in receiver.messages] == ["a", "b"]
    assert receiver.messages[0].body == BODY
    page = page_of(receiver)
    assert page.index("webhook-id b") < page.index("webhook-id a")
    assert "product_refunded, event 17" in page
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "<b>" not in page


def test_a_signature_by_another_secret_is_not_taken(receiver):
    with pytest.raises(Retry) as error:
        post(receiver, "a", signature.new_secret())

    assert error.value.status == 401
    assert not receiver.messages


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "a", "webhook-timestamp": "now", "webhook-signature": "v1,x"},
        {"webhook-id": "a", "webhook-timestamp": "{now}", "webhook-signature": "v1"},
        {"webhook-id": "a", "webhook-timestamp": "{now}", "webhook-signature": "v1,ü"},
    ],
)
def test_headers_that_make_no_sense_are_not_taken(receiver, headers):
    known = signature.headers(receiver.secret, "a", datetime.now(UTC), BODY)
    given = {name: text.format(now=known["webhook-timestamp"]) for name, text in headers.items()}

    assert receiver.take(given, BODY) == 401


@pytest.mark.parametrize(
    ("length", "status"), [("", 411), ("many", 413), ("-1", 413), ("9999999", 413)]
)
def test_a_body_without_a_length_or_too_large_is_not_read(receiver, length, status):
    line = f"Content-Length: {length}\r\n" if length else ""
    port = int(receiver.page.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(f"POST /hook HTTP/1.1\r\nHost: a\r\n{line}\r\n".encode())
        assert sock.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())
