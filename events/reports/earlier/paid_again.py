"""Refunds and cancellations that do not hold, because their purchase is paid for."""

from collections.abc import Iterable

from events.access import revocations
from events.access.sale import BySale, near
from events.models import EventLog
from integrations.sentences import Said, format_day, say
from rules.triggers import PAYS_AGAIN, TAKES_BACK


def obstacles(events: Iterable[EventLog]) -> dict[int, Said]:
    """Return, by event ID, that it was paid again since or in full: then no rule is run for it.

    Only for refunds and cancellations. Takes two queries, or none without them.
    """
    asked = [event for event in events if event.trigger in TAKES_BACK]
    if not asked:
        return {}
    since = min(event.received_at for event in asked)
    later = EventLog.objects.filter(near(asked), received_at__gt=since).trusted()
    later = later.of_triggers(*PAYS_AGAIN).order_by("received_at", "pk")
    by_sale = BySale(later.only("marketplace", *revocations.READ))
    found = {
        pk: say("paid in full on {day}", day=format_day(last.received_at))
        for pk, last in revocations.last_payments(asked).items()
    }
    for event in asked:
        for other in by_sale.of(event):
            if other.received_at > event.received_at and revocations.is_paid_again(
                event, event, other
            ):
                found[event.pk] = say("paid again on {day}", day=format_day(other.received_at))
    return found
