"""Messages to a receiver: what it gets, and what each of its answers means."""

import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import transaction
from standardwebhooks import Webhook, WebhookVerificationError

from integrations.calls import deadline
from integrations.errors import LimitReached, OutsideError, Refused, Retry
from integrations.notify_url import answers as answer_texts
from integrations.notify_url import signature
from integrations.notify_url.client import LARGEST_ANSWER, Client, Exchange, HttpPost
from tests.support import receiver as receivers
from tests.support.receiver import Behavior, Receiver
from tests.support.wire import (
    Peer,
    Wire,
    certificate,
    closed_port,
    head,
    in_a_new_thread,
    side_by_side,
)

SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SOON = 1.5  # the deadline of calls that must run into it
LATE = 8.0  # seconds after which a call has plainly missed that deadline, on a busy machine too
MESSAGE = HttpPost(
    message_id="3f0c8d5e-1a2b-4c3d-8e9f-001122334455",
    body='{"type": "Order", "naïve": "  spaces \\u0000 kept "}\r\n'.encode(),
    content_type="application/json; charset=utf-8",
    content_encoding="",
    headers={"admit-trigger": "product_refunded", "admit-event": "17"},
)


class Posting:
    """A client with what it noted."""

    def __init__(self, url: str, **options: Any) -> None:
        self.exchanges: list[Exchange] = []
        wanted: dict[str, Any] = {
            "url": url,
            "secret": SECRET,
            "after_call": self.exchanges.append,
            "deadline": 5.0,
            "version": "1.2.3",
            "allow_private": True,
        }
        self.client = Client(**(wanted | options))

    def error(self, message: HttpPost = MESSAGE) -> OutsideError:
        """What the message ends in; its sentence is noted too, wherever anything was sent."""
        with pytest.raises(OutsideError) as caught:
            self.client.send(message)
        assert [each.error for each in self.exchanges] == [caught.value.message]
        return caught.value


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as running:
        yield running


@contextmanager
def ends_in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < LATE


def message(**changes: Any) -> HttpPost:
    fields = {name: getattr(MESSAGE, name) for name in HttpPost.__slots__}
    return HttpPost(**(fields | changes))


# What the receiver gets


def test_the_receiver_gets_the_bytes_as_they_came_with_headers_that_it_can_verify(receiver):
    posting = Posting(receiver.url)

    answer = posting.client.send(MESSAGE)

    assert (answer.status, answer.body) == (200, "Thank you.")
    (request,) = receiver.requests
    assert (request.method, request.target) == ("POST", "/hook")
    assert request.body == MESSAGE.body
    assert receiver.verified() == [MESSAGE.message_id]
    sent = {name: text for name, text in request.headers.items() if not name.startswith("webhook")}
    assert sent == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json; charset=utf-8",
        "content-length": str(len(MESSAGE.body)),
        "accept-encoding": "identity",
        "user-agent": "Admit/1.2.3",
        "admit-trigger": "product_refunded",
        "admit-event": "17",
    }


def test_the_call_is_noted_before_and_after_it_is_sent(receiver):
    posting = Posting(receiver.url)

    posting.client.send(MESSAGE)

    (exchange,) = posting.exchanges
    assert (exchange.method, exchange.url) == ("POST", receiver.url)
    assert exchange.request_body == MESSAGE.body.decode()
    assert (exchange.status, exchange.response_body, exchange.error) == (200, "Thank you.", "")
    assert SECRET.removeprefix("whsec_") not in str(exchange)


@pytest.mark.parametrize(
    ("change", "verifies"),
    [
        ({}, True),
        ({"body": MESSAGE.body + b" "}, False),
        ({"webhook-id": "another"}, False),
        ({"webhook-timestamp": "0"}, False),
        ({"secret": "whsec_" + "QUJD" * 10}, False),
    ],
)
def test_the_package_itself_verifies_what_was_sent_and_nothing_else(receiver, change, verifies):
    Posting(receiver.url).client.send(MESSAGE)
    (request,) = receiver.requests
    body, secret = change.pop("body", request.body), change.pop("secret", SECRET)

    def verify() -> None:
        Webhook(secret).verify(body, request.headers | change, json_parse=False)

    if verifies:
        verify()
    else:
        with pytest.raises(WebhookVerificationError):
            verify()


def test_signing_bytes_gives_what_the_package_gives_for_text():
    at = datetime(2026, 11, 27, 20, 0, 0, 999999, tzinfo=UTC)
    text = '{"name": "Zoë"}'

    made = signature.headers(SECRET, "id-1", at, text.encode())

    assert made["webhook-signature"] == Webhook(SECRET).sign("id-1", at, text)
    assert made["webhook-timestamp"] == str(int(at.timestamp()))


