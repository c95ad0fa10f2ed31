"""Spotting repeats: housekeeping only, for every action is idempotent anyway."""

from datetime import timedelta

from django.db.models import BooleanField, CharField, DateTimeField, Q

from events.models import Delivery, EventLog, RuleRun
from integrations.queries import Parameter, Query
from rules import actions

# Never a permanent key of order and product: it would swallow renewals.
WINDOW = timedelta(minutes=10)
_AT = Parameter("received_at", DateTimeField())
_SAME_BEFORE = Query(
    lambda: (
        Delivery.objects.filter(
            Q(received_at__lt=_AT) | Q(received_at=_AT, pk__lt=Parameter("pk")),
            body_digest=Parameter("body_digest", CharField()),
            received_at__gte=Parameter("since", DateTimeField()),
            marketplace=Parameter("marketplace"),
            address_trigger=Parameter("address_trigger", CharField()),
            withdrawn=Parameter("withdrawn", BooleanField()),
            repeat_of=None,
        )
        .order_by("-received_at", "-id")
        .defer("body")[:1]
    )
)
_PARTED = Query(
    lambda: (
        EventLog.objects.filter(
            customer__in=EventLog.objects.filter(
                delivery=Parameter("pk"), customer__isnull=False
            ).values("customer"),
            received_at__gte=_AT,
            received_at__lte=Parameter("until", DateTimeField()),
            delivery__repeat_of__received_at__lte=_AT,
        )
        .exclude(delivery__repeat_of=Parameter("pk"))
        .values_list("delivery")
    )
)


def first_of(delivery: Delivery) -> Delivery | None:
    """The delivery that this one repeats, or None.

    Same account, address and body within ten minutes of the first; a run of the first waits,
    runs or is done, for what failed is sent again to be done; and nothing else of its customers
    came between, for then the order of things matters. That the first was passed on counts only
    where it had nothing done for a customer.
    """
    first = _SAME_BEFORE.first(
        received_at=delivery.received_at,
        pk=delivery.pk,
        body_digest=delivery.body_digest,
        since=delivery.received_at - WINDOW,
        marketplace=delivery.marketplace_id,
        address_trigger=delivery.address_trigger,
        withdrawn=delivery.withdrawn,
    )
    if first is None or not _goes_on(first):
        return None
    customers = EventLog.objects.filter(delivery=first).values("customer")
    between = EventLog.objects.filter(
        customer__in=customers, received_at__range=(first.received_at, delivery.received_at)
    )
    others = between.exclude(delivery=first).exclude(delivery__repeat_of=first)
    return None if others.exclude(delivery=delivery).exists() else first


def _goes_on(first: Delivery) -> bool:
    runs = RuleRun.objects.filter(event__delivery=first)
    for_customers = runs.exclude(action__in=actions.passing_on())
    going = (RuleRun.Status.WAITING, RuleRun.Status.RUNNING, RuleRun.Status.DONE)
    decisive = for_customers if for_customers.exists() else runs
    return decisive.filter(status__in=going).exists()


def part_again(delivery: Delivery) -> int:
    """Have repeats read again that this delivery, which came in late, turns out to part.

    Inside the caller's transaction, after its events are stored; how many those are. One that
    was spooled, or received by another machine, may come in after what was received later.
    """
    parted = _PARTED.all(
        pk=delivery.pk, received_at=delivery.received_at, until=delivery.received_at + WINDOW
    )
    if not parted:
        return 0
    again = [pk for (pk,) in parted]
    whole = Delivery.objects.filter(pk__in=again, body_removed_at=None)
    return whole.update(state=Delivery.State.NEW, repeat_of=None)
