"""New rule, step by step: for what, which app and action, on which trigger, which course or bundle.

Each step is a GET whose earlier answers travel as hidden fields; only the last one changes
anything, by POST. So it works without script, and Back is a link.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from config.admin.pages.app_pages import APP_PAGES
from config.admin.pages.integration_messages import refreshed
from config.admin.pages.rule_draft import DELAY_DAYS, GIVEN, MAX_PRODUCTS, Draft, ends_all_help
from config.admin.parts.buttons import go_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids, row_in
from events.reports import backfill
from events.reports.rule_preview import preview
from integrations import app_registry, catalog_refresh
from integrations.app_registry import APPS
from integrations.models import Destination, Integration, Product
from integrations.thinkific import catalog
from rules import changing, pairing
from rules.actions import ACTIONS
from rules.models import Rule
from rules.triggers import Category, Trigger

# For so many of the rules of a draft what they would have done is looked up.
PREVIEWED = 3
ADDRESS = "new-rule/"
MANY = 60
# For each product its rule, and those that end access and give it back.
MOST_RULES = MAX_PRODUCTS * (1 + len(pairing.ENDS) + len(pairing.GIVES_BACK))


def show(request: HttpRequest) -> HttpResponse:
    """The next step by GET; the rules are made by POST."""
    if request.method == "POST":
        return _add(request)
    draft = Draft.read(request.GET)
    if draft.marketplace is None or not Integration.objects.exists():
        return render(request, "admin/new_rule/before.html", title="New rule", draft=draft)
    # Who looks for more products has not answered yet; those that she ticked stay ticked.
    step = "for" if "find" in request.GET else draft.step()
    before = draft.before(step)
    return render(
        request,
        f"admin/new_rule/{step}.html",
        title="New rule",
        draft=draft,
        step=step,
        number=draft.steps().index(step),
        hidden=draft.answers(without=GIVEN[step] if step in {"for", "confirm"} else ()),
        back="" if before is None else f"?{urlencode(before)}",
        **_choices(request, draft, step),
    )


def _choices(request: HttpRequest, draft: Draft, step: str) -> dict[str, Any]:
    word = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    if step == "for":
        named = Product.objects.filter(name__icontains=word).order_by("name", "pk")
        found = list(named.exclude(pk__in=[product.pk for product in draft.products])[: MANY + 1])
        return {"q": word, "products": found[:MANY], "more": len(found) > MANY, "most": MANY}
    if step in {"app", "action"}:
        return _apps(draft)
    if step == "trigger":
        offered = [each for each in Category if draft.everywhere or each is Category.ECOMMERCE]
        return {"groups": [(e.label, [t for t in Trigger if t.category is e]) for e in offered]}
    if step == "destination":
        found = draft.offered()
        courses = list(found.filter(name__icontains=word)[: MANY + 1])
        shown = courses[:MANY]
        return {
            "q": word,
            "shown": shown,
            "more": len(courses) > MANY,
            "most": MANY,
            "inside": _inside(draft, shown),
            "any": found.exists(),
            "none_listed": catalog.NONE_LISTED,
        }
    rules = draft.rules()
    fresh, there = _told_apart(rules)
    before = backfill.preview(*there)
    return {
        "sentences": [(rule.in_words(), _would_have(rule, at)) for at, rule in enumerate(fresh)],
        "there": [(rule, before.customers_of(rule)) for rule in there],
        "gives_on_purchase": any(map(backfill.gives_on_purchase, there)),
        "pairs": pairing.by_trigger(pairing.companions(rules)),
        "delay_days_help": DELAY_DAYS,
        "ends_all_help": ends_all_help(rules[0]) if rules[0].spec.ends_access else "",
    }


def _would_have(rule: Rule, at: int) -> list[str]:
    """What the rule would have done lately, for the first of many."""
    return preview(rule).sentences() if at < PREVIEWED else []


def _apps(draft: Draft) -> dict[str, Any]:
    """The apps to choose from, or the integrations and actions of the chosen one."""
    cards = [(app, APP_PAGES[app.key.value].meaning) for app in draft.apps]
    others = [app for app in APPS.values() if app not in draft.apps]
    if draft.app is None:
        return {"cards": cards, "others": others}
    app = draft.app.key
    return {
        "integrations": Integration.objects.filter(app=app).order_by("name"),
        "actions": [action for action in ACTIONS.values() if action.app == app],
        "others": others,
    }


def _told_apart(rules: list[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Those that are still to be made, and the stored ones that do the same as the others."""
    found = [(rule, pairing.stored(rule)) for rule in rules]
    return (
        [rule for rule, stored in found if stored is None],
        [stored for _, stored in found if stored is not None],
    )


