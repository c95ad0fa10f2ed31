"""The spool: without a database, events go to disk and later to their place in order."""

import contextlib
import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone
from django_q.models import OrmQ

from events.deciding import inbox
from events.models import Delivery, EventLog
from events.receiving import circuit_breaker, spool, spool_contents, spool_folder
from integrations import secrets, webhook_secrets
from integrations.models import Destination, Marketplace, WebhookSecret
from tests.support import live
from tests.support import shop as shops
from tests.support.samcart import payload
from tests.support.shop import Shop
from tests.support.world import World

STRANGER = "nobody-knows-this-secret-of-ours"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path) -> Iterator[Path]:
    """A spool of the test's own, and a web process that has seen nothing yet."""
    settings.SPOOL_DIR = tmp_path / "var" / "spool"
    webhook_secrets._seen.clear()
    circuit_breaker.record_success()
    yield settings.SPOOL_DIR
    circuit_breaker.record_success()


@pytest.fixture
def shop(real_shop: Shop) -> Shop:
    return real_shop


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Every statement fails, as without a database."""

    def fail(execute, sql, params, many, context):
        raise OperationalError("gone: dana@example.com")

    with connection.execute_wrapper(fail):
        yield


@contextlib.contextmanager
def lock_held() -> Iterator[None]:
    """Another process writes and does not end."""
    if connection.vendor == "sqlite":
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.rollback()
            other.close()
        return
    beside = connection.copy()
    with beside.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE events_delivery IN ACCESS EXCLUSIVE MODE")
    try:
        yield
    finally:
        beside.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def spooled(shop: Shop, body: object = b"{}") -> None:
    """A POST of a known address that went to the spool."""
    webhook_secrets._seen[WebhookSecret.objects.get().digest] = shop.marketplace.pk
    with away():
        assert shop.post(body).status_code == 200


# Into the folder


def test_what_the_database_cannot_take_is_kept_whole_and_comes_in_later(shop, folder):
    before = timezone.now()
    body = b"\x00\xff\n not JSON"
    webhook_secrets._seen[WebhookSecret.objects.get().digest] = shop.marketplace.pk
    with away():
        answer = shop.client.post(
            f"/hooks/samcart/{shop.secret}/mystery/?a=1", body, content_type="text/odd"
        )
    assert (answer.status_code, answer.content) == (200, b"Stored.\n")
    after = timezone.now()
    time.sleep(0.01)
    assert not Delivery.objects.exists()
    assert spool.drain(seconds=5) == 1
    kept = Delivery.objects.get()
    assert bytes(kept.body) == body
    assert (kept.address_trigger, kept.query, kept.content_type) == ("mystery", "a=1", "text/odd")
    assert (kept.marketplace, kept.secret) == (shop.marketplace, WebhookSecret.objects.get())
    assert (kept.state, kept.withdrawn) == ("new", False)
    assert before <= kept.received_at <= after
    assert len(kept.body_digest) == 64
    assert OrmQ.objects.count() == 1
    assert files(folder) == []
    assert spool.drain(seconds=5) == 0


def test_nobody_else_can_read_the_folder_and_no_line_tells_what_is_in_it(shop, folder, caplog):
    spooled(shop, {"email": "dana@example.com"})
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    content = file.read_bytes()
    digest = WebhookSecret.objects.get().digest
    for word in ("dana", shop.secret, digest):
        assert word.encode() not in content
        assert word not in caplog.text
        assert word not in file.name
    assert "delivery_spooled" in caplog.text


def test_a_lock_that_is_held_costs_no_more_than_the_patience_and_then_nothing(
    shop, folder, settings
):
    assert shop.post(b"{}").status_code == 200  # the address is known from now on
    settings.STORE_SECONDS = 0.3
    tries: list[str] = []

    def count(execute, sql, params, many, context):
        tries.append(sql)
        return execute(sql, params, many, context)

    with lock_held():
        assert shop.post(b"{}").status_code == 200
        with connection.execute_wrapper(count):
            assert shop.post(b"{}").status_code == 200
        assert tries == []  # it was found hanging a moment ago
        assert len(files(folder)) == 2
        with pytest.raises(DatabaseError):
            spool.drain(seconds=5)
    connection.close()
    settings.STORE_SECONDS = 3.0
    assert spool.drain(seconds=5) == 2
    assert Delivery.objects.count() == 3


def test_after_a_moment_one_post_asks_the_database_again_and_the_rest_follow(shop, settings):
    settings.STORE_SECONDS = 0.2
    circuit_breaker.record_failure(waited=0.2)
    assert not circuit_breaker.allows_request()
    time.sleep(0.25)
    assert circuit_breaker.allows_request()
    assert not circuit_breaker.allows_request()  # one at a time
    circuit_breaker.record_failure(waited=0.0)  # refused at once: the next one may ask at once
    assert circuit_breaker.allows_request()
    circuit_breaker.record_failure(waited=0.2)
    circuit_breaker.record_success()
    assert circuit_breaker.allows_request()


def test_a_database_that_takes_no_writes_is_no_reason_to_lose_an_event(shop, folder):
    switch = {
        "sqlite": "PRAGMA query_only = ON",
        "postgresql": "SET default_transaction_read_only = on",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(switch)
    assert shop.post(b"{}").status_code == 200
    assert len(files(folder)) == 1
    connection.close()
    assert spool.drain(seconds=5) == 1


def test_a_full_disk_of_the_database_is_none_either(shop, folder):
    if connection.vendor != "sqlite":
        pytest.skip("SQLite can be told how large its file may be")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # what other tests deleted is room as well
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
    assert shop.post(Random(1).randbytes(500_000)).status_code == 200  # no zip makes it smaller
    assert len(files(folder)) == 1
    connection.close()  # the limit was the connection's
    assert spool.drain(seconds=5) == 1
    assert len(Delivery.objects.get().body) == 500_000


def test_while_nobody_can_tell_an_unknown_address_is_spooled_and_checked_on_arrival(
    shop, folder, caplog
):
    with away():
        assert shop.post(b"{}").status_code == 200
        assert shop.post(b"{}", secret=STRANGER).status_code == 200
    assert all(name.endswith(".unknown") for name in files(folder))
    assert spool.drain(seconds=5) == 1
    assert Delivery.objects.get().marketplace == shop.marketplace
    assert "spooled_address_unknown" in caplog.text
    assert files(folder) == []
    assert shop.post(b"{}", secret=STRANGER).status_code == 404


@pytest.mark.parametrize("cap", ["MAX_UNKNOWN", "MAX_UNKNOWN_BYTES"])
def test_unknown_addresses_fill_the_disk_only_up_to_a_cap_and_known_ones_go_on(
    shop, folder, monkeypatch, cap
):
    monkeypatch.setattr(spool_folder, cap, {"MAX_UNKNOWN": 2, "MAX_UNKNOWN_BYTES": 1500}[cap])
    with away():
        answers = [shop.post(b"{}", secret=STRANGER).status_code for _ in range(9)]
    taken = answers.count(200)
    assert answers == [200] * taken + [503] * (9 - taken)
    assert 1 <= taken < 9
    spooled(shop)
    assert len(files(folder)) == taken + 1


def test_a_request_that_is_no_post_is_not_spooled(shop, folder):
    with away():
        assert shop.client.get(f"/hooks/samcart/{shop.secret}/").status_code == 503
    assert files(folder) == []


def test_without_a_spool_either_it_is_503_and_to_be_sent_again(shop, folder, caplog):
    folder.parent.mkdir()
    folder.write_text("a file stands where the folder should be")
    with away():
        answer = shop.post(b"{}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.content == b"The event could not be stored. Send it again.\n"
    assert "delivery_not_stored" in caplog.text
    assert "dana" not in caplog.text


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_disk_that_fails_on_the_way_leaves_no_file_and_no_200(shop, folder, monkeypatch, step):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    owner = os if step == "fsync" else Path
    spool_folder.path()  # its own making is synchronised too
    monkeypatch.setattr(owner, step, fail)
    with away():
        assert shop.post(b"{}").status_code == 503
    assert files(folder) == []


# Into the database


def test_a_commit_whose_answer_was_lost_is_not_stored_twice(shop, folder):
    def lose(execute, sql, params, many, context):
        """The INSERT is carried out, and from then on nobody answers."""
        if lost or ("INSERT" in sql and "events_delivery" in sql):
            if not lost:
                execute(sql, params, many, context)
            lost.append(sql)
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    lost: list[str] = []
    assert shop.post(b"first").status_code == 200  # a wake-up waits: the next INSERT stands alone
    with connection.execute_wrapper(lose):
        assert shop.post(b"second").status_code == 200
    assert lost
    assert Delivery.objects.count() == 2
    assert len(files(folder)) == 1
    spool.drain(seconds=5)
    assert [bytes(kept.body) for kept in Delivery.objects.order_by("pk")] == [b"first", b"second"]
    assert files(folder) == []


def test_a_crash_between_storing_and_removing_the_file_is_harmless(shop, folder, monkeypatch):
    spooled(shop)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", die)
    with pytest.raises(KeyboardInterrupt):
        spool.drain(seconds=5)
    monkeypatch.undo()
    connection.close()
    assert Delivery.objects.count() == 1
    inbox.process()
    spool.drain(seconds=5)
    assert (Delivery.objects.count(), EventLog.objects.count()) == (1, 1)
    assert spool_contents.counts() == {"waiting": 0, "set_aside": 0, "not_ours": 0}


def test_two_at_once_on_one_folder_store_each_once(shop, folder):
    for number in range(12):
        spooled(shop, b"%d" % number)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            spool.drain(seconds=20)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed
    assert sorted(int(bytes(kept.body)) for kept in Delivery.objects.all()) == list(range(12))
    assert files(folder) == []


def test_they_come_in_the_order_of_receipt_also_those_of_one_moment(shop, folder):
    for number in range(5):
        spooled(shop, b"%d" % number)
    assert spool.drain(seconds=5) == 5
    in_order = Delivery.objects.order_by("received_at", "id")
    assert [bytes(kept.body) for kept in in_order] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_fast_clock_receives_nothing_in_the_future(shop, monkeypatch):
    webhook_secrets._seen[WebhookSecret.objects.get().digest] = shop.marketplace.pk
    real = time.time
    monkeypatch.setattr("events.receiving.views.time.time", lambda: real() + 3600)
    with away():
        shop.post(b"{}")
    monkeypatch.undo()
    assert spool.drain(seconds=5) == 1
    assert Delivery.objects.get().received_at <= timezone.now()


def test_a_key_that_was_replaced_still_opens_while_it_is_in_the_list(shop, settings, folder):
    old, new = settings.FIELD_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    spooled(shop)
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert spool.drain(seconds=5) == 1


def test_what_our_keys_do_not_open_stays_for_whom_it_is_and_the_rest_goes_on(
    shop, settings, folder, caplog
):
    right = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    spooled(shop, b"another installation's")
    settings.FIELD_ENCRYPTION_KEYS = right
    spooled(shop, b"torn")
    before = files(folder)
    torn = folder / before[1]
    torn.write_bytes(torn.read_bytes()[:100])
    spooled(shop, b"good")
    assert spool.drain(seconds=5) == 1
    assert bytes(Delivery.objects.get().body) == b"good"
    assert files(folder) == before
    assert spool_contents.counts() == {"waiting": 0, "set_aside": 0, "not_ours": 2}
    # Each is told once, and not at every look.
    assert spool.drain(seconds=5) == 0
    assert caplog.text.count("spooled_delivery_not_ours") == 2


def test_a_file_that_was_not_ours_comes_in_where_its_keys_are(shop, settings, folder, monkeypatch):
    ours, theirs = settings.FIELD_ENCRYPTION_KEYS, [Fernet.generate_key().decode()]
    settings.FIELD_ENCRYPTION_KEYS = theirs
    spooled(shop, b"another installation's")
    settings.FIELD_ENCRYPTION_KEYS = ours
    assert spool.drain(seconds=5) == 0
    settings.FIELD_ENCRYPTION_KEYS = theirs
    monkeypatch.setattr(spool, "_not_ours", set())  # as in a process of theirs
    assert spool.drain(seconds=5) == 1
    assert files(folder) == []


def test_a_file_that_makes_no_sense_is_set_aside(shop, folder, caplog):
    spooled(shop)
    (file,) = files(folder)
    (folder / file).write_bytes(secrets.seal_bytes(b"no facts\nno body"))
    assert spool.drain(seconds=5) == 0
    assert spool_contents.counts() == {"waiting": 0, "set_aside": 1, "not_ours": 0}
    assert "spooled_delivery_unreadable" in caplog.text


def test_a_withdrawn_address_is_held_as_it_was_when_it_came(shop, folder):
    spooled(shop)
    WebhookSecret.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    spooled(shop)
    WebhookSecret.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    spooled(shop)
    WebhookSecret.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    spool.drain(seconds=5)
    assert list(Delivery.objects.values_list("withdrawn", flat=True)) == [True] * 3


def test_a_known_address_that_was_deleted_meanwhile_is_held_and_without_account_set_aside(
    shop, folder, caplog
):
    spooled(shop, b"one")
    WebhookSecret.objects.all().delete()
    assert spool.drain(seconds=5) == 1
    assert (Delivery.objects.get().withdrawn, Delivery.objects.get().secret) == (True, None)
    Delivery.objects.all().delete()
    other = shops.another(shop)
    webhook_secrets._seen[WebhookSecret.objects.get().digest] = other.marketplace.pk
    with away():
        assert other.post(b"two").status_code == 200
    Marketplace.objects.filter(pk=other.marketplace.pk).delete()
    assert spool.drain(seconds=5) == 0
    assert spool_contents.counts() == {"waiting": 0, "set_aside": 1, "not_ours": 0}
    assert "spooled_delivery_refused" in caplog.text


def test_while_the_database_is_away_all_stay(shop, folder):
    spooled(shop)
    with away(), pytest.raises(OperationalError):
        spool.drain(seconds=5)
    assert len(files(folder)) == 1
    assert spool.drain(seconds=5) == 1


def test_one_that_breaks_our_code_or_may_not_be_read_stops_none_of_the_others(
    shop, folder, monkeypatch, caplog
):
    for body in (b"one", b"two", b"three"):
        spooled(shop, body)
    real_store, real_read = spool._store, spool.read

    def store(found: spool.Spooled) -> None:
        if found.delivery.body == b"one":
            raise OverflowError
        real_store(found)

    def read(file: Path) -> spool.Spooled:
        found = real_read(file)
        if found.delivery.body == b"two":
            raise PermissionError
        return found

    monkeypatch.setattr(spool, "_store", store)
    monkeypatch.setattr(spool, "read", read)
    assert spool.drain(seconds=5) == 1
    assert bytes(Delivery.objects.get().body) == b"three"
    assert len(files(folder)) == 2  # one set aside, and one where it was
    assert "spooled_delivery_not_ours" in caplog.text
    assert "spooled_delivery_refused" in caplog.text


def test_what_is_no_file_or_what_the_disk_does_not_give_stops_none_of_the_others(
    shop, folder, monkeypatch, caplog
):
    for body in (b"one", b"two", b"three"):
        spooled(shop, body)
    first = folder / files(folder)[0]
    (folder / "00000000T000000.000000Z-made-by-hand.known").mkdir()
    real_read = Path.read_bytes

    def read_bytes(file: Path) -> bytes:
        if file == first:
            raise OSError(errno.EIO, "Input/output error")
        return real_read(file)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", read_bytes)
        assert spool.drain(seconds=5) == 2
        assert spool.drain(seconds=5) == 0
        assert spool_contents.counts() == {"waiting": 0, "set_aside": 0, "not_ours": 2}
    assert len(files(folder)) == 2
    assert caplog.text.count("spooled_delivery_stuck") == 2  # each is told once
    assert "spool_out_of_reach" not in caplog.text
    # The disk may give it later.
    assert spool.drain(seconds=5) == 1
    assert {bytes(each.body) for each in Delivery.objects.all()} == {b"one", b"two", b"three"}


def test_a_file_that_cannot_be_removed_is_stored_once_and_stops_none_of_the_others(
    shop, folder, monkeypatch, caplog
):
    for body in (b"one", b"two"):
        spooled(shop, body)
    first = folder / files(folder)[0]
    real_unlink = Path.unlink

    def unlink(file: Path, missing_ok: bool = False) -> None:
        if file == first:
            raise OSError(errno.EIO, "Input/output error")
        real_unlink(file, missing_ok=missing_ok)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", unlink)
        spool.drain(seconds=5)
        spool.drain(seconds=5)
    assert Delivery.objects.count() == 2
    assert files(folder) == [first.name]
    assert caplog.text.count("spooled_delivery_stuck") == 1


def test_a_name_that_tells_no_time_is_no_oldest_delivery(shop, folder):
    spooled(shop)
    (folder / "0-by-hand.known").mkdir()
    oldest = spool_contents.oldest()
    assert oldest is not None
    assert timezone.now() - oldest < timedelta(minutes=1)
    (folder / files(folder)[1]).unlink()
    assert spool_contents.oldest() is None


def test_a_folder_that_can_take_nothing_is_said_at_the_start(folder, caplog):
    spool.prepare()
    assert folder.is_dir()
    assert not caplog.records
    folder.rmdir()
    folder.write_text("a file stands where the folder should be")
    spool.prepare()
    assert "spool_out_of_reach" in caplog.text
    assert spool.drain(seconds=5) == 0
    assert spool_contents.counts() == {"waiting": None, "set_aside": None, "not_ours": None}


def test_up_brings_in_what_waits_on_its_machine_also_without_workers(tmp_path, settings):
    with live.installation(tmp_path) as admit:
        settings.SPOOL_DIR = admit.folder / "spool"
        settings.FIELD_ENCRYPTION_KEYS = [live.ENCRYPTION_KEY]
        delivery = Delivery(sealed_body=b"{}", body_digest="0" * 64)
        digest = secrets.digest(live.HOOK_SECRET)
        spool.keep(delivery, secret_digest=digest, received_at=timezone.now())
        told = json.loads(admit.manage("status", "--json").stdout)
        assert told["spool"] == {"waiting": 1, "set_aside": 0, "not_ours": 0}
        assert "1 wait for the database" in admit.manage("status").stdout
        running = admit.up("--no-worker")
        live.until(lambda: not files(settings.SPOOL_DIR), what=running.output())
        assert [event["status"] for event in admit.events()] == ["waiting"]
        assert running.terminate() == 0, running.output()


def test_half_written_files_of_long_ago_are_removed(shop, folder):
    spooled(shop)
    for name in (".old.known.tmp", ".new.known.tmp"):
        (folder / name).write_bytes(b"half")
    os.utime(folder / ".old.known.tmp", (1, 1))
    spool.drain(seconds=5)
    assert files(folder) == [".new.known.tmp"]


# In its place


@pytest.fixture
def school(world: World) -> World:
    """A purchase gives a course, a refund takes it."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    return world


