"""The grant that a person gives: what a purchase should have given, or a gift."""

from typing import Any

from events.access.book import Book
from events.access.sale import Sale
from events.models import EventLog, Grant
from integrations.models import Customer, Destination
from rules.actions import ActionSpec


def find_or_new(
    customer: Customer, destination: Destination, spec: ActionSpec, purchase: EventLog | None
) -> Grant:
    """Return the purchase's grant of this destination, or without a purchase the one by hand.

    A new one is not saved. One by hand that has ended is not opened again.
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
    return next(same, None) or Grant(
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
    """Note that this act of a person gave what the purchase should have given."""
    same = EventLog.objects.filter(pk=purchase.pk)
    same.update(dealt_with_at=act.received_at, dealt_with_by=act.author)
