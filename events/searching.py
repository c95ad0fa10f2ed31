"""Searching events and actions by customer or order number."""

from django.db.models import Q, QuerySet

from events.models import EventLog, RuleRun
from integrations import search
from integrations.terms import visible

# So many people are looked at; who means more of them types more.
MOST_PEOPLE = 200
LONGEST_TERM = 320


def people(term: str) -> list[int]:
    """The customers whom the term means, by number; bounded."""
    meant = search.exact(term)
    found = [meant] if meant else search.customers(term, most=MOST_PEOPLE)
    return [customer.pk for customer in found]


def events(rows: QuerySet[EventLog], term: str) -> QuerySet[EventLog]:
    """Those of these events that the term means; all of them for an empty one."""
    word = visible(term[:LONGEST_TERM])
    if not word:
        return rows
    return rows.filter(Q(order_id=word[:64]) | Q(customer__in=people(word)))


def runs(rows: QuerySet[RuleRun], term: str) -> QuerySet[RuleRun]:
    """Those of these runs that the term means; all of them for an empty one."""
    word = visible(term[:LONGEST_TERM])
    if not word:
        return rows
    orders = EventLog.objects.filter(order_id=word[:64]).order_by("-pk")
    events_of_order = list(orders.values_list("pk", flat=True)[:MOST_PEOPLE])
    return rows.filter(Q(event__in=events_of_order) | Q(customer__in=people(word)))
