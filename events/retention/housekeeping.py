"""Housekeeping: once an hour remove what is too old, in many short transactions.

One worker at a time does it, for a moment at a time and only while there is nothing else to do.
The next one goes on where it stopped.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Now

from events.deciding.inbox import HOLD_SECONDS
from events.models import Tidying
from events.retention.policy import TASKS, RetentionTask
from integrations.database.database_share import short_transaction

log = logging.getLogger(__name__)
EVERY = timedelta(hours=1)
# A worker that has not finished within this time is taken for dead.
LEASE = timedelta(minutes=5)
# Rows are looked at in pages, and removed a few at a time.
PAGE = 100
ROWS_AT_ONCE = 5
START: tuple[datetime | None, int] = (None, 0)


def begin() -> None:
    """Schedule the first round in an hour, unless that was done before."""
    Tidying.objects.get_or_create(pk=Tidying.ONLY, defaults={"next_at": Now() + EVERY})


def due() -> bool:
    """Whether it is time for a round, or one was interrupted."""
    return Tidying.objects.filter(next_at__lte=Now()).exists()


def go_on(
    *,
    until: float = float("inf"),
    enough: Callable[[], bool] = lambda: False,
    leave: Callable[[float], object] = time.sleep,
) -> dict[str, int]:
    """Go on with the round if one is due. Return {task: how many rows were removed now}.

    It ends at `until` (monotonic seconds) or as soon as `enough` says so, but not before one page.
    After each transaction `leave` is called with the seconds to leave to others.
    """
    removed: Counter[str] = Counter()
    mine = Tidying.objects.filter(next_at__lte=Now())
    if not mine.update(next_at=Now() + LEASE):
        return removed
    stand = Tidying.objects.get()
    names = [task.name for task in TASKS]
    first = names.index(stand.chore) if stand.chore in names else 0
    after = (stand.reached_at, stand.reached_id)
    for task in TASKS[first:]:
        for place, number in work_off(task, after=after, leave=leave):
            if number:
                removed[task.name] += number
            if time.monotonic() > until or enough():
                _stop(chore=task.name, place=place)
                return removed
        after = START
    _stop(next_at=Now() + EVERY)
    if removed.total():
        log.info("tidied", extra=dict(removed))
    return removed


def work_off(
    task: RetentionTask,
    *,
    after: tuple[datetime | None, int] = START,
    leave: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[tuple[datetime | None, int], int]]:
    """Remove page after page. Yield the place that was reached and how many rows were removed."""
    while page := task.page(after, PAGE):
        number = _remove(task, task.may_go([pk for _, pk in page]), leave)
        if task.time:
            after = page[-1]
        yield after, number
        if not (number or task.time):
            return  # what is left is still needed


def would_remove(task: RetentionTask) -> int:
    """Return how many rows of this kind would be removed now. Changes nothing."""
    if not task.time:
        return task.rows().count()
    number, after = 0, START
    while page := task.page(after, PAGE):
        number += len(task.may_go([pk for _, pk in page]))
        after = page[-1]
    return number


def _remove(task: RetentionTask, pks: list[Any], leave: Callable[[float], object]) -> int:
    """Remove these rows in short transactions. Return how many were removed."""
    number = 0
    while pks:
        with short_transaction(spares_server=True, leave=leave) as began:
            while pks:
                few, pks = pks[:ROWS_AT_ONCE], pks[ROWS_AT_ONCE:]
                few = task.may_go(few)
                number += task.remove(few) if few else 0
                if time.monotonic() - began > HOLD_SECONDS / 2:
                    break
    return number


def _stop(
    *, chore: str = "", place: tuple[datetime | None, int] = START, next_at: Any = None
) -> None:
    Tidying.objects.update(
        next_at=next_at or Now(), chore=chore, reached_at=place[0], reached_id=place[1]
    )
