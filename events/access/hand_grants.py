"""The grant that a person gives: what a purchase should have given, or a gift."""

from collections.abc import Collection
from typing import Any

from events.access.book import Book, log_of
from events.access.sale import BySale, Sale, near
from events.models import EventLog, Grant
from integrations.models import Customer, Destination
from integrations.sentences import say
from rules.actions import ActionSpec

GIVES = (EventLog.ByHand.GIVE, EventLog.ByHand.GIVE_DAY)


def find_or_new(
    customer: Customer, destination: Destination, spec: ActionSpec, purchase: EventLog | None
) -> Grant:
    """Return the purchase's grant of this destination, or without a purchase the one by hand.

    A new one is not saved. One by hand that has ended is not opened again. Raises ValueError with a
    sentence if a rule gives it for the purchase.
    """
    what: dict[str, Any] = {
        "integration": destination.integration,
        "target": spec.concerns(destination),
    }
    copied = {"name": destination.name, "course_ids": destination.course_ids}
    if purchase is None:
        what |= {"source": Grant.Source.HAND, "customer": customer}
        return Grant.objects.active().filter(**what).first() or Grant(**what, **copied)
    about = Book([Sale.of(purchase)]).of(purchase)
    same = (row for row in about if (row.integration, row.target) == (*what.values(),))
    known = next(same, None)
    if known and known.is_active and not given_for([purchase], known):
        raise ValueError(say("This purchase gives {course} already.", course=destination.name))
    return known or Grant(
        **what,
        **copied,
        customer=customer,
        marketplace=purchase.marketplace,
        product=purchase.product,
        product_name=purchase.product.name if purchase.product else "",
        order_id=purchase.order_id,
        subscription_id=purchase.subscription_id,
    )


def deal_with(purchase: EventLog, act: EventLog) -> None:
    """If the purchase gave nothing, note that this act of a person gave what it should have."""
    same = EventLog.objects.filter(pk=purchase.pk, gave_nothing=True)
    same.update(dealt_with_at=act.received_at, dealt_with_by=act.author)


def purchase_of(grant: Grant | None) -> EventLog | None:
    """Return an event of the purchase that this grant belongs to; None for a gift."""
    if grant is None or grant.source != Grant.Source.PURCHASE:
        return None
    return next(iter(log_of(Sale.of(grant))), None)


def given_for(purchases: Collection[EventLog], *which: Grant) -> set[int]:
    """Return the IDs of those purchases for which a person gave something that is open now.

    With grants, only these count. Takes one query, or none without purchases.
    """
    if not purchases:
        return set()
    given = Grant.objects.active().filter(
        near(purchases), source=Grant.Source.PURCHASE, runs__event__by_hand__in=GIVES
    )
    if which:
        given = given.filter(pk__in=[grant.pk for grant in which])
    grants = BySale(given.distinct())
    return {event.pk for event in purchases if grants.of(event)}
