"""The one task of django-q2: a wake-up that finds its work in the rows.

It carries no data, never raises, ends within its limit, and may run twice or never.
"""

import logging
import time

from django.conf import settings

from events.access import history
from events.deciding.inbox import Inbox
from events.execution import delayed, recovery
from events.execution.conversation import Conversation
from events.execution.loop import PAUSE_SECONDS, Loop
from events.execution.senders import Senders
from events.queue import wake
from events.retention import housekeeping, sealing
from events.worker import background, heartbeat, scheduler
from integrations.database.database_share import time_for_others

log = logging.getLogger(__name__)
# Shares of a task's time: new runs are begun in the first quarter, and calls only as long as the
# last one ends within the task's limit.
CLAIM_SHARE = 0.25
SPARE_SHARE = 0.05
# If nothing is left to do, this share of a task's time goes into housekeeping.
TIDY_SHARE = 1 / 30
_senders: "list[Senders[Conversation]]" = []


def work() -> None:
    """Read what came in and carry out what is due, until nothing is left or time is up."""
    try:
        heartbeat.record()
        background.begin()
        if history.unread() is not None:
            _read_history()
        elif _drain():
            wake.wake()
        elif not heartbeat.record():
            until = time.monotonic() + TIDY_SHARE * settings.TASK_SECONDS
            sealing.go_on(until=until, enough=scheduler.work_due)
            housekeeping.go_on(until=until, enough=scheduler.work_due)
    except Exception as error:
        # Raising would not help: the scheduler wakes the next task within a second.
        log.error("work_broke_off", extra={"error": type(error).__name__})


def _read_history() -> None:
    """Read more history for a while. What comes in is stored, and decided when all is read."""
    until = time.monotonic() + settings.TASK_SECONDS * CLAIM_SHARE
    while history.unread() is not None and time.monotonic() < until and not heartbeat.record():
        began = time.monotonic()
        read = history.step()
        time.sleep(time_for_others(began, times=1) if read else PAUSE_SECONDS)


def _drain() -> bool:
    """Do what is due. Return True if time was up before the work was done."""
    start = time.monotonic()
    claim_until = start + settings.TASK_SECONDS * CLAIM_SHARE
    call_until = start + settings.TASK_SECONDS * (1 - SPARE_SHARE) - settings.CALL_DEADLINE_SECONDS
    loop = Loop(_threads(), claim_until=claim_until, call_until=call_until)
    recovery.revive()
    delayed.decide_due()
    try:
        return _go_on(loop, Inbox())
    finally:
        loop.finish()


def _go_on(loop: Loop, inbox: Inbox) -> bool:
    """Let the inbox and the runs take turns.

    Return True if time was up before the work was done.
    """
    look_at = 0.0  # when to look into the inbox again
    while True:
        began = time.monotonic()
        stopping = heartbeat.record()
        claiming = not stopping and began < loop.claim_until
        read = inbox.step() if claiming and began >= look_at else 0
        if read:
            loop.look_now()
        elif began >= look_at:
            look_at = began + PAUSE_SECONDS
        if stopping:
            loop.claim_until = 0.0
        leave = time_for_others(began)
        busy = loop.turn(wait=leave if read else PAUSE_SECONDS)
        if read and not busy:
            time.sleep(leave)
        if not (busy or read):
            return not (claiming or stopping)


def _threads() -> "Senders[Conversation]":
    # One pool for the process, made after the fork: threads keep their connections to sites.
    if not _senders:
        _senders.append(Senders(settings.WORKER_THREADS))
    return _senders[0]
