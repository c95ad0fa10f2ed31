"""A new key, tried before it takes the place of one that works."""

import copy
import time

from integrations.models import Integration, SiteAnswer
from integrations.thinkific.explain import FAULTS
from integrations.thinkific.session import Session

MAX_WAIT = 10.0  # seconds that a person waits for a slot


def is_refused(integration: Integration, secret: str) -> bool:
    """Whether the site refuses this key; False where it could not be asked.

    Nothing is stored but the calls: what a key that is not in use is told says nothing of the site.
    """
    candidate = copy.copy(integration)
    candidate.set_secret(secret)
    try:
        found = Session(candidate, until=time.monotonic() + MAX_WAIT).look()
    except FAULTS:
        return False
    return found.state == SiteAnswer.REFUSED
