"""Pauses of a site: asking whether it is open again, on time or when a person wants to know."""

from django.db import transaction

from integrations.models import Integration, SiteAnswer
from integrations.secrets import SecretUnreadable
from integrations.thinkific.access_check import reject_key
from integrations.thinkific.session import Session


def ask(
    integration: Integration, *, until: float = float("inf"), impatient: bool = False
) -> SiteAnswer:
    """Ask a paused site whether it is open, which ends its pause or begins a new one.

    `until` (monotonic seconds) is when the call may start at the latest. Raises OutOfTime and
    rate_limit.NoSlot when it could not be asked.
    """
    try:
        session = Session(integration, until=until)
    except SecretUnreadable as error:
        reject_key(integration, error.message)
        return SiteAnswer.REFUSED
    try:
        # Another worker may have asked since the caller looked, and have begun a new pause.
        pause = float("inf") if impatient else 0.0
        return session.ask(max_age=0.0, impatient=impatient, pause=pause)
    finally:
        with transaction.atomic():
            session.write()
