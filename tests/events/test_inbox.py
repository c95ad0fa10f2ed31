"""Reading deliveries: each is explained once, in order, and none blocks the others."""

import itertools
import json
import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from django.test.utils import CaptureQueriesContext

from events.deciding import inbox
from events.execution import rerun
from events.models import Delivery, EventLog, RuleRun
from integrations.models import AuditEntry, Customer, Product
from rules import engine
from rules.models import NamedType
from rules.triggers import NEEDS_NO_RULE, Trigger
from tests.support import shop as shops
from tests.support.samcart import PAYLOADS, changed, payload
from tests.support.shop import Shop
from tests.support.unreadable import UNREADABLE

Status = EventLog.Status


def named(shop: Shop, kind: str, trigger: str) -> int:
    """What the admin does when a person names a type."""
    NamedType.objects.create(marketplace=shop.marketplace, type=kind.lower(), trigger=trigger)
    return inbox.reread(shop.marketplace.pk, kind)


# Every delivery is explained


def test_whatever_cannot_be_read_is_kept_and_explained_once(shop, caplog):
    shop.rule()
    sent = {}
    for number, (fault, body) in enumerate(UNREADABLE.items()):
        delivery = shop.receive(body, minutes=number)
        sent[delivery.pk] = (fault, body)
    assert inbox.process() == len(UNREADABLE)
    events = list(EventLog.objects.select_related("delivery").order_by("pk"))
    assert [event.delivery_id for event in events] == list(sent)
    for event in events:
        delivery = Delivery.objects.get(events=event)
        fault, body = sent[delivery.pk]
        assert bytes(delivery.body) == body, fault
        assert event.status == Status.UNREADABLE, fault
        assert event.reason.endswith((".", "?")), fault
        assert (event.trigger, event.product, event.customer) == (None, None, None), fault
    assert not RuleRun.objects.exists()
    assert not Customer.objects.exists()
    assert {record.levelno for record in caplog.records} <= {logging.INFO}
    assert not [record for record in caplog.records if record.exc_info]


def test_an_address_with_a_trigger_makes_no_sense_of_what_cannot_be_read(shop):
    event = shop.sell(b"\xff\xfe\xff", trigger="product_purchased")
    assert (event.status, event.trigger) == (Status.UNREADABLE, None)


# number of the sample: its trigger, and how many events it gives
SAMPLES = {
    "01": ("product_purchased", 1),
    "02": ("product_purchased", 3),
    "03": ("product_purchased", 2),
    "04": ("product_purchased", 2),
    "05": ("product_purchased", 3),
    "06": ("product_purchased", 1),
    "07": ("product_purchased", 3),
    "08": ("product_purchased", 1),
    "10": ("product_purchased", 1),
    "11": ("product_purchased", 1),
    "12": ("product_purchased", 1),
    "13": ("product_purchased", 2),
    "14": ("product_purchased", 1),
    "15": ("product_purchased", 1),
    "16": ("product_purchased", 2),
    "17": ("product_purchased", 1),
    "18": ("product_purchased", 1),
    "20": ("product_refunded", 1),
    "21": ("product_partially_refunded", 1),
    "22": ("product_refunded", 1),
    "23": ("product_refunded", 2),
    "30": ("subscription_canceled", 1),
    "31": ("subscription_charged", 1),
    "32": ("subscription_charge_failed", 1),
    "33": ("subscription_delinquent", 1),
    "34a": ("subscription_recovered", 1),
    "34b": ("subscription_recovered", 1),
    "35": ("subscription_restarted", 1),
    "36": ("subscription_completed", 1),
    "41": (None, 1),
    "45": ("course_student_added", 1),
    "46": ("course_student_removed", 1),
    "47": ("course_started", 1),
    "48": ("course_finished", 1),
    "90": ("product_purchased", 1),
    "91": (None, 1),
    "92": ("product_purchased", 1),
    "93": (None, 1),
    "94": (None, 1),
    "95": ("product_purchased", 1),
    "96": ("product_purchased", 1),
}
FILES = {path.name.split("_")[0]: path for path in PAYLOADS.glob("*_*")}


