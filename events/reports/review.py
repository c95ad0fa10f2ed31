"""Events that still need a person."""

from django.db.models import Q, QuerySet

from events.execution.reviewing import NOT_UNDERSTOOD, STILL_NOTHING
from events.models import EventLog
from rules.triggers import Trigger

Status = EventLog.Status
GAVE_NOTHING = STILL_NOTHING & Q(undone_at=None)


def gave_nothing() -> QuerySet[EventLog]:
    """Return purchases for which no rule did anything for the customer.

    Those that a person has undone are left out.
    """
    return EventLog.objects.filter(GAVE_NOTHING)


def undone_purchases() -> QuerySet[EventLog]:
    """Purchases that have nothing now because a person undid what was given for them."""
    return EventLog.objects.filter(STILL_NOTHING, undone_at__isnull=False)


def not_understood() -> QuerySet[EventLog]:
    """Return events that were unreadable or of unknown type, and are not dealt with."""
    return EventLog.objects.filter(NOT_UNDERSTOOD)


def needs_a_person(event: EventLog) -> bool:
    """Whether this event was left undone and is not marked as dealt with."""
    if event.dealt_with_at is not None:
        return False
    owed = event.gave_nothing and event.undone_at is None
    paid = owed and event.trigger == Trigger.PRODUCT_PURCHASED
    return paid or event.status in {Status.UNKNOWN_TYPE, Status.UNREADABLE}


def may_be_marked(event: EventLog) -> bool:
    """Return whether a person may mark it as dealt with.

    It needs a person, or what it gave was undone.
    """
    undone = event.gave_nothing and event.undone_at is not None and event.dealt_with_at is None
    return needs_a_person(event) or (undone and event.trigger == Trigger.PRODUCT_PURCHASED)
