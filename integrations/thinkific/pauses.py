"""Check for a person whether a paused site is open again."""

import time

from integrations.models import Integration, SiteAnswer
from integrations.secrets import SecretUnreadable
from integrations.thinkific.session import Session
from integrations.thinkific.site_check import reject_key

MAX_WAIT = 10.0  # seconds that a person waits for a slot


def try_now(integration: Integration) -> SiteAnswer:
    """Ask the site whether it is open; its answer ends the pause or begins a new one.

    Waits at most ten seconds for the call to start. Raises OutOfTime or rate_limit.NoSlot if the
    site could not be asked.
    """
    try:
        session = Session(integration, until=time.monotonic() + MAX_WAIT)
    except SecretUnreadable as error:
        reject_key(integration, error.message)
        return SiteAnswer.REFUSED
    return session.ask(max_age=0.0, impatient=True)