def _inside(draft: Draft, shown: list[Destination]) -> dict[int, str]:
    """{bundle: the names of its courses}"""
    wanted = {course for bundle in shown for course in bundle.course_ids}
    if not wanted:
        return {}
    rows = Destination.objects.filter(
        integration=draft.integration, kind=Destination.Kind.COURSE, external_id__in=wanted
    )
    names = dict(rows.values_list("external_id", "name"))
    return {
        bundle.pk: ", ".join(names[course] for course in bundle.course_ids if course in names)
        for bundle in shown
    }


def _exists(number: int) -> str:
    return "this rule exists" if number == 1 else f"these {number} rules exist"


def _add(request: HttpRequest) -> HttpResponse:
    draft = Draft.read(request.POST)
    if draft.step() != "confirm":
        messages.error(request, "Something was missing or has gone meanwhile. Choose it again.")
        return HttpResponseRedirect(f"{reverse('admin:new-rule')}?{urlencode(draft.answers())}")
    if draft.destination is not None and draft.by_number is not None:
        catalog.enter(draft.destination)
    rules = draft.rules()
    fresh, there = _told_apart(rules)
    if "with_pairs" in request.POST:
        ticked = request.POST.getlist("pair")
        fresh += [rule for rule in pairing.companions(rules) if rule.trigger in ticked]
    if not fresh:
        messages.warning(request, f"Nothing was added: {_exists(len(there))} already.")
    made = []
    for rule in fresh:
        try:
            changing.add(rule)
        except ValidationError as error:
            messages.warning(request, f"Not added: {rule.in_words()} {' '.join(error.messages)}")
        else:
            made.append(rule)
    if not made:
        return HttpResponseRedirect(f"{reverse('admin:new-rule')}?{urlencode(draft.answers())}")
    query = urlencode([("rule", rule.pk) for rule in made])
    return HttpResponseRedirect(f"{reverse('admin:new-rule-added')}?{query}")


def added(request: HttpRequest) -> HttpResponse:
    """What comes next after rules were added: earlier buyers, a simulation, or the next rule."""
    numbers = row_ids(request.GET.getlist("rule"))[:MOST_RULES]
    rules = Rule.objects.filter(pk__in=numbers).select_related(
        "product", "integration", "destination"
    )
    made = list(rules.order_by("pk"))
    before = backfill.preview(*made)
    return render(
        request,
        "admin/new_rule/added.html",
        title="Rule added" if len(made) == 1 else f"{len(made)} rules added",
        rows=[(rule, backfill.gives_on_purchase(rule), before.customers_of(rule)) for rule in made],
        more=before.more,
    )


@require_POST
def refresh(request: HttpRequest) -> HttpResponse:
    """Read the catalog again, and come back to the step."""
    sites = Integration.objects.filter(app__in=app_registry.with_catalog())
    site = row_in(sites, request.POST.get("integration"))
    if site is None:
        raise PermissionDenied
    refreshed(request, site, catalog_refresh.refresh(site))
    return go_back(request, reverse("admin:new-rule"))


PAGES = [
    Page(ADDRESS, "new-rule", show, "rules.add_rule"),
    Page(f"{ADDRESS}added/", "new-rule-added", added, "rules.add_rule"),
    Page(f"{ADDRESS}refresh/", "new-rule-refresh", refresh, "integrations.change_integration"),
]
