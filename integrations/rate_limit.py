"""Each site's budget of calls: GCRA on the database's clock, shared by every machine.

One UPDATE takes a slot. Slots are `61 / (N - burst + 1)` seconds apart with a burst of two,
so that no window of 60 s holds more than N calls, even where one goes out up to a second
late (a bucket of 120 would let 239 through: measured). Where the burst would cost more than
a twentieth of the calls, there is none.
A paused site gives no slot to a customer's call. Once the pause is over, one worker asks the
site a neutral question (see `integrations.thinkific.site_check`), and its answer ends the pause
or makes a new one.
"""

import math
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from django.db.models import FloatField, Func, Q

from integrations import queries
from integrations.models import CallBudget, Integration, SiteAnswer

BURST = 2
# A little more than a minute, for calls go out a little later than their slots.
WINDOW_SECONDS = 61.0
# A question whose asker died, or got no answer, may be asked again after this long.
ASKING_SECONDS = 30.0
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
   SET next_slot = CASE WHEN next_slot > {now} THEN next_slot ELSE {now} END + %(spacing)s
 WHERE integration_id = %(site)s AND (blocked = '' OR blocked_until <= {now} + %(pause)s)
   AND next_slot - %(tolerance)s <= {now} + %(patience)s
RETURNING next_slot, {now}
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
_BEGIN_ASKING = """
UPDATE integrations_callbudget SET asked_at = {now}, answer = ''
 WHERE integration_id = %(site)s AND (blocked = '' OR blocked_until <= {now} + %(pause)s)
   AND NOT (answer IN ('', 'unknown') AND asked_at > {now} - %(asking)s)
   AND NOT (answer NOT IN ('', 'unknown') AND asked_at >= {now} - %(max_age)s)
RETURNING asked_at
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


def spacing(calls_per_minute: int | None = None) -> tuple[float, float]:
    """Seconds between slots, and how far ahead of its time a burst may run.

    `calls_per_minute`: 0 is no limit, None that of a Thinkific site.
    """
    calls = settings.THINKIFIC_CALLS_PER_MINUTE if calls_per_minute is None else calls_per_minute
    if calls == 0:
        return 0.0, 0.0
    burst = BURST if calls >= 20 * BURST else 1
    gap = WINDOW_SECONDS / (calls - burst + 1)
    return gap, (burst - 1) * gap


def take(site: int, *, max_wait: float, pause: float | None = None) -> float:
    """Take the next slot of a Thinkific site; how many seconds to wait for it, at most `max_wait`.

    A site that is paused gives none, unless `pause` is given: the seconds that the pause may last
    yet, for calls that concern no customer. Raises SiteBlocked and NoSlot; then nothing was taken.
    """
    gap, tolerance = spacing()
    values = {"site": site, "spacing": gap, "tolerance": tolerance}
    # Without a limit there is nothing to count, and so nothing for which callers would queue.
    if not gap and _is_open(site):
        return 0.0
    row = _run(_TAKE, values | {"pause": pause, "patience": max(max_wait, 0.0)})
    if row:
        next_slot, now = row
        return float(max(0.0, next_slot - gap - tolerance - now))
    row = _run(_LOOK, values)
    if row is None:
        CallBudget.objects.get_or_create(integration_id=site)
        return take(site, max_wait=max_wait, pause=pause)
    why, blocked_for, slot_in = row
    if why and (pause is None or blocked_for > pause):
        raise SiteBlocked(why, blocked_for)
    raise NoSlot(slot_in)


def _is_open(site: int) -> bool:
    row = _run(_LOOK, {"site": site, "tolerance": 0.0})
    return row is not None and not row[0]


def block(site: int, why: CallBudget.Blocked, seconds: float) -> None:
    """Stop the calls of the site for so many seconds; then it is asked whether it is open."""
    values = {"site": site, "why": why.value, "seconds": seconds}
    if why == CallBudget.Blocked.LIMIT and _run(_EXTEND, values):
        return
    _run(_BLOCK, values)


def block_at_least(site: int, why: CallBudget.Blocked, seconds: float) -> None:
    """The same, unless a pause lasts longer already."""
    until = EpochNow() + seconds
    shorter = CallBudget.objects.filter(Q(blocked="") | Q(blocked_until__lt=until), pk=site)
    shorter.update(blocked=why.value, blocked_until=until)


def end_pause(site: int) -> None:
    """Open a site whose pause is over; a new one that was begun meanwhile goes on."""
    over = CallBudget.objects.filter(pk=site, blocked_until__lte=EpochNow())
    over.update(blocked=CallBudget.Blocked.NO, blocked_until=0)


def unblock(site: int, *, why: CallBudget.Blocked | None = None) -> bool:
    """End the site's pause, or only one for this reason; False when there was none."""
    paused = CallBudget.objects.filter(integration_id=site).exclude(blocked="")
    if why:
        paused = paused.filter(blocked=why)
    opened = bool(paused.update(blocked="", blocked_until=0))
    # What the site said when it was closed is not believed any more.
    closed = [SiteAnswer.REFUSED, SiteAnswer.LIMITED]
    CallBudget.objects.filter(integration_id=site, answer__in=closed).update(
        asked_at=0, answer=SiteAnswer.NONE
    )
    return opened


