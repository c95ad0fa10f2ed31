"""The one task of django-q2: a wake-up that finds its work in the rows.

It carries no data, never raises, ends within its limit, and may run twice or never.
"""

import logging
import time

from django.conf import settings

from events.deciding import inbox
from events.execution import retries, runs
from events.execution.thread_pool import ThreadPool
from events.queue import wake
from events.retention import housekeeping
from events.worker import heartbeat, scheduler

log = logging.getLogger(__name__)
# New runs are begun in the first quarter of a task's time, and calls in so much of it that
# the last one ends within the task's limit.
CLAIM_SHARE = 0.25
SPARE_SHARE = 0.05
# When nothing is left to do, so much of its time goes into housekeeping.
TIDY_SHARE = 1 / 30
# So long the task sleeps when nothing is to be read or begun.
PAUSE_SECONDS = 0.2
# Runs that end within so long of each other free their threads together: one claim, not many.
GATHER_SECONDS = 0.05
_crews: list[ThreadPool] = []


def work() -> None:
    """Read what came in and carry out what is due, until nothing is left or time is up."""
    try:
        heartbeat.record()
        if _drain():
            wake.wake()
        elif not heartbeat.record():
            until = time.monotonic() + TIDY_SHARE * settings.TASK_SECONDS
            housekeeping.go_on(until=until, enough=scheduler.work_due)
    except Exception as error:
        # A task that raises helps nobody: the scheduler wakes the next one within a second.
        log.error("work_broke_off", extra={"error": type(error).__name__})


def _drain() -> bool:
    """True when time was up before the work was."""
    start = time.monotonic()
    claim_until = start + settings.TASK_SECONDS * CLAIM_SHARE
    call_until = start + settings.TASK_SECONDS * (1 - SPARE_SHARE) - settings.CALL_DEADLINE_SECONDS
    pool = _crew()

    def carry_on(seconds: float = 0.0) -> int:
        """Begin what is due, then leave the database alone for so long."""
        begun = runs.run_due(pool, until=call_until)
        time.sleep(seconds)
        return begun

    retries.revive()
    look_at = 0.0  # when to look into the inbox again, where another worker may be at it
    while True:
        stopping = heartbeat.record()
        claiming = not stopping and time.monotonic() < claim_until
        read = begun = 0
        if claiming:
            if time.monotonic() >= look_at:
                read = inbox.process(until=claim_until, leave=carry_on)
                look_at = time.monotonic() + PAUSE_SECONDS
            begun = runs.run_due(pool, until=call_until)
        busy = pool.pause(PAUSE_SECONDS, gather=GATHER_SECONDS)
        if not (busy or read or begun):
            return not (claiming or stopping)


def _crew() -> ThreadPool:
    # One for the process, made after the fork: threads and their connections are kept.
    if not _crews:
        _crews.append(ThreadPool(settings.WORKER_THREADS))
    return _crews[0]
