"""Why a site could not be read, for a person who asked and is waiting."""

import math

from integrations import rate_limit
from integrations.errors import KeyRejected, LimitReached, OutsideError, Retry
from integrations.models import CallBudget, Integration
from integrations.secrets import SecretUnreadable

LATER = "Try again later."
FAULTS = (OutsideError, SecretUnreadable, rate_limit.SiteBlocked, rate_limit.NoSlot)
WHERE = "Settings > Code & Analytics > API"
# A wrong address and a wrong key are answered alike.
NOT_LET_IN = (
    "Thinkific does not know this site, or rejects this key; it answers both alike. "
    f"Copy both once more from Thinkific, {WHERE}. "
    "The API takes a Thinkific plan of Grow or higher."
)


def explain(error: Exception) -> str:
    """The same as `explain_plainly` for a terminal: with the number of HTTP."""
    status = error.status if isinstance(error, OutsideError) else None
    return _explain(error) + (f" (HTTP {status})" if status else "")


def _explain(error: Exception) -> str:
    match error:
        case LimitReached():
            return _limit(error.seconds)
        case Retry():
            return f"{error.message} {LATER}"
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
    """One or two sentences for one of FAULTS; nothing that a person starts is tried again."""
    match error:
        case KeyRejected(status=401):
            return NOT_LET_IN
        case KeyRejected(status=403):
            return (
                "Thinkific knows the key, but gives it no access to the API. That takes a "
                "Thinkific plan of Grow or higher. Upgrade the plan, then enter the key again."
            )
    return _explain(error)


def trouble(integration: Integration) -> str:
    """What keeps the site from being connected, for its page; "" when nothing does."""
    if integration.not_let_in:
        return NOT_LET_IN
    return integration.connection_message


def _limit(seconds: float) -> str:
    return f"Thinkific's limit of calls is used up. Try again in {math.ceil(seconds)} seconds."