def start_over(site: int) -> None:
    """Open the site, and believe nothing that was found out with its former key."""
    CallBudget.objects.filter(integration_id=site).update(
        blocked="", blocked_until=0, asked_at=0, answer=SiteAnswer.NONE
    )


def begin_asking(
    site: int,
    *,
    max_age: float,
    asking: float = ASKING_SECONDS,
    pause: float = float("inf"),
) -> float | None:
    """The right to ask whether the site is open, as a token for `answered`.

    None where there is an answer not older than `max_age` seconds, where another one has been
    asking for no longer than `asking` seconds, where a pause lasts longer than `pause` seconds, or
    where the site was deleted.
    """
    try:
        CallBudget.objects.get_or_create(integration_id=site)
    except IntegrityError:
        return None
    values = {"site": site, "max_age": max_age, "asking": asking, "pause": pause}
    row = _run(_BEGIN_ASKING, values)
    return float(row[0]) if row else None


def answered(site: int, asked_at: float, answer: SiteAnswer) -> None:
    """Keep what the question has found out, unless a later one was begun."""
    CallBudget.objects.filter(integration_id=site, asked_at=asked_at).update(answer=answer)


def stop_asking(site: int, asked_at: float) -> None:
    """Give the right to ask back without an answer: the question was not sent."""
    CallBudget.objects.filter(integration_id=site, asked_at=asked_at).update(asked_at=0)


def answer(site: int) -> SiteAnswer:
    """What was found out last; NONE while the site is being asked."""
    found = CallBudget.objects.filter(integration_id=site).values_list("answer", flat=True).first()
    return SiteAnswer(found or "")


def open_sites() -> set[int]:
    """Ids of the enabled sites that may be called now."""
    # From the sites: one whose row is not made yet may be called too.
    paused = CallBudget.objects.exclude(blocked="")
    sites = Integration.objects.filter(enabled=True).exclude(pk__in=paused.values("pk"))
    return set(sites.values_list("pk", flat=True))


def sites_to_ask() -> set[int]:
    """Ids of the enabled sites whose pause is over, and which were not asked since."""
    over = CallBudget.objects.exclude(blocked="").filter(
        blocked_until__lte=EpochNow(), integration__enabled=True
    )
    just_asked = Q(
        answer__in=[SiteAnswer.NONE, SiteAnswer.UNKNOWN],
        asked_at__gt=EpochNow() - ASKING_SECONDS,
    )
    return set(over.exclude(just_asked).values_list("pk", flat=True))


def blocked_for(site: int) -> tuple[str, float]:
    """Why the site is blocked ("" when it is not) and for how many seconds yet."""
    row = _run(_LOOK, {"site": site, "tolerance": 0.0})
    return (str(row[0]), max(float(row[1]), 0.0)) if row else ("", 0.0)


def calls_left(budget: CallBudget, *, now: float, calls_per_minute: int) -> int | None:
    """How many calls may go out within the next minute; None where there is no limit.

    `now` is by the database's clock, as `EpochNow`.
    """
    gap, tolerance = spacing(calls_per_minute)
    if budget.blocked:
        return 0
    if not gap:
        return None
    first = max(budget.next_slot, now) - tolerance - now
    return max(0, math.floor((60 - first) / gap) + 1)


class EpochNow(Func):
    """Seconds since 1970 by the database's clock, as a float with at least milliseconds."""

    output_field = FloatField()

    def as_sqlite(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return _NOW["sqlite"], ()

    def as_postgresql(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return _NOW["postgresql"], ()


def _run(sql: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    with queries.cursor() as cursor:
        cursor.execute(sql.format(now=_NOW[connection.vendor]), values)
        row: tuple[Any, ...] | None = cursor.fetchone() if cursor.description else None
        return row
