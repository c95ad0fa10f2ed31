"""Find out whether a shop has been silent for unusually long, by its own habit in each hour.

Sales that come independently of each other at a known rate are a Poisson process: if `n` sales are
usual in some time, the chance that none comes is e^-n.
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
# The habit is taken from the sales of this time, and from at most the newest MOST_SALES of them.
LOOKED_BACK = 8 * WEEK
MOST_SALES = 20_000
# Fewer sales show no habit.
FEWEST_SALES = 20
# Nor do sales over a shorter time than this: a new shop's first nights would look like faults.
YOUNGEST = timedelta(days=7)
# If sales cover at least this time, each hour of the week gets its own rate.
TELLS_HOURS = 2 * WEEK
# Less than one chance in a thousand is unusual.
UNLIKELY = 0.001
# Sales are not quite independent: people buy after a newsletter. So an unusual silence must also
# last SHORTEST, and cover LONGER times as many usual sales as the longest normal silence did.
SHORTEST = 3 * HOUR
LONGER = 1.5


@dataclass(frozen=True, slots=True)
class Silence:
    """No sale since `last`, while `usual` sales normally come in that time."""

    last: datetime
    usual: float


@dataclass(frozen=True, slots=True)
class Habit:
    """How many sales usually come to a shop in each hour of the week, until the last sale.

    `normal` is how many were usual in the longest silence of before that was no fault.
    """

    last: datetime
    rates: Sequence[float]
    normal: float

    def judge(self, now: datetime) -> Silence | None:
        """Return the silence since the last sale, or None if it is not unusual."""
        if now - self.last < SHORTEST:
            return None
        usual = _usual(self.rates, self.last, now)
        if math.exp(-usual) >= UNLIKELY or usual < LONGER * self.normal:
            return None
        return Silence(self.last, usual)


def learn(sales: Sequence[datetime]) -> Habit | None:
    """Return the habit that these sales show, or None if they are too few or too recent.

    Times are in the shop's time zone, in ascending order.
    """
    if len(sales) < FEWEST_SALES or sales[-1] - sales[0] < YOUNGEST:
        return None
    rates = _lately(_rates(sales), sales)
    # We take the second longest silence, because the longest may have been a fault itself.
    normal = sorted(_usual(rates, sale, later) for sale, later in pairwise(sales))[-2]
    return Habit(sales[-1], rates, normal)


def _rates(sales: Sequence[datetime]) -> list[float]:
    """Return how many sales are usual in each hour of the week, which begins on Monday."""
    weeks = (sales[-1] - sales[0]) / WEEK
    if weeks < TELLS_HOURS / WEEK:
        # At least one hour, in case all sales came at once.
        return [len(sales) / max(weeks * HOURS_OF_A_WEEK, 1)] * HOURS_OF_A_WEEK
    counts = Counter(_hour_of_week(sale) for sale in sales)
    # Average each hour with its neighbors, so that one quiet hour has little effect.
    return [
        sum(counts[(hour + beside) % HOURS_OF_A_WEEK] for beside in (-1, 0, 1)) / 3 / weeks
        for hour in range(HOURS_OF_A_WEEK)
    ]


def _lately(rates: Sequence[float], sales: Sequence[datetime]) -> list[float]:
    """Return the rates, lowered if the last week had fewer sales, such as after a launch."""
    last = sales[-1]
    since = max(last - WEEK, sales[0])
    usual = _usual(rates, since, last)
    came = sum(sale >= since for sale in sales)
    share = min(1.0, came / usual) if usual else 1.0
    return [rate * share for rate in rates]


def _usual(rates: Sequence[float], since: datetime, until: datetime) -> float:
    """Return how many sales are usual between the two times."""
    total, at = 0.0, since
    while at < until:
        end = min(until, at.replace(minute=0, second=0, microsecond=0) + HOUR)
        total += rates[_hour_of_week(at)] * ((end - at) / HOUR)
        at = end
    return total


def _hour_of_week(at: datetime) -> int:
    return at.weekday() * 24 + at.hour
