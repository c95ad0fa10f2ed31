"""Each site's call budget: GCRA (generic cell rate algorithm) on the database's clock.

All machines share it; one UPDATE takes a slot. Slots are `61 / (N - burst + 1)` seconds apart with
a burst of two, so that no window of 60 s has more than N calls, even if a call goes out up to a
second late (a token bucket of 120 would let 239 through, measured). Below 40 calls a minute there
is no burst, because it would cost more than a twentieth of the calls.

A paused site gives no slot to a customer's call. When the pause is over, one worker asks the site
a neutral question (see `integrations.thinkific.site_check`); the answer ends the pause or begins
another one.
"""

import math
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from django.db.models import FloatField, Func, Q, QuerySet

from integrations.database import queries
from integrations.models import CallBudget, Integration, SiteAnswer

BURST = 2
# A little more than a minute, because calls go out a little later than their slots.
WINDOW_SECONDS = 61.0
# A question may be asked again after this long if the asker died or got no answer.
ASKING_SECONDS = 30.0
# How long a site is paused after it rejected the key, before one call tries again.
KEY_PAUSE_SECONDS = 600.0

_NOW = {
    # Whole seconds plus fraction, because julianday() as a float is too coarse.
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
# A pause for a rejected key needs a person, so a pause for the limit must not replace it.
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
    """The whole site is paused. `why` is a CallBudget.Blocked, `seconds` how much longer."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(f"site blocked: {why} for {seconds:.0f} s")
        self.why = why
        self.seconds = max(seconds, 0.1)


class NoSlot(Exception):
    """The next slot, `seconds` from now, is later than the caller would wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"next slot in {seconds:.1f} s")
        self.seconds = max(seconds, 0.1)


def spacing(calls_per_minute: int | None = None) -> tuple[float, float]:
    """Return the seconds between slots, and how many seconds early a burst may take a slot.

    `calls_per_minute`: 0 means no limit, None the limit of a Thinkific site.
    """
    calls = settings.THINKIFIC_CALLS_PER_MINUTE if calls_per_minute is None else calls_per_minute
    if calls == 0:
        return 0.0, 0.0
    burst = BURST if calls >= 20 * BURST else 1
    gap = WINDOW_SECONDS / (calls - burst + 1)
    return gap, (burst - 1) * gap


def take_slot(site: int, *, max_wait: float, pause: float | None = None) -> float:
    """Take the next slot of a Thinkific site. Return the seconds to wait for it, up to `max_wait`.

    A paused site gives no slot, unless its pause ends within `pause` seconds; `pause` is for calls
    that concern no customer. Raises SiteBlocked or NoSlot if no slot was taken.
    """
    gap, tolerance = spacing()
    values = {"site": site, "spacing": gap, "tolerance": tolerance}
    # Without a limit nothing is counted, so callers need not queue for the row.
    if not gap and _is_open(site):
        return 0.0
    row = _run(_TAKE, values | {"pause": pause, "patience": max(max_wait, 0.0)})
    if row:
        next_slot, now = row
        return float(max(0.0, next_slot - gap - tolerance - now))
    row = _run(_LOOK, values)
    if row is None:
        CallBudget.objects.get_or_create(integration_id=site)
        return take_slot(site, max_wait=max_wait, pause=pause)
    why, blocked_for, slot_in = row
    if why and (pause is None or blocked_for > pause):
        raise SiteBlocked(why, blocked_for)
    raise NoSlot(slot_in)


def _is_open(site: int) -> bool:
    row = _run(_LOOK, {"site": site, "tolerance": 0.0})
    return row is not None and not row[0]


def block(site: int, why: CallBudget.Blocked, seconds: float) -> None:
    """Pause the site for so many seconds. After that it is asked whether it is open."""
    values = {"site": site, "why": why.value, "seconds": seconds}
    if why == CallBudget.Blocked.LIMIT and _run(_EXTEND, values):
        return
    _run(_BLOCK, values)


