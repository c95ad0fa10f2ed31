"""Sample bodies in SamCart's form, for trying things out."""

import json
from typing import Any

from rules.triggers import TYPES, Category, Trigger

# The first known type of each trigger. A trigger without one needs an address of its own.
_TYPE_OF = {trigger: text for text, trigger in reversed(TYPES.items())}


def has_type(trigger: Trigger) -> bool:
    """Whether SamCart's `type` for this trigger is known; if not, it needs its own address."""
    return trigger in _TYPE_OF


def body(
    trigger: Trigger,
    *,
    product: str,
    email: str,
    order: int,
    name: str = "",
    product_name: str = "",
) -> bytes:
    """Return one sale event as JSON.

    `product` is a SamCart ID, of a course for Courses triggers.
    """
    first, _, last = (name or "Sample Buyer").partition(" ")
    customer = {"first_name": first, "last_name": last, "email": email, "customer_id": 21000001}
    thing: dict[str, Any] = {"id": _number_or_text(product)}
    thing["name"] = product_name or None
    sale: dict[str, Any] = {"api_key": None, "customer": customer}
    if has_type(trigger):
        sale = {"type": _TYPE_OF[trigger]} | sale
    if trigger.category is Category.COURSES:
        return json.dumps(sale | {"course": thing}).encode()
    sold = {"id": order, "total": "97.00", "custom_fields": []}
    if trigger.of_subscription:
        sold["subscription_id"] = order
    thing |= {"price": "97.00", "quantity": 1, "transaction_id": f"ch_sample_{order}"}
    return json.dumps(sale | {"product": thing, "order": sold, "affiliate": []}).encode()


def _number_or_text(product: str) -> int | str:
    return (
        int(product) if product.isascii() and product.isdigit() and len(product) < 19 else product
    )
