"""What came of the actions of each day and of the time before, counted by ranges of an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import connection
from django.utils import timezone

from rules.actions.endings import STILL_GIVEN

# A person can choose one of these numbers of days; the default is USUAL.
RANGES = (7, 30, 90)
USUAL = 30
# A count for each day: finding the day of each row would take SQLite ten times as long.
_COUNT = """
WITH spans (number, began, ended) AS (VALUES {spans})
SELECT number, {counts} FROM spans ORDER BY number
"""
_OF_STATUS = """(SELECT COUNT(*) FROM events_rulerun
  WHERE {which} AND received_at >= began AND received_at < ended)"""
# Done are all but the few that did nothing, because something else gives the access. Those are
# taken off by an index of their own, so that the rows of the others need not be read.
_DONE, _KEPT, _FAILED = (
    _OF_STATUS.format(which=which)
    for which in (
        "status = 'done'",
        f"status = 'done' AND code = '{STILL_GIVEN}'",
        "status = 'failed'",
    )
)
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class DayTotals:
    """How many actions of the events of one day were carried out, and how many failed."""

    day: date
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Period:
    """Some days until now, the oldest first.

    `done_before` is how many succeeded in as many days before, up to the same time of day.
    """

    days: Sequence[DayTotals]
    done_before: int

    @property
    def done(self) -> int:
        return sum(day.done for day in self.days)

    @property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)

    @property
    def share(self) -> int | None:
        """The percentage of actions that succeeded, rounded down: one failure rules out 100."""
        over = self.done + self.failed
        return 100 * self.done // over if over else None


def until_now(number: int) -> Period:
    """Return the last `number` days in the server's time zone, including today."""
    today = timezone.localdate()
    days = [today - timedelta(days=back) for back in range(number - 1, -1, -1)]
    earlier = timezone.localtime() - timedelta(days=number)
    spans = [(start_of(days[0] - timedelta(days=number)), earlier)]
    spans += [(start_of(day), start_of(day + timedelta(days=1))) for day in days]
    before, *counts = _counts(spans)
    totals = [DayTotals(day, *each) for day, each in zip(days, counts, strict=True)]
    return Period(totals, done_before=before[0])


def start_of(day: date) -> datetime:
    """Return the midnight at which the day begins, in the server's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def _counts(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return, for each span, how many actions of its events succeeded and how many failed."""
    rows = ", ".join(["(%s, %s, %s)"] * len(spans))
    sql = _COUNT.format(spans=rows, counts=f"{_DONE} - {_KEPT}, {_FAILED}")
    adapted = connection.ops.adapt_datetimefield_value
    values = [
        value
        for number, (began, ended) in enumerate(spans)
        for value in (number, adapted(began), adapted(ended))
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [(done, failed) for _, done, failed in cursor.fetchall()]
