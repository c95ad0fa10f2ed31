"""Turns a sentence of a story, such as "order 1183 is refunded", into what SamCart sends."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.story_bodies import Line, Sale, body_of
from tests.support.storybook import StoryError, email_of, one_of

# The shop sold for this long before Admit was connected.
BEFORE_ADMIT = timedelta(days=200)
# How a thing happened; each of these may be added to any sentence.
MANNERS = {
    "soon": r"(?P<how>a minute later), (?P<rest>.+)",
    "late": r"(?P<rest>.+), (?P<how>which comes late)",
    "without": r"(?P<rest>.+), naming no (?P<how>[a-z ]+)",
    "under": r"(?P<rest>.+) under (?P<how>\S+@\S+)",
    "status": r"(?P<rest>.+), which SamCart reports as (?P<how>\w+)",
    "all": r"(?P<rest>.+), (?P<how>with all its lines)",
    "for": r"(?P<rest>.+) for (?P<how>[A-Z]\w*)",
}


@dataclass(frozen=True, slots=True)
class Order:
    """An order of SamCart; `products` has the transaction of each product."""

    number: str
    who: str
    subscription: str
    at: datetime
    products: dict[str, str] = field(default_factory=dict)


def manner_of(text: str) -> tuple[str, dict[str, str]]:
    """Split the sentence from how it happened; the latter by the names of MANNERS."""
    for name, pattern in MANNERS.items():
        if match := re.fullmatch(pattern, text):
            sentence, manner = manner_of(match["rest"])
            return sentence, manner | {name: match["how"]}
    return text, {}


class Orders:
    """The orders so far. `products` maps names to SamCart IDs."""

    def __init__(self, products: dict[str, str]) -> None:
        self._ids = products
        self._orders: dict[str, Order] = {}
        self._people: dict[str, int] = {}

    def body(self, sentence: str, manner: dict[str, str], now: datetime) -> dict[str, Any] | None:
        """Return what SamCart sends, None if the sentence is about no order. Raises StoryError."""
        for pattern, of_order in SENTENCES.items():
            if match := re.fullmatch(pattern, sentence):
                return body_of(of_order(self, match.groupdict(), manner, now))
        return None

    def buys(self, words: dict[str, str], manner: dict[str, str], now: datetime) -> Sale:
        """ "Dana buys Watercolor Class and Brush Set in order 1183" """
        order = self._pay(words, words["kind"] == "subscribes to", now)
        return self._sale(order, words["kind"], words["products"].split(" and "), manner)

    def refunds(self, words: dict[str, str], manner: dict[str, str], now: datetime) -> Sale:
        """ "order 1183 is refunded", "Brush Set of order 1183 is refunded" """
        order = self._known(words, now)
        products = [words["product"]] if words["product"] else list(order.products)
        return self._sale(order, words["kind"], products, manner)

    def changes(self, words: dict[str, str], manner: dict[str, str], now: datetime) -> Sale:
        """ "the subscription of order 1201 is canceled": of the first product of the order"""
        order = self._known(words, now)
        if not order.subscription:
            raise StoryError(f"order {order.number} has no subscription.")
        order = replace(order, number=words["own"] or order.number)
        return self._sale(order, words["kind"], list(order.products)[:1], manner)

    def _known(self, words: dict[str, str], now: datetime) -> Order:
        number, facts = words["number"], words["facts"]
        if number in self._orders:
            return self._orders[number]
        found = re.fullmatch(FACTS, facts or "")
        if not found:
            raise StoryError(f"it is new: write order {number} (Dana bought PRODUCT).")
        at = now - BEFORE_ADMIT if found["before"] else now
        return self._pay({**words, **found.groupdict()}, found["how"] == "subscribed to", at)

    def _pay(self, words: dict[str, str], subscribes: bool, at: datetime) -> Order:
        number = words["number"]
        subscription = f"9{number}" if subscribes else ""
        new = Order(number, words["who"], subscription, at)
        order = self._orders.setdefault(number, new)
        for product in words["products"].split(" and "):
            one_of(product, self._ids, f"there is no product {product}.")
            paid = order.products.get(product)
            first = f"ch_{number}_{len(order.products) + 1}"
            order.products[product] = f"{paid}_again" if paid else first
        return order

    def _sale(self, order: Order, kind: str, products: list[str], manner: dict[str, str]) -> Sale:
        for product in products:
            one_of(product, order.products, f"order {order.number} has no {product}.")
        lines = {product: manner.get("status", "") for product in products}
        if "all" in manner:
            lines = {
                product: "Refunded" if product in products else "Charged"
                for product in order.products
            }
        return Sale(
            kind=kind,
            first_name=order.who,
            email=manner.get("under") or email_of(order.who),
            customer_id=21000001 + self._people.setdefault(order.who, len(self._people)),
            order=order.number,
            subscription=order.subscription,
            ordered_at=order.at,
            lines=tuple(
                Line(self._ids[product], product, order.products[product], status)
                for product, status in lines.items()
            ),
            student=email_of(manner["for"]) if "for" in manner else "",
            without=frozenset(manner.get("without", "").split(" and no ")),
        )


OfOrder = Callable[[Orders, dict[str, str], dict[str, str], datetime], Sale]
WHO = r"(?P<who>[A-Z]\w*)"
ORDER = r"order (?P<number>\d+)(?: \((?P<facts>[^)]+)\))?"
FACTS = rf"{WHO} (?P<how>bought|subscribed to) (?P<products>.+?)(?P<before> before Admit)?"
SENTENCES: dict[str, OfOrder] = {
    rf"{WHO} (?P<kind>buys|subscribes to) (?P<products>.+) in order (?P<number>\d+)": Orders.buys,
    rf"(?:(?P<product>.+) of )?{ORDER} (?P<kind>is refunded|is partly refunded)": Orders.refunds,
    rf"the subscription of {ORDER} (?P<kind>is canceled|is charged|fails a charge|turns delinquent"
    r"|recovers|is restarted|makes its last payment)(?: in order (?P<own>\d+))?": Orders.changes,
}
