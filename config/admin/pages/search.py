"""One search for all: customers, orders, products, courses, rules, schools and pages."""

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from config.admin import menu, pages_by_name
from config.admin.pages.search_groups import KINDS, Group, Hit, is_same, of_name
from config.admin.parts import badges, params
from config.admin.parts.buttons import links, links_to_customers, page_of
from config.admin.parts.page import Page, render
from events.reports.customers import customer_search
from integrations.finding.slips import names_like
from integrations.models import Destination, Product
from integrations.search_terms import visible
from integrations.sentences import say, say_count

# How many hits of each kind, and how many while a person types. The group links to all of them.
MAX_HITS, MAX_HITS_TYPING = 8, 4
# Shorter words match too much to be searched while a person types.
SHORTEST = 2
# What is also found by a name that is almost right, and how many names of each are compared.
NAMED: Sequence[tuple[str, type[Product] | type[Destination]]] = (
    ("integrations.view_product", Product),
    ("integrations.view_destination", Destination),
)
COMPARED, SIMILAR = 2000, 3


def _pages(request: HttpRequest, word: str) -> Group:
    hits = [
        Hit(url, label, exact=is_same(word, str(label)))
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
        found += [(page_of(each), of_name(each)) for each in customers]
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
