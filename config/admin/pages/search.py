"""One search for all: customers, orders, products, courses, rules and pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from config.admin import menu
from config.admin.parts import badges, params
from config.admin.parts.page import Page, render
from events.models import EventLog
from events.reports import activity_search, customer_access
from integrations import search
from integrations.models import Customer, Destination, Product
from integrations.search_terms import visible
from integrations.sentences import Text, say
from rules.models import Rule

Named = TypeVar("Named", Product, Destination)
# So many of each kind; the list behind the group shows the others.
MOST = 8


@dataclass(frozen=True, slots=True)
class Hit:
    """A line of the results. It is `exact` where it has the very name or number.

    `more_url` is the page of what `more` names. `access` says whether the customer can get in.
    """

    url: str
    label: Text
    more: str = ""
    exact: bool = False
    more_url: str = ""
    access: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one kind. `url` is the list that shows all of them, "" where there is none."""

    title: str
    hits: Sequence[Hit]
    url: str = ""

    @property
    def is_exact(self) -> bool:
        return any(hit.exact for hit in self.hits)


def _customers(word: str) -> Group:
    exact = search.exact(word)
    # Only what an index finds: names and addresses that begin so.
    found = [exact] if exact else search.customers(word, most=MOST, anywhere=False)
    hits = [
        Hit(
            _page(each),
            badges.brief(each.readable_email),
            badges.brief(each.name),
            each == exact,
            access=_access(each) if each == exact else "",
        )
        for each in found
    ]
    return Group(say("Customers"), hits, _list("integrations_customer", q=word))


def _access(customer: Customer) -> str:
    """What the customer's page says first."""
    lines = customer_access.describe(customer).lines
    return lines[0].text if lines else ""


def _orders(word: str) -> Group:
    found = list(_newest(activity_search.of_order(word)))
    by_number = bool(found)
    if not by_number:
        # By an e-mail address that cannot be used.
        pks = activity_search.as_sent(word, most=MOST, anywhere=False)
        found = list(_newest(EventLog.objects.filter(pk__in=pks))) if pks else []
    hits = [
        Hit(
            _page(event),
            say(
                "Order {number}: {what}",
                number=badges.brief(event.order_id),
                what=event.what_happened or say("Unknown event"),
            ),
            badges.brief(event.as_sent or (event.customer and event.customer.readable_email)),
            exact=by_number or _is(word, event.email_as_sent),
            more_url=_page(event.customer) if event.customer else "",
        )
        for event in found
    ]
    return Group(say("Orders"), hits, _list("events_eventlog", q=word))


def _newest(events: QuerySet[EventLog]) -> QuerySet[EventLog]:
    return events.select_related("product", "customer").order_by("-pk")[:MOST]


def _products(word: str) -> Group:
    rows = Product.objects.filter(Q(name__icontains=word) | Q(external_id=word[:64]))
    found = [
        Hit(
            _page(each),
            badges.brief(each.name),
            badges.brief(each.external_id),
            exact=_is(word, each.name) or word == each.external_id,
        )
        for each in _shortest(rows)
    ]
    return Group(say("Products"), found, _list("integrations_product", q=word))


def _courses(word: str) -> Group:
    rows = Destination.objects.filter(name__icontains=word).select_related("integration")
    found = [
        Hit(_page(each), badges.destination(each), str(each.integration), _is(word, each.name))
        for each in _shortest(rows)
    ]
    return Group(say("Courses and bundles"), found, _list("integrations_destination", q=word))


def _rules(word: str) -> Group:
    named = Q(product__name__icontains=word) | Q(destination__name__icontains=word)
    rows = Rule.objects.filter(named).select_related("product", "destination", "integration")
    found = [
        Hit(_page(each), badges.legible(each.in_words(), 300))
        for each in rows.order_by("pk")[:MOST]
    ]
    return Group(say("Rules"), found)


def _shortest(rows: QuerySet[Named]) -> QuerySet[Named]:
    """Some of these by name, the shortest first: a whole name before one that contains it."""
    return rows.order_by(Length("name"), "name", "pk")[:MOST]


def _is(word: str, name: str) -> bool:
    return word.casefold() == name.casefold()


def _page(row: Model) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


def _list(name: str, **asked: str) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode(asked)}"


# Each kind with the permission to see it.
KINDS: Sequence[tuple[str, Callable[[str], Group]]] = (
    ("integrations.view_customer", _customers),
    ("events.view_eventlog", _orders),
    ("integrations.view_product", _products),
    ("integrations.view_destination", _courses),
    ("rules.view_rule", _rules),
)


# Pages of the person's own, which the menu at the top right leads to.
OWN = (
    (_("My account: time zone"), "admin:account"),
    (_("Sessions"), "admin:sessions"),
    (_("Second factor"), "admin:second-factor"),
    (_("Change password"), "admin:password_change"),
)


def _pages(request: HttpRequest, word: str) -> Group:
    lines = [line for part in menu.for_person(request) for line in part["lines"]]
    lines += [{"label": label, "url": reverse(name)} for label, name in OWN]
    hits = [
        Hit(line["url"], line["label"], exact=_is(word, line["label"]))
        for line in lines
        if word.casefold() in line["label"].casefold()
    ]
    return Group(say("Pages"), hits)


def show(request: HttpRequest) -> HttpResponse:
    """The results, the groups with an exact hit first; a handful of queries."""
    word = visible(params.word(request.GET.get("q")))
    groups = []
    if word:
        groups = [find(word) for permission, find in KINDS if menu.allowed(request, permission)]
        groups.append(_pages(request, word))
    return render(
        request,
        "admin/search.html",
        title=say("Search"),
        term=word,
        groups=sorted((each for each in groups if each.hits), key=lambda each: not each.is_exact),
        most=MOST,
    )


PAGES = [Page("search/", "search", show, "")]
