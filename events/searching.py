"""Searching events and actions: by e-mail or its beginning, order number, start of a name."""

from django.db.models import Q, QuerySet

from events.models import EventLog, RuleRun
from integrations.models import Customer

# So many people are looked at; who means more of them types more.
MOST_PEOPLE = 200
LONGEST_TERM = 320


def people(term: str) -> list[int]:
    """The customers whose e-mail or name begins so, by number; bounded."""
    word = term.strip()[:LONGEST_TERM].replace("\x00", "")
    if not word:
        return []
    by_email = Customer.objects.filter(email__startswith=word.lower())
    by_name = Customer.objects.filter(
        Q(first_name__istartswith=word) | Q(last_name__istartswith=word)
    )
    first, _, last = word.partition(" ")
    if last.strip():
        by_name = Customer.objects.filter(
            first_name__istartswith=first, last_name__istartswith=last.strip()
        )
    found = list(by_email.values_list("pk", flat=True)[:MOST_PEOPLE])
    return found + list(by_name.values_list("pk", flat=True)[: MOST_PEOPLE - len(found)])


def events(rows: QuerySet[EventLog], term: str) -> QuerySet[EventLog]:
    """Those of these events that the term means; all of them for an empty one."""
    word = term.strip()[:LONGEST_TERM].replace("\x00", "")
    if not word:
        return rows
    return rows.filter(Q(order_id=word[:64]) | Q(customer__in=people(word)))


def runs(rows: QuerySet[RuleRun], term: str) -> QuerySet[RuleRun]:
    """Those of these runs that the term means; all of them for an empty one."""
    word = term.strip()[:LONGEST_TERM].replace("\x00", "")
    if not word:
        return rows
    orders = EventLog.objects.filter(order_id=word[:64]).order_by("-pk")
    events_of_order = list(orders.values_list("pk", flat=True)[:MOST_PEOPLE])
    return rows.filter(Q(event__in=events_of_order) | Q(customer__in=people(word)))
