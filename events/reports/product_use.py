"""What keeps a product: events that name it, and access that its purchases gave."""

from dataclasses import dataclass

from events.models import EventLog, Grant
from events.reports import backlog
from integrations.models import Product
from integrations.sentences import say_count
from rules.listing import listed
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class Use:
    """What of a product's history there is; no count is above backlog.MAX_COUNT.

    `sales` are among the `events`, and `buyers` are those of `everybody` who have access now.
    """

    events: int
    sales: int
    buyers: int
    everybody: int

    @property
    def in_words(self) -> str:
        """ "14 sales and 4 buyers with access"; what there is none of is left out."""
        sales, events, buyers, everybody = map(
            backlog.capped, (self.sales, self.events, self.buyers, self.everybody)
        )
        happened = (
            say_count(self.sales, "1 sale", "{number} sales", number=sales)
            if self.sales
            else say_count(self.events, "1 event", "{number} events", number=events)
        )
        have = (
            say_count(
                self.buyers, "1 buyer with access", "{number} buyers with access", number=buyers
            )
            if self.buyers
            else say_count(
                self.everybody,
                "1 buyer who had access",
                "{number} buyers who had access",
                number=everybody,
            )
        )
        return listed([happened] * bool(self.events) + [have] * bool(self.everybody))


def of_product(product: Product) -> Use | None:
    """Return what of the product's history there is, None if there is nothing."""
    most = backlog.MAX_COUNT
    events = EventLog.objects.filter(product=product).order_by()
    sales = events.of(Trigger.PRODUCT_PURCHASED).exclude(status=EventLog.Status.REPEAT)
    grants = Grant.objects.filter(product=product)
    found = Use(
        events=events[:most].count(),
        sales=sales[:most].count(),
        buyers=grants.active().customers(most),
        everybody=grants.customers(most),
    )
    return found if found.events or found.everybody else None
