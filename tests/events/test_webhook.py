"""The webhook: what it answers, what it keeps, and what the log may say."""

import contextlib
import http.client
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from config import logging as logs
from config.server import child
from events.deciding import inbox
from events.models import Delivery, EventLog
from events.queue import wake
from events.receiving import grouped_log, spool
from integrations import credentials
from integrations.models import WebhookSecret
from rules.triggers import Trigger
from tests.support import gateway
from tests.support import shop as shops
from tests.support.database_url import database_url
from tests.support.samcart import payload

MIB = 1024 * 1024
# Long enough for a secret, and known to nobody.
STRANGER = "nobody-knows-this-secret-of-ours"


@pytest.fixture(autouse=True)
def _own_spool(settings, tmp_path) -> None:
    settings.SPOOL_DIR = tmp_path / "spool"


class Keeper(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(logging.DEBUG)
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def told() -> Iterator[list[logging.LogRecord]]:
    """Every record that any logger makes, also of those that do not pass theirs on."""
    records: list[logging.LogRecord] = []
    handler = Keeper(records)
    loggers = [logging.getLogger(name) for name in ("", "django", "django-q", "gunicorn.error")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


def only() -> Delivery:
    return Delivery.objects.get()


# What is answered


ANSWERS = [
    ("POST", 200, "Stored."),
    ("GET", 405, "This is the right address. SamCart sends its events here by POST."),
    ("HEAD", 405, ""),
    ("PUT", 405, "This is the right address."),
    ("PATCH", 405, "This is the right address."),
    ("DELETE", 405, "This is the right address."),
    ("OPTIONS", 405, "This is the right address."),
    ("TRACE", 405, "This is the right address."),
]


@pytest.mark.first_database
@pytest.mark.parametrize(("method", "status", "text"), ANSWERS)
def test_the_right_address_takes_a_post_and_explains_itself_to_the_rest(shop, method, status, text):
    answer = shop.client.generic(method, f"/hooks/samcart/{shop.secret}/", b"{}")
    assert answer.status_code == status
    assert answer.content.decode().startswith(text)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers.get("Allow") == (None if status == 200 else "POST")
    assert Delivery.objects.count() == (1 if method == "POST" else 0)


@pytest.mark.parametrize("method", [method for method, _, _ in ANSWERS])
def test_an_unknown_address_is_404_whatever_is_asked_of_it(shop, method):
    for secret in (STRANGER, shop.secret[:-1], shop.secret + "x", shop.secret.swapcase(), "\0"):
        answer = shop.client.generic(method, f"/hooks/samcart/{secret}/product_purchased/", b"{}")
        assert answer.status_code == 404
    assert not Delivery.objects.exists()
    assert not OrmQ.objects.exists()


def test_the_bytes_and_all_that_came_with_them_are_kept(shop):
    body = b"\x00\xff not JSON \xf0\x9f\x8e\x93"
    answer = shop.client.post(
        f"/hooks/samcart/{shop.secret}/?shop=1&x=%00", body, content_type="text/odd; sign=x"
    )
    assert answer.status_code == 200
    kept = only()
    assert bytes(kept.body) == body
    assert (kept.query, kept.content_type) == ("shop=1&x=%00", "text/odd; sign=x")
    assert (kept.marketplace, kept.state, kept.withdrawn) == (shop.marketplace, "new", False)
    assert not EventLog.objects.exists()


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset*=nope''x",
        "application/json; charset*=idna''%ff",
        "application/json; charset=nope",
        "multipart/form-data",
        ";;;=",
        "\xff/\x01",
    ],
)
def test_an_odd_content_type_costs_no_event_and_is_kept(real_shop, content_type):
    # Django raises for the first two before any middleware runs.
    path = f"/hooks/samcart/{real_shop.secret}/"
    assert gateway.post(path, b'{"type": "Order"}', content_type=content_type) == "200 OK"
    assert (bytes(only().body), only().content_type) == (b'{"type": "Order"}', content_type)


@pytest.mark.parametrize(("size", "status"), [(0, 200), (MIB, 200), (MIB + 1, 413), (3 * MIB, 413)])
def test_a_body_may_have_a_mebibyte(shop, size, status):
    assert shop.post(b" " * size).status_code == status
    assert [kept.body for kept in Delivery.objects.all()] == [b" " * size][: status == 200]


