"""The overview's chart: succeeded and failed actions by day, as positions in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from events.reports.days import DayTotals, Period
from integrations.sentences import DAY, Said, format_day, say, say_count

# In pixels. The plot has the same height on every screen, and takes all the width there is.
TOP, HEIGHT = 12, 180
# The part of a day's width that its bars take.
SHARE = 0.64
LINES = 4
# How many dates have room below the plot; on a narrow screen a third of them.
DATES = 15


@dataclass(frozen=True, slots=True)
class Bar:
    """One kind of actions of a day. `top` is the y of its upper edge, in pixels as `height`."""

    kind: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Day:
    """A day's position: `left` of its width, `x` of its bars, `middle` of its date.

    All are in percent of the width of the plot. The date is shown if it is `dated`, on a narrow
    screen only if it is `main` as well. The month is shown if it is a `new_month`.
    """

    day: date
    left: float
    x: float
    middle: float
    bars: Sequence[Bar]
    says: str
    new_month: bool
    dated: bool
    main: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart. `lines` are (y in pixels, number), the lowest first.

    `width` is that of a bar and `room` that of a day, in percent of the plot.
    """

    lines: Sequence[tuple[float, int]]
    days: Sequence[Day]
    width: float
    room: float
    bottom: int


def gridlines(most: int) -> list[int]:
    """Return at most five round numbers from 0 to at least `most`.

    The step between them is 1, 2 or 5 times a power of ten.
    """
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if step * LINES >= most:
                lines = -(-most // step) or 1
                return [step * number for number in range(lines + 1)]
        size *= 10


def draw(totals: Sequence[DayTotals]) -> Chart:
    """Return the chart of these days, the oldest first."""
    numbers = gridlines(max((day.done + day.failed for day in totals), default=0))
    scale = HEIGHT / numbers[-1]
    bottom = TOP + HEIGHT
    return Chart(
        lines=[(round(bottom - number * scale, 1), number) for number in numbers],
        days=[_day(i, totals, scale) for i in range(len(totals))],
        width=round(SHARE * 100 / max(len(totals), 1), 2),
        room=round(100 / max(len(totals), 1), 2),
        bottom=bottom,
    )


def _day(i: int, totals: Sequence[DayTotals], scale: float) -> Day:
    day = totals[i]
    step = 100 / len(totals)
    middle = (i + 0.5) * step
    top = float(TOP + HEIGHT)
    bars = []
    for kind, number in (("good", day.done), ("bad", day.failed)):
        if number:
            # A bar is always visible, however small beside the others.
            height = max(round(number * scale, 1), 2.0)
            top = round(top - height, 1)
            bars.append(Bar(kind, top, height))
    apart = -(-len(totals) // DATES)
    back = len(totals) - 1 - i
    return Day(
        day.day,
        round(i * step, 2),
        round(middle - SHARE * step / 2, 2),
        round(middle, 2),
        bars,
        says=say(
            "{day}: {done} succeeded, {failed} failed",
            day=format_day(day.day, DAY),
            done=day.done,
            failed=day.failed,
        ),
        new_month=_names_month(i, totals),
        dated=back % apart == 0,
        main=apart == 1 or back % (3 * apart) == 0,
    )


def _names_month(i: int, totals: Sequence[DayTotals]) -> bool:
    """Return whether to name the month: on its first day, and on the first day of the chart.

    The chart's first day is left out if the next month begins right beside it.
    """
    if i:
        return totals[i].day.day == 1
    near = totals[1 : 1 + len(totals) // 8]
    return all(each.day.day != 1 for each in near)


def compared(period: Period) -> Said | str:
    """Return "43 actions succeeded, 12 more than in the 30 days before."

    It compares the period with the one before it. "" if nothing succeeded in either.
    """
    if not period.done and not period.done_before:
        return ""
    days = len(period.days)
    count = say_count(period.done, "1 action succeeded", "{number} actions succeeded")
    more = period.done - period.done_before
    if not more:
        return say("{count}, the same as in the {days} days before.", count=count, days=days)
    facts = {"count": count, "difference": abs(more), "days": days}
    if more > 0:
        return say("{count}, {difference} more than in the {days} days before.", **facts)
    return say("{count}, {difference} fewer than in the {days} days before.", **facts)
