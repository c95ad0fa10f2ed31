"""Mark events that need a person as dealt with."""

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from events.models import EventLog
from integrations import audit
from integrations.audit import Act
from rules.triggers import Trigger

Status = EventLog.Status
PAID_FOR_NOTHING = Q(gave_nothing=True, trigger=Trigger.PRODUCT_PURCHASED.value)
# As in the partial index `event_gave_nothing`.
STILL_NOTHING = PAID_FOR_NOTHING & Q(dealt_with_at=None)
NOT_UNDERSTOOD = Q(status__in=[Status.UNKNOWN_TYPE, Status.UNREADABLE], dealt_with_at=None)


def mark_reviewed(events: QuerySet[EventLog], *, by: str) -> int:
    """Record that this person has dealt with those of these events that need a person.

    See `review.may_be_marked`. Returns how many.
    """
    undone = EventLog.objects.filter(STILL_NOTHING | NOT_UNDERSTOOD)
    chosen = undone.filter(pk__in=list(events.order_by().values_list("pk", flat=True)))
    with transaction.atomic():
        audit.record_all(Act.EVENT_DISMISSED, chosen)
        return chosen.update(dealt_with_at=Now(), dealt_with_by=by[:150])
