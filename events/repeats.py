"""Spotting repeats: housekeeping only, for every action is idempotent anyway."""

from datetime import timedelta

from django.db.models import Q

from events.models import Delivery, EventLog, RuleRun

# Never a permanent key of order and product: it would swallow renewals.
WINDOW = timedelta(minutes=10)


def first_of(delivery: Delivery) -> Delivery | None:
    """The delivery that this one repeats, or None.

    Same account, address and body within ten minutes of the first; the first made a run;
    and nothing else of its customers came between, for then the order of things matters.
    """
    earlier = Q(received_at__lt=delivery.received_at) | Q(
        received_at=delivery.received_at, pk__lt=delivery.pk
    )
    first = (
        Delivery.objects.filter(
            earlier,
            body_digest=delivery.body_digest,
            received_at__gte=delivery.received_at - WINDOW,
            marketplace=delivery.marketplace_id,
            address_trigger=delivery.address_trigger,
            withdrawn=delivery.withdrawn,
            repeat_of=None,
        )
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


def part_again(delivery: Delivery) -> int:
    """Have repeats read again that this delivery, which came in late, turns out to part.

    Inside the caller's transaction, after its events are stored; how many those are. One that
    was spooled, or received by another machine, may come in after what was received later.
    """
    customers = EventLog.objects.filter(delivery=delivery, customer__isnull=False)
    parted = EventLog.objects.filter(
        customer__in=customers.values("customer"),
        received_at__range=(delivery.received_at, delivery.received_at + WINDOW),
        delivery__repeat_of__received_at__lte=delivery.received_at,
    ).exclude(delivery__repeat_of=delivery)
    again = list(parted.values_list("delivery", flat=True))
    if not again:
        return 0
    whole = Delivery.objects.filter(pk__in=again, body_removed_at=None)
    return whole.update(state=Delivery.State.NEW, repeat_of=None)