def test_the_table_names_every_sample_and_the_samples_every_trigger():
    assert set(SAMPLES) == set(FILES)
    assert {trigger for trigger, _ in SAMPLES.values() if trigger} == set(Trigger.values)


def raw(path: Path) -> dict[str, Any]:
    """How the file travels: those of the Courses go to an address of their own."""
    form = path.suffix == ".form"
    own, _, rest = path.stem.partition("_by_own_address")
    return {
        "body": path.read_bytes(),
        "trigger": own.partition("_")[2] if rest else "",
        "content_type": "application/x-www-form-urlencoded" if form else "application/json",
    }


@pytest.mark.parametrize("number", SAMPLES)
def test_a_sample_gives_its_trigger_for_each_line(shop, number):
    trigger, lines = SAMPLES[number]
    delivery = shop.receive(**raw(FILES[number]))
    assert inbox.process() == 1
    events = delivery.events.order_by("line")
    assert [(event.line, event.trigger) for event in events] == [(n, trigger) for n in range(lines)]
    without_rule = Status.NOTED if trigger in NEEDS_NO_RULE else Status.NO_RULE
    expected = without_rule if trigger else Status.UNKNOWN_TYPE
    for event in events:
        assert (event.status, event.marketplace) == (expected, shop.marketplace)
        assert event.received_at == delivery.received_at
        assert event.reason
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.READ


def test_an_event_carries_what_is_searched_for(shop):
    event = shop.sell(changed("12_product", customer__customer_id=777))
    assert (event.order_id, event.subscription_id) == ("23300011", "990001")
    assert (event.transaction_id, event.samcart_customer_id) == ("ch_EXAMPLE0001", "777")
    assert (event.raw_type, event.line) == ("Order", 0)
    assert (event.product.kind, event.product.external_id) == ("product", "1048010")
    assert event.customer.email == "dana@example.com"


def test_custom_fields_are_kept_with_the_event(shop):
    event = shop.sell("17_custom")
    assert event.custom_fields
    assert all(field.keys() == {"name", "slug", "value"} for field in event.custom_fields)


def test_a_course_is_no_product_of_the_same_number(shop):
    shop.sell(changed("10_product", product__id=501))
    event = shop.sell({"course": {"id": 501, "name": "Paint"}}, trigger="course-started")
    assert event.product.kind == "course"
    assert set(Product.objects.values_list("kind", "external_id")) == {
        ("product", "501"),
        ("course", "501"),
    }


def test_the_same_number_in_another_account_is_another_product(shop):
    other = shops.another(shop)
    mine, theirs = shop.sell("10_product"), other.sell("10_product")
    assert mine.product != theirs.product
    assert mine.customer == theirs.customer
    assert theirs.marketplace == other.marketplace


# Text that a database would choke on


UNSAFE = "a\0b\ud800c\U0001f393d\x1b<b>\u202e=cmd()"


def test_text_that_postgres_refuses_is_made_harmless_and_the_bytes_stay(shop):
    shop.rule()
    body = changed(
        "10_product",
        customer__first_name=UNSAFE,
        customer__last_name="\0",
        product__name=UNSAFE * 200,
        product__transaction_id=UNSAFE,
        order__custom_fields=[{"name": UNSAFE, "slug": "\ud800", "value": UNSAFE * 2000}],
    )
    delivery = shop.receive(body)
    before = bytes(delivery.body)
    inbox.process()
    event = delivery.events.get()
    event.refresh_from_db()
    assert event.status == Status.WAITING, event.reason
    texts = [
        event.customer.first_name,
        event.product.name,
        event.transaction_id,
        json.dumps(event.custom_fields, ensure_ascii=False),
        event.runs.get().rule_sentence,
    ]
    for text in texts:
        assert "\0" not in text
        assert not any("\ud800" <= sign <= "\udfff" for sign in text)
    assert "\U0001f393" in event.customer.first_name
    assert len(event.product.name) <= 255
    assert bytes(Delivery.objects.get().body) == before