def test_a_moment_of_any_time_zone_is_sent_as_the_same_second():
    at = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
    east = at.astimezone(timezone(timedelta(hours=5)))

    assert signature.headers(SECRET, "a", at, b"") == signature.headers(SECRET, "a", east, b"")


def test_new_secrets_differ_and_are_taken_by_the_package():
    made = [signature.new_secret() for _ in range(3)]

    assert len(set(made)) == 3
    for secret in made:
        assert secret.startswith("whsec_")
        assert len(signature.key_of(secret)) == signature.SECRET_BYTES
        Webhook(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_short",
        SECRET.removeprefix("whsec_"),
        "whsec_" + "A" * 24,  # 18 bytes
        "whsec_" + "A" * 88,  # 66 bytes
        "whsec_ü" + "A" * 31,
        f"{SECRET} ",
    ],
)
def test_a_secret_that_standard_webhooks_does_not_know_is_refused_in_words(secret):
    with pytest.raises(ValueError, match=r"^A signing secret is whsec_ and the base64 .*\.$"):
        signature.key_of(secret)


def test_a_compressed_body_goes_out_as_it_came_and_is_not_shown_as_text(receiver):
    packed = gzip.compress(MESSAGE.body)
    posting = Posting(receiver.url)

    posting.client.send(message(body=packed, content_encoding="gzip"))

    (request,) = receiver.requests
    assert request.body == packed
    assert request.headers["content-encoding"] == "gzip"
    expected = signature.headers(
        SECRET,
        MESSAGE.message_id,
        datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC),
        packed,
    )
    assert request.headers["webhook-signature"] == expected["webhook-signature"]
    assert posting.exchanges[0].request_body == f"({len(packed)} bytes, gzip)"


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        ("", "application/json"),
        ("text/plain", "text/plain"),
        ("text/plain\r\nX-Evil: 1", "application/json"),
        ("text/plain\n", "application/json"),
        (" text/plain", "application/json"),
        ("text/☃", "application/json"),
    ],
)
def test_a_content_type_that_no_header_can_hold_is_not_sent(receiver, content_type, sent):
    Posting(receiver.url).client.send(
        message(content_type=content_type, content_encoding=content_type and f"{content_type}\n")
    )

    (request,) = receiver.requests
    assert request.headers["content-type"] == sent
    assert "content-encoding" not in request.headers
    assert "x-evil" not in request.headers


def test_a_body_of_any_bytes_is_kept_as_text_that_a_database_can_hold(receiver):
    posting = Posting(receiver.url)
    body = b"\x00\xff\xed\xa0\x80" + b"x" * 100_000

    posting.client.send(message(body=body))
    posting.client.send(message(body=b""))

    assert [request.body for request in receiver.requests] == [body, b""]
    shown = posting.exchanges[0].request_body
    assert shown.startswith("\ufffd\ufffd")
    assert len(shown) == 64 * 1024
    shown.encode()


def test_the_address_is_called_with_its_path_and_query():
    with Receiver(SECRET, path="/a%20b/c?key=d&e=%2F") as receiver:
        Posting(receiver.url).client.send(MESSAGE)

    assert receiver.requests[0].target == "/a%20b/c?key=d&e=%2F"


def test_proxies_and_passwords_of_the_environment_are_not_used(receiver, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password hidden-word")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")

    Posting(receiver.url).client.send(MESSAGE)

    assert "authorization" not in receiver.requests[0].headers


# What its answers mean


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize("body", ["", "not JSON", "\x00"])
def test_every_2xx_is_success_whatever_its_body(receiver, status, body):
    receiver.behavior = receivers.answers(status, body="" if status == 204 else body)

    assert Posting(receiver.url).client.send(MESSAGE).status == status


def test_a_receiver_that_is_gone_ends_the_message_and_says_what_to_do(receiver):
    receiver.behavior = receivers.gone

    error = Posting(receiver.url).error()

    assert isinstance(error, Refused)
    assert (error.code, error.status) == ("receiver_gone", 410)
    assert error.message == (
        "The receiver answers 410 Gone: it does not want these messages anymore. "
        "Turn the rule off or edit the address."
    )
    assert error.goes_on == ""


