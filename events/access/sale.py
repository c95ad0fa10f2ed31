"""Which purchase an event or a grant is about, and how the rows of one purchase are found."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Q

from events.models import EventLog, Grant

Row = TypeVar("Row", EventLog, Grant)


@dataclass(frozen=True, slots=True)
class Sale:
    """How an event names its purchase; IDs that it does not name are "" or None."""

    marketplace: int | None
    product: int | None
    order_id: str
    subscription_id: str

    @classmethod
    def of(cls, source: EventLog | Grant) -> "Sale":
        """Return the sale that an event or a grant names."""
        return cls(
            source.marketplace_id, source.product_id, source.order_id, source.subscription_id
        )

    @property
    def is_named(self) -> bool:
        """Whether it names an order or a subscription."""
        return bool(self.order_id or self.subscription_id)

    def is_same(self, other: "Sale") -> bool:
        """Whether both name the same purchase."""
        if self.marketplace != other.marketplace:
            return False
        if self.product and other.product and self.product != other.product:
            return False
        if self.subscription_id and other.subscription_id:
            return self.subscription_id == other.subscription_id
        return bool(self.order_id) and self.order_id == other.order_id


def near(sales: Iterable[Sale | EventLog | Grant]) -> Q:
    """Return a condition for events or grants that name an order or subscription of these.

    Not all that meet it are of the same purchase: `BySale` and `Sale.is_same` tell.
    """
    named = list(sales)
    orders = {each.order_id for each in named} - {""}
    subscriptions = {each.subscription_id for each in named} - {""}
    return Q(order_id__in=orders) | Q(subscription_id__in=subscriptions)


class BySale(Generic[Row]):
    """Events or grants in memory, found by their purchase.

    To compare each with each would take seconds where there are thousands.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows: list[Row] = []
        self._named: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Add a row that names an order or a subscription; another one is never found."""
        for name in _names(row):
            self._named[name].append(len(self.rows))
        self.rows.append(row)

    def of(self, source: EventLog | Grant) -> list[Row]:
        """Return the rows of the purchase that this event or grant is about, as they were added."""
        sale = Sale.of(source)
        found = {number for name in _names(source) for number in self._named.get(name, ())}
        rows = (self.rows[number] for number in sorted(found))
        return [row for row in rows if sale.is_same(Sale.of(row))]


def _names(source: EventLog | Grant) -> list[tuple[str, str]]:
    named = (("order", source.order_id), ("subscription", source.subscription_id))
    return [(kind, name) for kind, name in named if name]
