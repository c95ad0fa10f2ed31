"""What SamCart sends in a story: a sample body with the people and numbers of the story."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.support.samcart import payload

SAMPLES = {
    "buys": "10_product",
    "subscribes to": "12_product",
    "is refunded": "20_product",
    "is partly refunded": "21_product",
    "is canceled": "30_subscription",
    "is charged": "31_subscription",
    "fails a charge": "32_subscription",
    "turns delinquent": "33_subscription",
    "recovers": "34a_subscription",
    "is restarted": "35_subscription",
    "makes its last payment": "36_subscription_completed",
}

# In this field the buyer enters another student's e-mail.
STUDENT_FIELD = "Student e-mail"


@dataclass(frozen=True, slots=True)
class Line:
    """A product of an order; `status` as SamCart reports it, "" if it does not."""

    product_id: str
    name: str
    transaction: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class Sale:
    """What a body says; `student` is the e-mail entered for one, "" if none was.

    `without` lists what the body does not name: product, order, subscription, date.
    """

    kind: str
    first_name: str
    email: str
    customer_id: int
    order: str
    subscription: str
    ordered_at: datetime
    lines: tuple[Line, ...]
    student: str
    without: frozenset[str]


def body_of(sale: Sale) -> dict[str, Any]:
    """Return the body, in SamCart's shape for one line or for several."""
    body = payload(SAMPLES[sale.kind])
    body["customer"] |= {
        "first_name": sale.first_name,
        "email": sale.email,
        "customer_id": sale.customer_id,
    }
    order = body["order"]
    order.pop("subscription_id", None)
    order |= {
        "id": int(sale.order),
        "created_at": sale.ordered_at.isoformat(),
        "transaction_id": [line.transaction for line in sale.lines],
    }
    if sale.student:
        field = {"name": STUDENT_FIELD, "slug": "custom_zL6FLFM3", "value": sale.student}
        order["custom_fields"] = [field]
    if sale.subscription and "subscription" not in sale.without:
        order["subscription_id"] = int(sale.subscription)
    for name, key in (("order", "id"), ("date", "created_at")):
        if name in sale.without:
            del order[key]
    sample = body.pop("product")
    if "product" not in sale.without:
        body |= _products(sample, sale.lines)
    return body


def _products(sample: dict[str, Any], lines: tuple[Line, ...]) -> dict[str, Any]:
    products = [
        sample
        | {"id": int(line.product_id), "name": line.name, "transaction_id": line.transaction}
        | ({"status": line.status} if line.status else {})
        for line in lines
    ]
    return {"products": products} if len(products) > 1 else {"product": products[0]}
