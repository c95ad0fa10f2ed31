"""The inbox: deliveries are read in receipt order, each once, and none stops the others."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from django.db import InterfaceError, OperationalError, connection, transaction

from events.deciding.reading import Reading, read_all
from events.deciding.storing import LookupCache, set_aside, store
from events.models import Delivery, EventLog
from integrations.queries import Parameter, Query, Update
from integrations.samcart.parser import normalize_type

log = logging.getLogger(__name__)
BATCH = 20
# On SQLite one writer goes at a time: a longer hold starves the webhook (measured).
HOLD_SECONDS = 0.010
LEAVE_TIMES = 3
# The number of our lock among PostgreSQL's advisory locks; any number, but always this.
INBOX_LOCK = 0x41646D69
_WAITING = Query(
    lambda: Delivery.objects.filter(state=Delivery.State.NEW).order_by("received_at", "id")[:BATCH]
)
_TAKE = Update(
    lambda: Delivery.objects.filter(pk=Parameter("pk"), state=Delivery.State.NEW),
    state=Delivery.State.READ,
)


def process(*, until: float = float("inf"), leave: Callable[[float], object] = time.sleep) -> int:
    """Read the deliveries that wait, in receipt order; how many were read.

    `until` is in monotonic seconds. Between two transactions `leave` is called with the seconds
    for which the database is to be left to others. A delivery that breaks our code is set aside
    with a sentence, and the rest goes on.
    """
    done = 0
    while time.monotonic() < until:
        readings = read_all(_WAITING.all())
        if not readings:
            break
        stored = _store_all(readings, until, leave)
        if stored is None:
            break  # another worker is at it, and will see these too
        done += stored
    if done:
        log.info("deliveries_read", extra={"count": done})
    return done


def reread(marketplace_id: int, raw_type: str) -> int:
    """Have events of a type that was just named read again; how many deliveries that are."""
    word = normalize_type(raw_type)
    unknown = EventLog.objects.filter(
        marketplace=marketplace_id,
        status=EventLog.Status.UNKNOWN_TYPE,
        delivery__address_trigger="",  # else the type is not asked
        delivery__body_removed_at=None,
    )
    again = {
        delivery
        for delivery, sent in unknown.values_list("delivery", "raw_type")
        if normalize_type(sent) == word
    }
    return Delivery.objects.filter(pk__in=again).update(state=Delivery.State.NEW)


def _store_all(
    readings: list[Reading], until: float, leave: Callable[[float], object]
) -> int | None:
    """Store readings in order, a short transaction at a time; None when another worker does."""
    rest = deque(readings)
    on_sqlite = connection.vendor == "sqlite"
    hold = HOLD_SECONDS if on_sqlite else float("inf")
    done = 0
    while rest and time.monotonic() < until:
        began = time.monotonic()
        try:
            stored = _store_first(rest, hold)
        except (OperationalError, InterfaceError):
            raise  # a deadlock or a lost connection is the fault of no delivery: it is read again
        except Exception as error:
            if hold:
                hold = 0.0  # which of them broke the transaction shows when each has its own
                continue
            stored = _set_aside(rest[0], error)
        if not stored:
            return done or None
        for _ in range(stored):
            rest.popleft()
        done += stored
        leave(LEAVE_TIMES * (time.monotonic() - began) if on_sqlite else 0.0)
    return done


def _store_first(readings: Iterable[Reading], hold: float) -> int:
    """Store in one transaction the first and what follows within `hold` seconds; how many.

    0 when another worker is at it.
    """
    done = 0
    began = time.monotonic()
    with transaction.atomic():
        if not only_one():
            return 0
        found = LookupCache()
        for reading in readings:
            if done and time.monotonic() - began >= hold:
                break
            if not _TAKE.make(pk=reading.delivery.pk):
                break  # it was taken meanwhile
            if reading.fault is None:
                store(reading, found)
            else:
                set_aside(reading.delivery, reading.fault)
            done += 1
    return done


def _set_aside(reading: Reading, error: Exception) -> int:
    with transaction.atomic():
        taken = _TAKE.make(pk=reading.delivery.pk)
        if taken:
            set_aside(reading.delivery, error)
    return taken


def only_one() -> bool:
    """One worker at a time, by the transaction's own lock: SQLite's is the whole database.

    Inside a transaction; False when another one holds the lock.
    """
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [INBOX_LOCK])
        return bool(cursor.fetchone()[0])
