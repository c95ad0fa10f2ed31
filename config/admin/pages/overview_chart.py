"""The overview's chart: succeeded and failed actions by day, as places in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from events.reports.dashboard import DayTotals
from integrations.sentences import DAY, on, say

# In pixels: the plot is as high on every screen, and as wide as there is room.
TOP, HEIGHT = 12, 180
# How much of a day's room its bars take.
SHARE = 0.64
LINES = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One kind of actions of a day: `top` is where it begins."""

    kind: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Day:
    """A day at its place: `x` of its bars, `middle` of its date; the month stands where it is new.

    Both are in percent of the width of the plot. On a narrow screen only the `main` dates have
    room.
    """

    day: date
    x: float
    middle: float
    bars: Sequence[Bar]
    says: str
    new_month: bool
    main: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """`lines` are (y, number), the lowest first; `width` is that of a bar, in percent."""

    lines: Sequence[tuple[float, int]]
    days: Sequence[Day]
    width: float
    bottom: int


def gridlines(most: int) -> list[int]:
    """Round numbers from 0 to at least `most`: at most five of them, steps of 1, 2 or 5 by tens."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if step * LINES >= most:
                lines = -(-most // step) or 1
                return [step * number for number in range(lines + 1)]
        size *= 10


def draw(totals: Sequence[DayTotals]) -> Chart:
    """The chart of these days, the oldest first."""
    numbers = gridlines(max((day.done + day.failed for day in totals), default=0))
    scale = HEIGHT / numbers[-1]
    bottom = TOP + HEIGHT
    return Chart(
        lines=[(round(bottom - number * scale, 1), number) for number in numbers],
        days=[_day(i, totals, scale) for i in range(len(totals))],
        width=round(SHARE * 100 / max(len(totals), 1), 2),
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
            # What happened is seen, however little it is beside the others.
            height = max(round(number * scale, 1), 2.0)
            top = round(top - height, 1)
            bars.append(Bar(kind, top, height))
    new_month = i == 0 or day.day.day == 1
    return Day(
        day.day,
        round(middle - SHARE * step / 2, 2),
        round(middle, 2),
        bars,
        says=say(
            "{day}: {done} succeeded, {failed} failed",
            day=on(day.day, DAY),
            done=day.done,
            failed=day.failed,
        ),
        new_month=new_month,
        main=(len(totals) - 1 - i) % 3 == 0,
    )
