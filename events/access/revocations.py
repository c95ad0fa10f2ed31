"""What was paid for and then taken back: refunded or canceled, and not paid for again since.

A subscription of which every payment was made is paid for: canceling it takes nothing back.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from events.access.sale import BySale, Sale, near
from events.models import EventLog, Grant
from integrations.sentences import DAY, Said, Text, format_day, say
from rules.triggers import CANCELS, PAYS_AGAIN, TAKES_BACK, Trigger

# The texts for an event with an order, and for one without.
_SENTENCES: dict[str, tuple[Text, Text]] = {
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
_SETTLES = (*PAYS_AGAIN, Trigger.SUBSCRIPTION_COMPLETED)
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
    events: Iterable[EventLog], *, by: Collection[str] = TAKES_BACK
) -> dict[int, EventLog]:
    """Return {pk: the later event that refunded or canceled it} for those of these events.

    `by` are the triggers that count. The later event names the same product and, if both name one,
    the same order or subscription. If both name the same purchase, it may be of any customer. A
    purchase that such an event paid for again since counts as paid for. Who bought the product
    again under another order paid for that one. Takes two queries, or one if nothing was ended.
    """
    asked = [event for event in events if event.customer_id and event.pk]
    others = _since(asked, by) if asked else {}
    found = {event.pk: _ended(event, others[event.pk]) for event in asked if event.pk in others}
    return {pk: ending for pk, ending in found.items() if ending is not None}


def _since(asked: Sequence[EventLog], by: Collection[str]) -> dict[int, list[EventLog]]:
    """Return what may have ended each of these events or paid for it again, by pk, in order.

    That is what came of its customer, and what came about its purchase under any address. Events
    of which nothing was ended are left out: of most, nothing more is read.
    """
    of_asked = Q(customer__in={each.customer_id for each in asked})
    endings = EventLog.objects.filter(of_asked | near(asked)).of_triggers(*by)
    ended = BySale(endings.only("marketplace", *READ))
    customers = {each.customer_id for each in ended.rows}
    same = {event.pk: ended.of(event) for event in asked}
    concerned = [event for event in asked if same[event.pk] or event.customer_id in customers]
    if not concerned:
        return {}
    sales = [each for event in concerned for each in (event, *same[event.pk])]
    whose = Q(customer__in={each.customer_id for each in concerned} & customers)
    later = EventLog.objects.filter(whose | near(sales)).trusted().of_triggers(*by, *_SETTLES)
    later = later.filter(received_at__gte=min(each.received_at for each in concerned))
    by_sale = BySale(later.only("marketplace", *READ))
    of_customer: dict[int | None, list[EventLog]] = defaultdict(list)
    for each in by_sale.rows:
        of_customer[each.customer_id].append(each)
    found = {}
    for event in concerned:
        about = {other for each in (event, *same[event.pk]) for other in by_sale.of(each)}
        rows = about.union(of_customer[event.customer_id])
        found[event.pk] = sorted(rows, key=lambda each: (each.received_at, each.pk))
    return found


def of_grants(
    grants: Collection[Grant],
    counts: Callable[[Grant, EventLog], bool],
    *,
    by: Collection[str] = TAKES_BACK,
) -> dict[int, list[EventLog]]:
    """Return {grant ID: the refunds and cancellations of its purchase that still hold}, in order.

    `counts` says whether an event came at a time that matters for a grant, and `by` are the
    triggers that count. What was paid for again after the last of them is left out. The events may
    be of any customer. Takes one query, or none without purchases.
    """
    of_purchase = [grant for grant in grants if grant.source == Grant.Source.PURCHASE]
    if not of_purchase:
        return {}
    by_sale = BySale(of_purchase)
    events = EventLog.objects.filter(near(of_purchase)).trusted().of_triggers(*by, *_SETTLES)
    events = events.order_by("received_at", "pk").defer("verdicts", "custom_fields", "reason")
    completed = {grant.pk for each in events if is_last_payment(each) for grant in by_sale.of(each)}
    found: dict[int, list[EventLog]] = {}
    for event in events:
        for grant in by_sale.of(event):
            if not counts(grant, event) or (grant.pk in completed and event.trigger in CANCELS):
                continue
            if event.trigger in by:
                found.setdefault(grant.pk, []).append(event)
            elif grant.pk in found and is_paid_again(grant, found[grant.pk][-1], event):
                del found[grant.pk]
    return found


def last_payments(events: Iterable[EventLog]) -> dict[int, EventLog]:
    """Return {pk: the last payment} for cancellations of subscriptions that were paid in full.

    Takes one query, or none without cancellations.
    """
    asked = [event for event in events if event.trigger in CANCELS and Sale.of(event).is_named]
    if not asked:
        return {}
    completed = EventLog.objects.filter(near(asked)).trusted()
    completed = completed.of_triggers(Trigger.SUBSCRIPTION_COMPLETED)
    by_sale = BySale(completed.order_by("received_at", "pk").only("marketplace", *READ))
    return {event.pk: paid[0] for event in asked if (paid := by_sale.of(event))}


def is_last_payment(event: EventLog) -> bool:
    """Whether it says that every payment of a limited subscription was made."""
    return event.trigger == Trigger.SUBSCRIPTION_COMPLETED


def kept_since(events: Iterable[EventLog]) -> dict[int, list[Grant]]:
    """Return {pk: what a person let the buyer keep later} for refunds and cancellations.

    Those whose purchase gave something else that is still open are left out, as they may end that.
    Takes one query, or none without refunds and cancellations.
    """
    asked = [event for event in events if event.trigger in TAKES_BACK and Sale.of(event).is_named]
    if not asked:
        return {}
    active = Grant.objects.active().filter(near(asked), source=Grant.Source.PURCHASE)
    grants = BySale(active.order_by("pk"))
    gives = {event: grants.of(event) for event in asked}
    return {
        event.pk: rows
        for event, rows in gives.items()
        if rows and all(row.is_kept_after(event.received_at) for row in rows)
    }


def sentence(event: EventLog) -> Said:
    """Say "order 1183 was refunded on 3 May" for an event that ended something."""
    of_order, without = _SENTENCES[str(event.trigger)]
    text = of_order if event.order_id else without
    return say(text, order=event.order_id, day=format_day(event.received_at, DAY))


def _ended(event: EventLog, others: Sequence[EventLog]) -> EventLog | None:
    ending = None
    completed = [other for other in others if is_last_payment(other)]
    for other in others:
        if (other.received_at, other.pk) <= (event.received_at, event.pk):
            continue
        if other.trigger in TAKES_BACK and _about_the_same(event, other):
            paid = other.trigger in CANCELS and any(_pays(event, other, one) for one in completed)
            ending = ending if paid else other
        elif ending and _pays(event, ending, other) and is_paid_again(event, ending, other):
            ending = None
    return ending


def _pays(event: EventLog, ending: EventLog, other: EventLog) -> bool:
    """Whether `other` is a payment of the purchase that the `ending` took back.

    A renewal may have another order ID, and the purchase may not have named its subscription.
    """
    subscription = ending.subscription_id
    renewed = bool(subscription) and subscription == other.subscription_id
    return renewed or _about_the_same(event, other)


def is_paid_again(purchase: EventLog | Grant, ending: EventLog, later: EventLog) -> bool:
    """Whether `later`, an event about this purchase, takes the `ending` back.

    An order that is sent again after its refund is no other sale. A renewal, which may have the
    same ID or another one, is one.
    """
    if later.trigger != Trigger.PRODUCT_PURCHASED or not purchase.order_id:
        return later.trigger in PAYS_AGAIN
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
