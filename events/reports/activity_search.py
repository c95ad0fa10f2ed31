"""Search events and actions by customer or order number."""

import contextlib
import re

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.translation import gettext, override

from events.models import EventLog, EventTerm, RuleRun
from integrations.finding import search
from integrations.samcart.normalize import normalize_id
from integrations.samcart.unreadable import Unreadable
from integrations.search_terms import visible

# A search finds this many people at most; a longer text finds the others.
MAX_PEOPLE = 200
LONGEST_TERM = 320


def people(term: str) -> list[int]:
    """Return the IDs of the customers whom the term means, at most MAX_PEOPLE."""
    meant = search.exact(term)
    found = [meant] if meant else search.customers(term, most=MAX_PEOPLE)
    return [customer.pk for customer in found]


def of_order(number: str) -> QuerySet[EventLog]:
    """Return this order's events, however its number is written: 1183, #1183, 01183, Order 1183."""
    meant = set()
    for written in {number, _without_word(number)}:
        with contextlib.suppress(Unreadable):
            meant.add(normalize_id(written.strip().removeprefix("#"), what="order id"))
    return EventLog.objects.filter(order_id__in=meant - {""})


def _without_word(number: str) -> str:
    """Return the number without the word that our pages write before it, in any language."""
    for language, _ in settings.LANGUAGES:
        with override(language):
            word = gettext("order %(number)s").partition("%")[0].strip()
        if found := re.match(rf"\s*{re.escape(word)}[\s:]+(?=\S)", number, re.IGNORECASE):
            return number[found.end() :]
    return number


def as_sent(term: str, *, most: int = MAX_PEOPLE, anywhere: bool = True) -> list[int]:
    """Return the IDs of events whose unusable e-mail address or name the term means.

    There are at most `most`; `anywhere` is as for `search.customers`.
    """
    return search.owners(EventTerm.objects.all(), "event", term, most=most, anywhere=anywhere)


def events(rows: QuerySet[EventLog], term: str) -> QuerySet[EventLog]:
    """Return those of the events that the term means; all of them for an empty term."""
    word = visible(term[:LONGEST_TERM])
    if not word:
        return rows
    return rows.filter(Q(pk__in=[*_of_order(word), *as_sent(word)]) | Q(customer__in=people(word)))


def runs(rows: QuerySet[RuleRun], term: str) -> QuerySet[RuleRun]:
    """Return those of the runs that the term means; all of them for an empty term."""
    word = visible(term[:LONGEST_TERM])
    if not word:
        return rows
    events_meant = [*_of_order(word), *as_sent(word)]
    return rows.filter(Q(event__in=events_meant) | Q(customer__in=people(word)))


def _of_order(word: str) -> list[int]:
    newest = of_order(word).order_by("-pk").values_list("pk", flat=True)
    return list(newest[:MAX_PEOPLE])
