"""Why a site could not be read, told to a person who asked for it and waits."""

import math
import re

from integrations import budget
from integrations.errors import LimitReached, OutsideError, Retry
from integrations.models import CallBudget
from integrations.secrets import SecretUnreadable

FAULTS = (OutsideError, SecretUnreadable, budget.SiteBlocked, budget.NoSlot)
_BY_ITSELF = re.compile(r"[.;] Admit (tries again|goes on) by itself.*", re.DOTALL)


def explain(error: Exception) -> str:
    """One or two sentences for one of FAULTS; nothing that a person starts is tried again."""
    match error:
        case LimitReached():
            return _limit(error.seconds)
        case Retry():
            return _BY_ITSELF.sub(". Try again later.", error.message)
        case OutsideError() | SecretUnreadable():
            return error.message
        case budget.SiteBlocked(why=CallBudget.Blocked.KEY):
            return (
                "Thinkific rejected the key, so the site is left alone for another "
                f"{math.ceil(error.seconds / 60)} min. Enter a new key to go on at once."
            )
        case budget.SiteBlocked() | budget.NoSlot():
            return _limit(error.seconds)
    raise TypeError(f"not a fault of reading a site: {error!r}")


def _limit(seconds: float) -> str:
    return f"Thinkific's limit of calls is used up. Try again in {math.ceil(seconds)} seconds."
