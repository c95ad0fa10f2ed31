"""What waits for its turn: how much it is, and how long it will take."""

import math

from django.conf import settings

from events.models import RuleRun
from events.wake import wake
from integrations.models import Integration

# Nothing is counted further.
MOST = 10_000
CALLS_PER_RUN = 2
# Calls a minute that a site may get where no limit is set: about ten are served at once.
UNLIMITED = 600


def waiting(integration: Integration | None = None) -> int:
    """How many actions wait, of one site or of all; counted to MOST."""
    runs = RuleRun.objects.filter(status=RuleRun.Status.WAITING)
    if integration is not None:
        runs = runs.filter(integration=integration)
    return runs.order_by()[:MOST].count()


def time_needed(runs: int) -> str:
    """ "about 1 minute": how long one site takes for so many actions, two calls each."""
    calls = settings.THINKIFIC_CALLS_PER_MINUTE or UNLIMITED
    minutes = max(1, math.ceil(runs * CALLS_PER_RUN / calls))
    about = "over" if runs >= MOST else "about"
    if minutes < 100:
        return f"{about} {_counted(minutes, 'minute')}"
    hours = round(minutes / 60)
    return f"{about} {_counted(hours, 'hour')}" if hours < 48 else f"{about} {hours // 24} days"


def spoken(runs: int, what: str = "waiting action") -> str:
    """ "37 waiting actions", "10,000+ waiting actions"."""
    return f"{runs:,}{'+' if runs >= MOST else ''} {what}{'' if runs == 1 else 's'}"


def go_on(runs: int) -> str:
    """Wake the workers for so many actions of a site that has just become usable, and say so.

    "37 waiting actions go on now, about 1 minute."; "" for none.
    """
    if not runs:
        return ""
    wake()
    return f"{spoken(runs)} {'goes' if runs == 1 else 'go'} on now, {time_needed(runs)}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
