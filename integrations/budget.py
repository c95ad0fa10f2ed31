"""Each site's budget of calls: GCRA on the database's clock, shared by every machine.

One UPDATE takes a slot. Slots are `61 / (N - burst + 1)` seconds apart with a burst of two,
so that no window of 60 s holds more than N calls, even where one goes out up to a second
late (a bucket of 120 would let 239 through: measured). Where the burst would cost more than
a twentieth of the calls, there is none.
A site that is blocked gives no slot until its pause is over, then exactly one caller gets
through as a probe; the others stay blocked until it has an answer.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import FloatField, Func, QuerySet

from integrations import rows
from integrations.models import CallBudget, Integration
from integrations.rows import Question

BURST = 2
# A little more than a minute, for calls go out a little later than their slots.
WINDOW_SECONDS = 61.0
# A probe whose caller died gives way to the next one after this long.
PROBE_SECONDS = 30.0
# How long a rejected key keeps a site quiet before one call tries again.
KEY_PAUSE_SECONDS = 600.0

_NOW = {
    # Whole seconds and the fraction apart: julianday() as a float is too coarse.
    "sqlite": (
        "(CAST(strftime('%%s','now') AS REAL) + CAST(substr(strftime('%%f','now'), 3) AS REAL))"
    ),
    "postgresql": "(EXTRACT(EPOCH FROM statement_timestamp())::double precision)",
}
_TAKE = """
UPDATE integrations_callbudget
   SET next_slot = CASE WHEN next_slot > {now} THEN next_slot ELSE {now} END + %(spacing)s,
       blocked_until = CASE WHEN blocked = '' THEN blocked_until
                            WHEN next_slot > {now} THEN next_slot + %(probe)s
                            ELSE {now} + %(probe)s END
 WHERE integration_id = %(site)s AND blocked_until <= {now}
   AND next_slot - %(tolerance)s <= {now} + %(patience)s
RETURNING next_slot, {now}, blocked
"""
_LOOK = """
SELECT blocked, blocked_until - {now}, next_slot - %(tolerance)s - {now}
  FROM integrations_callbudget WHERE integration_id = %(site)s
"""
_BLOCK = """
UPDATE integrations_callbudget SET blocked = %(why)s, blocked_until = {now} + %(seconds)s
 WHERE integration_id = %(site)s
"""
# A pause for the key needs a person, so a shorter one must not take its place.
_EXTEND = """
UPDATE integrations_callbudget
   SET blocked_until = CASE WHEN blocked_until > {now} + %(seconds)s
                            THEN blocked_until ELSE {now} + %(seconds)s END
 WHERE integration_id = %(site)s AND blocked = 'key' AND blocked_until > {now}
RETURNING blocked_until
"""


class SiteBlocked(Exception):
    """The whole site is paused: `why` is a CallBudget.Blocked, `seconds` is how long yet."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(f"site blocked: {why} for {seconds:.0f} s")
        self.why = why
        self.seconds = max(seconds, 0.1)


class NoSlot(Exception):
    """The next slot lies beyond the caller's patience, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"next slot in {seconds:.1f} s")
        self.seconds = max(seconds, 0.1)


@dataclass(frozen=True, slots=True)
class Slot:
    """Send after `wait` seconds; a `probe` reports the site open again when it is answered."""

    wait: float
    probe: bool


def spacing() -> tuple[float, float]:
    """Seconds between slots, and how far ahead of its time a burst may run."""
    calls = settings.THINKIFIC_CALLS_PER_MINUTE
    if calls == 0:
        return 0.0, 0.0
    burst = BURST if calls >= 20 * BURST else 1
    gap = WINDOW_SECONDS / (calls - burst + 1)
    return gap, (burst - 1) * gap


def take(site: int, *, patience: float) -> Slot:
    """Take the site's next slot, at most `patience` seconds ahead.

    Raises SiteBlocked and NoSlot; then nothing was taken.
    """
    gap, tolerance = spacing()
    values = {"site": site, "spacing": gap, "tolerance": tolerance}
    # Without a limit there is nothing to count, and so nothing for which callers would queue.
    if not gap and _is_open(site):
        return Slot(wait=0.0, probe=False)
    row = _run(_TAKE, values | {"probe": PROBE_SECONDS, "patience": max(patience, 0.0)})
    if row:
        next_slot, now, blocked = row
        return Slot(wait=max(0.0, next_slot - gap - tolerance - now), probe=bool(blocked))
    row = _run(_LOOK, values)
    if row is None:
        CallBudget.objects.get_or_create(integration_id=site)
        return take(site, patience=patience)
    why, blocked_for, slot_in = row
    if blocked_for > 0:
        raise SiteBlocked(why, blocked_for)
    raise NoSlot(slot_in)


def _is_open(site: int) -> bool:
    row = _run(_LOOK, {"site": site, "tolerance": 0.0})
    return row is not None and not row[0]


def block(site: int, why: CallBudget.Blocked, seconds: float) -> None:
    """Stop every call of the site for so many seconds; then one probe goes out."""
    values = {"site": site, "why": why.value, "seconds": seconds}
    if why == CallBudget.Blocked.LIMIT and _run(_EXTEND, values):
        return
    _run(_BLOCK, values)


def unblock(site: int) -> bool:
    """Open the site at once; False when it was open."""
    blocked = CallBudget.objects.filter(integration_id=site).exclude(blocked="")
    return bool(blocked.update(blocked="", blocked_until=0))


def open_sites() -> dict[int, bool]:
    """Ids of the enabled sites that may be called now; True where only a probe may go out."""
    return {pk: bool(blocked) for pk, blocked in _OPEN_SITES.all()}


def blocked_for(site: int) -> tuple[str, float]:
    """Why the site is blocked ("" when it is not) and for how many seconds yet."""
    row = _run(_LOOK, {"site": site, "tolerance": 0.0})
    return (str(row[0]), max(float(row[1]), 0.0)) if row else ("", 0.0)


class EpochNow(Func):
    """Seconds since 1970 by the database's clock, as a float with at least milliseconds."""

    output_field = FloatField()

    def as_sqlite(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return _NOW["sqlite"], ()

    def as_postgresql(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return _NOW["postgresql"], ()


def _open() -> QuerySet[Integration, Any]:
    # From the sites: one whose row is not made yet may be called too.
    closed = CallBudget.objects.filter(blocked_until__gt=EpochNow())
    sites = Integration.objects.filter(enabled=True).exclude(pk__in=closed.values("pk"))
    return sites.values_list("pk", "budget__blocked")


_OPEN_SITES = Question(_open)


def _run(sql: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    with rows.cursor() as cursor:
        cursor.execute(sql.format(now=_NOW[connection.vendor]), values)
        row: tuple[Any, ...] | None = cursor.fetchone() if cursor.description else None
        return row
