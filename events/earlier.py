"""Buyers of yesterday: events that a new rule would have run for, and that gave nothing."""

from django.db.models import QuerySet

from events.models import EventLog
from rules.models import Rule

# A rule is run for so many at once; the button can be pressed again.
MOST = 500


def matched_nothing(rule: Rule) -> QuerySet[EventLog]:
    """Earlier events of the rule's trigger and product that no rule ran for, newest first.

    Those that a person has dealt with are not among them.
    """
    events = EventLog.objects.filter(
        marketplace=rule.marketplace_id,
        trigger=rule.trigger,
        status=EventLog.Status.NO_RULE,
        dealt_with_at=None,
        customer__isnull=False,
    )
    if rule.product_id is not None:
        events = events.filter(product=rule.product_id)
    return events.order_by("-received_at", "-pk")