def test_an_unknown_type_of_unsafe_text_is_shown_harmless(shop):
    event = shop.sell({"type": "Odd\0 <script>\U0001f393" + "x" * 500})
    assert event.status == Status.UNKNOWN_TYPE
    assert "\0" not in event.raw_type
    assert event.raw_type.startswith("Odd <script>\U0001f393")
    assert len(event.raw_type) == 100


# Unknown types


def test_a_type_that_nobody_knows_is_named_once_and_then_carried_out(shop):
    shop.rule("subscription_canceled")
    first = shop.sell("91_edge", minutes=0)
    second = shop.sell(changed("91_edge", order__id=2), minutes=30)
    other = shop.sell(changed("91_edge", type="SomethingElse"), minutes=40)
    assert first.reason == (
        'SamCart calls this "SubscriptionCancelScheduled", which Admit does not know. '
        "Say once which trigger it is, and it is read again."
    )
    assert named(shop, "SubscriptionCancelScheduled", "subscription_canceled") == 2
    assert inbox.process() == 2
    for before in (first, second):
        event = EventLog.objects.get(pk=before.pk)
        assert (event.trigger, event.status) == ("subscription_canceled", Status.WAITING)
        assert event.reason == ""
        assert event.received_at == before.received_at
        assert event.runs.count() == 1
    other.refresh_from_db()
    assert other.status == Status.UNKNOWN_TYPE
    assert EventLog.objects.count() == 3
    # From now on it is known.
    third = shop.sell(changed("91_edge", order__id=3), minutes=60)
    assert (third.trigger, third.runs.count()) == ("subscription_canceled", 1)


def test_a_named_type_is_known_in_any_spelling_and_in_its_own_account_only(shop):
    other = shops.another(shop)
    mine = [
        shop.sell({"type": text, "order": {"id": number}}, minutes=number)
        for number, text in enumerate(["LessonDone", "lesson_done", "LESSON-DONE", " Lesson Done "])
    ]
    theirs = other.sell({"type": "LessonDone"}, minutes=20)
    assert named(shop, "LessonDone", "course_finished") == 4
    inbox.process()
    for event in mine:
        event.refresh_from_db()
        assert event.trigger == "course_finished"
    theirs.refresh_from_db()
    assert theirs.trigger is None


def test_naming_a_type_does_not_touch_what_the_address_left_unexplained(shop):
    event = shop.sell({"type": "LessonDone"}, trigger="mystery")
    assert named(shop, "LessonDone", "course_finished") == 0
    assert event.reason.startswith('The address ends in "mystery"')


def test_a_body_without_a_type_says_what_helps(shop):
    event = shop.sell({"order": {"id": 1}})
    assert event.reason == (
        "SamCart did not say what happened. Give this trigger an address of its own."
    )


def test_every_line_of_a_delivery_that_is_read_again_keeps_its_row(shop):
    shop.rule("course_started")
    body = changed("02_order", type="Odd")
    delivery = shop.receive(body)
    inbox.process()
    before = list(delivery.events.order_by("line").values_list("pk", "line"))
    assert len(before) == 3
    assert named(shop, "Odd", "course_started") == 1
    inbox.process()
    assert list(delivery.events.order_by("line").values_list("pk", "line")) == before
    assert RuleRun.objects.count() == 3


def test_what_was_decided_stays_when_a_delivery_is_read_once_more(shop):
    shop.rule()
    event = shop.sell("10_product")
    shop.rule("product_purchased")
    RuleRun.objects.update(status="done", message="Enrolled.")
    EventLog.objects.update(status="done")
    Delivery.objects.update(state=Delivery.State.NEW)
    assert inbox.process() == 1
    event.refresh_from_db()
    assert event.status == Status.DONE
    assert [run.message for run in event.runs.all()] == ["Enrolled."]