def test_an_announced_size_is_refused_before_anything_is_read(shop, told):
    answer = shop.post(b"{}", CONTENT_LENGTH=str(100 * MIB))
    assert answer.status_code == 413
    assert [(record.msg, record.levelname) for record in told] == [
        ("delivery_too_large", "WARNING")
    ]


@pytest.mark.first_database
@pytest.mark.parametrize("length", ["two", "-", "2,2"])
def test_a_length_that_is_no_number_is_no_reason_to_say_stored(shop, length):
    assert shop.post(b"{}", CONTENT_LENGTH=length).status_code == 503
    assert not Delivery.objects.exists()


# Addresses


@pytest.mark.first_database
@pytest.mark.parametrize("trigger", Trigger)
def test_every_trigger_has_an_address_of_its_own(shop, trigger):
    # A body whose own type would say something else.
    for number, word in enumerate(
        [trigger.value, trigger.value.replace("_", "-"), trigger.value.upper()]
    ):
        event = shop.sell("20_product", minutes=20 * number, trigger=word)
        assert (event.trigger, event.delivery.address_trigger) == (trigger, trigger.value)


ADDRESSES = {
    # what follows the secret: the word that is kept
    "": "",
    "/": "",
    "//": "",
    "/product_purchased": "product_purchased",
    "/product-purchased/": "product_purchased",
    "/Product_Purchased/": "product_purchased",
    "/Product%20Purchased": "product_purchased",
    "//product_purchased//": "product_purchased",
    "/mystery/": "mystery",
    "/Order/": "Order",
    "/product_purchased/more/": "product_purchased/more",
    "/product_purchased%0A/": "product_purchased",
    "/a%00b/": "a\ufffdb",
    "/%FF%FE/": "%FF%FE",
    "/%ED%A0%80/": "%ED%A0%80",
    "/%F0%9F%8E%93/": "\U0001f393",
    "/-/": "-",
    "/" + "x" * 3000: "x" * 100,
    "/<script>alert(1)<%2Fscript>": "<script>alert(1)</script>",
}


def test_whatever_follows_the_secret_is_stored_and_unknown_words_are_explained(shop):
    for minute, (rest, word) in enumerate(ADDRESSES.items()):
        answer = shop.client.post(
            f"/hooks/samcart/{shop.secret}{rest}", b'{"type": "Order"}', "application/json"
        )
        assert answer.status_code == 200, rest
        kept = Delivery.objects.latest("pk")
        assert kept.address_trigger == word, rest
        inbox.process()
        event = EventLog.objects.get(delivery=kept)
        known = word in {"", "product_purchased"}
        assert event.trigger == ("product_purchased" if known else None), (minute, rest)
        assert event.status == ("no_rule" if known else "unknown_type"), rest
        if not known:
            assert event.reason.startswith(f'The address ends in "{word}", which is no trigger.')


@pytest.mark.first_database
@pytest.mark.parametrize(
    "path",
    [
        "//hooks/samcart/{}/",
        "/hooks//samcart//{}",
        "/hooks/samcart/{}",
        "/HOOKS/samcart/{}/",
        "/Hooks/SamCart/{}/",
        "/hook/samcart/{}",
        "/webhooks/samcart/{}/",
        "/webhook/sam-cart/{}",
        "/hooks/{}/",
        "/hooks/hooks/samcart/{}/",
        "/samcart/{}/",
    ],
)
def test_an_address_with_a_right_secret_is_taken_as_it_is_plainly_meant(shop, path):
    # Not by the test client's own address: it takes //hooks for a host.
    answer = shop.client.generic("POST", "/", b"{}", PATH_INFO=path.format(shop.secret))
    assert answer.status_code == 200
    assert only().address_trigger == ""


@pytest.mark.first_database
@pytest.mark.parametrize("path", ["/hooks/samcart/", "/hooks/samcart", "/hooks/", "/hooks/other/x"])
def test_a_path_without_a_secret_is_no_door(shop, path):
    assert shop.client.post(path, b"{}", "application/json").status_code == 404


QUERIES = [
    ("", ""),
    ("a=1&a=2&b=%00%FF;#x", "a=1&a=2&b=%00%FF;#x"),
    ("name=J\xc3\xa9r\xc3\xb4me", "name=Jérôme"),  # as WSGI hands UTF-8 over
    ("name=J\xe9r\xf4me", "name=J\ufffdr\ufffdme"),  # Latin-1
    ("a\0b", "a\ufffdb"),
    ("q=" + "x" * 5000, "q=" + "x" * 1998),
]


