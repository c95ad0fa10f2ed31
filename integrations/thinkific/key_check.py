"""Try a new key before it replaces one that works."""

import copy
import time

from integrations.models import Integration, SiteAnswer
from integrations.thinkific.explain import FAULTS
from integrations.thinkific.session import Session

# How long a person waits altogether.
SECONDS = 8.0


def works(integration: Integration, secret: str) -> bool | None:
    """Return whether the site accepts this key, or None if it did not say so in time.

    Takes at most SECONDS: half until the last call starts, half for that call. Only the calls are
    stored, because an answer to a key that is not in use says nothing about the integration.
    """
    candidate = copy.copy(integration)
    candidate.set_secret(secret)
    half = SECONDS / 2
    try:
        session = Session(candidate, until=time.monotonic() + half, call_seconds=half)
        found = session.look()
    except FAULTS:
        return None
    return {SiteAnswer.OPEN: True, SiteAnswer.REFUSED: False}.get(found.state)