def test_siblings_that_repeat_each_other_are_told_apart_when_they_are_named(shop):
    shop.rule("course_started")
    first = shop.sell({"type": "Odd", "customer": {"email": "a@b.example"}}, minutes=0)
    second = shop.sell({"type": "Odd", "customer": {"email": "a@b.example"}}, minutes=1)
    assert named(shop, "Odd", "course_started") == 2
    inbox.process()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == (Status.WAITING, Status.REPEAT)


# Our own faults


def break_decide_for(monkeypatch, product: str) -> None:
    """A bug in a pure function of ours that only one product brings to light."""
    real = engine.decide

    def decide(event, rules):
        if event.product == ("product", product):
            raise KeyError("dana@example.com")
        return real(event, rules)

    monkeypatch.setattr(engine, "decide", decide)


def test_a_delivery_that_breaks_our_code_is_set_aside_and_its_neighbors_go_on(
    shop, monkeypatch, caplog
):
    shop.rule()
    deliveries = [
        shop.receive(changed("10_product", product__id=number), minutes=number)
        for number in (1, 666, 3)
    ]
    with monkeypatch.context() as patch:
        break_decide_for(patch, "666")
        assert inbox.process() == 3
    good, bad, also_good = [delivery.events.get() for delivery in deliveries]
    assert {good.status, also_good.status} == {Status.WAITING}
    assert bad.status == Status.FAILED
    assert bad.reason == (
        "Admit itself failed on this event (KeyError); nothing was done. It is kept: "
        "call your technician, who can have it read again after an update."
    )
    assert not bad.runs.exists()
    assert [record.msg for record in caplog.records if record.levelno > logging.INFO] == [
        "delivery_set_aside"
    ]
    assert "dana" not in caplog.text
    # After the update, by the button on its page:
    assert rerun.rerun([bad]).queued == 1
    assert inbox.process() == 1
    mended = EventLog.objects.get(pk=bad.pk)
    assert (mended.status, mended.reason) == (Status.WAITING, "")
    assert mended.product == Product.objects.get(external_id="666")


def test_a_row_that_the_database_refuses_is_set_aside_alone(shop):
    shop.rule()
    with shops.refusing("events_eventlog", when="NEW.order_id = '666'"):
        deliveries = [
            shop.receive(changed("10_product", order__id=number), minutes=number)
            for number in (1, 666, 3)
        ]
        assert inbox.process() == 3
    statuses = [delivery.events.get().status for delivery in deliveries]
    assert statuses == [Status.WAITING, Status.FAILED, Status.WAITING]
    assert "dana" not in deliveries[1].events.get().reason


def test_a_run_that_cannot_be_stored_leaves_no_half_of_its_event(shop):
    shop.rule()
    with shops.refusing("events_rulerun"):
        event = shop.sell(changed("10_product", product__name="Only Here"))
    assert event.status == Status.FAILED
    assert (event.order_id, event.verdicts, event.customer) == ("", [], None)
    assert not Product.objects.filter(name="Only Here").exists()


def test_a_rule_that_makes_no_sense_stops_no_other_account(shop):
    other = shops.another(shop)
    rule = shop.rule()
    type(rule).objects.filter(pk=rule.pk).update(trigger="from_a_later_version")
    delivery = shop.receive(payload("10_product"))
    theirs = other.sell("10_product")
    assert theirs.status == Status.NO_RULE
    assert delivery.events.get().status == Status.FAILED


def test_while_the_database_takes_nothing_deliveries_go_on_waiting(real_shop):
    real_shop.rule()
    deliveries = [real_shop.receive(changed("10_product", order__id=n)) for n in (1, 2)]
    with shops.refusing("events_eventlog"), pytest.raises(DatabaseError):
        inbox.process()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"new"}
    assert not Customer.objects.exists()
    assert inbox.process() == 2
    assert [delivery.events.get().status for delivery in deliveries] == ["waiting", "waiting"]