FAILURES = [
    (300, "redirected", "300 Multiple Choices, a redirect, which Admit does not follow"),
    (304, "redirected", "304 Not Modified, a redirect"),
    (308, "redirected", "308 Permanent Redirect, a redirect"),
    (400, "refused", "400 Bad Request: it did not accept the message"),
    (401, "refused", "401 Unauthorized: it did not accept"),
    (404, "refused", "404 Not Found: it did not accept"),
    (408, "refused", "408 Request Timeout: it did not accept"),
    (499, "refused", "answered 499: it did not accept"),
    (500, "receiver_failed", "500 Internal Server Error: it failed on its side"),
    (503, "receiver_failed", "503 Service Unavailable: it failed on its side"),
    (599, "receiver_failed", "answered 599: it failed"),
    (999, "receiver_failed", "answered 999: it failed"),
]


@pytest.mark.parametrize(("status", "code", "words"), FAILURES)
def test_every_other_status_is_tried_again_and_named(receiver, status, code, words):
    receiver.behavior = receivers.answers(status)
    posting = Posting(receiver.url)

    error = posting.error()

    assert isinstance(error, Retry)
    assert (error.code, error.status, error.seconds) == (code, status, None)
    assert error.message.startswith("127.0.0.1 answered ")
    assert words in error.message
    assert error.goes_on == "Admit tries again by itself."
    assert posting.exchanges[0].status == status


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({}, answer_texts.PAUSE),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "86400"}, 900),
        ({"Retry-After": "soon"}, answer_texts.PAUSE),
    ],
)
def test_a_receiver_may_ask_for_a_pause_of_at_most_15_minutes(receiver, header, seconds):
    receiver.behavior = receivers.answers(429, header)
    error = Posting(receiver.url).error()
    assert isinstance(error, LimitReached)
    assert (error.code, error.status, error.seconds) == ("limit_reached", 429, seconds)
    assert "it wants fewer messages at a time" in error.message

    receiver.behavior = receivers.answers(503, header)
    error = Posting(receiver.url).error()
    assert isinstance(error, Retry)
    asked = seconds if header.get("Retry-After", "soon") != "soon" else None
    assert error.seconds == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, status):
    with Receiver(SECRET) as elsewhere:
        receiver.behavior = receivers.redirects(elsewhere.url, status)
        error = Posting(receiver.url).error()

    assert error.code == "redirected"
    assert "Edit the address to where the receiver is." in error.message
    assert elsewhere.connections == 0
    assert len(receiver.requests) == 1


# Answers that are slow, large or no HTTP

