"""Purchases of which every payment was refunded, so that nothing is owed for them."""

from collections.abc import Iterable

from events.access import revocations
from events.models import EventLog
from rules.triggers import RENEWS, Trigger


def refunded_in_full(events: Iterable[EventLog]) -> set[int]:
    """Return the IDs of those purchases that were refunded since and not paid for again.

    A subscription of which another payment was made is left out: that payment may be owed for.
    """
    events = list(events)
    refunds = revocations.later_endings(events, by=(Trigger.PRODUCT_REFUNDED,))
    refunded = [event for event in events if event.pk in refunds]
    subscriptions = {event.subscription_id for event in refunded} - {""}
    if not subscriptions:
        return {event.pk for event in refunded}
    customers = {event.customer_id for event in refunded}
    paid = EventLog.objects.filter(customer__in=customers, subscription_id__in=subscriptions)
    renewed = set(paid.trusted().of_triggers(*RENEWS).values_list("customer", "subscription_id"))
    return {
        event.pk for event in refunded if (event.customer_id, event.subscription_id) not in renewed
    }