@pytest.mark.parametrize(("sent", "kept"), QUERIES)
def test_the_query_string_is_kept(shop, sent, kept):
    assert shop.post(b"{}", QUERY_STRING=sent).status_code == 200
    assert only().query == kept


@pytest.mark.parametrize("content_type", ["", "x" * 1000, "a\0b", "text/\udcff"])
def test_an_odd_content_type_is_kept_as_far_as_it_goes(shop, content_type):
    assert shop.post(b"{}", CONTENT_TYPE=content_type).status_code == 200
    assert len(only().content_type) <= 255
    assert "\0" not in only().content_type


HOSTS = ["evil.example", "admit.example.com:9999", "under_score.example", "a b", "[::1", ""]


@pytest.mark.parametrize("host", HOSTS)
def test_no_host_scheme_or_token_check_loses_the_only_post(shop, settings, host):
    settings.PUBLIC_URL = "https://admit.example.com"
    settings.ALLOWED_HOSTS = ["admit.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    client = Client(enforce_csrf_checks=True)
    path = f"/hooks/samcart/{shop.secret}"
    answer = client.post(path, b"{}", "application/json", HTTP_HOST=host)
    assert (answer.status_code, Delivery.objects.count()) == (200, 1)
    # The same request elsewhere shows that the checks are on.
    other = client.post("/admin/", b"{}", "application/json", HTTP_HOST=host)
    assert other.status_code == (301 if host.startswith("admit.") else 400)
    moved = client.get("/admin/", HTTP_HOST="admit.example.com")
    assert moved.headers["Location"] == "https://admit.example.com/admin/"


def test_no_cookie_is_set_and_no_session_made(shop):
    answer = shop.post(b"{}")
    assert not answer.cookies
    assert set(answer.headers) == {
        "Content-Type",
        "Content-Length",
        "X-Request-ID",
        # As every answer.
        "Content-Security-Policy",
        "X-Content-Type-Options",
    }


def test_many_unknown_addresses_are_told_in_one_line_a_minute(shop, caplog, monkeypatch):
    monkeypatch.setattr(grouped_log, "EVERY_SECONDS", 3600.0)
    for number in range(600):
        assert shop.post(b"{}", secret=f"guessed-{number}").status_code == 404
    told = [record for record in caplog.records if record.message == "hook_address_unknown"]
    assert len(told) <= 1
    monkeypatch.setattr(grouped_log, "EVERY_SECONDS", 0.0)
    grouped_log.flush_all()
    told = [record for record in caplog.records if record.message == "hook_address_unknown"]
    assert sum(vars(record)["count"] for record in told) == 600


# Withdrawn addresses, and two at once


def test_two_addresses_live_at_once(shop):
    newer = credentials.add_webhook_secret(shop.marketplace)
    for secret in (shop.secret, newer):
        assert shop.post(b"{}", secret=secret).status_code == 200
    assert list(Delivery.objects.values_list("withdrawn", flat=True)) == [False, False]
    secrets_used = {delivery.secret_id for delivery in Delivery.objects.all()}
    assert secrets_used == set(WebhookSecret.objects.values_list("pk", flat=True))


@pytest.mark.parametrize(("expires_in", "withdrawn"), [(-1, True), (3600, False), (None, False)])
def test_an_expired_address_still_takes_what_is_sent(shop, expires_in, withdrawn):
    over = None if expires_in is None else timezone.now() + timedelta(seconds=expires_in)
    WebhookSecret.objects.update(expires_at=over)
    assert shop.post(b"{}").status_code == 200
    assert only().withdrawn is withdrawn
    answer = shop.client.get(f"/hooks/samcart/{shop.secret}/")
    assert answer.status_code == 405
    assert ("withdrawn" in answer.content.decode()) is withdrawn


def test_an_address_that_is_withdrawn_between_two_events_is_withdrawn_for_the_second(shop):
    assert shop.post(b"{}").status_code == 200
    WebhookSecret.objects.update(expires_at=timezone.now())
    assert shop.post(b"{}").status_code == 200
    assert list(Delivery.objects.order_by("pk").values_list("withdrawn", flat=True)) == [
        False,
        True,
    ]


def test_a_known_address_is_looked_up_by_the_statement_that_stores(shop, django_assert_num_queries):
    assert shop.post(b"{}").status_code == 200
    with django_assert_num_queries(2):  # whether a wake-up waits, and the delivery
        assert shop.post(b"{}").status_code == 200
    assert Delivery.objects.count() == 2


def test_an_address_that_was_deleted_is_unknown_and_its_deliveries_stay(shop):
    shop.post(b"{}")
    WebhookSecret.objects.all().delete()
    assert shop.post(b"{}").status_code == 404
    assert only().secret is None


# One transaction with the wake-up


def test_wake_ups_coalesce_and_a_locked_one_suppresses_none(shop):
    for _ in range(3):
        shop.post(b"{}")
    assert OrmQ.objects.count() == 1
    OrmQ.objects.update(lock=timezone.now() + timedelta(minutes=5))  # a worker has taken it
    for _ in range(3):
        shop.post(b"{}")
    assert OrmQ.objects.count() == 2
    assert [task.func() for task in OrmQ.objects.all()] == [wake.TASK, wake.TASK]
    assert not any(task.task["args"] or task.task["kwargs"] for task in OrmQ.objects.all())


@pytest.mark.parametrize("table", ["events_delivery", "django_q_ormq"])
def test_delivery_and_wake_up_are_kept_together_or_not_at_all(real_shop, told, table):
    with shops.refusing(table):
        answer = real_shop.post(payload("10_product"))
    assert (answer.status_code, answer.content) == (200, b"Stored.\n")
    assert not Delivery.objects.exists()
    assert not OrmQ.objects.exists()
    assert [record.msg for record in told] == ["database_out_of_reach", "delivery_spooled"]
    assert all("dana" not in logs.LineFormatter().format(record) for record in told)
    assert spool.drain(seconds=5) == 1
    assert (Delivery.objects.count(), OrmQ.objects.count()) == (1, 1)


def test_a_connection_that_is_lost_is_made_anew_for_one_more_try(real_shop, told):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    with connection.cursor() as cursor:
        # A sequence is not rolled back: only the first try is cut off.
        cursor.execute("CREATE SEQUENCE tries")
        cursor.execute(
            "CREATE FUNCTION broken() RETURNS trigger AS $$BEGIN "
            "IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; "
            "RETURN NEW; END$$ LANGUAGE plpgsql"
        )
        cursor.execute(
            "CREATE TRIGGER broken AFTER INSERT ON events_delivery EXECUTE FUNCTION broken()"
        )
    try:
        assert real_shop.post(b"{}").status_code == 200
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION broken CASCADE")
            cursor.execute("SELECT last_value FROM tries")
            assert cursor.fetchone() == (2,)
            cursor.execute("DROP SEQUENCE tries")
    assert (Delivery.objects.count(), OrmQ.objects.count()) == (1, 1)
    assert not told


def test_a_queue_that_is_down_does_not_unstore_what_was_stored(real_shop, settings, monkeypatch):
    nowhere = "redis://127.0.0.1:9/0"
    settings.REDIS_URL = nowhere
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(Conf, "REDIS", nowhere)
    wake._broker.cache_clear()
    try:
        assert real_shop.post(b"{}").status_code == 200
    finally:
        wake._broker.cache_clear()
    assert Delivery.objects.count() == 1


# Logs


def test_no_line_of_the_log_tells_an_address(shop, told, settings):
    settings.DEBUG = True
    mine = f"/hooks/samcart/{shop.secret}"
    for path in (mine, f"/hooks/samcart/{STRANGER}/x/", f"/Hooks/SamCart/{shop.secret}/"):
        for method in ("POST", "GET", "HEAD", "PUT"):
            shop.client.generic(method, path + "?q=1", b"{}")
    shop.post(b"{}", CONTENT_LENGTH=str(2 * MIB))
    shop.post(b"{}", CONTENT_LENGTH="odd")
    shop.client.post(f"/hooks/samcartt/{shop.secret}", b"{}", "application/json")
    shop.client.post(f"{mine}/x/", b"{}", "application/json", HTTP_HOST="evil.example")
    inbox.process()
    assert {record.msg for record in told} >= {
        "hook_address_unknown",
        "delivery_too_large",
        "delivery_not_stored",
    }
    for record in told:
        line = logs.LineFormatter().format(record)
        assert shop.secret not in line
        assert STRANGER not in line
    # Ours are not even offered to a log whose format is not ours.
    raw = [record for record in told if STRANGER in f"{record.getMessage()} {vars(record)}"]
    assert not raw


def test_an_address_is_taken_out_of_messages_facts_and_tracebacks():
    try:
        raise ValueError(f"cannot go to https://admit.example.com/hooks/samcart/{STRANGER}/x")
    except ValueError:
        record = logging.LogRecord(
            "django.request",
            logging.ERROR,
            __file__,
            1,
            "Not Found: %s",
            (f"/hooks/samcart/{STRANGER}?a=1",),
            sys.exc_info(),
        )
    record.path = f"//HOOKS/samcart/{STRANGER}"
    line = logs.LineFormatter().format(record)
    assert STRANGER not in line
    assert line.startswith(time.strftime("%Y", time.localtime(record.created)))
    assert "Not Found: /hooks/...?a=1 path=//HOOKS/..." in line
    assert "https://admit.example.com/hooks/..." in line
    assert logs.HideHookSecrets().filter(record)
    assert STRANGER not in record.getMessage()


# Over real sockets, through the web server that is shipped


@dataclass
class Server:
    port: int
    log: Path

    def ask(self, raw: bytes, *, then_close: bool = False) -> tuple[int, bytes]:
        """Send these bytes; status and body of the first answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
            line.sendall(raw)
            if then_close:
                line.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(line)
            answer.begin()
            return answer.status, answer.read()


@pytest.fixture
def server(real_shop, tmp_path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "web.log"
    ours, leash = os.pipe()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.server.child", "web"],
            env=os.environ
            | {
                "DATABASE_URL": database_url(),
                "WEB_CONCURRENCY": "1",
                child.BIND: f"127.0.0.1:{port}",
                child.LEASH: str(ours),
            },
            pass_fds=[ours],
            stderr=out,
            stdout=out,
            process_group=0,
        )
    os.close(ours)
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield Server(port, log)
    finally:
        process.terminate()
        process.wait(20)
        os.close(leash)


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def test_bodies_are_kept_whole_however_they_travel(server, real_shop):
    address = f"POST /hooks/samcart/{real_shop.secret}/".encode()
    chunked = address + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    half = MIB // 2

    # without a Content-Length
    assert server.ask(chunked + chunks(b'{"type":', b' "Order"}') + b"0\r\n\r\n")[0] == 200
    assert [bytes(kept.body) for kept in Delivery.objects.all()] == [b'{"type": "Order"}']
    assert server.ask(chunked + chunks(b" " * half, b" " * half) + b"0\r\n\r\n")[0] == 200
    assert len(Delivery.objects.latest("pk").body) == MIB

    # too much, by the bytes that came and by what was announced
    assert server.ask(chunked + chunks(b" " * MIB, b" ") + b"0\r\n\r\n")[0] == 413
    much = address + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
    assert server.ask(much)[0] == 413
    assert Delivery.objects.count() == 2

    # broken off: no copy, so no "stored"
    short = (
        address
        + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\ntype=Order&customer[email]=d@x.co"
    )
    assert server.ask(short, then_close=True)[0] == 503
    assert server.ask(chunked + b"5\r\n{}", then_close=True)[0] == 503
    assert server.ask(chunked + b"zz\r\n{}\r\n0\r\n\r\n", then_close=True)[0] == 503
    assert Delivery.objects.count() == 2

    # an odd host, an old protocol, and the bytes of a path as they are
    assert server.ask(address + b" HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")[0] == 200
    odd = address + b"%FF%00/?q=%FF HTTP/1.1\r\nHost: ][\r\nContent-Length: 2\r\n\r\n{}"
    assert server.ask(odd)[0] == 200
    assert Delivery.objects.count() == 4

    # a HEAD leaves nothing behind that the next answer could be mistaken for
    keep = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    keep.request("HEAD", f"/hooks/samcart/{real_shop.secret}/")
    assert keep.getresponse().read() == b""
    keep.request("GET", f"/hooks/samcart/{real_shop.secret}/")
    assert keep.getresponse().read().startswith(b"This is the right address.")
    keep.close()

    # requests that gunicorn itself turns down
    assert server.ask(address + b"\xff HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 400
    server.ask(address + b" HTTP/9.9\r\nHost: x\r\n\r\n")
    server.ask(address + b" HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n{}")
    log = server.log.read_text()
    assert "delivery_not_stored" in log
    assert "/hooks/..." in log  # gunicorn quotes what it cannot read
    assert real_shop.secret not in log
