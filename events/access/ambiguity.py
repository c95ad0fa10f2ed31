"""Endings for which SamCart does not say which purchase they are about."""

from collections.abc import Callable, Sequence

from events.access.sale import Sale
from events.models import EventLog, Grant
from integrations.sentences import say
from rules.triggers import Trigger


def reason(
    event: EventLog, rows: Sequence[Grant], log: Callable[[Sale], Sequence[EventLog]]
) -> str:
    """Say why a person must decide; "" if it is clear. `rows` are the grants it may be about.

    `log` returns the events of a sale so far.
    """
    sale = Sale.of(event)
    if not sale.is_named:
        return _bought_again(rows)
    one_time = event.trigger == Trigger.PRODUCT_REFUNDED and not sale.subscription_id
    return _twice_in_one_order(sale, log(sale)) if one_time and rows else ""


def _bought_again(rows: Sequence[Grant]) -> str:
    if len({row.opened_at for row in rows if row.is_active}) < 2:
        return ""
    return say(
        "SamCart named no order, and the customer has bought this more than once. "
        "Release it if the access is to end."
    )


def _twice_in_one_order(sale: Sale, events: Sequence[EventLog]) -> str:
    bought = {
        (each.product_id, each.transaction_id)
        for each in events
        if each.trigger == Trigger.PRODUCT_PURCHASED and each.transaction_id
    }
    if len(bought) == len({product for product, _ in bought}):
        return ""
    return say(
        "Order {number} has this product more than once, and SamCart does not say which one was "
        "refunded. Release it if the access is to end.",
        number=sale.order_id,
    )