def post_late(school: World, name: str) -> None:
    with away():
        assert school.post(payload(name)).status_code == 200


def test_a_late_purchase_gives_nothing_where_the_refund_was_read_already(school):
    post_late(school, "10_product")
    school.sell("20_product")
    school.settle()
    assert spool.drain(seconds=5) == 1
    refund, purchase = school.settle()
    assert (refund.status, purchase.status) == ("done", "skipped")
    assert purchase.code == "barred"
    assert not any(row.active for row in school.school.enrollments)


def test_a_late_refund_of_an_earlier_purchase_ends_the_access(school):
    school.sell("10_product")
    school.settle()
    post_late(school, "20_product")
    spool.drain(seconds=5)
    assert [run.status for run in school.settle()] == ["done", "done"]
    assert not any(row.active for row in school.school.enrollments)


def test_what_looked_like_a_repeat_is_carried_out_when_something_late_parts_it(school):
    course = Destination.objects.get()
    school.rule("subscription_restarted", "create_course_enrollment", course)
    school.rule("subscription_canceled", "expire_course_enrollment", course)
    school.sell("35_subscription")
    school.settle()
    post_late(school, "30_subscription")
    again = school.sell("35_subscription")  # the same bytes; nothing came between, as far as known
    school.settle()
    assert again.status == "repeat"
    spool.drain(seconds=5)
    school.settle()
    again.refresh_from_db()
    assert (again.status, again.delivery.repeat_of) == ("done", None)
    assert all(row.active for row in school.school.enrollments)
    assert len(school.school.enrollments) == 1


def test_a_late_refund_from_before_the_purchase_ends_it_and_leaves_repeats_alone(school):
    post_late(school, "20_product")
    school.sell("10_product")
    again = school.sell("10_product")
    school.settle()
    spool.drain(seconds=5)
    school.settle()
    again.refresh_from_db()
    assert again.status == "repeat"
    assert not any(row.active for row in school.school.enrollments)
