"""Housekeeping: old rows are removed little by little, and what is still needed stays."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Task

from config.models import Session
from events.access import by_hand
from events.deciding import inbox, naming
from events.execution.rerun import rerun
from events.models import (
    Alert,
    AlertChannel,
    AlertMessage,
    Batch,
    ComparisonFinding,
    ComparisonRun,
    Delivery,
    EventLog,
    Grant,
    RuleRun,
    RuleTexts,
    Tidying,
    event_status,
)
from events.queue import wake
from events.retention import housekeeping, policy
from events.worker import scheduler, tasks
from integrations.models import ApiCall, AuditEntry, Customer, Marketplace, SearchTerm
from tests.support import factories, queued

Status = EventLog.Status
DAY = 24 * 3600.0
CHORES = {chore.name: chore for chore in policy.TASKS}


@pytest.fixture(autouse=True)
def _kept(settings) -> None:
    settings.KEEP_PAYLOADS_DAYS = 30
    settings.KEEP_EXCHANGES_DAYS = 20
    settings.KEEP_EVENTS_DAYS = 100


@pytest.fixture
def due(db) -> Tidying:
    return Tidying.objects.create(pk=1, next_at=timezone.now() - timedelta(seconds=1))


def leave(seconds: float) -> None:
    """Nobody else wants the database in these tests."""


def tidy() -> dict[str, int]:
    Tidying.objects.update_or_create(
        pk=1, defaults={"next_at": timezone.now() - timedelta(seconds=1)}
    )
    return housekeeping.go_on(leave=leave)


def event(
    days: float, status: str = Status.DONE, customer: Customer | None = None, **facts
) -> EventLog:
    """An event received so many days ago, read and in this state."""
    found = queued.event(
        customer or factories.CustomerFactory.create(), at=DAY - days * DAY, **facts
    )
    found.status = Status(status)
    found.save()
    return found


def call(of: RuleRun | None, days: float) -> ApiCall:
    return ApiCall.objects.create(
        run_id=of.pk if of else None,
        method="GET",
        url="/users",
        milliseconds=1,
        sent_at=timezone.now() - timedelta(days=days),
    )


def body_of(found: EventLog) -> bytes:
    return bytes(Delivery.objects.get(events=found).body)


# What SamCart sent


def test_an_old_payload_goes_and_its_event_stays(db):
    old, young = event(31), event(29)
    Delivery.objects.update(query="a=1")
    assert tidy() == {"payloads": 1}
    delivery = Delivery.objects.get(events=old)
    assert (bytes(delivery.body), delivery.query) == (b"", "")
    assert delivery.body_removed_at is not None
    assert body_of(young) == b"{}"
    assert EventLog.objects.count() == 2
    assert tidy() == {}


@pytest.mark.parametrize("status", Status.values)
def test_a_payload_stays_while_its_event_waits_for_somebody(db, status: str):
    found = event(31, status)
    tidy()
    waits = {"waiting", "failed", "held", "unknown_type", "unreadable"}
    assert body_of(found) == (b"{}" if status in waits else b"")
    if status in {"unknown_type", "unreadable"}:
        EventLog.objects.update(dealt_with_at=Now())
        tidy()
        assert body_of(found) == b""


def test_an_unread_delivery_keeps_its_payload_however_old_it_is(db):
    found = event(500)
    Delivery.objects.update(state=Delivery.State.NEW)
    assert tidy() == {}
    assert body_of(found) == b"{}"


def test_the_rules_are_not_run_again_without_the_payload_and_it_is_said_why(db):
    old = event(31, Status.NO_RULE)
    tidy()
    done = rerun([EventLog.objects.get(pk=old.pk)])
    assert done.sentence() == (
        "0 actions queued, 1 event left out: what SamCart sent was removed after 31 days."
    )


def test_naming_a_type_reads_again_only_what_still_has_its_payload(db):
    event(31, Status.UNKNOWN_TYPE, raw_type="Mystery", trigger=None)
    EventLog.objects.update(dealt_with_at=Now())
    tidy()
    account = Marketplace.objects.get()
    assert naming.name_type(account, "Mystery", "product_purchased") == 0
    assert Delivery.objects.get().state == Delivery.State.READ


def test_the_event_page_says_that_the_payload_was_removed(admin_client):
    found = event(31)
    address = f"/admin/events/eventlog/{found.pk}/"
    assert "download" in admin_client.get(address + "change/").content.decode()
    tidy()
    page = admin_client.get(address + "change/").content.decode()
    assert "What SamCart sent was removed after 31 days. The event itself is kept." in page
    assert "download" not in page
    assert admin_client.get(address + "download/").status_code == 404


# Exchanges


def test_old_exchanges_go_and_the_pages_say_so(admin_client):
    run = queued.run(factories.DestinationFactory.create(), of=event(25), status="done")
    RuleRun.objects.update(finished_at=run.received_at)
    call(run, 21), call(None, 21), call(run, 19)
    assert tidy() == {"exchanges": 2}
    ApiCall.objects.all().delete()
    for address in (f"eventlog/{run.event_id}", f"rulerun/{run.pk}"):
        page = admin_client.get(f"/admin/events/{address}/change/").content.decode()
        assert "Calls are kept for 20 days; those of this action are gone." in page


# What was done for many, and comparisons


def test_old_lists_and_comparisons_go_with_what_they_found(db):
    site = factories.DestinationFactory.create().integration
    for days in (21, 19):
        at = timezone.now() - timedelta(days=days)
        Batch.objects.create(title="Retry", started_by="Mia", started_at=at)
        made = ComparisonRun.objects.create(
            integration=site, started_by="Mia", started_at=at, finished_at=at
        )
        ComparisonFinding.objects.create(
            comparison=made, kind="unexplained", course_id=501, user_id=days, name="Course Two"
        )
    ComparisonRun.objects.create(
        integration=site, started_by="Mia", started_at=timezone.now() - timedelta(days=30)
    )
    assert tidy() == {"batches": 1, "comparisons": 1}
    assert Batch.objects.count() == ComparisonFinding.objects.count() == 1
    assert ComparisonRun.objects.count() == 2


# Events


def test_an_old_event_goes_with_all_that_belongs_to_it(db):
    course = factories.DestinationFactory.create()
    old = queued.run(course, of=event(101), status="done")
    young = queued.run(course, of=event(99), status="done")
    kept = [call(young, 1), call(None, 1)]
    call(old, 1)
    repeat = Delivery.objects.get(events=event(99, Status.REPEAT))
    Delivery.objects.filter(pk=repeat.pk).update(repeat_of=old.event.delivery)
    EventLog.objects.filter(pk=young.event_id).update(
        rule_texts=RuleTexts.objects.create(digest="used", sentences={})
    )
    RuleTexts.objects.create(digest="unused", sentences={})
    assert tidy() == {"payloads": 3, "events": 1, "texts": 1}
    assert list(RuleRun.objects.all()) == [young]
    assert list(ApiCall.objects.order_by("pk")) == kept
    assert Delivery.objects.get(pk=repeat.pk).repeat_of is None
    assert Delivery.objects.count() == 2
    assert Customer.objects.count() == 2  # theirs was the last that was known of its customer


def test_what_was_done_by_hand_goes_with_its_age_and_the_access_stays(db):
    course = factories.DestinationFactory.create()
    dana, hana = factories.CustomerFactory.create_batch(2)
    author = by_hand.Author("mia@example.com", "Lost her receipt")
    old, open_one = (by_hand.give(each, course, author) for each in (dana, hana))
    RuleRun.objects.filter(event=old).update(status="done")
    EventLog.objects.filter(pk=old.pk).update(status=Status.DONE)
    for each in (dana, hana):
        by_hand.note(each, author)
    EventLog.objects.update(received_at=timezone.now() - timedelta(days=101))
    young = by_hand.note(dana, author)
    assert tidy() == {"by_hand": 2}
    kept = EventLog.objects.filter(customer=dana)
    assert list(kept) == [young]
    assert EventLog.objects.filter(customer=hana).count() == 2
    assert {grant.event for grant in Grant.objects.active()} == {None, open_one}


def test_what_was_given_until_a_day_that_is_still_to_come_stays_with_its_end(db):
    """Nothing else would end it."""
    course = factories.DestinationFactory.create()
    author = by_hand.Author("mia@example.com", "A gift")
    until = timezone.localdate() + timedelta(days=200)
    given = by_hand.give(factories.CustomerFactory.create(), course, author, until)
    RuleRun.objects.decided().update(status="done")
    event_status.refresh_event(given.pk)
    EventLog.objects.update(received_at=timezone.now() - timedelta(days=101))
    assert EventLog.objects.get().status == Status.DONE
    assert tidy() == {}
    assert RuleRun.objects.delayed().count() == 1
    RuleRun.objects.delayed().update(status="done", code="ended")
    assert tidy()["by_hand"] == 1


@pytest.mark.parametrize("status", Status.values)
def test_an_old_event_stays_while_it_waits_for_somebody(db, status: str):
    event(101, status)
    waits = {"waiting", "failed", "held", "unknown_type", "unreadable"}
    assert tidy().get("events", 0) == (0 if status in waits else 1)


def test_nothing_of_a_customer_goes_while_an_event_of_that_customer_is_open(db):
    """Whatever is released must find the refund that came after it."""
    dana = factories.CustomerFactory.create()
    event(300, customer=dana)
    failed = event(200, Status.FAILED, customer=dana)
    event(150, customer=dana, trigger="product_refunded")
    event(150)
    assert tidy()["events"] == 1
    EventLog.objects.filter(pk=failed.pk).update(status=Status.SKIPPED)
    assert tidy()["events"] == 3


def test_one_open_line_keeps_the_whole_delivery(db):
    first = event(150)
    line = EventLog.objects.get(pk=first.pk)
    line.pk, line.line, line.customer, line.status = None, 1, None, Status.HELD
    line.save()
    assert tidy() == {}


def test_what_an_unread_delivery_may_be_compared_with_stays(db):
    unread = Delivery.objects.get(events=event(150))
    Delivery.objects.filter(pk=unread.pk).update(state=Delivery.State.NEW)
    EventLog.objects.all().delete()
    minute = 1 / 24 / 60
    event(150 + 9 * minute), event(149), event(150 + 11 * minute)
    assert tidy()["events"] == 1


def test_zero_days_keep_everything_for_ever(db, settings):
    settings.KEEP_PAYLOADS_DAYS = settings.KEEP_EXCHANGES_DAYS = settings.KEEP_EVENTS_DAYS = 0
    found = event(30_000)
    call(None, 30_000)
    assert tidy() == {}
    assert body_of(found) == b"{}"


# Grants


def test_what_has_ended_goes_and_what_is_active_stays_without_its_event(db):
    course = factories.DestinationFactory.create()
    states = ("active", "ended", "waived")
    for days in (101, 99):
        for state in states:
            run = queued.run(course, of=event(days), status="done")
            queued.grant(run, days=days, state=state)
    assert tidy() == {"payloads": 6, "events": 3, "grants": 2}
    left = [(grant.state, grant.event is None) for grant in Grant.objects.order_by("pk")]
    assert left == [("active", True), *((state, False) for state in states)]
    assert tidy() == {}


@pytest.mark.parametrize("whose", ["the customer's", "the action's"])
def test_what_has_ended_stays_while_an_open_event_is_decided_by_it(db, whose: str):
    course = factories.DestinationFactory.create()
    grant = queued.grant(queued.run(course, of=event(99)), days=300, state="ended")
    if whose == "the customer's":
        found = event(200, Status.HELD, customer=grant.customer)
    else:
        found = event(200, Status.FAILED)
        queued.run(course, of=found, status="failed", grant=grant)
    assert "grants" not in tidy()
    EventLog.objects.filter(pk=found.pk).update(status=Status.SKIPPED)
    assert tidy()["grants"] == 1
    assert not RuleRun.objects.exclude(grant=None).exists()


@pytest.mark.parametrize("named", ["order_id", "subscription_id"])
def test_what_a_person_ended_stays_while_its_order_or_subscription_has_an_event(db, named: str):
    run = queued.run(factories.DestinationFactory.create(), of=event(300), status="done")
    names: dict[str, Any] = {"order_id": "", "subscription_id": "", named: "1183"}
    nameless = names | {named: ""}
    by_person, by_rule = "by_hand", "product_refunded"
    over: dict[str, Any] = {"days": 300, "state": "ended"}
    ended = queued.grant(run, target="course:1", because=by_person, **over, **names)
    queued.grant(run, target="course:2", because=by_rule, **over, **names)
    queued.grant(run, target="course:3", because=by_person, **over, **nameless)
    charge = EventLog.objects.filter(pk=event(99).pk)
    charge.update(**names)
    assert tidy()["grants"] == 2
    assert Grant.objects.get() == ended
    charge.delete()
    assert tidy()["grants"] == 1


def test_alerts_that_are_over_go_with_their_messages_and_old_messages_of_none(db):
    owner = get_user_model().objects.create_superuser("ada")
    channel = AlertChannel.objects.create(person=owner, kind="email")
    old = timezone.now() - timedelta(days=21)
    for ended in (old, timezone.now(), None):
        alert = Alert.objects.create(
            code="no_worker", subject=str(ended), began_at=old, seen_at=old, ended_at=ended
        )
        AlertMessage.objects.create(channel=channel, alert=alert, uuid=uuid4(), what="began")
    AlertMessage.objects.create(channel=channel, uuid=uuid4(), what="digest", created_at=old)
    assert tidy() == {"alerts": 1, "alert_messages": 1}
    assert (Alert.objects.count(), AlertMessage.objects.count()) == (2, 2)


def test_the_grants_of_a_customer_go_with_the_customer(db):
    run = queued.run(factories.DestinationFactory.create(), status="done")
    queued.grant(run)
    assert run.customer
    run.customer.delete()
    assert not Grant.objects.exists()
    assert queued.again(run).grant is None


def test_a_customer_goes_with_the_last_that_is_known_of_them(db):
    """So does what the search finds them by, and their remembered account in Thinkific."""
    gone, bought, given, ended = factories.CustomerFactory.create_batch(4)
    gone.thinkific_users.create(integration=factories.IntegrationFactory.create(), user_id=5)
    event(101, customer=gone)
    event(101, customer=bought)
    event(1, customer=bought)
    for customer, state in ((given, "active"), (ended, "ended")):
        run = queued.run(
            factories.DestinationFactory.create(), of=event(101, customer=customer), status="done"
        )
        queued.grant(run, days=101, state=state)
    tidy()
    assert set(Customer.objects.all()) == {bought, given}
    assert not SearchTerm.objects.filter(customer__in=[gone.pk, ended.pk]).exists()
    Grant.objects.update(state="ended")
    tidy()
    assert set(Customer.objects.all()) == {bought}


# What would pile up beside


def test_what_django_q_leaves_and_sessions_that_ended_go(db):
    now = timezone.now()
    for name in ("a", "b"):
        Task.objects.create(id=name, name=name, func="x", started=now, stopped=now, success=False)
    OrmQ.objects.create(key="admit", payload="x", lock=now - timedelta(days=2))
    OrmQ.objects.create(key="admit", payload="x", lock=now + timedelta(minutes=5))
    for name, days in (("old", -1), ("new", 1)):
        Session.objects.create(session_key=name, expire_date=now + timedelta(days=days))
    assert tidy() == {"tasks": 2, "wake_ups": 1, "sessions": 1}
    assert [session.pk for session in Session.objects.all()] == ["new"]
    assert OrmQ.objects.count() == 1


def test_wake_ups_that_nobody_takes_do_not_pile_up(transactional_db):
    for _ in range(50):
        wake.wake()
    assert OrmQ.objects.count() == 1


# Rounds


def test_the_first_round_comes_an_hour_after_the_first_start_and_then_once_an_hour(db):
    assert not housekeeping.due()
    scheduler.register("one")
    (first,) = Tidying.objects.all()
    assert not housekeeping.due()
    scheduler.register("two")
    assert Tidying.objects.get().next_at == first.next_at
    Tidying.objects.update(next_at=Now())
    assert housekeeping.due()
    event(31)
    assert housekeeping.go_on(leave=leave) == {"payloads": 1}
    assert Tidying.objects.get().next_at > timezone.now() + timedelta(minutes=30)
    event(31)
    assert housekeeping.go_on(leave=leave) == {}


def test_a_round_that_is_interrupted_goes_on_where_it_stopped(due):
    kept = [event(40, Status.FAILED) for _ in range(housekeeping.PAGE)]
    event(31)
    assert housekeeping.go_on(enough=lambda: True, leave=leave) == {}
    stand = Tidying.objects.get()
    assert (stand.chore, stand.reached_id) == ("payloads", kept[-1].delivery_id)
    assert housekeeping.due()
    with CaptureQueriesContext(connection) as asked:
        assert housekeeping.go_on(leave=leave) == {"payloads": 1}
    pages = [each["sql"] for each in asked if "body_removed_at" in each["sql"]]
    assert len(pages) == 3  # a page with one row, its removal, and an empty page
    assert (Tidying.objects.get().chore, Tidying.objects.get().reached_id) == ("", 0)


def test_only_one_worker_does_it_and_a_dead_one_is_replaced(due):
    event(31)

    def another(seconds: float) -> None:
        assert housekeeping.go_on() == {}
        assert not housekeeping.due()
        raise SystemExit

    with pytest.raises(SystemExit):
        housekeeping.go_on(leave=another)
    event(31)
    assert housekeeping.go_on(leave=leave) == {}
    Tidying.objects.update(next_at=Now())  # its lease is over
    assert housekeeping.go_on(leave=leave) == {"payloads": 1}


def test_a_worker_with_nothing_else_to_do_tidies_up(transactional_db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    monkeypatch.setattr(tasks, "_senders", [])
    event(31)
    Tidying.objects.create(pk=1, next_at=timezone.now() - timedelta(seconds=1))
    tasks.work()
    assert Delivery.objects.exclude(body_removed_at=None).count() == 1


def test_the_database_is_left_between_short_transactions(due, monkeypatch):
    monkeypatch.setattr(housekeeping, "HOLD_SECONDS", 0.0)  # over after one step
    for _ in range(12):
        event(101)
    left: list[float] = []
    housekeeping.go_on(leave=left.append)
    # A few at a time: three for twelve payloads, three for twelve events.
    assert len(left) == 2 * -(-12 // housekeeping.ROWS_AT_ONCE)


def test_what_is_retried_meanwhile_is_not_removed(due):
    """It is looked at once more under the lock in which it is removed."""
    found = event(101)
    chore = CHORES["events"]
    assert chore.may_go([found.delivery_id]) == [found.delivery_id]
    EventLog.objects.update(status=Status.WAITING)
    assert housekeeping._remove(chore, [found.delivery_id], leave) == 0
    assert EventLog.objects.exists()


# By an index


@pytest.fixture
def many(db) -> Iterator[None]:
    marketplace = factories.MarketplaceFactory.create()
    start = timezone.now() - timedelta(days=3000)
    Delivery.objects.bulk_create(
        Delivery(
            marketplace=marketplace,
            sealed_body=b"{}",
            body_digest=str(number),
            state=Delivery.State.READ,
            received_at=start + timedelta(hours=number),
            # As after years: of most only the event is left.
            body_removed_at=start if number % 40 else None,
        )
        for number in range(20_000)
    )
    ApiCall.objects.bulk_create(
        ApiCall(method="GET", url="/", milliseconds=1, sent_at=start + timedelta(hours=number))
        for number in range(20_000)
    )
    customer, course = factories.CustomerFactory.create(), factories.DestinationFactory.create()
    Grant.objects.bulk_create(
        Grant(
            order_id=str(number),
            customer=customer,
            integration=course.integration,
            target="course:501",
            name="A",
            state="active" if number % 10 else "ended",
            decided_at=start + timedelta(hours=number),
            seen_at=start,
        )
        for number in range(20_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_stat1")


def test_candidates_are_found_by_an_index(many, settings):
    """One test for all of them, for the past that they look through takes seconds to write."""
    for name, days, index in (
        ("payloads", 2900, "delivery_with_body"),
        ("events", 2900, "delivery_newest"),
        ("exchanges", 2900, "sent_at"),
        ("grants", 2900, "grant_over"),
        ("payloads", 30, "delivery_with_body"),
        ("events", 100, "delivery_newest"),
        ("grants", 100, "grant_over"),
    ):
        settings.KEEP_PAYLOADS_DAYS = settings.KEEP_EXCHANGES_DAYS = days
        settings.KEEP_EVENTS_DAYS = days
        _assert_found_by(index, CHORES[name])


def _assert_found_by(index: str, chore: policy.RetentionTask) -> None:
    for after in (housekeeping.START, (timezone.now() - timedelta(days=2950), 1)):
        with CaptureQueriesContext(connection) as asked:
            assert chore.page(after, housekeeping.PAGE)
        with connection.cursor() as cursor:
            cursor.execute(
                ("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ")
                + asked.captured_queries[-1]["sql"]
            )
            plan = "\n".join(str(row) for row in cursor.fetchall())
        assert index in plan, plan
        assert "SCAN integrations" not in plan, plan
        assert "Seq Scan" not in plan, plan


def test_who_changed_what_is_kept_for_its_own_time_and_stays_locked(db, settings):
    settings.KEEP_AUDIT_DAYS = 50
    for days in (51, 60, 49):
        at = timezone.now() - timedelta(days=days)
        AuditEntry.objects.create(at=at, who="ada@example.com", act="exported")
    assert tidy() == {"audit": 2}
    (left,) = AuditEntry.objects.all()
    assert left.at > timezone.now() - timedelta(days=50)
    with pytest.raises(DatabaseError, match="only added"), transaction.atomic():
        AuditEntry.objects.all().delete()
    settings.KEEP_AUDIT_DAYS = 0
    assert tidy() == {}


# The command


def test_tidy_says_first_what_it_would_remove_and_then_removes_it(db):
    event(101), event(31), event(1)
    call(None, 21)

    def told(*options: str) -> list[str]:
        out = StringIO()
        call_command("tidy", *options, stdout=out)
        return out.getvalue().splitlines()

    assert told("--dry-run")[:7] == [
        "What SamCart sent: kept for 30 days (KEEP_PAYLOADS_DAYS).",
        "Exchanges with Thinkific: kept for 20 days (KEEP_EXCHANGES_DAYS).",
        "Events with their actions: kept for 100 days (KEEP_EVENTS_DAYS).",
        "Who changed what: kept for 1095 days (KEEP_AUDIT_DAYS).",
        "2 payloads of SamCart would be removed.",
        "1 exchange with Thinkific would be removed.",
        "1 delivery with its events and actions would be removed.",
    ]
    assert (Delivery.objects.count(), ApiCall.objects.count()) == (3, 1)
    assert told()[4:7] == [
        "2 payloads of SamCart were removed.",
        "1 exchange with Thinkific was removed.",
        "1 delivery with its events and actions was removed.",
    ]
    assert (Delivery.objects.count(), ApiCall.objects.count()) == (2, 0)
    assert told()[4] == "0 payloads of SamCart were removed."


def test_tidy_says_what_is_kept_for_ever(db, settings):
    settings.KEEP_EVENTS_DAYS = 0
    out = StringIO()
    call_command("tidy", "--dry-run", stdout=out)
    assert "Events with their actions: kept for ever (KEEP_EVENTS_DAYS)." in out.getvalue()


def test_receiving_goes_on_as_before_beside_it(world):
    """A delivery that comes between two transactions is read as ever."""
    event(101)
    Tidying.objects.create(pk=1, next_at=timezone.now() - timedelta(seconds=1))
    answers = []

    def post(seconds: float) -> None:
        answers.append(world.post({"type": "Order"}).status_code)

    housekeeping.go_on(leave=post)
    assert answers == [200, 200]
    assert inbox.process() == 2
