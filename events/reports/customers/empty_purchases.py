"""A customer's purchases that gave nothing, and what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from events.access import revocations
from events.execution import reviewing
from events.models import EventLog
from events.reports.earlier import given_already
from integrations.models import Customer
from integrations.sentences import Said

MAX_EVENTS_TOLD = 5


@dataclass(frozen=True, slots=True)
class EmptyPurchases:
    """Purchases that gave `nothing`, and those of them that a person has `dealt` with.

    By ID, `back` has their later refund or cancellation, and `had` what gives the buyer all that
    the rules give now.
    """

    nothing: Sequence[EventLog]
    dealt: Sequence[EventLog]
    back: Mapping[int, EventLog]
    had: Mapping[int, Said]

    @property
    def undone(self) -> list[EventLog]:
        return [each for each in self.nothing if each.undone_at is not None]

    @property
    def owed(self) -> list[EventLog]:
        """Those for which something is still owed."""
        settled = {*self.back, *self.had, *(each.pk for each in self.undone)}
        return [each for each in self.nothing if each.pk not in settled]

    @property
    def taken_back(self) -> list[tuple[EventLog, EventLog]]:
        """Those that were refunded or canceled since, each with that event."""
        both = [*self.nothing, *self.dealt]
        return [(each, self.back[each.pk]) for each in both if each.pk in self.back]


def of_customer(customer: Customer) -> EmptyPurchases:
    """Return the customer's newest purchases that gave nothing."""
    nothing = list(told(EventLog.objects.filter(reviewing.STILL_NOTHING, customer=customer)))
    paid = EventLog.objects.filter(reviewing.PAID_FOR_NOTHING, customer=customer)
    dealt = list(told(paid.filter(dealt_with_at__isnull=False)))
    back = revocations.later_endings([*nothing, *dealt])
    return EmptyPurchases(nothing, dealt, back, given_already.sentences(nothing))


def told(events: QuerySet[EventLog]) -> QuerySet[EventLog]:
    """Return the newest of these events, at most MAX_EVENTS_TOLD, without what was posted."""
    found = events.select_related("product", "delivery").defer(
        "delivery__sealed_body", "delivery__query"
    )
    return found.order_by("-received_at", "-pk")[:MAX_EVENTS_TOLD]
