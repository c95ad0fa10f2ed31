"""Spot repeats: to avoid clutter, and to pass nothing on twice.

Actions that give or end access are idempotent anyway; sending a message is not.
"""

from datetime import timedelta

from django.db.models import Q

from events.models import Delivery, EventLog, RuleRun
from rules import actions

# No permanent key of order and product: it would swallow renewals.
WINDOW = timedelta(minutes=10)


def first_of(delivery: Delivery) -> Delivery | None:
    """Return the delivery that this one repeats, or None.

    A repeat has the same account, address and body as the first, and came within ten minutes of it.
    A run of the first must be waiting, running or done: if all failed, SamCart may send it again to
    have it done. Nothing else of its customers or purchases may have come between, because then the
    order matters. A run that passes the delivery on counts only if nothing was to be done for a
    customer.
    """
    at = delivery.received_at
    same_before = Delivery.objects.filter(
        Q(received_at__lt=at) | Q(received_at=at, pk__lt=delivery.pk),
        body_digest=delivery.body_digest,
        received_at__gte=at - WINDOW,
        marketplace=delivery.marketplace_id,
        address_trigger=delivery.address_trigger,
        withdrawn=delivery.withdrawn,
        repeat_of=None,
    )
    first = same_before.order_by("-received_at", "-id").defer("sealed_body").first()
    if first is None or not _goes_on(first):
        return None
    between = EventLog.objects.filter(
        _related(first), received_at__range=(first.received_at, delivery.received_at)
    )
    others = between.exclude(delivery=first).exclude(delivery__repeat_of=first)
    return None if others.exclude(delivery=delivery).exists() else first


def _related(delivery: Delivery) -> Q:
    """Return a filter for events of the delivery's customers or purchases: their order matters."""
    events = EventLog.objects.filter(delivery=delivery)
    of_account = Q(marketplace=delivery.marketplace_id)
    orders = events.exclude(order_id="").values("order_id")
    subscriptions = events.exclude(subscription_id="").values("subscription_id")
    return (
        Q(customer__in=events.exclude(customer=None).values("customer"))
        | of_account & Q(order_id__in=orders)
        | of_account & Q(subscription_id__in=subscriptions)
    )


def _goes_on(first: Delivery) -> bool:
    runs = RuleRun.objects.filter(event__delivery=first)
    for_customers = runs.exclude(action__in=actions.passing_on())
    going = (RuleRun.Status.WAITING, RuleRun.Status.RUNNING, RuleRun.Status.DONE)
    decisive = for_customers if for_customers.exists() else runs
    return decisive.filter(status__in=going).exists()


def reread_later_repeats(delivery: Delivery) -> set[int]:
    """Have repeats read again if this late delivery came between them and their first.

    A delivery that was spooled, or received by another machine, may be read after one that was
    received later. Returns the IDs of the deliveries to read again. Call it inside a transaction,
    with the delivery's events stored.
    """
    at = delivery.received_at
    later = EventLog.objects.filter(
        _related(delivery),
        received_at__range=(at, at + WINDOW),
        delivery__repeat_of__received_at__lte=at,
    ).exclude(delivery__repeat_of=delivery)
    whole = Delivery.objects.filter(pk__in=later.values("delivery"), body_removed_at=None)
    again = set(whole.values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=again).update(state=Delivery.State.NEW, repeat_of=None)
    return again
