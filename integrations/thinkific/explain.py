"""Why a site could not be read, told to a person who asked for it and waits."""

import math
import re

from integrations import rate_limit
from integrations.errors import KeyRejected, LimitReached, OutsideError, Retry
from integrations.models import CallBudget, Integration
from integrations.secrets import SecretUnreadable

FAULTS = (OutsideError, SecretUnreadable, rate_limit.SiteBlocked, rate_limit.NoSlot)
WHERE = "Settings > Code & Analytics > API"
# A wrong address and a wrong key are answered alike.
NOT_LET_IN = (
    "Thinkific does not know this site, or rejects this key; it answers both alike. "
    f"Copy both once more from Thinkific, {WHERE}. "
    "The API takes a Thinkific plan of Grow or higher."
)
_BY_ITSELF = re.compile(r"[.;] Admit (tries again|goes on) by itself.*", re.DOTALL)
_STATUS = re.compile(r" \([1-5][0-9]{2}\)")


def explain(error: Exception) -> str:
    """One or two sentences for one of FAULTS; nothing that a person starts is tried again."""
    match error:
        case LimitReached():
            return _limit(error.seconds)
        case Retry():
            return _nothing_by_itself(error.message)
        case OutsideError() | SecretUnreadable():
            return error.message
        case rate_limit.SiteBlocked(why=CallBudget.Blocked.KEY):
            return (
                "Thinkific rejected the key, so the site is left alone for another "
                f"{math.ceil(error.seconds / 60)} min. Enter a new key to go on at once."
            )
        case rate_limit.SiteBlocked() | rate_limit.NoSlot():
            return _limit(error.seconds)
    raise TypeError(f"not a fault of reading a site: {error!r}")


def explain_plainly(error: Exception) -> str:
    """The same for a page of a course creator: no numbers of HTTP, and where to look it up."""
    match error:
        case KeyRejected(status=401):
            return NOT_LET_IN
        case KeyRejected(status=403):
            return (
                "Thinkific knows the key, but gives it no access to the API. That takes a "
                "Thinkific plan of Grow or higher. Upgrade the plan, then enter the key again."
            )
    return plain(explain(error))


def trouble(integration: Integration) -> str:
    """What keeps the site from being connected, for its page; "" when nothing does."""
    if integration.not_let_in:
        return NOT_LET_IN
    return plain(integration.connection_message)


def plain(message: str) -> str:
    """A message of a refresh, as it was kept, without the numbers of HTTP."""
    return without_numbers(_nothing_by_itself(message))


def without_numbers(message: str) -> str:
    """A message as it was kept, for whoever is no technician: without the numbers of HTTP."""
    return _STATUS.sub("", message)


def _nothing_by_itself(message: str) -> str:
    return _BY_ITSELF.sub(". Try again later.", message)


def _limit(seconds: float) -> str:
    return f"Thinkific's limit of calls is used up. Try again in {math.ceil(seconds)} seconds."
