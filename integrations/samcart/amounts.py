"""The sums in a SamCart body: the product's price and the order's total.

No sample has a currency, and a refund repeats the order without the sum that was refunded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from integrations.samcart.body import JsonObject, read_object
from integrations.samcart.encoding import decompress
from integrations.samcart.normalize import normalize_id
from integrations.samcart.unreadable import Unreadable

# A comma may separate thousands, decimals or the prices of several products: nobody knows which.
_SUM = re.compile(r"-?\d{1,12}(\.\d{1,4})?")


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums in the currency of the SamCart account; None if the body does not tell."""

    price: Decimal | None = None
    order_total: Decimal | None = None


def read(
    body: bytes, content_type: str = "", content_encoding: str = "", *, product: str
) -> Amounts:
    """Return the sums of a body. The price is that of the product with this normalized ID.

    It is None if the body has several prices for the product. Never raises.
    """
    try:
        found = read_object(decompress(body, content_encoding), content_type)
    except Unreadable:
        return Amounts()
    order = found.get("order")
    total = _sum(order.get("total")) if isinstance(order, dict) else None
    prices = {_sum(each.get("price")) for each in _products(found) if _is(each, product)}
    return Amounts(prices.pop() if len(prices) == 1 else None, total)


def _products(found: JsonObject) -> Iterator[JsonObject]:
    for sent in (found.get("product"), found.get("products")):
        several = [*sent.values()] if isinstance(sent, dict) and "id" not in sent else [sent]
        for each in sent if isinstance(sent, list) else several:
            if isinstance(each, dict):
                yield each


def _is(sent: JsonObject, product: str) -> bool:
    try:
        return bool(product) and normalize_id(sent.get("id"), what="") == product
    except Unreadable:
        return False


def _sum(sent: object) -> Decimal | None:
    if isinstance(sent, bool) or not isinstance(sent, str | int | float):
        return None
    text = str(sent).strip()
    return Decimal(text).quantize(Decimal("0.01")) if _SUM.fullmatch(text) else None
