"""Every network fault ends in time, in bounded memory, and as an error Admit handles."""

import functools
import gzip
import logging
import random
import signal
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from integrations.errors import KeyRejected, LimitReached, OutsideError, Refused, Retry
from integrations.thinkific.client import LARGEST_ANSWER
from tests.support.wire import (
    Peer,
    WatchedClient,
    Wire,
    always,
    certificate,
    closed_port,
    head,
    in_a_new_thread,
    side_by_side,
)

SOON = 1.5  # the deadline of calls that must run into it; a busy machine connects within it
LATE = 8.0  # seconds after which a call has plainly missed that deadline, on a busy machine too
CHUNKED = {"Transfer-Encoding": "chunked"}


def client_of(address: Wire | str, *, seconds: float = 5.0) -> WatchedClient:
    url = address if isinstance(address, str) else address.url
    return WatchedClient(url, deadline=seconds)


def errors_of(client: WatchedClient) -> list[OutsideError]:
    """What a read and what a POST end in."""
    caught: list[OutsideError] = []
    calls: list[Callable[[], object]] = [
        lambda: client.get("/users"),
        lambda: client.post("/users", {"a": "b"}),
    ]
    for call in calls:
        with pytest.raises(OutsideError) as error:
            call()
        caught.append(error.value)
    assert [exchange.error for exchange in client.exchanges] == [str(each) for each in caught]
    return caught


def assert_retry(errors: list[OutsideError], words: str, *, doubt: bool) -> None:
    """Both are tried again; the POST is in doubt or not, the read never."""
    doubts = [error.in_doubt for error in errors if isinstance(error, Retry)]
    assert doubts == [False, doubt]
    for error in errors:
        assert words in error.message


@contextmanager
def ends_in_time() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < LATE


def serve(then: Callable[[Peer], None], *, tls: ssl.SSLContext | None = None) -> Wire:
    """A server that reads each request and then does something else than answer it well."""

    def script(peer: Peer) -> None:
        while peer.read():
            then(peer)

    return Wire(script, tls=tls)


def half_then(peer: Peer, data: bytes, then: Callable[[], object]) -> None:
    peer.send(data)
    then()


# Slow on purpose: none of these would ever end by itself.

SLOW: dict[str, Callable[[Peer], None]] = {
    "says nothing": lambda peer: peer.wait(),
    "drips the status line": lambda peer: peer.drip(b"HTTP/1.1 200 " + b"x" * 9999),
    "drips interim answers": lambda peer: peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drips the headers": lambda peer: half_then(
        peer, b"HTTP/1.1 200 OK\r\n", lambda: peer.drip(b"X-A: b\r\n")
    ),
    "drips one header": lambda peer: half_then(
        peer, b"HTTP/1.1 200 OK\r\nX-A: ", lambda: peer.drip(b"x")
    ),
    "drips the body": lambda peer: half_then(
        peer, head(200, {"Content-Length": "999"}), lambda: peer.drip(b" ")
    ),
    "drips a body of any length": lambda peer: half_then(
        peer, head(200, {"Connection": "close"}), lambda: peer.drip(b" ")
    ),
    "drips chunks": lambda peer: half_then(
        peer, head(200, CHUNKED), lambda: peer.drip(b"1\r\n \r\n")
    ),
    "drips a chunk's size": lambda peer: half_then(
        peer, head(200, CHUNKED), lambda: peer.drip(b"0")
    ),
    "drips the trailers": lambda peer: half_then(
        peer, head(200, CHUNKED) + b"2\r\n{}\r\n0\r\n", lambda: peer.drip(b"X-A: b\r\n")
    ),
    "drips gzip": lambda peer: half_then(
        peer,
        head(200, {"Content-Length": "999", "Content-Encoding": "gzip"}) + gzip.compress(b"")[:10],
        lambda: peer.drip(b"\x00\x00\x00\xff\xff"),
    ),
    "stops in the body": lambda peer: half_then(
        peer, head(200, {"Content-Length": "999"}) + b"{", peer.wait
    ),
}


def assert_slow_ends(name: str, tls: ssl.SSLContext | None = None) -> None:
    with serve(SLOW[name], tls=tls) as server, ends_in_time():
        errors = errors_of(client_of(server, seconds=SOON))

    assert_retry(errors, f"did not answer within {SOON} seconds", doubt=True)
    assert len(server.requests) == 2


def test_a_slow_answer_ends_at_the_deadline():
    side_by_side(SLOW, assert_slow_ends)