def block_at_least(site: int, why: CallBudget.Blocked, seconds: float) -> None:
    """Pause the site, unless it has a longer pause already."""
    until = EpochNow() + seconds
    shorter = CallBudget.objects.filter(Q(blocked="") | Q(blocked_until__lt=until), pk=site)
    shorter.update(blocked=why.value, blocked_until=until)


def end_pause(site: int) -> None:
    """Open a site whose pause is over. A pause that began meanwhile goes on."""
    if _end(CallBudget.objects.filter(pk=site, blocked_until__lte=EpochNow())):
        _forget_closed(site)


def unblock(site: int, *, why: CallBudget.Blocked | None = None) -> bool:
    """End the site's pause, or only a pause for this reason. Return whether there was one."""
    budget = CallBudget.objects.filter(pk=site)
    opened = _end(budget.filter(blocked=why) if why else budget)
    _forget_closed(site)
    return opened


def _end(pauses: QuerySet[CallBudget]) -> bool:
    paused = pauses.exclude(blocked=CallBudget.Blocked.NO)
    return bool(paused.update(blocked=CallBudget.Blocked.NO, blocked_until=0))


def _forget_closed(site: int) -> None:
    """Forget an earlier answer that the site is closed: it counts as long as its pause lasts."""
    closed = [SiteAnswer.REFUSED, SiteAnswer.LIMITED]
    CallBudget.objects.filter(pk=site, answer__in=closed).update(asked_at=0, answer=SiteAnswer.NONE)


def start_over(site: int) -> None:
    """Open the site, and forget what was found out with its former key."""
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
    """Take the right to ask whether the site is open. Return it as a token for `answered`.

    Returns None if there is an answer at most `max_age` seconds old, if somebody else began asking
    less than `asking` seconds ago, if a pause lasts longer than `pause` seconds, or if the site was
    deleted.
    """
    try:
        CallBudget.objects.get_or_create(integration_id=site)
    except IntegrityError:
        return None
    values = {"site": site, "max_age": max_age, "asking": asking, "pause": pause}
    row = _run(_BEGIN_ASKING, values)
    return float(row[0]) if row else None


def answered(site: int, asked_at: float, answer: SiteAnswer) -> None:
    """Store the answer to the question, unless a later question was begun."""
    CallBudget.objects.filter(integration_id=site, asked_at=asked_at).update(answer=answer)


def stop_asking(site: int, asked_at: float) -> None:
    """Give back the right to ask without an answer, because the question was not sent."""
    CallBudget.objects.filter(integration_id=site, asked_at=asked_at).update(asked_at=0)


def answer(site: int) -> SiteAnswer:
    """Return what was last found out; NONE while the site is being asked."""
    found = CallBudget.objects.filter(integration_id=site).values_list("answer", flat=True).first()
    return SiteAnswer(found or "")


def open_sites() -> set[int]:
    """Return the IDs of the enabled sites that may be called now."""
    # Starts from the sites, because a site without a budget row may be called, too.
    paused = CallBudget.objects.exclude(blocked="")
    sites = Integration.objects.filter(enabled=True).exclude(pk__in=paused.values("pk"))
    return set(sites.values_list("pk", flat=True))


def sites_to_ask() -> set[int]:
    """Return the IDs of enabled sites whose pause is over and that are not being asked now."""
    over = CallBudget.objects.exclude(blocked="").filter(
        blocked_until__lte=EpochNow(), integration__enabled=True
    )
    just_asked = Q(
        answer__in=[SiteAnswer.NONE, SiteAnswer.UNKNOWN],
        asked_at__gt=EpochNow() - ASKING_SECONDS,
    )
    return set(over.exclude(just_asked).values_list("pk", flat=True))


def blocked_for(site: int) -> tuple[str, float]:
    """Return why the site is blocked ("" if it is not) and for how many more seconds."""
    row = _run(_LOOK, {"site": site, "tolerance": 0.0})
    return (str(row[0]), max(float(row[1]), 0.0)) if row else ("", 0.0)


def calls_left(budget: CallBudget, *, now: float, calls_per_minute: int) -> int | None:
    """Return how many calls may go out within the next minute, or None without a limit.

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