def test_while_the_rules_cannot_be_read_deliveries_go_on_waiting(real_shop):
    real_shop.rule()
    delivery = real_shop.receive(payload("10_product"))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rules_rule RENAME TO elsewhere")
    try:
        with pytest.raises(DatabaseError):
            inbox.process()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO rules_rule")
    assert not EventLog.objects.exists()
    assert inbox.process() == 1
    assert delivery.events.get().status == Status.WAITING


# Order, and one at a time


def test_deliveries_are_read_in_receipt_order(shop):
    names = {3: "Third", 1: "First", 4: "Fourth", 2: "Second"}
    for minute, name in names.items():
        shop.receive(changed("10_product", product__name=name, order__id=minute), minutes=minute)
    assert inbox.process() == 4
    assert list(EventLog.objects.order_by("pk").values_list("order_id", flat=True)) == list("1234")
    assert Product.objects.get().name == "Fourth"


def test_those_of_one_moment_are_read_in_the_order_of_their_numbers(shop):
    for order in (1, 2, 3):
        shop.receive(changed("10_product", order__id=order))
    inbox.process()
    assert list(EventLog.objects.order_by("pk").values_list("order_id", flat=True)) == list("123")


def test_more_than_a_batch_is_read_in_one_go(shop, monkeypatch):
    monkeypatch.setattr(inbox, "BATCH", 3)
    for order in range(1, 11):
        shop.receive(changed("10_product", order__id=order), minutes=order)
    assert inbox.process() == 10
    assert inbox.process() == 0


def test_when_time_is_up_nothing_more_is_begun(shop):
    shop.receive(payload("10_product"))
    assert inbox.process(until=time.monotonic() - 1) == 0
    assert Delivery.objects.get().state == Delivery.State.NEW


def test_two_workers_at_once_read_each_delivery_once(real_shop):
    real_shop.rule()
    real_shop.rule("product_refunded")
    for order in range(1, 41):
        real_shop.receive(changed("10_product", order__id=order), minutes=order)
    together = threading.Barrier(3)
    counts: list[int] = []
    faults: list[BaseException] = []

    def worker() -> None:
        try:
            together.wait(10)
            counts.append(inbox.process())
        except BaseException as error:
            faults.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    # Where they meet at a bad moment, each leaves the rest to the other, and so to the next task.
    counts.append(inbox.process())
    assert sum(counts) == 40
    assert EventLog.objects.count() == RuleRun.objects.count() == 40
    assert set(EventLog.objects.values_list("status", flat=True)) == {"waiting"}
    read = list(EventLog.objects.order_by("pk").values_list("received_at", flat=True))
    assert read == sorted(read)


