"""The book of grants: it finds those that events are about, each as one object, and writes them."""

from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from events.access import ledger, students
from events.access.ledger import Change
from events.access.sale import Sale, near
from events.models import EventLog, Grant, History, RuleRun
from integrations.models import Customer, Destination, Marketplace
from integrations.targets import course_target
from rules.triggers import Trigger

# The columns that a decision may change.
DECIDED = (
    "subscription_id",
    "customer",
    "state",
    "decided_at",
    "because",
    "event",
    "opened_at",
    "ended_at",
)
# Those that change when it is opened. A worker may set the first one at any other time.
OPENED = ("seen_at", "kept_at", "kept_by", "kept_note")


def save(row: Grant, *, opened: bool) -> None:
    """Save a grant on which was decided; `opened` says whether the decision opened it.

    Call it under the deciding lock.
    """
    columns = [*DECIDED, *(OPENED if opened else ())]
    row.save(update_fields=columns if row.pk else None)


class Book:
    """The grants of some sales, as they stand in this transaction."""

    def __init__(self, sales: Iterable[Sale]) -> None:
        found = Grant.objects.filter(near(sales)).select_related("customer", "integration")
        self._rows: list[Grant] = []
        self._was_active: set[int] = set()
        self._new: list[Grant] = []
        self._changed: dict[int, Grant] = {}
        self.know(found.order_by("pk"))

    def of(self, event: EventLog) -> list[Grant]:
        """Return the grants of the purchase or purchases that the event is about.

        If they are of one purchase and the event names its subscription, grants without one get it.
        """
        sale = Sale.of(event)
        if not sale.is_named:
            return self._of_product(event)
        rows = [row for row in self._rows if sale.is_same(Sale.of(row))]
        if sale.subscription_id and len(ledger.by_source(rows)) == 1:
            for row in rows:
                if not row.subscription_id:
                    row.subscription_id = sale.subscription_id
                    self.note(row)
        return rows

    def all_of(self, student: Customer, change: Change, *, without: list[Grant]) -> list[Grant]:
        """Return the student's other grants, from any source, for any part of this change."""
        found = Grant.objects.filter(
            customer__in=students.same_user(change.integration, student),
            integration=change.integration,
        )
        mine = {row.pk for row in without}
        return [row for row in self.know(found) if row.pk not in mine and change.touches(row)]

    def know(self, found: Iterable[Grant]) -> list[Grant]:
        """Return these grants, each as the one object that this book uses for it."""
        found = list(found)
        known = {row.pk: row for row in self._rows}
        new = [row for row in found if row.pk not in known]
        self._rows += new
        self._was_active |= {row.pk for row in new if row.is_active}
        known |= {row.pk: row for row in new}
        return [known[row.pk] for row in found]

    def note(self, row: Grant) -> None:
        """Remember that this row must be written."""
        if row.pk is not None:
            self._changed[row.pk] = row
        elif row.state and not any(row is each for each in self._new):
            self._new.append(row)
            self._rows.append(row)

    def write(self) -> None:
        """Write new and changed grants. Their events must have been written."""
        Grant.objects.bulk_create(self._new)
        for row in self._changed.values():
            save(row, opened=row.is_active and row.pk not in self._was_active)
        self._was_active = {row.pk for row in self._rows if row.pk and row.is_active}
        self._new, self._changed = [], {}

    def _of_product(self, event: EventLog) -> list[Grant]:
        """Return the product's grants that an event without order or subscription is about.

        The event may be decided long after it came, so what was bought meanwhile is left out.
        """
        if event.trigger in {None, Trigger.PRODUCT_PURCHASED} or event.customer is None:
            return []  # each purchase stands alone, and an event by hand is about none
        same = Grant.objects.filter(
            source=Grant.Source.PURCHASE,
            marketplace=event.marketplace_id,
            product=event.product_id,
        )
        same = same.exclude(opened_at__gt=event.received_at)
        same = same.select_related("customer", "integration")
        own = same.filter(customer=event.customer)
        for_others = same.filter(event__customer=event.customer).exclude(customer=event.customer)
        return self.know([*own, *for_others.exclude(integration__student_field="")])


def logged(*which: Q, **facts: Any) -> QuerySet[EventLog]:
    """Return those of these events that are trusted, in receipt order."""
    events = EventLog.objects.filter(*which, **facts).trusted()
    return events.select_related("customer").order_by("received_at", "pk")


def log_of(sale: Sale) -> list[EventLog]:
    """Return the events of a purchase so far, as `logged` does."""
    found = logged(near([sale]), marketplace=sale.marketplace)
    return [each for each in found if sale.is_same(Sale.of(each))]


def courses_of(run: RuleRun) -> list[int]:
    """Return the known courses of the bundle that the run is about, or []."""
    if run.spec.target != Destination.Kind.BUNDLE or run.destination_id is None:
        return []
    rows = Destination.objects.filter(
        integration=run.integration_id,
        kind=Destination.Kind.BUNDLE,
        external_id=run.destination_id,
    )
    return sorted(set(chain.from_iterable(rows.values_list("course_ids", flat=True))))


def change_of(event: EventLog, run: RuleRun, *, by_hand: bool = False) -> Change:
    """Return what the run changes; `by_hand` if a person wants it now, whatever was decided."""
    assert run.integration_id is not None
    return Change(
        run.integration_id,
        run.target,
        frozenset([run.target, *(course_target(n) for n in courses_of(run))]),
        ledger.BY_HAND if by_hand else str(event.trigger),
        timezone.now() if by_hand else event.received_at,
        event,
    )


def known_since(account: int | None) -> datetime:
    """Return the time since which the ledger knows every sale of the account.

    Events older than the ledger may have been removed before it read them.
    """
    accounts = Marketplace.objects.filter(pk__in=[account])
    began = History.objects.values_list("began_at", flat=True)
    return max([*accounts.values_list("created_at", flat=True), *began])
