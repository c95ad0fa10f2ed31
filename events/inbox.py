"""Reading deliveries: what they say, which rules run, and what therefore is to be done."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from events import repeats
from events.models import Delivery, EventLog, RuleRun, RuleTexts
from integrations.models import Customer, Product
from integrations.samcart.payload import SaleEvent, Unreadable, normalise_type, parse
from rules import engine
from rules.models import Action, NamedType, Rule
from rules.triggers import Trigger, from_address, from_type

log = logging.getLogger(__name__)
BATCH = 50
# On SQLite one writer goes at a time: a longer hold starves the webhook (measured).
HOLD_SECONDS = 0.010
LEAVE_SECONDS = 0.030
# The number of our lock among PostgreSQL's advisory locks; any number, but always this.
INBOX_LOCK = 0x41646D69
# Two events may come for one delinquency (SamCart's help page): Cancel and Delinquent.
SAME_HAPPENING = timedelta(minutes=10)
PAID = {"", "charged", "fulfilled"}


class RuleBook:
    """What deciding needs to know of one marketplace, read once for a whole batch."""

    def __init__(self, marketplace_id: int) -> None:
        self.rules = Rule.objects.for_deciding(marketplace_id)
        named = NamedType.objects.filter(marketplace=marketplace_id)
        self.names = dict(named.values_list("type", "trigger"))
        self.sentences = {str(rule.pk): rule.sentence() for rule in self.rules}
        text = json.dumps(self.sentences, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery says, found outside the transaction."""

    delivery: Delivery
    book: RuleBook
    lines: Sequence[SaleEvent] = ()
    unreadable: str = ""


def process(*, until: float = float("inf")) -> int:
    """Read the deliveries that wait, in receipt order; how many were read.

    `until` is in monotonic seconds. A delivery that breaks our code is set aside with a
    sentence, and the rest goes on.
    """
    done = 0
    while time.monotonic() < until:
        waiting = Delivery.objects.filter(state=Delivery.State.NEW).order_by("received_at", "id")
        books: dict[int, RuleBook] = {}
        readings = [read(delivery, books) for delivery in waiting[:BATCH]]
        if not readings:
            break
        stored = _store_all(readings)
        if stored is None:
            break  # another worker is at it, and will see these too
        done += stored
    if done:
        log.info("deliveries_read", extra={"count": done})
    return done


def read(delivery: Delivery, books: dict[int, RuleBook]) -> Reading:
    """Parse the bytes and gather what deciding needs. Never raises for what was sent."""
    if delivery.marketplace_id not in books:
        books[delivery.marketplace_id] = RuleBook(delivery.marketplace_id)
    book = books[delivery.marketplace_id]
    try:
        return Reading(delivery, book, parse(bytes(delivery.body), delivery.content_type))
    except Unreadable as error:
        return Reading(delivery, book, unreadable=error.reason)
    except Exception as error:  # a bug of ours must not stop the others
        log.error(
            "delivery_broke_the_reader",
            extra={"delivery": delivery.pk, "error": type(error).__name__},
        )
        ours = f"Admit itself failed to read this ({type(error).__name__}); it is kept."
        return Reading(delivery, book, unreadable=ours)


def _store_all(readings: list[Reading]) -> int | None:
    """Store readings in order, a short transaction at a time; None when another worker does."""
    rest: Iterator[Reading] = iter(readings)
    done = 0
    left = len(readings)
    while left:
        with transaction.atomic():
            if not _only_one():
                return None
            hold_until = time.monotonic() + HOLD_SECONDS
            for reading in rest:
                left -= 1
                done += _store_safely(reading)
                if connection.vendor == "sqlite" and time.monotonic() > hold_until:
                    break
        if left and connection.vendor == "sqlite":
            time.sleep(LEAVE_SECONDS)
    return done


