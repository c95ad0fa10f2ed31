"""The dead-man ping: PING_URL is called while all is well, and alarms somebody when it is not."""

import logging

from django.conf import settings

from integrations import exchanges

log = logging.getLogger(__name__)
SECONDS = 10.0
_failing = False


def send() -> None:
    """Call PING_URL once; the first of several failures is told, and so is their end."""
    global _failing
    headers = {"User-Agent": f"Admit/{settings.VERSION}"}
    reply = exchanges.ask("GET", settings.PING_URL, headers=headers, seconds=SECONDS)
    failed = reply.status is None or not 200 <= reply.status < 300
    if failed and not _failing:
        # Not the address: who knows it can call it.
        log.warning("ping_failed", extra={"reason": reply.status or reply.cut})
    elif _failing and not failed:
        log.info("ping_works_again")
    _failing = failed
