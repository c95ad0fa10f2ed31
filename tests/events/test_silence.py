"""When a shop's silence is unusual. Pure functions: times in, a judgment out."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from events.alerts import silence

HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")
# A Tuesday.
NOON = datetime(2026, 6, 16, 12, tzinfo=BERLIN)


def judge(sales: list[datetime], now: datetime) -> silence.Silence | None:
    habit = silence.learn(sales)
    return habit.judge(now) if habit else None


def every(gap: timedelta, *, until: datetime, days: int) -> list[datetime]:
    """One sale in each gap, over so many days, the last one at `until`."""
    number = int(timedelta(days=days) / gap)
    return [until - gap * back for back in range(number, -1, -1)]


def by_day(*, last: datetime, weeks: int) -> list[datetime]:
    """A sale every half hour from 8 to 20 o'clock, and none at night; the last one at `last`."""
    sales = every(HOUR / 2, until=last, days=7 * weeks)
    return [sale for sale in sales if 8 <= sale.hour < 20]


@pytest.mark.parametrize(
    ("sales", "silent", "unusual"),
    [
        pytest.param([], 100 * HOUR, False, id="no sale yet"),
        pytest.param(every(HOUR, until=NOON, days=1)[:19], 100 * HOUR, False, id="few sales"),
        pytest.param(every(HOUR / 60, until=NOON, days=8), 2.9 * HOUR, False, id="under 3 hours"),
        pytest.param(every(HOUR / 60, until=NOON, days=8), 3 * HOUR, True, id="busy, 3 hours"),
        pytest.param(every(HOUR, until=NOON, days=30), 5 * HOUR, False, id="hourly, 5 hours"),
        pytest.param(every(HOUR, until=NOON, days=30), 9 * HOUR, True, id="hourly, 9 hours"),
        pytest.param(every(48 * HOUR, until=NOON, days=56), 300 * HOUR, False, id="rare, 12 days"),
        pytest.param(every(48 * HOUR, until=NOON, days=56), 400 * HOUR, True, id="rare, 17 days"),
    ],
)
def test_a_silence_is_unusual_by_the_shops_own_habit(sales, silent: timedelta, unusual: bool):
    assert bool(judge(sales, NOON + silent)) is unusual


def test_a_night_without_sales_is_usual_where_nobody_buys_at_night():
    evening = NOON.replace(hour=19, minute=30)
    sales = by_day(last=evening, weeks=6)
    assert judge(sales, evening + 12 * HOUR) is None
    # The same silence by day is not.
    sales = by_day(last=NOON - 4 * HOUR, weeks=6)
    found = judge(sales, NOON)
    assert found
    assert found.last == NOON - 4 * HOUR
    assert 7 < found.usual < 9


def test_a_long_silence_of_before_makes_one_as_long_usual_but_the_longest_is_forgiven():
    # A weekend without a sale, and a fault of a week before that.
    sales = [*every(HOUR, until=NOON - 21 * 24 * HOUR, days=20)]
    sales += every(HOUR, until=NOON - 9 * 24 * HOUR, days=5)
    sales += every(HOUR, until=NOON, days=7)
    assert judge(sales, NOON + 55 * HOUR) is None
    assert judge(sales, NOON + 90 * HOUR)


def test_the_first_nights_of_a_shop_are_no_silence():
    evening = NOON.replace(hour=19, minute=30)
    sales = [sale for sale in every(HOUR / 4, until=evening, days=1) if 8 <= sale.hour < 20]
    assert judge(sales, evening + 12 * HOUR) is None


def test_after_a_launch_few_sales_are_usual_again():
    launch = NOON.replace(hour=0) - 14 * 24 * HOUR
    two_a_day = every(12 * HOUR, until=NOON, days=35)
    sales = sorted([*two_a_day, *(launch + number * HOUR / 10 for number in range(480))])
    assert judge(sales, NOON + 24 * HOUR) is None
    assert judge(sales, NOON + 10 * 24 * HOUR)


def test_an_hour_that_a_clock_skips_or_repeats_breaks_nothing():
    for day in (datetime(2026, 3, 29, 0, tzinfo=BERLIN), datetime(2026, 10, 25, 0, tzinfo=BERLIN)):
        sales = every(HOUR, until=day, days=30)
        assert judge(sales, day + 12 * HOUR)
