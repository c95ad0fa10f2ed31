"""The one task of django-q2: a wake-up that finds its work in the rows.

It carries no data, never raises, ends within its limit, and may run twice or never.
"""

import logging
import time

from django.conf import settings

from events import again, inbox, life, runs, wake
from events.crew import Crew

log = logging.getLogger(__name__)
# New runs are begun in the first quarter of a task's time, and calls in so much of it that
# the last one ends within the task's limit.
CLAIM_SHARE = 0.25
SPARE_SHARE = 0.05
# So long the inbox is read before free threads are given what is due, and so long the task
# sleeps when there is neither.
INBOX_SECONDS = 1.0
PAUSE_SECONDS = 0.2
_crews: list[Crew] = []


def work() -> None:
    """Read what came in and carry out what is due, until nothing is left or time is up."""
    try:
        life.show()
        if _drain():
            wake.wake()
    except Exception as error:
        # A task that raises helps nobody: the ticker wakes the next one within a second.
        log.error("work_broke_off", extra={"error": type(error).__name__})


def _drain() -> bool:
    """True when time was up before the work was."""
    start = time.monotonic()
    claim_until = start + settings.TASK_SECONDS * CLAIM_SHARE
    call_until = start + settings.TASK_SECONDS * (1 - SPARE_SHARE) - settings.CALL_DEADLINE_SECONDS
    crew = _crew()
    again.revive()
    while True:
        stopping = life.show()
        now = time.monotonic()
        claiming = not stopping and now < claim_until
        read = begun = 0
        if claiming:
            read = inbox.process(until=min(claim_until, now + INBOX_SECONDS))
            begun = runs.run_due(crew, until=call_until)
        # More may wait where something was found: then no time is lost by sleeping.
        busy = crew.pause(0.0 if read else PAUSE_SECONDS)
        if not (busy or read or begun):
            return not (claiming or stopping)


def _crew() -> Crew:
    # One for the process, made after the fork: threads and their connections are kept.
    if not _crews:
        _crews.append(Crew(settings.WORKER_THREADS))
    return _crews[0]
