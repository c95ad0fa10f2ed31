"""Explain why a site could not be read, to a person who is waiting."""

import math

from django.utils.translation import gettext_lazy as _

from integrations.calls import rate_limit
from integrations.errors import KeyRejected, LimitReached, OutsideError, Retry
from integrations.models import CallBudget, Integration
from integrations.secrets import SecretUnreadable
from integrations.sentences import joined, say, say_count

LATER = _("Try again later.")
FAULTS = (OutsideError, SecretUnreadable, rate_limit.SiteBlocked, rate_limit.NoSlot)
WHERE = "Settings > Code & Analytics > API"
# Thinkific gives the same answer to a wrong address and a wrong key.
NOT_LET_IN = _(
    "Thinkific does not know this site, or rejects this key; it gives the same answer for both. "
    "Copy both once more from Thinkific, {where}. "
    "The API requires a Thinkific plan of Grow or higher."
)

# It does not say which of the two it is in a way that a program could rely on.
DENIED = _(
    "Thinkific knows the key, but does not let it use the API: the school's plan has no API "
    "access (Grow or higher is required), or the key lacks a permission."
)
REJECTED_NOW = _(
    "It was connected, but now Thinkific rejects its key. "
    "A plan without API access (below Grow) gets the same answer."
)
CHECK_BOTH = _("Check both, and enter the key again.")
THEN_REFRESH = _("Put that right in Thinkific, then press Refresh.")


def explain(error: Exception) -> str:
    """Explain one of FAULTS in a terminal, with the HTTP status."""
    status = error.status if isinstance(error, OutsideError) else None
    return _explain(error) + (f" (HTTP {status})" if status else "")


def _explain(error: Exception) -> str:
    match error:
        case LimitReached():
            return _limit(error.seconds)
        case Retry():
            return joined([error.message, LATER])
        case OutsideError() | SecretUnreadable():
            return error.message
        case rate_limit.SiteBlocked(why=CallBudget.Blocked.KEY):
            return say(
                "Thinkific did not let Admit in: the key is not accepted, or the school's plan "
                "has no API access (Grow or higher is required). Admit asks again in {minutes} "
                "min. A new key is tried at once.",
                minutes=math.ceil(error.seconds / 60),
            )
        case rate_limit.SiteBlocked() | rate_limit.NoSlot():
            return _limit(error.seconds)
    raise TypeError(f"not a fault of reading a site: {error!r}")


def explain_plainly(error: Exception) -> str:
    """Explain one of FAULTS to a person in a few sentences.

    They do not promise another try, because Admit does not retry what a person starts.
    """
    match error:
        case KeyRejected(status=401):
            return say(NOT_LET_IN, where=WHERE)
        case KeyRejected(status=403):
            return joined([say(DENIED), say(THEN_REFRESH)])
    return _explain(error)


def trouble(integration: Integration, *, advise: bool = True) -> str:
    """Return what keeps the site from being connected, for its page, or "".

    `advise` adds what to do about it, for a person who may change the integration.
    """
    message = integration.connection_message
    if not advise:
        return message
    if integration.not_let_in:
        return say(NOT_LET_IN, where=WHERE)
    if integration.denied:
        return joined([message, say(THEN_REFRESH)])
    if message and integration.connection == Integration.Connection.REFUSED:
        return joined([message, say(CHECK_BOTH)])
    return message


def _limit(seconds: float) -> str:
    return say_count(
        math.ceil(seconds),
        "Thinkific's limit of calls is used up. Try again in 1 second.",
        "Thinkific's limit of calls is used up. Try again in {number} seconds.",
    )