def _only_one() -> bool:
    """One worker at a time, by the transaction's own lock: SQLite's is the whole database."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [INBOX_LOCK])
        return bool(cursor.fetchone()[0])


def _store_safely(reading: Reading) -> int:
    delivery = reading.delivery
    mine = Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.NEW)
    if not mine.update(state=Delivery.State.READ):
        return 0
    try:
        with transaction.atomic():
            store(reading)
    except Exception as error:
        if isinstance(error, DatabaseError) and not connection.is_usable():
            raise
        # Only the kind of error: its text may quote what a customer entered.
        log.error(
            "delivery_set_aside", extra={"delivery": delivery.pk, "error": type(error).__name__}
        )
        _put(
            reading,
            0,
            EventLog.Status.FAILED,
            f"Admit itself failed on this event ({type(error).__name__}); nothing was done. "
            "It is kept: call your technician, who can have it read again after an update.",
        )
    return 1


def store(reading: Reading) -> None:
    """Make the delivery's events and runs; inside the caller's transaction."""
    if reading.unreadable:
        _put(reading, 0, EventLog.Status.UNREADABLE, reading.unreadable)
        return
    first = repeats.first_of(reading.delivery)
    if first is not None:
        Delivery.objects.filter(pk=reading.delivery.pk).update(repeat_of=first)
    for number, line in enumerate(reading.lines):
        _store_line(reading, number, line, first)


def _store_line(reading: Reading, number: int, line: SaleEvent, first: Delivery | None) -> None:
    customer = _customer(line)
    product = _product(reading.delivery, line)
    event = _put(
        reading,
        number,
        EventLog.Status.UNKNOWN_TYPE,
        _unknown(reading.delivery, line),
        trigger=_trigger(reading, line),
        raw_type=line.type,
        product=product,
        customer=customer,
        order_id=line.order_id,
        subscription_id=line.subscription_id,
        transaction_id=line.transaction_id,
        samcart_customer_id=line.customer_id,
        custom_fields=[
            {"name": field.name, "slug": field.slug, "value": field.value}
            for field in line.custom_fields
        ],
    )
    if event.trigger is None:
        return
    if first is not None:
        event.status = EventLog.Status.REPEAT
        event.reason = (
            f"The same as what was received at {first.received_at:%H:%M:%S} UTC; "
            "nothing was done again."
        )
    else:
        _decide(event, reading, line)
    event.save()


def _decide(event: EventLog, reading: Reading, line: SaleEvent) -> None:
    assert event.trigger is not None
    event.also_canceled = _counts_as_canceled(event)
    triggers = {Trigger(event.trigger)}
    if event.also_canceled:
        triggers.add(Trigger.SUBSCRIPTION_CANCELED)
    product = (line.kind, line.product_id) if line.product_id else None
    verdicts = engine.decide(engine.Fact(frozenset(triggers), product), reading.book.rules)
    event.verdicts = [[verdict.rule.pk, verdict.why.value] for verdict in verdicts]
    event.rule_texts = _texts(reading.book)
    runs = RuleRun.objects.bulk_create(
        plan(event, verdict.rule, line) for verdict in verdicts if verdict.runs
    )
    event.status = event.status_of([run.status for run in runs])
    event.reason = _reason(event, line)


def plan(event: EventLog, rule: Rule, line: SaleEvent) -> RuleRun:
    """The run of a rule for an event (not saved): a copy of all that it will do."""
    action = Action(rule.action)
    run = RuleRun(
        event=event,
        rule=rule,
        integration=rule.integration,
        customer=event.customer,
        received_at=event.received_at,
        action=action,
        destination_id=rule.destination.external_id,
        destination_name=rule.destination.name,
        target=f"{action.destination_kind.value}:{rule.destination.external_id}",
        site=rule.integration.site,
        rule_sentence=rule.sentence(),
        next_attempt_at=event.received_at + timedelta(seconds=settings.RETRY_DELAYS[0]),
    )
    if event.customer is None:
        run.status = RuleRun.Status.FAILED
        run.message = f"{line.email_problem} So nobody could be enrolled or removed."
    elif event.delivery.withdrawn:
        run.status = RuleRun.Status.HELD
        run.message = "It was sent to a withdrawn address. Release it if you know the sender."
    elif event.trigger == Trigger.PRODUCT_PURCHASED and line.line_status.casefold() not in PAID:
        run.status = RuleRun.Status.HELD
        run.message = (
            f"SamCart reports this line as {line.line_status}, not as Charged. "
            "Release it if the customer has paid."
        )
    elif not rule.integration.enabled:
        run.message = f"{rule.integration} is turned off; this goes on when it is turned on."
    return run


def reread(marketplace_id: int, raw_type: str) -> int:
    """Have events of a type that was just named read again; how many deliveries that are."""
    word = normalise_type(raw_type)
    unknown = EventLog.objects.filter(
        marketplace=marketplace_id, status=EventLog.Status.UNKNOWN_TYPE
    )
    again = {e.delivery_id for e in unknown.only("delivery", "raw_type") if _is(e, word)}
    return Delivery.objects.filter(pk__in=again).update(state=Delivery.State.NEW)


def _is(event: EventLog, word: str) -> bool:
    return normalise_type(event.raw_type) == word


def _put(reading: Reading, line: int, status: str, reason: str, **facts: object) -> EventLog:
    """The event of this line, written anew: a delivery that is read again keeps its row."""
    delivery = reading.delivery
    event, _ = EventLog.objects.update_or_create(
        delivery=delivery,
        line=line,
        defaults={
            "marketplace_id": delivery.marketplace_id,
            "received_at": delivery.received_at,
            "status": status,
            "reason": reason,
            **facts,
        },
    )
    return event


def _trigger(reading: Reading, line: SaleEvent) -> Trigger | None:
    """The address decides when it names a trigger; else the type, known or named by a person."""
    if reading.delivery.address_trigger:
        return from_address(reading.delivery.address_trigger)
    named = reading.book.names.get(normalise_type(line.type))
    return from_type(line.type) or (Trigger(named) if named else None)


def _unknown(delivery: Delivery, line: SaleEvent) -> str:
    if delivery.address_trigger:
        return (
            f'The address ends in "{delivery.address_trigger}", which is no trigger. '
            "Correct the address in SamCart; this event is kept."
        )
    if not line.type:
        return "SamCart did not say what happened. Give this trigger an address of its own."
    return (
        f'SamCart calls this "{line.type}", which Admit does not know. '
        "Say once which trigger it is, and it is read again."
    )


def _customer(line: SaleEvent) -> Customer | None:
    if not line.email:
        return None
    names = {"first_name": line.first_name, "last_name": line.last_name}
    told = {key: name for key, name in names.items() if name} | {
        "email_as_sent": line.email_as_sent
    }
    customer, made = Customer.objects.get_or_create(email=line.email, defaults=told)
    changed = [key for key, value in told.items() if getattr(customer, key) != value]
    if not made and changed:
        for key in changed:
            setattr(customer, key, told[key])
        customer.save(update_fields=changed)
    return customer


def _product(delivery: Delivery, line: SaleEvent) -> Product | None:
    if not line.product_id:
        return None
    return Product.objects.named(
        delivery.marketplace_id, line.kind, line.product_id, line.product_name
    )


def _counts_as_canceled(event: EventLog) -> bool:
    """SamCart fires Canceled for Delinquent too; not again when a Cancel has just come."""
    if event.trigger != Trigger.SUBSCRIPTION_DELINQUENT or not settings.DELINQUENT_IS_CANCELED:
        return False
    if not event.subscription_id:
        return True
    just_canceled = EventLog.objects.filter(
        marketplace=event.marketplace_id,
        subscription_id=event.subscription_id,
        trigger=Trigger.SUBSCRIPTION_CANCELED,
        received_at__range=(event.received_at - SAME_HAPPENING, event.received_at),
    )
    return not just_canceled.exists()


def _texts(book: RuleBook) -> RuleTexts:
    found = {"sentences": book.sentences}
    return RuleTexts.objects.get_or_create(digest=book.digest, defaults=found)[0]


def _reason(event: EventLog, line: SaleEvent) -> str:
    if event.status == EventLog.Status.NO_RULE:
        return "No rule matched this event, so nothing was sent."
    if event.customer is None:
        return line.email_problem
    if event.delivery.withdrawn:
        return "It was sent to a withdrawn address, so it waits for you to release it."
    return ""
