"""Each fault of the sandbox as it appears on the wire."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integrations.thinkific.sandbox import Fault, Sandbox
from integrations.thinkific.sandbox.fault_effects import ACTS, packed
from integrations.thinkific.sandbox.faults import KINDS
from tests.support.sandbox_school import Place, connected, opened, request_bytes

NEW_USER = {"first_name": "Ola", "last_name": "Berg", "email": "ola@example.com"}
POST = json.dumps(NEW_USER).encode()


@pytest.fixture
def place() -> Iterator[Place]:
    with opened() as place:
        yield place


def arm(place: Place, kind: str, **values: Any) -> Fault:
    return place.sandbox.faults.add(Fault(kind, **values))


def exchange(place: Place, *, method: str = "POST", body: bytes = POST) -> bytes:
    """All bytes that come back until the connection ends."""
    received = b""
    with connected(place.sandbox) as sock:
        sock.sendall(request_bytes(place, method, "/users", body))
        while piece := sock.recv(65536):
            received += piece
    return received


def written(place: Place) -> bool:
    return place.school.user("ola@example.com") is not None


def test_every_kind_has_its_act():
    assert set(ACTS) == set(KINDS)


# Which calls are struck


def test_a_fault_strikes_as_often_as_told_and_no_other_call(place: Place):
    arm(place, "status", status=502, times=2, method="GET", path=r"^/users")
    assert place.call("GET", "/products").status_code == 200
    assert place.post("/users", **NEW_USER).status_code == 201
    assert [place.call("GET", "/users").status_code for _ in range(3)] == [502, 502, 200]
    assert [call.status for call in place.sandbox.calls] == [200, 201, 502, 502, 200]


def test_a_fault_lets_the_first_calls_through(place: Place):
    arm(place, "status", status=500, after=2)
    arm(place, "status", status=418, after=3)
    assert [place.call("GET", "/users").status_code for _ in range(5)] == [200, 200, 500, 200, 418]


def test_a_fault_for_ever_ends_when_it_is_cleared(place: Place):
    fault = arm(place, "status", status=500, times=None)
    assert {place.call("GET", "/users").status_code for _ in range(4)} == {500}
    assert place.sandbox.faults.fired == [fault] * 4
    assert place.sandbox.faults.waiting == [fault]
    place.sandbox.faults.clear()
    assert place.call("GET", "/users").status_code == 200


def test_a_fault_of_one_school_spares_the_other(place: Place):
    place.sandbox.add_school("other", key="f" * 32)
    arm(place, "status", status=500, times=None, school="other")
    headers = {"X-Auth-API-Key": "f" * 32, "X-Auth-Subdomain": "other"}
    answer = requests.get(f"{place.sandbox.url}/users", headers=headers, timeout=5)
    assert answer.status_code == 500
    assert place.call("GET", "/users").status_code == 200


def test_a_fault_of_one_person_spares_the_others(place: Place):
    arm(place, "status", status=403, times=None, about="ola@example|<script")
    assert place.post("/users", **NEW_USER).status_code == 403
    assert place.post("/users", **NEW_USER | {"email": "li@example.com"}).status_code == 201
    script = {"first_name": "<script>", "email": "mia@example.com"}
    assert place.post("/users", **NEW_USER | script).status_code == 403
    assert place.call("GET", "/users?query[email]=ola%40example.com").status_code == 403
    assert place.call("GET", "/users").status_code == 200


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "fire"},
        {"kind": "status", "about": "("},
        {"kind": "status", "about": 7},
        {"kind": "status", "times": 0},
        {"kind": "status", "times": "2"},
        {"kind": "status", "status": 99},
        {"kind": "status", "status": 600},
        {"kind": "status", "after": -1},
        {"kind": "delay", "delay": -0.1},
        {"kind": "delay", "delay": None},
        {"kind": "status", "path": "("},
        {"kind": "status", "method": 7},
        {"kind": "status", "headers": ["a"]},
        {"kind": "bomb", "size": 1.5},
    ],
)
def test_a_fault_that_cannot_be_is_refused(values: dict[str, Any]):
    with pytest.raises(ValueError, match=r"\w"):
        Fault(**values)


# Answers


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("kind", ["status", "html", "garbage", "redirect"])
def test_an_untrue_answer_comes_with_or_without_the_write(place: Place, kind: str, applied: bool):
    arm(place, kind, applied=applied)
    answer = place.post("/users", **NEW_USER)
    assert answer.status_code == {"status": 503, "html": 200, "garbage": 201, "redirect": 302}[kind]
    assert written(place) is applied


@pytest.mark.parametrize(
    ("status", "json_body"),
    [
        (400, {"error": "Parameter ID is required."}),
        (401, {"error": "Authentication Error"}),
        (
            403,
            {"error": "Access to Apps is not available on your plan. Upgrade to gain access"},
        ),
        (404, {"error": "Record not found."}),
        (429, {"error": "Too many requests"}),
        (500, {"error": "Internal Server Error"}),
        (520, {"error": "Web Server Returned an Unknown Error"}),
    ],
)
def test_a_status_has_the_usual_body(place: Place, status: int, json_body: dict[str, str]):
    arm(place, "status", status=status, times=2)
    answer = place.call("GET", "/users")
    assert (answer.status_code, answer.json()) == (status, json_body)
    place.sandbox.switches.error_body = "html"
    page = place.call("GET", "/users")
    assert (page.text[0] == "<") is (status >= 429)


def test_a_status_may_have_a_body_and_headers_of_its_own(place: Place):
    past = "Thu, 01 Jan 2026 00:00:00 GMT"
    arm(place, "status", status=503, headers={"retry-after": "7", "date": past}, body="<p>off</p>")
    answer = place.call("GET", "/users")
    assert answer.text == "<p>off</p>"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["Date"] == past
    arm(place, "status", status=200, body={"items": []})
    assert place.call("GET", "/users").json() == {"items": []}


def test_html_with_200(place: Place):
    arm(place, "html")
    answer = place.call("GET", "/users")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_garbage_is_called_json_and_is_none(place: Place):
    arm(place, "garbage")
    answer = place.call("GET", "/users")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_empty_is_a_success_without_a_word(place: Place):
    arm(place, "empty", times=2)
    answer = place.post("/users", **NEW_USER)
    assert (answer.status_code, answer.content) == (201, b"")
    assert written(place)
    assert place.call("GET", "/users").content == b""


def test_a_redirect_tells_another_host(place: Place):
    with Sandbox() as other:
        arm(place, "redirect", status=307, headers={"Location": f"{other.url}/users"})
        answer = place.call("GET", "/users")
        assert answer.status_code == 307
        assert answer.headers["Location"] == f"{other.url}/users"
        assert other.calls == []


def test_a_bomb_is_small_on_the_wire_and_large_when_unpacked(place: Place):
    size = 5_000_000
    arm(place, "bomb", size=size)
    with requests.get(
        f"{place.sandbox.url}/users",
        headers={"X-Auth-API-Key": place.school.key, "X-Auth-Subdomain": "acme"},
        stream=True,
        timeout=5,
    ) as answer:
        wire = answer.raw.read(decode_content=False)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(wire) < size / 100
    unpacked = gzip.decompress(wire)
    assert len(unpacked) == size
    assert json.loads(unpacked)["items"] == []
    assert packed(0) != b""


# Broken connections


@pytest.mark.parametrize("applied", [False, True])
def test_reset_breaks_the_connection_before_any_answer(place: Place, applied: bool):
    arm(place, "reset", applied=applied)
    with connected(place.sandbox) as sock:
        sock.sendall(request_bytes(place, "POST", "/users", POST))
        with pytest.raises(ConnectionResetError):
            sock.recv(65536)
    assert written(place) is applied
    assert place.sandbox.calls[-1].status is None


def test_drop_does_the_work_and_closes_without_a_word(place: Place):
    arm(place, "drop")
    assert exchange(place) == b""
    assert written(place)
    assert place.sandbox.calls[-1].status is None


@pytest.mark.parametrize("applied", [False, True])
def test_a_black_hole_says_nothing_until_the_caller_gives_up(place: Place, applied: bool):
    arm(place, "black_hole", applied=applied)
    with pytest.raises(requests.ReadTimeout):
        place.call("POST", "/users", json=NEW_USER, timeout=0.3)
    wait_until(lambda: serving_threads(place) == 0)
    assert written(place) is applied
    assert place.sandbox.calls[-1].status is None


def test_truncated_promises_more_than_it_sends(place: Place):
    arm(place, "truncated", times=2)
    head, _, body = exchange(place).partition(b"\r\n\r\n")
    promised = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < promised
    assert written(place)
    user = place.school.users[0]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        place.put(f"/users/{user.id}", first_name="Olga")
    assert user.first_name == "Olga"


# Slow answers


def arrivals(place: Place, count: int) -> tuple[bytes, list[float]]:
    """The first `count` pieces of an answer with the seconds at which they came."""
    received, times = b"", []
    start = time.monotonic()
    with connected(place.sandbox) as sock:
        sock.sendall(request_bytes(place, "GET", "/users"))
        for _ in range(count):
            received += sock.recv(65536)
            times.append(time.monotonic() - start)
    return received, times


@pytest.mark.parametrize(
    ("kind", "at_once"),
    [
        ("drip_status_line", b""),
        ("drip_headers", b"HTTP/1.1 200 OK\r\n"),
        ("drip_body", b"\r\n\r\n"),
    ],
)
def test_a_drip_comes_byte_by_byte_from_its_place_on(place: Place, kind: str, at_once: bytes):
    arm(place, kind, delay=0.1)
    received, times = arrivals(place, 6)
    slow = received.partition(at_once)[2] if at_once else received
    assert at_once in received
    assert 4 <= len(slow) <= times[-1] / 0.1 + 2
    whole = {"drip_status_line": b"HTTP/1.1", "drip_headers": b"Date: ", "drip_body": b'{"items'}
    assert whole[kind].startswith(slow[:6])


@pytest.mark.parametrize("kind", ["drip_status_line", "drip_headers", "drip_body"])
def test_a_drip_ends_as_a_whole_answer(place: Place, kind: str):
    arm(place, kind, delay=0, times=2)
    assert place.call("GET", "/users").json()["items"] == []
    user = place.school.add_user("dana@example.com")
    assert place.put(f"/users/{user.id}", first_name="Dee").status_code == 200
    assert user.first_name == "Dee"


def test_an_endless_answer_ends_when_the_caller_leaves(place: Place):
    arm(place, "endless")
    with connected(place.sandbox) as sock:
        sock.sendall(request_bytes(place, "GET", "/users"))
        head = sock.recv(65536).partition(b"\r\n\r\n")[0]
        assert b"\r\nTransfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
        received = 0
        while received < 3_000_000:
            received += len(sock.recv(65536))
    wait_until(lambda: serving_threads(place) == 0)
    assert place.sandbox.calls[-1].status == 200


def test_a_delay_does_the_work_after_the_wait_even_if_the_caller_has_gone(place: Place):
    arm(place, "delay", delay=0.8)
    with pytest.raises(requests.ReadTimeout):
        place.call("POST", "/users", json=NEW_USER, timeout=0.1)
    assert not written(place)
    wait_until(lambda: written(place))


def test_a_delay_may_do_the_work_first(place: Place):
    arm(place, "delay", delay=30, applied=True)
    with pytest.raises(requests.ReadTimeout):
        place.call("POST", "/users", json=NEW_USER, timeout=0.1)
    wait_until(lambda: written(place))


@pytest.mark.parametrize("applied", [False, True])
def test_a_delayed_answer_is_true(place: Place, applied: bool):
    arm(place, "delay", delay=0.2, applied=applied)
    start = time.monotonic()
    assert place.post("/users", **NEW_USER).json()["email"] == "ola@example.com"
    assert time.monotonic() - start >= 0.2


# The server through all this


def wait_until(true: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


def serving_threads(place: Place) -> int:
    return len(place.sandbox._lines)


SLOW = [
    "delay",
    "black_hole",
    "drip_headers",
    "drip_status_line",
    "drip_body",
    "endless",
]


def test_slow_faults_hold_up_no_other_call(place: Place):
    callers = []
    for kind in SLOW:
        arm(place, kind, delay=30)
        sock = socket.create_connection((place.sandbox.host, place.sandbox.port), timeout=5)
        sock.sendall(request_bytes(place, "GET", "/users"))
        callers.append(sock)
    wait_until(lambda: len(place.sandbox.faults.fired) == len(SLOW))
    start = time.monotonic()
    assert all(place.call("GET", "/users").ok for _ in range(20))
    assert time.monotonic() - start < 25  # not behind those that take 30
    for sock in callers:
        sock.close()


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("delay", [0, 30])
def test_stop_ends_whatever_is_under_way(kind: str, delay: float):
    with opened() as place:
        place.sandbox.switches.latency = 30 if kind == "delay" and delay == 0 else 0
        arm(place, kind, delay=delay)
        place.sandbox.faults.add(Fault("black_hole", times=None))
        with connected(place.sandbox) as sock:
            sock.sendall(request_bytes(place, "POST", "/users", POST))
            sock.sendall(request_bytes(place, "GET", "/users"))
            wait_until(lambda: len(place.sandbox.faults.fired) >= 1)
            threads = list(place.sandbox._lines.values())
            start = time.monotonic()
            place.sandbox.stop()
            assert time.monotonic() - start < 25  # nothing of the 30 is waited for
            wait_until(lambda: not any(thread.is_alive() for thread in threads))


def test_the_latency_of_an_answer_ends_with_the_server():
    with opened() as place:
        place.sandbox.switches.latency = 30
        with connected(place.sandbox) as sock:
            sock.sendall(request_bytes(place, "GET", "/users"))
            wait_until(lambda: len(place.sandbox.calls) == 1)
            start = time.monotonic()
            place.sandbox.stop()
            assert time.monotonic() - start < 25  # nothing of the 30 is waited for
            assert sock.recv(100) == b""


def test_two_hundred_callers_are_let_in_at_once(place: Place):
    arm(place, "delay", delay=0.2, times=None)
    statuses: list[int] = []

    def one() -> None:
        statuses.append(place.call("GET", "/users", timeout=20).status_code)

    threads = [threading.Thread(target=one) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 200
