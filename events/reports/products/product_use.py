"""What keeps a product from being deleted: its events, and access that its purchases gave."""

from dataclasses import dataclass

from events.models import EventLog, Grant
from events.reports import counting
from integrations.models import Product
from integrations.sentences import say_count
from rules.listing import listed
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class Use:
    """A product's history in numbers; no count is above counting.MAX_COUNT.

    `sales` are part of the `events`. `everybody` counts the customers who ever had access, `buyers`
    those who have it now.
    """

    events: int
    sales: int
    buyers: int
    everybody: int

    @property
    def in_words(self) -> str:
        """A text such as "14 sales and 4 buyers with access", without zeros."""
        sales, events, buyers, everybody = map(
            counting.format_count, (self.sales, self.events, self.buyers, self.everybody)
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
    """Return the product's history in numbers, or None if it has none."""
    events = EventLog.objects.filter(product=product)
    sales = events.of_triggers(Trigger.PRODUCT_PURCHASED).exclude(status=EventLog.Status.REPEAT)
    grants = Grant.objects.filter(product=product)
    found = Use(
        events=counting.count(events),
        sales=counting.count(sales),
        buyers=grants.active().customers(counting.MAX_COUNT),
        everybody=grants.customers(counting.MAX_COUNT),
    )
    return found if found.events or found.everybody else None
