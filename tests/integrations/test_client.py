"""What the Thinkific client sends, how it reads answers, and what it keeps secret."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrations.calls import deadline
from integrations.errors import KeyRejected, LimitReached, OutsideError, Refused, Retry
from integrations.steps import drive
from integrations.thinkific import calls
from integrations.thinkific.calls import rows
from integrations.thinkific.client import HIDDEN, LONGEST_KEPT
from tests.support.wire import KEY, Peer, WatchedClient, Wire, always, closed_port

ROOT = Path(__file__).parents[2]
TOKEN = "a-token/that+is=longer-than-thirty-two-characters"
HTML = "<!DOCTYPE html><title>Sign in</title>"


def client_of(server: Wire, **options: Any) -> WatchedClient:
    return WatchedClient(f"{server.url}/v1", **options)


def error_of(call: Callable[..., object], *arguments: Any) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        call(*arguments)
    return caught.value


# What is sent


def test_an_api_key_goes_with_the_subdomain():
    with Wire(always(200, "{}")) as server:
        client_of(server, site="https://School.thinkific.com/").get("/users")

    headers = server.requests[0].headers
    assert headers["x-auth-api-key"] == KEY
    assert headers["x-auth-subdomain"] == "school"
    assert "authorization" not in headers
    assert headers["user-agent"] == "Admit/1.2.3 (+self-hosted)"


def test_any_other_secret_goes_as_a_bearer_token():
    with Wire(always(200, "{}")) as server:
        client_of(server, secret=f" {TOKEN}\n").get("/users")

    headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert "x-auth-api-key" not in headers


@pytest.mark.parametrize("path", ["/users", "users"])
def test_parameters_arrive_whatever_is_in_them(path):
    with Wire(always(200, "{}")) as server:
        client_of(server).get(path, {"query[email]": "a+b&c=ü\ud800@x.com", "page": 2})

    assert server.requests[0].target == (
        "/v1/users?query%5Bemail%5D=a%2Bb%26c%3D%C3%BC%3F%40x.com&page=2"
    )


@pytest.mark.parametrize("method", ["post", "put"])
def test_a_write_sends_its_body_as_json(method):
    body = {"first_name": "Zoë", "nested": [1, None, True]}
    with Wire(always(200, "{}")) as server:
        getattr(client_of(server), method)("/users", body)

    [request] = server.requests
    assert (request.method, request.json()) == (method.upper(), body)
    assert request.headers["content-type"] == "application/json"


def test_what_runs_before_a_call_can_stop_it():
    calls = []

    def stop():
        calls.append("begun")
        raise LookupError("no slot")

    with Wire(always(200, "{}")) as server:
        client = client_of(server, before_call=stop)
        with pytest.raises(LookupError, match="no slot"):
            client.post("/users", {})

    assert calls == ["begun"]
    assert server.requests == []
    assert client.exchanges == []


def test_every_call_is_reported_before_its_error_is_raised():
    with Wire(always(422, '{"errors": ["No."]}')) as server:
        client = client_of(server)
        before = datetime.now(UTC)
        error = error_of(client.post, "/users", {"a": 1})

    [exchange] = client.exchanges
    assert exchange.method == "POST"
    assert exchange.url == f"{server.url}/v1/users"
    assert exchange.request_body == '{"a": 1}'
    assert exchange.response_body == '{"errors": ["No."]}'
    assert (exchange.status, exchange.error) == (422, error.message)
    assert before <= exchange.sent_at <= datetime.now(UTC)
    assert 0 <= exchange.milliseconds < 5000


def test_a_call_without_an_answer_is_reported_too():
    client = WatchedClient(f"http://127.0.0.1:{closed_port()}")
    error = error_of(client.get, "/users")

    assert [(each.status, each.error) for each in client.exchanges] == [(None, error.message)]


def test_an_exchange_is_clipped_and_can_be_stored():
    text = "é\0" * LONGEST_KEPT
    with Wire(always(500, text.encode() + b"\xff\xfe")) as server:
        client = client_of(server)
        error_of(client.put, "/users/1", {"name": "x" * 2 * LONGEST_KEPT})

    [exchange] = client.exchanges
    assert len(exchange.response_body) == len(exchange.request_body) == LONGEST_KEPT
    assert exchange.response_body.startswith("é\ufffdé")
    assert "\0" not in exchange.response_body


# What answers mean

OWN_ERROR = "Thinkific answered with an error of its own."
# status, kind, whether a POST is in doubt afterwards, words of the message
STATUSES = [
    (400, Refused, None, "refused the request."),
    (401, KeyRejected, None, "Grow or higher"),
    (402, Refused, None, "refused the request."),
    (403, KeyRejected, None, "Grow or higher"),
    (404, Refused, None, "may have been deleted"),
    (405, Refused, None, "refused the request."),
    (409, Refused, None, "refused the request."),
    (422, Refused, None, "refused the request."),
    (300, Refused, None, "another address (a redirect)"),
    (304, Refused, None, "another address (a redirect)"),
    (429, LimitReached, None, "limit of calls is used up."),
    (408, Retry, True, OWN_ERROR),
    (425, Retry, True, OWN_ERROR),
    (500, Retry, True, OWN_ERROR),
    (502, Retry, True, OWN_ERROR),
    (503, Retry, True, OWN_ERROR),
    (504, Retry, True, OWN_ERROR),
    (520, Retry, True, OWN_ERROR),
    (530, Retry, True, OWN_ERROR),
    (999, Retry, True, OWN_ERROR),
]


@pytest.mark.parametrize("body", ["", HTML, '{"error": "Nope."}'])
@pytest.mark.parametrize(("status", "kind", "doubt", "words"), STATUSES)
def test_each_status_has_its_reaction(status, kind, doubt, words, body):
    with Wire(always(status, "" if status == 304 else body)) as server:
        client = client_of(server)
        errors = [error_of(client.get, "/users"), error_of(client.post, "/users", {})]

    for error in errors:
        assert (type(error), error.status) == (kind, status)
        assert words in error.message
        assert error.message == str(error)
        assert str(status) not in error.message
    doubts = [error.in_doubt for error in errors if isinstance(error, Retry)]
    assert doubts == ([False, doubt] if kind is Retry else [])
    if kind is Retry:
        assert [error.goes_on for error in errors] == [
            "Admit tries again by itself.",
            "It may have been done anyway, so Admit looks before it tries again.",
        ]
    assert len(server.requests) == 2  # each was sent once


@pytest.mark.parametrize(
    ("body", "details", "fields"),
    [
        (
            {"errors": {"email": ["has already been taken"]}},
            ("email: has already been taken",),
            {"email"},
        ),
        (
            {"errors": ["Course could not be found.", "User could not be found."]},
            ("Course could not be found.", "User could not be found."),
            set(),
        ),
        (
            {"errors": [{"Company": "can't be blank"}, {"VAT number": ["is bad", "is long"]}]},
            ("Company: can't be blank", "VAT number: is bad", "VAT number: is long"),
            {"Company", "VAT number"},
        ),
        (
            {"errors": [{"field_name": "email", "message": "has already been taken"}]},
            ("email: has already been taken",),
            {"email"},
        ),
        ({"errors": {"base": ["All is wrong"]}}, ("All is wrong",), set()),
        ({"errors": "All is wrong"}, ("All is wrong",), set()),
        ({"error": "Record not found."}, ("Record not found.",), set()),
        (["All is wrong"], ("All is wrong",), set()),
        ({"errors": {"a\u202e\nb": ["c\0d", None, "", 7]}}, ("a b: c\ufffdd", "a b: 7"), {"a b"}),
        ({"errors": None}, (), set()),
        ({"errors": ["x" * 1000] * 100}, ("x" * 300,) * 20, set()),
    ],
)
def test_every_shape_of_a_422_is_flattened(body, details, fields):
    with Wire(always(422, json.dumps(body))) as server:
        error = error_of(client_of(server).post, "/users", {})

    assert isinstance(error, Refused)
    assert error.details == details
    assert error.fields == fields
    assert all(detail in error.message for detail in details[:3])


def test_what_was_refused_can_be_searched_in_any_case():
    error = Refused("No.", details=("email: has Already been taken", "name: is blank"))

    assert error.says("ALREADY BEEN TAKEN")
    assert not error.says("could not be found")


def test_a_429_says_how_long_to_wait():
    with Wire(always(429, HTML, {"Retry-After": "7"})) as server:
        error = error_of(client_of(server).post, "/users", {})

    assert isinstance(error, LimitReached)
    assert error.seconds == 7
    assert error.goes_on == "Admit continues by itself in 7 seconds."


@pytest.mark.parametrize(("headers", "seconds"), [({}, None), ({"Retry-After": "7"}, 7)])
def test_a_503_may_say_how_long_to_wait(headers, seconds):
    with Wire(always(503, HTML, headers)) as server:
        error = error_of(client_of(server).get, "/users")

    assert isinstance(error, Retry)
    assert error.seconds == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status):
    other = Wire(always(200, "{}"))
    server = Wire(always(status, HTML, {"Location": f"{other.url}/users"}))
    with other, server:
        client = client_of(server)
        errors = [error_of(client.get, "/users"), error_of(client.post, "/users", {})]

    assert [type(error) for error in errors] == [Refused, Refused]
    assert (other.connections, other.requests) == (0, [])


UNREADABLE: dict[str, tuple[str | bytes, str]] = {
    "a web page": (HTML, "a web page instead of data"),
    "half an object": ('{"id": 1', "no sense"),
    "a bare number": ("7", "no sense"),
    "a bare string": ('"ok"', "no sense"),
    "NaN": ('{"id": NaN}', "no sense"),
    "too deep": ("[" * 100_000 + "]" * 100_000, "no sense"),
    "600 deep": ('{"items": [], "x": ' + "[" * 600 + "]" * 600 + "}", "no sense"),
    "a huge number": ("[" + "9" * 10_000 + "]", "no sense"),
    "not UTF-8": (b'\xff\xfe{\x00"', "no sense"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_200_that_cannot_be_read_is_no_success(name):
    body, words = UNREADABLE[name]
    with Wire(always(200, body)) as server:
        client = client_of(server)
        read = error_of(client.get, "/users")
        write = error_of(client.post, "/users", {})

    assert isinstance(read, Retry)
    assert isinstance(write, Retry)
    assert (read.in_doubt, write.in_doubt) == (False, True)
    assert words in read.message
    assert words in write.message
    assert client.exchanges[0].response_body != ""


@pytest.mark.parametrize("body", ["", " \n", "null"])
def test_an_empty_answer_is_no_answer_to_a_read(body):
    with Wire(always(200, body)) as server:
        error = error_of(client_of(server).get, "/users")

    assert isinstance(error, Retry)
    assert not error.in_doubt


@pytest.mark.parametrize("method", ["post", "put"])
@pytest.mark.parametrize(
    ("status", "body"), [(200, ""), (200, " \n"), (200, "null"), (201, ""), (204, ""), (202, "")]
)
def test_an_empty_answer_to_a_write_is_success(method, status, body):
    with Wire(always(status, body)) as server:
        answer = getattr(client_of(server), method)("/users/1", {})

    assert (answer.status, answer.body) == (status, None)


@pytest.mark.parametrize("body", ['\ufeff{"name": "Zoë"}', ' {"name": "Zoë"}\n'])
def test_an_answer_is_read_with_what_editors_and_servers_add(body):
    with Wire(always(201, body)) as server:
        answer = client_of(server).post("/users", {})

    assert (answer.status, answer.body) == (201, {"name": "Zoë"})


def test_what_no_database_can_hold_does_not_get_in():
    body = r'{"a\u0000b": ["\ud800", "\ud83d\ude00", {"c": "d\u0000"}], "n": 1}'
    with Wire(always(200, body)) as server:
        answer = client_of(server).get("/users")

    assert answer.body == {"a\ufffdb": ["\ufffd", "\U0001f600", {"c": "d\ufffd"}], "n": 1}


# Lists


def pages_script(*pages: tuple[Any, Any]) -> Callable[[Peer], None]:
    """Answers the n-th request with the n-th (rows, next_page)."""

    def script(peer: Peer) -> None:
        while peer.read():
            rows, following = pages[min(len(peer.server.requests), len(pages)) - 1]
            meta = {"pagination": {"next_page": following}}
            peer.answer(200, json.dumps({"items": rows, "meta": meta}))

    return script


def test_a_list_is_walked_page_by_page():
    pages = [([{"id": 1}, {"id": 2}], 2), ([None, "x", {"id": 3}], "3"), ([{"id": 4}], None)]
    with Wire(pages_script(*pages)) as server:
        found = drive(rows("/products", {"a": "b"}), client_of(server).send)

    assert [row["id"] for row in found] == [1, 2, 3, 4]
    assert [request.target for request in server.requests] == [
        f"/v1/products?a=b&page={page}&limit=250" for page in (1, 2, 3)
    ]


@pytest.mark.parametrize("following", [None, 1, 0, -1, True, 1.5, "", "x", [2], {}])
def test_a_list_ends_when_the_next_page_is_no_further_one(following):
    with Wire(pages_script(([{"id": 1}], following))) as server:
        assert drive(rows("/products"), client_of(server).send) == [{"id": 1}]

    assert len(server.requests) == 1


@pytest.mark.parametrize("meta", ["null", "[]", '{"pagination": null}', '{"pagination": [7]}'])
def test_a_list_without_page_numbers_has_one_page(meta):
    with Wire(always(200, f'{{"items": [{{}}], "meta": {meta}}}')) as server:
        assert drive(rows("/products"), client_of(server).send) == [{}]


@pytest.mark.parametrize("body", ["[]", "{}", '{"items": null}', '{"items": {"id": 1}}'])
def test_something_else_than_a_list_is_tried_again(body):
    with Wire(always(200, body)) as server:
        error = error_of(drive, rows("/products"), client_of(server).send)

    assert isinstance(error, Retry)
    assert not error.in_doubt


def test_a_list_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(calls, "MAX_PAGES", 5)

    def script(peer: Peer) -> None:
        while peer.read():
            meta = {"pagination": {"next_page": len(peer.server.requests) + 1}}
            peer.answer(200, json.dumps({"items": [{}], "meta": meta}))

    with Wire(script) as server:
        error = error_of(drive, rows("/products"), client_of(server).send)

    assert isinstance(error, Refused)
    assert "more than 5 pages" in error.message
    assert len(server.requests) == 5


# Secrets


def echo(status: int) -> Callable[[Peer], None]:
    """Answers with the secret that came, as careless servers do in an error text."""

    def script(peer: Peer) -> None:
        while request := peer.read():
            key = request.headers.get("x-auth-api-key") or request.headers["authorization"]
            said = "errors" if status >= 300 else "notes"
            text = json.dumps({said: [f"bad: {key}"], "x": key})
            peer.answer(status, text.replace("/", "\\/"))

    return script


@pytest.mark.parametrize("secret", [KEY, TOKEN])
def test_a_secret_that_is_echoed_in_an_answer_is_hidden(secret):
    with Wire(echo(200)) as server:
        client = client_of(server, secret=secret)
        answers = [
            client.post("/users", {"note": f"the key is {secret}"}),
            client.get("/users", {"key": secret}),
        ]

    shown = repr([answers, client.exchanges, client])
    assert secret not in shown
    assert HIDDEN in client.exchanges[0].request_body
    assert HIDDEN in client.exchanges[0].response_body
    assert client.exchanges[1].url.endswith(f"?key={HIDDEN}")
    assert answers[0].body["notes"][0].endswith(HIDDEN)


@pytest.mark.parametrize("secret", [KEY, TOKEN])
@pytest.mark.parametrize("status", [301, 401, 403, 404, 422, 429, 500])
def test_a_secret_that_is_echoed_in_an_error_is_hidden(status, secret):
    with Wire(echo(status)) as server:
        client = client_of(server, secret=secret)
        error = error_of(client.post, "/users", {})

    shown = [str(error), repr(error), error.message, repr(getattr(error, "details", ""))]
    assert secret not in "".join([*shown, repr(client.exchanges)])
    # An error of requests would hold the request with its headers.
    assert (error.__context__, error.__cause__) == (None, None)


@pytest.mark.parametrize(
    "secret", ["", " ", "a\nb", "a\r\nX-Evil: 1", "Schlüssel" * 5, "\u202e" * 32, "a b", "a\0b"]
)
def test_a_secret_that_no_header_can_carry_is_refused_in_plain_words(secret):
    with Wire(always(200, "{}")) as server:
        client = client_of(server, secret=secret)
        error = error_of(client.get, "/users")

    assert isinstance(error, KeyRejected)
    assert not secret.strip() or secret not in error.message
    assert (server.connections, client.exchanges) == (0, [])


def test_a_site_that_is_no_subdomain_is_refused_in_plain_words():
    with Wire(always(200, "{}")) as server:
        error = error_of(client_of(server, site="my-school.com").get, "/users")

    assert isinstance(error, Refused)
    assert "your own domain" in error.message
    assert server.connections == 0


@pytest.mark.parametrize("address", ["", "nonsense", "ftp://127.0.0.1/", "http://", "http://a:b/"])
def test_an_address_that_is_none_is_refused_in_plain_words(address):
    with Wire(always(200, "{}")) as server:
        error = error_of(client_of(server, base_url=address).get, "/users")

    assert isinstance(error, Refused)
    assert "THINKIFIC_API_URL" in error.message


def test_an_address_with_a_password_is_refused():
    with Wire(always(200, "{}")) as server:
        address = server.url.replace("//", "//me:hunter2@")
        client = client_of(server, base_url=address, secret=TOKEN)
        error = error_of(client.get, "/users")

    assert isinstance(error, Refused)
    assert "hunter2" not in error.message
    assert server.connections == 0


def test_proxies_of_the_environment_are_ignored(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Wire(always(200, "{}")) as server:
        assert client_of(server).get("/users").status == 200


# Connections


def test_calls_of_a_thread_share_one_connection_whatever_they_end_in():
    answers = [(200, "{}"), (422, '{"errors": []}'), (204, ""), (500, HTML), (200, "[]")]

    def script(peer: Peer) -> None:
        while peer.read():
            peer.answer(*answers[len(peer.server.requests) - 1])

    with Wire(script) as server:
        first, second = client_of(server), client_of(server, secret=TOKEN)
        assert first.get("/a").body == {}
        assert isinstance(error_of(second.post, "/b", {}), Refused)
        assert first.put("/c", {}).body is None
        assert isinstance(error_of(second.get, "/d"), Retry)
        assert first.get("/e").body == []

    assert server.connections == 1
    keys = [request.headers.get("x-auth-api-key") for request in server.requests]
    assert keys == [KEY, None, KEY, None, KEY]


def test_cookies_are_not_kept():
    with Wire(always(200, "{}", {"Set-Cookie": "visitor=1; Path=/"})) as server:
        client = client_of(server)
        client.get("/a")
        client.get("/b")

    assert ["cookie" in request.headers for request in server.requests] == [False, False]


def test_threads_do_not_share_connections():
    with Wire(always(200, "{}")) as server:
        client = client_of(server)
        client.get("/a")
        thread = threading.Thread(target=client.get, args=("/b",))
        thread.start()
        thread.join()
        client.get("/c")

    assert len(server.requests) == 3
    assert server.connections == 2


def test_a_connection_that_rested_too_long_is_not_used_again(monkeypatch):
    with Wire(always(200, "{}")) as server:
        client = client_of(server)
        client.get("/a")
        client.get("/b")
        assert server.connections == 1
        monkeypatch.setattr(deadline, "IDLE_SECONDS", 0.0)
        client.get("/c")

    assert server.connections == 2


@pytest.mark.parametrize("reset", [True, False])
def test_a_connection_that_was_closed_meanwhile_puts_no_post_in_doubt(reset):
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.read()
        peer.answer(200, "{}")  # promises to keep the connection
        peer.server.stopping.wait(0.05)
        peer.reset() if reset else peer.sock.close()
        closed.set()

    with Wire(script) as server:
        client = client_of(server)
        for number in range(3):
            assert client.post("/users", {"number": number}).status == 200
            assert closed.wait(5)
            closed.clear()

    assert [request.json()["number"] for request in server.requests] == [0, 1, 2]
    assert server.connections == 3


FORKING = """
import os, sys
from django.conf import settings
settings.configure()
from integrations.thinkific.client import Client
client = Client(base_url=sys.argv[1], site="school", secret="k" * 32, version="1")
client.get("/parent")
child = os.fork()
client.get("/child" if child == 0 else "/parent")
if child == 0:
    os._exit(0)
status = os.waitpid(child, 0)[1]
client.get("/parent")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_fork_opens_connections_of_its_own():
    seen: dict[int, list[str]] = {}

    def script(peer: Peer) -> None:
        while request := peer.read():
            seen.setdefault(id(peer), []).append(request.target)
            peer.answer(200, "{}")

    with Wire(script) as server:
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", FORKING, server.url],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            timeout=30,
            check=False,
        )

    assert ended.returncode == 0
    assert sorted(seen.values()) == [["/child"], ["/parent", "/parent", "/parent"]]


# Transactions


@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_database_transaction():
    from django.db import transaction

    with Wire(always(200, "{}")) as server:
        client = client_of(server)
        with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database"):
            client.get("/users")
        assert client.exchanges == []
        assert client.get("/users").status == 200

    assert len(server.requests) == 1
