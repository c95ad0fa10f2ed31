"""Which triggers an event fires. SamCart sets a delinquent subscription to Canceled, too.

Whatever asks whether a rule is for an event asks here, in Python or in a query.
"""

from django.conf import settings
from django.db.models import OuterRef, Q, Value
from django.db.models.lookups import Exact

from rules.triggers import Trigger


def fired_by(trigger: str | None) -> tuple[Trigger, ...]:
    """Return the triggers whose rules run for an event of this trigger, its own first.

    None is an event without a trigger, and fires none. If SamCart sends both events of a delinquent
    subscription, the second one finds that the access has ended.
    """
    if trigger is None:
        return ()
    if trigger == Trigger.SUBSCRIPTION_DELINQUENT and settings.DELINQUENT_IS_CANCELED:
        return Trigger.SUBSCRIPTION_DELINQUENT, Trigger.SUBSCRIPTION_CANCELED
    return (Trigger(trigger),)


def included_in(trigger: str) -> Trigger | None:
    """Return the other trigger whose rules run for events of this one; None if there is none."""
    return next(iter(fired_by(trigger)[1:]), None)


def firing(trigger: str) -> list[Trigger]:
    """Return the triggers of the events for which a rule of this trigger runs."""
    return [each for each in Trigger if trigger in fired_by(each)]


def runs_for(trigger: OuterRef) -> Q:
    """Return a condition on rules: they run for events of this trigger, a column outside."""
    found = Q(trigger=trigger)
    for each in Trigger:
        if also := included_in(each):
            found |= Q(Exact(trigger, Value(each.value)), trigger=also)
    return found
