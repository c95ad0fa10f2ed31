"""Has the shop been silent for unusually long? By its own habit at each hour of the week.

Sales that come independently of each other at a known rate are a Poisson process: the chance of
none while `n` were to come is e^-n.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
HOURS_OF_A_WEEK = 168
# The habit is taken from the sales of so long a time, and of those from the newest.
LOOKED_BACK = 8 * WEEK
MOST_SALES = 20_000
# Fewer tell no habit.
FEWEST_SALES = 20
# From so long on the hours of the week are told apart.
TELLS_HOURS = 2 * WEEK
# Less than one chance in a thousand is unusual.
UNLIKELY = 0.001
# Sales are not quite independent: people buy after a newsletter. So no silence is unusual that is
# short, or not much longer than one that was normal, counted in the sales that are usual meanwhile.
SHORTEST = 3 * HOUR
LONGER = 1.5


@dataclass(frozen=True, slots=True)
class Silence:
    """No sale since `last`, a time in which so many are usual."""

    last: datetime
    usual: float


def judge(sales: Sequence[datetime], now: datetime) -> Silence | None:
    """The silence since the last of these sales, or None while it is nothing unusual.

    Times are in the shop's time zone, in ascending order.
    """
    if len(sales) < FEWEST_SALES or now - sales[-1] < SHORTEST:
        return None
    rates = _rates(sales)
    usual = _usual(rates, sales[-1], now)
    # The longest silence yet may have been a fault itself.
    normal = sorted(_usual(rates, sale, later) for sale, later in pairwise(sales))[-2]
    if math.exp(-usual) >= UNLIKELY or usual < LONGER * normal:
        return None
    return Silence(sales[-1], usual)


def _rates(sales: Sequence[datetime]) -> list[float]:
    """How many sales are usual in each hour of the week, which begins on Monday."""
    weeks = (sales[-1] - sales[0]) / WEEK
    if weeks < TELLS_HOURS / WEEK:
        # As if it were an hour at least, should all of them have come at once.
        return [len(sales) / max(weeks * HOURS_OF_A_WEEK, 1)] * HOURS_OF_A_WEEK
    counts = Counter(_hour_of_week(sale) for sale in sales)
    # Each with its neighbors, so that one quiet Tuesday tells little.
    return [
        sum(counts[(hour + beside) % HOURS_OF_A_WEEK] for beside in (-1, 0, 1)) / 3 / weeks
        for hour in range(HOURS_OF_A_WEEK)
    ]


def _usual(rates: Sequence[float], since: datetime, until: datetime) -> float:
    """How many sales are usual between the two."""
    total, at = 0.0, since
    while at < until:
        end = min(until, at.replace(minute=0, second=0, microsecond=0) + HOUR)
        total += rates[_hour_of_week(at)] * ((end - at) / HOUR)
        at = end
    return total


def _hour_of_week(at: datetime) -> int:
    return at.weekday() * 24 + at.hour