SLOW: dict[str, Behavior] = {
    "says nothing": receivers.silent,
    "drips the status line": receivers.drips(b"", b"HTTP/1.1 200 " + b"x" * 9999),
    "drips the headers": receivers.drips_headers(),
    "drips interim answers": receivers.drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def test_an_answer_that_drips_ends_at_the_deadline():
    def check(name: str) -> None:
        with Receiver(SECRET, SLOW[name]) as receiver, ends_in_time():
            error = Posting(receiver.url, deadline=SOON).error()

        assert isinstance(error, Retry)
        assert (error.code, error.status) == ("timed_out", None)
        assert error.message.startswith("127.0.0.1 did not answer within 1.5 seconds.")
        assert error.goes_on == "Admit tries again by itself."
        assert receiver.verified() == [MESSAGE.message_id]

    side_by_side(SLOW, check)


def test_a_body_that_drips_ends_at_the_deadline_and_its_status_counts():
    codes = {200: "", 410: "receiver_gone", 500: "receiver_failed"}

    def check(status: int) -> None:
        with Receiver(SECRET, receivers.drips_body(status)) as receiver, ends_in_time():
            posting = Posting(receiver.url, deadline=SOON)
            if codes[status]:
                assert posting.error().code == codes[status]
            else:
                assert posting.client.send(MESSAGE).status == 200

        (exchange,) = posting.exchanges
        assert exchange.status == status
        assert set(exchange.response_body) <= {"x"}

    side_by_side(codes, check)


def test_a_tls_handshake_that_drips_ends_at_the_deadline():
    def check(greeting: bytes) -> None:
        def script(peer: Peer) -> None:
            peer.send(greeting)
            peer.drip(b"\x00") if greeting else peer.wait()

        with Wire(script) as server, ends_in_time():
            error = Posting(f"https://127.0.0.1:{server.port}/", deadline=SOON).error()

        assert isinstance(error, Retry)
        assert error.code == "timed_out"
        assert "127.0.0.1 could not be reached in time" in error.message

    side_by_side([b"", b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"], check)


def test_a_message_that_is_not_taken_ends_at_the_deadline():
    with Wire(lambda peer: peer.wait()) as server, ends_in_time():
        posting = Posting(server.url, deadline=SOON)
        error = posting.error(message(body=b"x" * 20_000_000))

    assert error.code == "timed_out"


@pytest.mark.parametrize(
    "behavior",
    [
        receivers.never_stops,
        receivers.answers(200, body="y" * (LARGEST_ANSWER + 1)),
        receivers.answers(
            200, {"Content-Encoding": "gzip"}, gzip.compress(b"z" * 50_000_000, compresslevel=1)
        ),
    ],
    ids=["never stops", "a byte too long", "50 MB in gzip"],
)
def test_64_kb_of_an_answer_are_kept_and_the_rest_is_not_even_read(receiver, behavior):
    receiver.behavior = behavior
    posting = Posting(receiver.url)

    tracemalloc.start()
    try:
        answer = posting.client.send(MESSAGE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 8 * 1024 * 1024
    assert answer.status == 200
    assert len(answer.body) == 64 * 1024
    assert posting.exchanges[0].response_body == answer.body
    # What was not read is nobody else's answer.
    receiver.behavior = receivers.healthy
    assert posting.client.send(MESSAGE).body == "Thank you."


ODD: dict[str, bytes] = {
    "closes": b"",
    "speaks something else": b"220 mail ready\r\n",
    "has no number for a status": b"HTTP/1.1 OK\r\n\r\n",
    "has a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "has a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "sends a header of 1 MB": b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 1_000_000,
}


@pytest.mark.parametrize("name", ODD)
def test_an_answer_that_is_no_http_is_tried_again(receiver, name):
    receiver.behavior = receivers.sends(ODD[name])

    error = Posting(receiver.url).error()

    assert isinstance(error, Retry)
    assert (error.code, error.status) == ("unreachable", None)
    assert "the connection broke off before its answer" in error.message
    assert error.goes_on == "Admit tries again by itself."


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        head(200, {"Content-Length": "9"}) + b"ok",
        head(200, {"Content-Length": "2", "Content-Encoding": "gzip"}) + b"ok",
        head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\nok",
    ],
    ids=["no words in the status line", "too short", "not gzip", "not chunked"],
)
def test_a_2xx_is_success_even_when_its_body_cannot_be_read(receiver, data):
    receiver.behavior = receivers.sends(data)
    posting = Posting(receiver.url)

    assert posting.client.send(MESSAGE).status == 200
    assert posting.exchanges[0].error == ""


# No connection


def test_a_dead_receiver_is_tried_again():
    error = Posting(f"http://127.0.0.1:{closed_port()}/hook").error()

    assert isinstance(error, Retry)
    assert error.code == "unreachable"
    assert error.message == "127.0.0.1 refused the connection. Check that the receiver is up."


def unknown(host: str, port: int, seconds: float) -> deadline.Addresses:
    raise OSError("Name or service not known")


def test_a_name_that_is_unknown_is_tried_again():
    error = Posting("https://receiver.invalid/", resolve=unknown).error()

    assert isinstance(error, Retry)
    assert error.code == "unreachable"
    assert "receiver.invalid could not be looked up (DNS)" in error.message


def test_https_is_spoken_to_a_receiver_with_a_valid_certificate(trusted):
    with Receiver(SECRET, tls=trusted) as receiver:
        posting = Posting(receiver.url)
        answer = in_a_new_thread(lambda: posting.client.send(MESSAGE))

    assert answer.status == 200
    assert receiver.verified() == [MESSAGE.message_id]


@pytest.mark.parametrize(
    ("days", "trusting", "words"),
    [(1, False, "unable to get local issuer certificate"), (-1, True, "has expired")],
)
def test_a_certificate_that_is_not_valid_gets_no_message(
    tmp_path, monkeypatch, days, trusting, words
):
    context, authority = certificate(tmp_path, days=days)
    if trusting:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    deadline.tls_context.cache_clear()
    with Receiver(SECRET, tls=context) as receiver:
        error = in_a_new_thread(lambda: Posting(receiver.url).error())
    deadline.tls_context.cache_clear()

    assert isinstance(error, Retry)
    assert error.code == "tls_failed"
    assert "The certificate of 127.0.0.1 is not valid" in error.message
    assert words in error.message
    assert receiver.requests == []


def test_a_receiver_that_speaks_no_tls_is_tried_again():
    with Wire(lambda peer: peer.send(head(400, {}))) as server:
        error = Posting(f"https://127.0.0.1:{server.port}/").error()

    assert isinstance(error, Retry)
    assert error.code == "tls_failed"


# What stops a message


@pytest.mark.django_db
def test_nothing_is_sent_inside_a_database_transaction(receiver):
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        Posting(receiver.url).client.send(MESSAGE)

    assert receiver.connections == 0


def test_a_body_of_json_is_still_json_for_the_receiver(receiver):
    Posting(receiver.url).client.send(message(body=b'{"a": [1, 2]}'))

    assert json.loads(receiver.requests[0].body) == {"a": [1, 2]}
