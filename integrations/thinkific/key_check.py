"""A new key, tried before it takes the place of one that works."""

import copy
import time

from integrations.models import Integration, SiteAnswer
from integrations.thinkific.explain import FAULTS
from integrations.thinkific.session import Session

# How long a person waits for it altogether.
SECONDS = 8.0


def works(integration: Integration, secret: str) -> bool | None:
    """Whether the site takes this key; None where it did not say so in time, or at all.

    It takes SECONDS at most: half of them until the last call starts, half for that call. Nothing
    is stored but the calls: what a key that is not in use is told says nothing of the site.
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
