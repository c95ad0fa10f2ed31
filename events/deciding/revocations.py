"""What was paid for and then taken back: refunded or canceled, and not given back since."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from events.access.ledger import Sale
from events.models import EventLog, Grant
from integrations.sentences import DAY, Said, Text, format_day, say
from rules.triggers import Trigger

# The texts for an event with an order, and for one without.
ENDING: dict[str, tuple[Text, Text]] = {
    Trigger.PRODUCT_REFUNDED: (
        _("order {order} was refunded on {day}"),
        _("it was refunded on {day}"),
    ),
    Trigger.SUBSCRIPTION_CANCELED: (
        _("order {order} was canceled on {day}"),
        _("it was canceled on {day}"),
    ),
    Trigger.SUBSCRIPTION_DELINQUENT: (
        _("order {order} was canceled for failed payments on {day}"),
        _("it was canceled for failed payments on {day}"),
    ),
}
GIVING_BACK = {
    Trigger.PRODUCT_PURCHASED,
    Trigger.SUBSCRIPTION_RECOVERED,
    Trigger.SUBSCRIPTION_RESTARTED,
}

# The triggers by which a refunded or canceled purchase may be paid for again: see `is_paid_again`.
PAYING_AGAIN = {*GIVING_BACK, Trigger.SUBSCRIPTION_CHARGED}

# The fields of an event that `later_endings` reads.
READ = (
    "customer",
    "product",
    "trigger",
    "order_id",
    "subscription_id",
    "ordered_at",
    "received_at",
)


def later_endings(
    events: Iterable[EventLog], *, by: Collection[str] = tuple(ENDING)
) -> dict[int, EventLog]:
    """Return {pk: the later event that refunded or canceled it} for those of these events.

    `by` are the triggers that count. The later event has the same customer and product and, if
    both name one, the same order or subscription. A purchase that was made again, paid again by its
    subscription or given back since counts as paid for.
    """
    asked = [event for event in events if event.customer_id and event.pk]
    endings = EventLog.objects.filter(customer__in={each.customer_id for each in asked})
    endings = endings.of_triggers(*by)
    # Most customers have no ending, so nothing more of theirs is read.
    customers = set(endings.values_list("customer", flat=True)) if asked else set()
    of_customer: dict[int | None, list[EventLog]] = defaultdict(list)
    if customers:
        since = min(each.received_at for each in asked)
        later = EventLog.objects.filter(customer__in=customers, received_at__gte=since)
        later = later.of_triggers(*by, *PAYING_AGAIN).order_by("received_at", "pk")
        for event in later.only(*READ):
            of_customer[event.customer_id].append(event)
    found = {event.pk: _ended(event, of_customer[event.customer_id]) for event in asked}
    return {pk: ending for pk, ending in found.items() if ending is not None}


def kept_since(events: Iterable[EventLog]) -> dict[int, list[Grant]]:
    """Return {pk: what a person let the buyer keep later} for refunds and cancellations.

    Those whose purchase gave something else that is still open are left out, as they may end that.
    Takes one query, or none without refunds and cancellations.
    """
    asked = [event for event in events if event.trigger in ENDING and Sale.of(event).is_named]
    if not asked:
        return {}
    of_sales = Q(order_id__in={event.order_id for event in asked} - {""})
    of_sales |= Q(subscription_id__in={event.subscription_id for event in asked} - {""})
    gives: dict[str, list[Grant]] = defaultdict(list)
    for row in Grant.objects.active().filter(of_sales, source=Grant.Source.PURCHASE).order_by("pk"):
        for name in {row.order_id, row.subscription_id} - {""}:
            gives[name].append(row)
    found = {}
    for event in asked:
        names = {event.order_id, event.subscription_id} - {""}
        near = {row.pk: row for name in names for row in gives.get(name, ())}
        rows = [row for row in near.values() if Sale.of(event).is_same(Sale.of(row))]
        if rows and all(row.is_kept_after(event.received_at) for row in rows):
            found[event.pk] = rows
    return found


def sentence(event: EventLog) -> Said:
    """Say "order 1183 was refunded on 3 May" for an event that ended something."""
    of_order, without = ENDING[str(event.trigger)]
    text = of_order if event.order_id else without
    return say(text, order=event.order_id, day=format_day(event.received_at, DAY))


def _ended(event: EventLog, others: list[EventLog]) -> EventLog | None:
    ending = None
    for other in others:
        if (other.received_at, other.pk) <= (event.received_at, event.pk):
            continue
        if other.trigger in ENDING and _about_the_same(event, other):
            ending = other
        elif ending is not None and _gives_back(event, ending, other):
            ending = None
    return ending


def _gives_back(event: EventLog, ending: EventLog, other: EventLog) -> bool:
    """Whether `other` pays for the product again, or takes the `ending` back.

    If the product was deleted, only what is about the same purchase counts.
    """
    by_product = event.product_id is not None
    same = other.product_id == event.product_id if by_product else _about_the_same(event, other)
    return same and is_paid_again(event, ending, other)


def is_paid_again(purchase: EventLog | Grant, ending: EventLog, later: EventLog) -> bool:
    """Whether `later`, an event about this purchase or its product, takes the `ending` back.

    An order that is sent again after its refund is no other sale; a renewal, which may have the
    same ID, is one. A payment of its subscription takes a refund back, but no cancellation.
    """
    if later.trigger == Trigger.SUBSCRIPTION_CHARGED:
        return ending.trigger == Trigger.PRODUCT_REFUNDED
    if later.trigger != Trigger.PRODUCT_PURCHASED or not purchase.order_id:
        return later.trigger in GIVING_BACK
    ordered_since = later.ordered_at is not None and later.ordered_at > ending.received_at
    return later.order_id != purchase.order_id or ordered_since


def _about_the_same(event: EventLog, other: EventLog) -> bool:
    if event.product_id and other.product_id and event.product_id != other.product_id:
        return False
    ids = [
        (event.order_id, other.order_id),
        (event.subscription_id, other.subscription_id),
    ]
    named_by_both = [(one, two) for one, two in ids if one and two]
    if named_by_both:
        return any(one == two for one, two in named_by_both)
    return event.product_id is not None and event.product_id == other.product_id