@pytest.mark.parametrize(
    ("hold", "looking", "transactions"),
    [(0, 1, 4), (60, 1, 1), (0, 3, 2)],
    ids=["one at a time", "all at once", "as long as looking took"],
)
def test_on_sqlite_the_lock_is_left_between_short_transactions(
    real_shop, monkeypatch, hold, looking, transactions
):
    if connection.vendor != "sqlite":
        transactions = 1  # nobody waits for a lock there
    monkeypatch.setattr(inbox, "HOLD_SECONDS", hold)
    # A clock on which looking takes so many seconds at first, and all else one.
    clock = itertools.chain([0, 0, looking], itertools.count(looking + 1))
    monkeypatch.setattr(inbox, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    for order in (1, 2, 3, 4):
        real_shop.receive(changed("10_product", order__id=order), minutes=order)
    with CaptureQueriesContext(connection) as queries:
        assert inbox.process() == 4
    asked = [query["sql"] or "" for query in queries.captured_queries]  # "" of a kept plan
    begun = [sql for sql in asked if sql.startswith("BEGIN")]
    assert len(begun) == transactions


def test_nothing_is_read_or_decided_inside_the_transaction(real_shop, monkeypatch):
    real_shop.rule()
    inside: list[bool] = []
    real = engine.decide

    def decide(event, rules):
        inside.append(connection.in_atomic_block)
        return real(event, rules)

    monkeypatch.setattr(engine, "decide", decide)
    real_shop.sell("33_subscription")
    real_shop.sell("10_product")
    assert inside
    assert not any(inside)


# Names


def test_products_and_customers_are_renamed_by_what_comes_later(shop):
    shop.sell("10_product", minutes=0)
    event = shop.sell(
        changed(
            "10_product",
            product__name="New Name",
            customer__email=" DANA@Example.COM ",
            customer__first_name="Daniela",
            customer__last_name=None,
        ),
        minutes=30,
    )
    assert Product.objects.get().name == "New Name"
    person = Customer.objects.get()
    assert (person.email, person.email_as_sent) == ("dana@example.com", "DANA@Example.COM")
    assert (person.first_name, person.last_name) == ("Daniela", "Example")
    assert (event.product, event.customer) == (Product.objects.get(), person)


def test_a_product_that_samcart_renamed_is_in_changes_with_both_names(shop):
    shop.sell("10_product", minutes=0)
    former = Product.objects.get().name
    assert not AuditEntry.objects.filter(act="product_changed").exists()
    shop.sell(changed("10_product", product__name="New Name"), minutes=30)
    (entry,) = AuditEntry.objects.filter(act="product_changed")
    assert (entry.who, entry.number) == ("SamCart", str(Product.objects.get().pk))
    assert (entry.before, entry.after) == ({"name": former}, {"name": "New Name"})
    shop.sell(changed("10_product", product__name="New Name", order__id=2), minutes=31)
    assert AuditEntry.objects.filter(act="product_changed").count() == 1


def test_two_names_that_take_turns_do_not_fill_changes(shop):
    for number in range(6):
        name = f"Name {number % 2}"
        shop.sell(changed("10_product", product__name=name, order__id=number), minutes=number)
    assert Product.objects.get().name == "Name 1"
    assert AuditEntry.objects.filter(act="product_changed").count() == 2


def test_a_name_that_a_person_gave_a_product_outlives_what_samcart_calls_it(shop):
    shop.sell("10_product", minutes=0)
    Product.objects.update(name="Mine")
    shop.sell("10_product", minutes=30)
    shop.sell(changed("10_product", product__name="New Name"), minutes=60)
    product = Product.objects.get()
    assert (product.name, product.samcart_name) == ("Mine", "New Name")
    Product.objects.update(name="New Name")
    shop.sell(changed("10_product", product__name="Newer Name"), minutes=90)
    assert Product.objects.get().name == "Newer Name"


def test_a_product_without_a_name_has_its_number_for_one_until_it_is_named(shop):
    shop.sell(changed("10_product", product__name=None), minutes=0)
    assert Product.objects.get().name == "Product 1048001"
    shop.sell("10_product", minutes=30)
    shop.sell(changed("10_product", product__name=""), minutes=60)
    assert Product.objects.get().name == payload("10_product")["product"]["name"]


def test_an_old_delivery_that_is_read_again_renames_nobody(shop):
    shop.sell(changed("91_edge", customer__first_name="Old", product__name="Old"), minutes=0)
    shop.sell(
        changed("31_subscription", customer__first_name="New", product__name="New"), minutes=1
    )
    named(shop, "SubscriptionCancelScheduled", "subscription_canceled")
    inbox.process()
    assert (Product.objects.get().name, Customer.objects.get().first_name) == ("New", "New")


def test_who_knows_only_a_withdrawn_address_renames_nobody(shop):
    shop.sell("10_product", minutes=0)
    shop.marketplace.webhook_secrets.update(expires_at=shops.START)
    shop.sell(changed("10_product", customer__first_name="X", product__name="X"), minutes=30)
    assert Customer.objects.get().first_name == "Dana"
    assert Product.objects.get().name == payload("10_product")["product"]["name"]
