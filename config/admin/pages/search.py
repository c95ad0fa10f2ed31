"""One search for all: customers, orders, products, courses, rules, schools and pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from config.admin import menu, pages_by_name
from config.admin.parts import badges, params
from config.admin.parts.buttons import links, links_to_customers, page_of
from config.admin.parts.page import Page, render
from events.models import EventLog
from events.reports import activity_search
from events.reports.customers import customer_access, customer_search
from integrations.finding import search
from integrations.finding.slips import names_like
from integrations.models import Customer, Destination, Integration, Product
from integrations.product_names import former_names, formerly_named
from integrations.search_terms import visible
from integrations.sentences import Text, joined, say, say_count
from rules.every_product import means_every_product
from rules.models import Rule

Named = TypeVar("Named", Product, Destination, Integration)
# How many hits of each kind, and how many while a person types. The group links to all of them.
MAX_HITS, MAX_HITS_TYPING = 8, 4
# Shorter words match too much to be searched while a person types.
SHORTEST = 2


@dataclass(frozen=True, slots=True)
class Hit:
    """A line of the results. `exact`: it has exactly the name or number that was typed.

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
    """The hits of one kind. `url` is the list that shows all of them, "" if there is none."""

    title: str
    hits: Sequence[Hit]
    url: str = ""

    @property
    def is_exact(self) -> bool:
        return any(hit.exact for hit in self.hits)


def _customers(word: str, most: int) -> Group:
    exact = search.exact(word)
    # Only what an index finds: names and addresses that begin with the word.
    found = [exact] if exact else search.customers(word, most=most, anywhere=False)
    hits = [
        Hit(
            page_of(each),
            badges.brief(each.readable_email),
            badges.brief(each.name),
            each == exact,
            access=_access(each) if each == exact else "",
        )
        for each in found
    ]
    return Group(say("Customers"), hits, _list("integrations_customer", q=word))


def _access(customer: Customer) -> str:
    """Return the first line of the customer's page."""
    lines = customer_access.describe(customer).lines
    return lines[0].text if lines else ""


def _orders(word: str, most: int) -> Group:
    found = list(_newest(activity_search.of_order(word), most))
    by_number = bool(found)
    if not by_number:
        # Else by an e-mail address that could not be used.
        pks = activity_search.as_sent(word, most=most, anywhere=False)
        found = list(_newest(EventLog.objects.filter(pk__in=pks), most)) if pks else []
    hits = [
        Hit(
            page_of(event),
            say(
                "Order {number}: {what}",
                number=badges.brief(event.order_id),
                what=event.what_happened or say("Unknown event"),
            ),
            _of_whom(event),
            exact=by_number or _is(word, event.email_as_sent),
            more_url=page_of(event.customer) if event.customer else "",
        )
        for event in found
    ]
    return Group(say("Orders"), hits, _list("events_eventlog", q=word))


def _of_whom(event: EventLog) -> str:
    """Return "Dana Whitfield · dana@example.com"; only the address as sent if it is unusable."""
    customer = event.customer
    if event.as_sent or customer is None:
        return badges.brief(event.as_sent)
    return _of_name(customer)


def _newest(events: QuerySet[EventLog], most: int) -> QuerySet[EventLog]:
    return events.select_related("product", "customer").order_by("-pk")[:most]


def _products(word: str, most: int) -> Group:
    named = Q(name__icontains=word) | Q(external_id=word[:64])
    rows = list(_shortest(Product.objects.filter(named | formerly_named(word)), most))
    renamed = [each for each in rows if word.casefold() not in each.name.casefold()]
    former = former_names(word, renamed)
    found = [
        Hit(
            page_of(each),
            badges.brief(each.name),
            _number(each, former.get(each.pk, "")),
            exact=_is(word, each.name) or word == each.external_id,
        )
        for each in rows
    ]
    return Group(say("Products"), found, _list("integrations_product", q=word))


def _number(product: Product, former: str) -> str:
    """Return the SamCart ID, and the former name by which the product was found, if any."""
    number = badges.brief(product.external_id)
    if not former:
        return number
    return joined([number, say("formerly {name}", name=badges.brief(former))], " · ")


def _courses(word: str, most: int) -> Group:
    number = params.row_id(word)
    named = Q(name__icontains=word) | (Q() if number is None else Q(external_id=number))
    rows = Destination.objects.filter(named).select_related("integration")
    found = [
        Hit(
            page_of(each),
            badges.destination(each),
            f"{each.external_id} · {each.integration}",
            _is(word, each.name) or each.external_id == number,
        )
        for each in _shortest(rows, most)
    ]
    return Group(say("Courses and bundles"), found, _list("integrations_destination", q=word))


def _rules(word: str, most: int) -> Group:
    named = Q(product__name__icontains=word) | Q(destination__name__icontains=word)
    # What is sent to a Notify URL has no course, so its receiver is looked for.
    named |= Q(destination=None, integration__name__icontains=word)
    if means_every_product(word):
        named |= Q(product=None)
    rows = Rule.objects.filter(named).with_names()
    found = [
        Hit(page_of(each), badges.legible(each.in_words(), 300))
        for each in rows.order_by("pk")[:most]
    ]
    return Group(say("Rules"), found)


