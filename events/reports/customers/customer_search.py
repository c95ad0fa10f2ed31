"""Find a customer by what a person knows: e-mail or a part of it, name, order number."""

import difflib
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, islice, product
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from events.models import Delivery, EventLog, EventTerm
from events.receiving import spool_contents
from events.reports import activity_search
from integrations.finding import search, slips
from integrations.models import Customer, Marketplace, SearchTerm
from integrations.samcart.normalize import normalize_email
from integrations.search_terms import fold, visible, words

MAX_RESULTS = 50
SIMILAR = 5
# At most this many addresses are compared with a mistyped one.
COMPARED = 2000
LONGEST = 320
# At most this many words of a mistyped name are looked at, and this many ways to put it right.
WORDS, TRIED = 3, 4


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What fits: customers, and events without one, because their e-mail address cannot be used.

    If nothing fits, `similar` customers have an address that looks like what was typed, and
    `unseen` says what the search could not look into. `only` is the one person the term can mean.
    """

    customers: list[Customer] = field(default_factory=list)
    events: list[EventLog] = field(default_factory=list)
    only: Customer | None = None
    similar: list[Customer] = field(default_factory=list)
    similar_events: list[EventLog] = field(default_factory=list)
    unseen: "Unseen | None" = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """What no search looks into: how many were not read yet, and how many cannot be read.

    `days` is the age in days at which events are removed, 0 if none can be that old.
    """

    unread: int
    unreadable: int
    days: int


def find(term: str, *, most: int = MAX_RESULTS) -> SearchResult:
    """Return at most `most` of each. An exact e-mail or order number gives only its own result."""
    word = visible(term[:LONGEST])
    if not word:
        return SearchResult()
    meant = search.exact(word)
    events = [] if meant else list(activity_search.of_order(word).order_by("-pk")[:most])
    by_number = bool(events)
    if not by_number:
        events = _events(activity_search.as_sent(word, most=most))
    nobodys = [event for event in events if event.customer_id is None]
    if meant is not None:
        return SearchResult([meant], nobodys, only=None if nobodys else meant)
    customers = list(
        Customer.objects.filter(pk__in={event.customer_id for event in events}).order_by("email")
    )
    if not by_number:
        customers = list(dict.fromkeys([*search.customers(word, most=most), *customers]))
    if not (customers or nobodys):
        found, similar_events = similar(word)
        return SearchResult(similar=found, similar_events=similar_events, unseen=_unseen())
    # An address that only contains a whole one is another person's: shown, but not opened.
    email = normalize_email(word)
    sure = not email or (bool(customers) and fold(customers[0].email) == fold(email))
    alone = sure and not nobodys and len(customers) == 1
    return SearchResult(customers, nobodys, only=customers[0] if alone else None)


def newest(most: int) -> list[Customer]:
    """Return the customers whom Admit learned of last, newest first."""
    return list(Customer.objects.order_by("-pk")[:most])


def _events(pks: list[int]) -> list[EventLog]:
    found = EventLog.objects.filter(pk__in=pks).select_related("product")
    return list(found.order_by("-received_at", "-pk"))


def _unseen() -> Unseen:
    """Return what was received and could not be searched, including this machine's spool."""
    new = Delivery.objects.filter(state=Delivery.State.NEW).order_by()[:COMPARED].count()
    try:
        spooled = spool_contents.files()["waiting"]
    except OSError:
        spooled = 0
    unreadable = EventLog.objects.filter(
        status=EventLog.Status.UNREADABLE, dealt_with_at=None
    ).order_by()
    days: int = settings.KEEP_EVENTS_DAYS
    began = Marketplace.objects.filter(created_at__lt=timezone.now() - timedelta(days=days))
    removed = days if days and began.exists() else 0
    return Unseen(new + spooled, unreadable[:COMPARED].count(), removed)


def similar(word: str) -> tuple[list[Customer], list[EventLog]]:
    """Return customers and events whose address or name differs from the word by a slip.

    Such an address has the same name at another domain, or a few other letters. In a name, each
    word may have one slip.
    """
    email = normalize_email(word) or word.lower()
    if not email.rpartition("@")[0]:
        return _named_like(word), []
    terms: QuerySet[Any] = SearchTerm.objects.all()
    customers = _close(email, terms, "customer", "customer__email")
    of_events: QuerySet[Any] = EventTerm.objects.filter(event__customer=None)
    events = _close(email, of_events, "event", "event__email_as_sent")
    found = Customer.objects.filter(pk__in=customers).order_by("email")
    return list(found), _events(events)


def _named_like(text: str) -> list[Customer]:
    """Return customers whose terms begin with each word of the text, put right by one slip each.

    Every word costs a query or two, each of which reads a few places of the index.
    """
    meant = [_meant(word) for word in words(text)[:WORDS]]
    if not all(meant):
        return []
    tried = [" ".join(each) for each in islice(product(*meant), TRIED)]
    found = (search.customers(each, most=SIMILAR, anywhere=False) for each in tried)
    return list(dict.fromkeys(chain.from_iterable(found)))[:SIMILAR]


def _meant(word: str) -> list[str]:
    """Return the word itself if a term begins with it, else what it may have been meant to be."""
    if SearchTerm.objects.filter(search.begins(word)).exists():
        return [word]
    likely = list(dict.fromkeys(slips.one_slip(word)))
    if not likely:
        return []
    # In no order: SQLite would compare all terms with all of these words, which takes seconds.
    whole = SearchTerm.objects.filter(search.are_words(likely, begin=2 * len(word))).order_by()
    # A name with which an address begins has no term of its own.
    alike = SearchTerm.objects.filter(search.begins(word[:2])).order_by("term")
    for terms in (whole, alike):
        rows = terms.values_list("term", flat=True)[:COMPARED]
        known = {slips.head(bytes(term).decode()) for term in rows}
        if found := [each for each in likely if each in known]:
            return found[:TRIED]
    return []


def _close(email: str, terms: QuerySet[Any], owner: str, address: str) -> list[int]:
    """Return the IDs of the owners whose addresses look like this one."""
    name, _, domain = email.rpartition("@")

    def addresses(beginning: str, *, end: str = "") -> dict[str, int]:
        """Return {address: owner ID} for addresses with this end and a term that begins so."""
        of_terms = terms.filter(search.begins(beginning), **{f"{address}__endswith": end})
        return dict(of_terms.order_by("term").values_list(address, owner)[:COMPARED])

    same_name = addresses(f"{fold(name)}@")
    known = dict(same_name)
    for beginning in _beginnings(fold(name)):
        known |= addresses(beginning, end=domain[-6:])
    close = difflib.get_close_matches(email, known, n=SIMILAR, cutoff=0.8)
    # Only the domain has a slip: others who are called so or alike were not meant.
    likely = [each for each in close if each in same_name] or [*same_name, *close]
    return [known[each] for each in dict.fromkeys(likely)][:SIMILAR]


def _beginnings(name: str) -> list[str]:
    """Return the first two letters, also as they are if two of the first three were swapped."""
    swapped = [name[1::-1], name[0] + name[2]] if len(name) > 2 else []
    return list(dict.fromkeys([name[:2], *swapped]))
