"""Spotting repeats: housekeeping only, for every action is idempotent anyway."""

from datetime import timedelta

from events.models import Delivery, EventLog, RuleRun

# Never a permanent key of order and product: it would swallow renewals.
WINDOW = timedelta(minutes=10)


def first_of(delivery: Delivery) -> Delivery | None:
    """The delivery that this one repeats, or None.

    Same account, address and body within ten minutes of the first; the first made a run;
    and nothing else of its customers came between, for then the order of things matters.
    """
    first = (
        Delivery.objects.filter(
            body_digest=delivery.body_digest,
            received_at__range=(delivery.received_at - WINDOW, delivery.received_at),
            marketplace=delivery.marketplace_id,
            address_trigger=delivery.address_trigger,
            withdrawn=delivery.withdrawn,
            state=Delivery.State.READ,
            repeat_of=None,
        )
        .exclude(pk=delivery.pk)
        .order_by("received_at", "id")
        .defer("body")
        .last()
    )
    if first is None or not RuleRun.objects.filter(event__delivery=first).exists():
        return None
    customers = EventLog.objects.filter(delivery=first).values("customer")
    between = EventLog.objects.filter(
        customer__in=customers, received_at__range=(first.received_at, delivery.received_at)
    )
    others = between.exclude(delivery=first).exclude(delivery__repeat_of=first)
    return None if others.exclude(delivery=delivery).exists() else first
