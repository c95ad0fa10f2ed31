"""The inbox reads each delivery once, in receipt order. A bad one does not stop the others."""

import logging
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice

from django.db import InterfaceError, OperationalError, connection, transaction

from events.access.lock import try_lock
from events.deciding.intake import Intake
from events.deciding.reading import Reading, read_all
from events.deciding.storing import note_canary, set_aside, store
from events.models import Delivery, EventLog
from integrations.samcart.parser import normalize_type

log = logging.getLogger(__name__)
BATCH = 50  # deliveries that are parsed with one look at the rules
STORED_AT_ONCE = 16  # deliveries stored with one commit, at most
# How long one transaction may last on SQLite, which has one writer at a time. A longer one starves
# the webhook (measured).
HOLD_SECONDS = 0.010
# Deliveries that this process has no key for, and has logged once.
_not_opened: set[int] = set()


class Inbox:
    """Reads the waiting deliveries in receipt order, one short transaction at a time."""

    def __init__(self) -> None:
        self._rest: deque[Reading] = deque()
        self._hold = HOLD_SECONDS if connection.vendor == "sqlite" else float("inf")

    def step(self) -> int:
        """Store what fits into one transaction. Return the number of deliveries stored.

        Returns 0 if nothing waits, or if another worker is storing. A delivery that breaks our code
        is set aside with a sentence, and the rest goes on.
        """
        if not self._rest:
            self._rest.extend(_read_next())
        if not self._rest:
            return 0
        try:
            stored = _store_first(self._rest, self._hold)
        except (OperationalError, InterfaceError):
            self._rest.clear()
            raise  # no delivery is at fault for a deadlock or lost connection: read them again
        except Exception:
            stored = self._store_one_by_one()
        if not stored:
            self._rest.clear()  # another worker is storing, and will see these too
        for _ in range(stored):
            self._rest.popleft()
        return stored

    def _store_one_by_one(self) -> int:
        """Store each in its own transaction, to find the one that fails. Return how many."""
        done = 0
        for reading in self._rest:
            # Read it again with today's rules: a verdict of a rule deleted since cannot be written.
            (reading,) = read_all([reading.delivery])
            try:
                stored = _store_first([reading], 0.0)
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                stored = _set_aside(reading, error)
            if not stored:
                break
            done += stored
        return done


def _read_next() -> list[Reading]:
    """Return the next deliveries that our keys open; others stay for a worker with their key."""
    waiting = Delivery.objects.filter(state=Delivery.State.NEW)
    if _not_opened:
        waiting = waiting.exclude(pk__in=_not_opened)
    found = read_all(waiting.order_by("received_at", "id")[:BATCH])
    if sealed := [reading.delivery.pk for reading in found if reading.is_sealed]:
        log.error("deliveries_not_opened", extra={"count": len(sealed)})
        _not_opened.update(sealed)
    return [reading for reading in found if not reading.is_sealed]


def process(*, until: float = float("inf")) -> int:
    """Read what waits, until `until` (monotonic seconds). Return the number of deliveries read."""
    inbox = Inbox()
    done = 0
    while time.monotonic() < until and (stored := inbox.step()):
        done += stored
    return done


def reread(marketplace_id: int, raw_type: str, *, was_nothing: bool = False) -> int:
    """Have events of a type that was just named read again. Return the number of deliveries.

    With `was_nothing`, these are the events whose type meant nothing, not those that wait for a
    name.
    """
    word = normalize_type(raw_type)
    status = EventLog.Status.SKIPPED if was_nothing else EventLog.Status.UNKNOWN_TYPE
    unknown = EventLog.objects.filter(
        marketplace=marketplace_id,
        status=status,
        trigger=None,
        delivery__address_trigger="",  # else the address decides
        delivery__body_removed_at=None,
    )
    again = {
        delivery
        for delivery, sent in unknown.values_list("delivery", "raw_type")
        if normalize_type(sent) == word
    }
    return Delivery.objects.filter(pk__in=again).update(state=Delivery.State.NEW)


def _store_first(readings: Iterable[Reading], hold: float) -> int:
    """Store the first reading and those that follow within `hold` seconds, in one transaction.

    Returns the number stored, 0 if another worker is storing.
    """
    done: list[int] = []
    some = list(islice(readings, STORED_AT_ONCE))
    intake = Intake.of(some)
    began = time.monotonic()
    with transaction.atomic():
        if not try_lock():
            return 0
        new = _new([reading.delivery.pk for reading in some])
        intake.look_for_grants(some)
        intake.look_for_repeats(min(reading.delivery.received_at for reading in some))
        looked = time.monotonic()
        # Allow at least as long as the lookups took: a slow machine would repeat them for each
        # delivery.
        until = looked + max(hold, looked - began)
        for reading in some:
            if done and time.monotonic() >= until:
                break
            if reading.delivery.pk not in new:
                break  # another worker took it
            if reading.canary:
                note_canary(reading)
            elif reading.fault is None:
                store(reading, intake)
            else:
                set_aside(reading.delivery, reading.fault)
            done.append(reading.delivery.pk)
        intake.write()
        # Leave out repeats that must be read again because a late delivery came before them.
        read = Delivery.objects.filter(pk__in=set(done) - intake.to_reread)
        read.update(state=Delivery.State.READ)
    return len(done)


def _new(deliveries: list[int]) -> set[int]:
    """Return which of the deliveries are still unread."""
    new = Delivery.objects.filter(pk__in=deliveries, state=Delivery.State.NEW)
    return set(new.values_list("pk", flat=True))


def _set_aside(reading: Reading, error: Exception) -> int:
    with transaction.atomic():
        same = Delivery.objects.filter(pk=reading.delivery.pk, state=Delivery.State.NEW)
        taken = same.update(state=Delivery.State.READ)
        if taken:
            set_aside(reading.delivery, error)
    return taken
