"""Which actions the list of actions shows by result; what is counted elsewhere is the same."""

from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from events.models import RuleRun
from events.models.runs import DELAYED, RuleRunQuerySet
from rules.actions.endings import STILL_GIVEN

Status = RuleRun.Status


def in_line(runs: RuleRunQuerySet) -> RuleRunQuerySet:
    """Return those that wait, without endings of a later day: those are planned."""
    waiting = runs.filter(status=Status.WAITING)
    return waiting.exclude(code=DELAYED, next_attempt_at__gt=Now())


def carried_out(runs: RuleRunQuerySet) -> RuleRunQuerySet:
    """Return those that are done, without those that `kept` returns."""
    return runs.filter(status=Status.DONE).exclude(code=STILL_GIVEN)


def kept(runs: RuleRunQuerySet) -> RuleRunQuerySet:
    """Return the endings that did nothing, because something else gives the access."""
    # Literals, because SQLite does not match parameters with the condition of the index.
    done, code = (RawSQL(f"'{word}'", ()) for word in (Status.DONE.value, STILL_GIVEN))  # noqa: S611
    return runs.filter(status=done, code=code)