def _integrations(word: str, most: int) -> Group:
    rows = Integration.objects.filter(Q(name__icontains=word) | Q(site__icontains=word))
    found = [
        Hit(page_of(each), badges.brief(each.name), badges.brief(each.site), _is(word, each.name))
        for each in _shortest(rows, most)
    ]
    return Group(say("Integrations"), found)


def _shortest(rows: QuerySet[Named], most: int) -> QuerySet[Named]:
    """Return some of these, the shortest name first: a full match before names that contain it."""
    return rows.order_by(Length("name"), "name", "pk")[:most]


def _is(word: str, name: str) -> bool:
    return word.casefold() == name.casefold()


def _list(name: str, **asked: str) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode(asked)}"


# Each kind with the permission to see it.
KINDS: Sequence[tuple[str, Callable[[str, int], Group]]] = (
    ("integrations.view_customer", _customers),
    ("events.view_eventlog", _orders),
    ("integrations.view_product", _products),
    ("integrations.view_destination", _courses),
    ("rules.view_rule", _rules),
    ("integrations.view_integration", _integrations),
)


# What is also found by a name that is almost right, and how many names of each are compared.
NAMED: Sequence[tuple[str, type[Product] | type[Destination]]] = (
    ("integrations.view_product", Product),
    ("integrations.view_destination", Destination),
)
COMPARED, SIMILAR = 2000, 3


def _pages(request: HttpRequest, word: str) -> Group:
    hits = [
        Hit(url, label, exact=_is(word, str(label)))
        for url, label in pages_by_name.find(request, word)
    ]
    return Group(say("Pages"), hits)


def _groups(request: HttpRequest, word: str, most: int) -> list[Group]:
    """Return the groups that the person may see, with exact hits first. Takes a few queries."""
    found = [find(word, most) for permission, find in KINDS if menu.allowed(request, permission)]
    found.append(_pages(request, word))
    return sorted((each for each in found if each.hits), key=lambda each: not each.is_exact)


def show(request: HttpRequest) -> HttpResponse:
    """Show the results. With `open` in the address, go to the only result if there is just one."""
    word = visible(params.word(request.GET.get("q")))
    groups = _groups(request, word, MAX_HITS) if word else []
    found = [hit for group in groups for hit in group.hits]
    if len(found) == 1 and "open" in request.GET:
        return HttpResponseRedirect(found[0].url)
    return render(
        request,
        "admin/search.html",
        title=say("Search"),
        term=word,
        groups=groups,
        most=MAX_HITS,
        similar="" if groups else _similar(request, word),
    )


def _similar(request: HttpRequest, word: str) -> str:
    """Return links to what is called almost like the word, of what the person may see.

    These are customers, by name or address, then products, and courses and bundles.
    """
    found: list[tuple[str, str]] = []
    if menu.allowed(request, "integrations.view_customer"):
        customers, _events = customer_search.similar(word)
        if "@" in word:
            return links_to_customers(customers, word)
        found += [(page_of(each), _of_name(each)) for each in customers]
    for permission, model in NAMED:
        if menu.allowed(request, permission):
            names = dict(
                model._default_manager.order_by("-pk").values_list("pk", "name")[:COMPARED]
            )
            like = names_like(word, names, SIMILAR)
            rows = model._default_manager.in_bulk(like)
            shown = [rows[pk] for pk in like if pk in rows]
            found += [(page_of(each), _name_among(each, shown)) for each in shown]
    return links(found[:MAX_HITS])


def _name_among(row: Product | Destination, others: Sequence[Product | Destination]) -> str:
    """Return the name, with the school if another course of the same name is offered too."""
    name = badges.brief(row.name)
    if isinstance(row, Destination) and sum(each.name == row.name for each in others) > 1:
        return say("{course} on {site}", course=name, site=row.integration)
    return name


def _of_name(customer: Customer) -> str:
    return joined([badges.brief(customer.name), badges.brief(customer.readable_email)], " · ")


def hits(request: HttpRequest) -> HttpResponse:
    """Return the list below the field while a person types: a part of a page."""
    word = visible(params.word(request.GET.get("q")))
    groups = _groups(request, word, MAX_HITS_TYPING) if len(word) >= SHORTEST else []
    number = sum(len(group.hits[:MAX_HITS_TYPING]) for group in groups)
    said = say_count(number, "1 result", "{number} results") if number else say("No result")
    answer = TemplateResponse(
        request,
        "admin/find_hits.html",
        {"groups": groups, "term": word, "most": f":{MAX_HITS_TYPING}", "said": said},
    )
    answer["Cache-Control"] = "no-store"
    return answer


PAGES = [
    Page("search/", "search", show, ""),
    Page("search/hits/", "search-hits", hits, ""),
]
