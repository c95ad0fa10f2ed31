"""The dead-man ping: PING_URL is called while all is well; missing calls are the alarm."""

import logging
import time

from django.conf import settings

from events.alerts import finding
from events.alerts.problems import KINDS
from integrations.calls import exchanges

log = logging.getLogger(__name__)
SECONDS = 10.0
STOPPING_SALES = [code for code, kind in KINDS.items() if kind.stops_sales]
_failing = False
# In monotonic seconds.
_next_at = 0.0


def due() -> bool:
    """Whether it is time to check that all is well, and to say so."""
    return bool(settings.PING_URL) and time.monotonic() >= _next_at


def send() -> None:
    """Call PING_URL, unless something is wrong that stops sales.

    Logs the first of several failures, and their end.
    """
    global _failing, _next_at
    _next_at = time.monotonic() + settings.PING_SECONDS
    if finding.lasting(codes=STOPPING_SALES):
        return
    headers = {"User-Agent": f"Admit/{settings.VERSION}"}
    reply = exchanges.ask("GET", settings.PING_URL, headers=headers, seconds=SECONDS)
    failed = reply.status is None or not 200 <= reply.status < 300
    if failed and not _failing:
        # The address is not logged: anyone who knows it can call it.
        log.warning("ping_failed", extra={"reason": reply.status or reply.fault})
    elif _failing and not failed:
        log.info("ping_works_again")
    _failing = failed