def test_a_slow_answer_over_tls_ends_at_the_deadline(trusted):
    names = ["drips the status line", "drips one header", "drips the body"]
    side_by_side(names, lambda name: assert_slow_ends(name, trusted))


def test_a_request_that_is_not_taken_ends_at_the_deadline():
    def script(peer: Peer) -> None:
        peer.wait()  # reads nothing, so its buffers fill

    with Wire(script) as server, ends_in_time():
        client = client_of(server, seconds=SOON)
        with pytest.raises(Retry) as error:
            client.post("/users", {"a": "x" * 50_000_000})

    assert error.value.in_doubt
    assert "did not answer within" in error.value.message


def test_a_slow_tls_handshake_ends_at_the_deadline():
    def check(greeting: bytes) -> None:
        def script(peer: Peer) -> None:
            peer.send(greeting)
            peer.drip(b"\x00") if greeting else peer.wait()

        with Wire(script) as server, ends_in_time():
            errors = errors_of(client_of(f"https://127.0.0.1:{server.port}", seconds=SOON))

        assert_retry(errors, "127.0.0.1 could not be reached in time", doubt=False)

    side_by_side([b"", b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"], check)


def test_a_connection_that_is_never_accepted_ends_at_the_deadline():
    with socket.socket() as listener, ends_in_time():
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting: list[socket.socket] = []
        for _ in range(8):  # fill the queue, so that the next one gets no answer at all
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(address)
        errors = errors_of(client_of(f"http://127.0.0.1:{address[1]}", seconds=SOON))
        for each in waiting:
            each.close()

    assert_retry(errors, "127.0.0.1 could not be reached in time", doubt=False)


def test_a_name_that_is_looked_up_forever_ends_at_the_deadline(monkeypatch):
    release = threading.Event()
    names_of_this_test(monkeypatch, lambda: [release.wait(10)])
    with ends_in_time():
        errors = errors_of(client_of("http://school.invalid", seconds=SOON))
    release.set()

    assert_retry(errors, "address of school.invalid could not be looked up (DNS)", doubt=False)


# No connection


def names_of_this_test(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Sequence[object]]
) -> None:
    """Names (numbers excepted) are looked up by `answer()`; no question leaves the machine."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: Any) -> Sequence[object]:
        try:
            return real(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            if options.get("flags"):
                raise
        return answer()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def ipv4(port: int) -> tuple[object, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))


def test_a_port_on_which_nobody_listens_is_tried_again():
    errors = errors_of(client_of(f"http://127.0.0.1:{closed_port()}"))

    assert_retry(errors, "127.0.0.1 refused the connection.", doubt=False)


def test_a_name_that_does_not_exist_is_tried_again(monkeypatch):
    def unknown() -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names_of_this_test(monkeypatch, unknown)
    errors = errors_of(client_of("http://school.invalid"))

    assert_retry(errors, "address of school.invalid could not be looked up (DNS)", doubt=False)


def test_a_name_that_no_dns_can_hold_is_tried_again():
    errors = errors_of(client_of(f"http://{'x' * 64}.invalid"))

    assert all(isinstance(error, Retry | Refused) for error in errors)


def test_the_next_address_of_a_name_is_tried(monkeypatch):
    unknown_family = (socket.AF_UNIX, socket.SOCK_STREAM, 99, "", ("127.0.0.1", 1))
    with Wire(always(200, "{}")) as server:
        addresses = [unknown_family, ipv4(closed_port()), ipv4(server.port)]
        names_of_this_test(monkeypatch, lambda: addresses)

        assert client_of(f"http://school.invalid:{server.port}").get("/users").status == 200


def test_an_authority_that_the_system_trusts_is_enough(trusted):
    with Wire(always(200, "{}"), tls=trusted) as server:
        answers = in_a_new_thread(lambda: [client_of(server).get("/users") for _ in range(3)])

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert server.connections == 1


def test_a_certificate_of_an_unknown_authority_is_not_accepted(tmp_path):
    with Wire(always(200, "{}"), tls=certificate(tmp_path)[0]) as server:
        errors = in_a_new_thread(lambda: errors_of(client_of(server)))

    assert_retry(errors, "certificate of 127.0.0.1 is not valid", doubt=False)
    assert server.requests == []


def test_a_certificate_that_has_expired_is_not_accepted(tmp_path, trusted, monkeypatch):
    context, authority = certificate(tmp_path, days=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Wire(always(200, "{}"), tls=context) as server:
        errors = in_a_new_thread(lambda: errors_of(client_of(server)))

    assert_retry(errors, "certificate of 127.0.0.1 is not valid", doubt=False)
    assert server.requests == []


def test_a_certificate_of_another_host_is_not_accepted(trusted, monkeypatch):
    with Wire(always(200, "{}"), tls=trusted) as server:
        names_of_this_test(monkeypatch, lambda: [ipv4(server.port)])
        address = f"https://school.invalid:{server.port}"
        errors = in_a_new_thread(lambda: errors_of(client_of(address)))

    assert_retry(errors, "certificate of school.invalid is not valid", doubt=False)
    assert server.requests == []


def test_a_server_that_speaks_no_tls_is_tried_again():
    with Wire(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        errors = errors_of(client_of(f"https://127.0.0.1:{server.port}"))

    assert_retry(errors, "No secure connection to 127.0.0.1 could be made", doubt=False)


# Answers that break off, or make no sense as HTTP

BROKEN: dict[str, Callable[[Peer], None]] = {
    "closes": lambda peer: peer.sock.close(),
    "resets": lambda peer: peer.reset(),
    "sends an empty line first": lambda peer: peer.send(b"\r\nHTTP/1.1 200 OK\r\n\r\n{}"),
    "closes in the status line": lambda peer: half_then(peer, b"HTTP/1.", peer.sock.close),
    "resets after the status line": lambda peer: half_then(
        peer, b"HTTP/1.1 200 OK\r\nX-A", peer.reset
    ),
    "resets after the headers": lambda peer: half_then(
        peer, head(200, {"Content-Length": "9"}), peer.reset
    ),
    "closes after the headers": lambda peer: half_then(
        peer, head(201, {"Content-Length": "9"}), peer.sock.close
    ),
    "closes in the body": lambda peer: half_then(
        peer, head(200, {"Content-Length": "9"}) + b"{}", peer.sock.close
    ),
    "closes in a chunk": lambda peer: half_then(
        peer, head(200, CHUNKED) + b"9\r\n{}", peer.sock.close
    ),
    "closes between chunks": lambda peer: half_then(
        peer, head(200, CHUNKED) + b"2\r\n{}\r\n", peer.sock.close
    ),
    "sends a chunk of no size": lambda peer: half_then(
        peer, head(200, CHUNKED) + b"zz\r\n{}\r\n", peer.sock.close
    ),
    "says gzip and sends none": lambda peer: peer.answer(200, "{}", {"Content-Encoding": "gzip"}),
    "speaks something else": lambda peer: half_then(peer, b"220 mail ready\r\n", peer.sock.close),
    "sends two lengths": lambda peer: half_then(
        peer,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        peer.sock.close,
    ),
    "sends a header of 1 MB": lambda peer: peer.answer(200, "{}", {"X-A": "x" * 1_000_000}),
    "sends headers without end": lambda peer: half_then(
        peer, b"HTTP/1.1 200 OK\r\n", lambda: peer.flood(b"X-A: b\r\n" * 100)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_leaves_a_post_in_doubt(name):
    with serve(BROKEN[name]) as server:
        errors = errors_of(client_of(server))

    assert_retry(errors, "broke off before its answer was complete", doubt=True)
    assert len(server.requests) == 2


def test_a_truncated_gzip_is_no_answer():
    body = gzip.compress(b'{"a": "' + random.Random(1).randbytes(999).hex().encode() + b'"}')
    with serve(
        lambda peer: peer.answer(200, body[: len(body) // 2], {"Content-Encoding": "gzip"})
    ) as server:
        errors = errors_of(client_of(server))

    assert_retry(errors, "no sense", doubt=True)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, Refused), (401, KeyRejected), (404, Refused), (429, LimitReached), (503, Retry)],
)
def test_a_status_counts_even_when_its_text_breaks_off(status, kind):
    broken = head(status, {"Content-Length": "99"}) + b'{"err'
    with serve(lambda peer: half_then(peer, broken, peer.sock.close)) as server:
        errors = errors_of(client_of(server))

    assert [(type(error), error.status) for error in errors] == [(kind, status)] * 2


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refusal_whose_reason_breaks_off_is_tried_again_without_doubt(status):
    broken = head(status, {"Content-Length": "99"}) + b'{"errors": {"email": ["has al'
    with serve(lambda peer: half_then(peer, broken, peer.sock.close)) as server:
        client = client_of(server)
        errors = errors_of(client)

    assert_retry(errors, "broke off", doubt=False)
    assert [exchange.status for exchange in client.exchanges] == [status] * 2
    assert '"email"' in client.exchanges[0].response_body


def test_random_bytes_never_end_in_anything_but_an_outside_error():
    chance = random.Random(20261123)
    starts = [b"", b"HTTP/1.1 200 OK\r\n", head(200, CHUNKED), head(200, {"Content-Length": "40"})]
    starts.append(head(200, {"Content-Encoding": "gzip, deflate", "Content-Length": "40"}))

    def noise(peer: Peer) -> None:
        data = bytearray(chance.choice(starts))
        data += (
            chance.randbytes(60)
            if chance.random() < 0.5
            else bytes(chance.choices(b'0123456789abcdef\r\n:;,{}[]" HTP/', k=60))
        )
        if chance.random() < 0.5:
            data[chance.randrange(len(data))] = chance.randrange(256)
        half_then(peer, bytes(data), peer.sock.close)

    with serve(noise) as server:
        client = client_of(server, seconds=2.0)
        for _ in range(150):
            with pytest.raises(OutsideError):
                client.get("/users")

    assert len(client.exchanges) == 150


def test_an_answer_that_cannot_be_read_is_not_logged(caplog):
    def echo(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nthe key is secret-of-the-site\r\n\r\n")
        peer.sock.close()

    for name in ("", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    with serve(echo) as server, pytest.raises(Retry):
        client_of(server).get("/users", {"query[email]": "ann@x.com"})

    assert "secret-of-the-site" not in caplog.text
    assert "ann" not in caplog.text


@pytest.mark.parametrize("begun", [b"", head(200, {"Content-Length": "2"})])
def test_an_interrupted_call_is_reported_and_its_late_answer_is_nobody_elses(begun):
    class AlarmError(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise AlarmError

    def late(peer: Peer) -> None:
        first = len(peer.server.requests) == 1
        peer.send(begun)
        peer.wait(0.3 if first else 0)
        peer.send(b"[]" if begun else head(200, {"Content-Length": "2"}) + b"[]")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with serve(late) as server:
            client = client_of(server)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(AlarmError):
                client.post("/users", {})
            assert client.get("/users").body == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    errors = [exchange.error for exchange in client.exchanges]
    assert errors == ["The call was interrupted.", ""]
    assert server.connections == 2


# Size


@functools.cache
def bomb() -> bytes:
    """A gzip body of 200 MB of zero bytes, made in pieces."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    piece = bytes(1024 * 1024)
    packed = b"".join(packer.compress(piece) for _ in range(200))
    return packed + packer.flush()


ENDLESS: dict[str, Callable[[Peer], None]] = {
    "a body without end": lambda peer: half_then(
        peer, head(200, {"Connection": "close"}), lambda: peer.flood(b" " * 65536)
    ),
    "chunks without end": lambda peer: half_then(
        peer, head(200, CHUNKED), lambda: peer.flood(b"1000\r\n" + b" " * 4096 + b"\r\n")
    ),
    "one chunk of 1 GB": lambda peer: half_then(
        peer, head(200, CHUNKED) + b"40000000\r\n", lambda: peer.flood(b" " * 65536)
    ),
    "200 MB in gzip": lambda peer: peer.answer(200, bomb(), {"Content-Encoding": "gzip"}),
    "200 MB in gzip twice": lambda peer: peer.answer(
        200, gzip.compress(bomb()), {"Content-Encoding": "gzip, gzip"}
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_that_is_too_large_is_given_up_in_little_memory(name):
    with serve(ENDLESS[name]) as server:
        client = client_of(server, seconds=20.0)
        tracemalloc.start()
        try:
            errors = errors_of(client)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert_retry(errors, "too large (more than 1 MiB)", doubt=True)
    assert most < 16 * 1024 * 1024


def test_a_redirect_with_a_body_without_end_is_given_up_too():
    def redirect(peer: Peer) -> None:
        half_then(
            peer,
            head(302, {"Location": "/elsewhere", "Connection": "close"}),
            lambda: peer.flood(b" " * 65536),
        )

    with serve(redirect) as server, ends_in_time():
        errors = errors_of(client_of(server, seconds=20.0))

    assert [type(error) for error in errors] == [Refused, Refused]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_of_exactly_the_largest_size_is_read(encoding):
    body = b'{"a": "' + b"x" * (LARGEST_ANSWER - 9) + b'"}'
    assert len(body) == LARGEST_ANSWER
    sent = gzip.compress(body) if encoding == "gzip" else body
    with Wire(always(200, sent, {"Content-Encoding": encoding})) as server:
        client = client_of(server)
        assert len(client.get("/users").body["a"]) == LARGEST_ANSWER - 9
        client.get("/users")

    assert server.connections == 1
