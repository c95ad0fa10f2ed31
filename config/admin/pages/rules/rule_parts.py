"""The parts of a rule's page: what each offers, and the outcome of the choices."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.http import urlencode

from config.admin.pages.integrations.app_pages import APP_PAGES
from config.admin.pages.rules import by_number_form, earlier_offer
from config.admin.pages.rules.rule_draft import DELAY_DAYS, Draft
from config.admin.parts.buttons import BACK, way_back
from config.admin.parts.params import word
from config.admin.parts.suggested import suggested
from events.reports.earlier.rule_preview import previews
from events.reports.products import given_by_hand, subscriptions
from integrations.app_registry import APPS
from integrations.finding.ordering import by_name
from integrations.models import Destination, Marketplace, Product
from integrations.sentences import Text, say, separated
from integrations.targets import Target
from integrations.thinkific import catalog
from rules import pairing
from rules.models import Rule
from rules.triggers import Category

# For how many of a draft's rules it is looked up what they would have done lately.
PREVIEWED = 3
SPELLED_OUT = 20
MAX_FOUND = 60
# Stands for the products if a rule is for all of them.
GLOBAL = "all"
# How much of each value an address keeps: enough to be refused as too long.
LONGEST_CHOICE = 2001
# Choices that belong to one school only.
OF_A_SCHOOL = ("destination", "number", "name", "courses_like")
# What the form sends beside the choices.
NOT_CHOICES = ("csrfmiddlewaretoken", "back", "go_on", by_number_form.USE)


def context(request: HttpRequest, draft: Draft, given: Any) -> dict[str, Any]:
    """Return what the templates of the parts need; `given` is the query or form of the draft."""
    groups = [
        (each.label, [t for t in draft.triggers() if t.category is each]) for each in Category
    ]
    found: dict[str, Any] = {
        "draft": draft,
        "most": MAX_FOUND,
        "groups": [group for group in groups if group[1]],
        "sites": [(site, APP_PAGES[site.app].meaning) for site in draft.integrations],
        "accounts": _accounts(draft),
        "actions": draft.actions(),
        "others": [a for k, a in APPS.items() if k not in {s.app for s in draft.integrations}],
        "delay_days_help": DELAY_DAYS,
        "here": _here(request, given),
        "open_products": not draft.is_for_some or "products_like" in given,
    }
    found |= _products(draft, word(given.get("products_like")))
    if draft.needs_destination:
        found |= _destinations(draft, word(given.get("courses_like")))
        found["elsewhere"] = _elsewhere(request, draft, given)
    if draft.rule is None and draft.is_complete:
        found |= _outcome(request, draft, given)
    return found


def is_choice(posted: Any) -> bool:
    """Return whether the post only chooses something, so that the page comes back with it."""
    return "go_on" in posted or by_number_form.USE in posted


def choices(given: Any, *, alone: bool = False) -> str:
    """Return the choices as a query. `alone`: at most one course or bundle may be chosen."""
    given = by_number_form.with_used(given, alone=alone)
    chosen = [(k, vs) for k, vs in given.lists() if k not in NOT_CHOICES]
    return urlencode([(k, v[:LONGEST_CHOICE]) for k, vs in chosen for v in vs if v])


def with_back(request: HttpRequest) -> str:
    """Return what to append to the choices so that the way back is kept; "" for none."""
    back = way_back(request)
    return f"&{urlencode({BACK: back})}" if back else ""


def _here(request: HttpRequest, given: Any) -> str:
    query = choices(given) + with_back(request)
    return f"{request.path}?{query.removeprefix('&')}" if query else request.path


def _accounts(draft: Draft) -> list[Marketplace]:
    """Return the accounts that a new global rule can be for, if there is more than one."""
    if not draft.everywhere or draft.rule is not None:
        return []
    accounts = list(Marketplace.objects.order_by("pk"))
    return accounts if len(accounts) > 1 else []


def _products(draft: Draft, like: str) -> dict[str, Any]:
    named = Product.objects.filter(name__icontains=like).order_by(by_name(), "pk")
    found = list(named[: MAX_FOUND + 1])
    return {
        "products": _in_place(draft.products, found[:MAX_FOUND]),
        "chosen_products": {each.pk for each in draft.products},
        "no_product_found": not found,
        "more_products": len(found) > MAX_FOUND,
        "products_like": like,
    }


def _in_place(chosen: list[Any], found: list[Any]) -> list[Any]:
    """Return what was found, in place, and before it what is chosen and was not found."""
    there = set(found)
    return [*(each for each in chosen if each not in there), *found]


def _destinations(draft: Draft, like: str) -> dict[str, Any]:
    """Return what is chosen or found, each with its courses and any rule that exists already."""
    offered = draft.offered()
    chosen = [each for each in draft.destinations if each.pk is not None]
    found = list(offered.filter(name__icontains=like)[: MAX_FOUND + 1])
    products = [] if draft.everywhere else draft.products
    likely = _likely(draft, offered, products, like)
    rest = _in_place(chosen, found[:MAX_FOUND])
    shown = [*likely, *(each for each in rest if each not in likely)]
    inside, there = _inside(draft, shown), _there(draft, shown)
    why = {each.pk: text for each, text in likely.items() if each.pk not in there}
    return {
        "courses_like": like,
        "shown": [
            (each, why.get(each.pk), inside.get(each.pk, ""), there.get(each.pk)) for each in shown
        ],
        "chosen_courses": {each.pk for each in chosen},
        "more_courses": len(found) > MAX_FOUND,
        "any_course": bool(shown) or offered.exists(),
        "none_listed": catalog.NONE_LISTED,
        "for_bundles": _for_bundles(draft),
    }


def _likely(
    draft: Draft, offered: QuerySet[Destination], products: Iterable[Product], like: str
) -> dict[Destination, Text]:
    """Return what the products' rules probably give, each with why it is suggested."""
    assert draft.integration is not None
    targets = given_by_hand.targets([each.pk for each in products], draft.integration)
    numbers = [Target.parse(each).number for each in targets]
    by_hand = offered.filter(external_id__in=numbers, name__icontains=like) if numbers else ()
    found: dict[Destination, Text] = {
        each: say("given by hand to a buyer") for each in by_hand if str(each.target) in targets
    }
    for each in suggested(offered, products, like):
        found.setdefault(each, say("suggested by its name"))
    return found


def _elsewhere(request: HttpRequest, draft: Draft, given: Any) -> list[tuple[str, str]]:
    """Return the other schools, each with this page's address for it.

    The address drops the choices that belong to this school.
    """
    others = [
        site
        for site in draft.integrations
        if draft.integration and site.app == draft.integration.app and site != draft.integration
    ]
    kept = given.copy()
    for of_this_one in OF_A_SCHOOL:
        kept.pop(of_this_one, None)
    found = []
    for site in others:
        kept["integration"] = str(site.pk)
        found.append((str(site), f"{_here(request, kept)}#part-courses"))
    return found


def _for_bundles(draft: Draft) -> str:
    """Return the label of the action that does to bundles what the chosen one does to courses.

    "" if the site has no bundles.
    """
    kind = Destination.Kind.BUNDLE
    site, action = draft.integration, draft.action
    if not (site and action and draft.is_of_course):
        return ""
    if not site.destinations.filter(kind=kind, gone_at=None).exists():
        return ""
    same = (a for a in draft.actions() if a.target == kind and a.effect == action.effect)
    return next((str(each.label) for each in same), "")


def _inside(draft: Draft, shown: list[Destination]) -> dict[int, str]:
    """Return {bundle: names of its courses}."""
    wanted = {course for bundle in shown for course in bundle.course_ids}
    if not wanted:
        return {}
    rows = Destination.objects.filter(
        integration=draft.integration, kind=Destination.Kind.COURSE, external_id__in=wanted
    )
    names = dict(rows.values_list("external_id", "name"))
    return {
        bundle.pk: separated(names[course] for course in bundle.course_ids if course in names)
        for bundle in shown
    }


def _there(draft: Draft, shown: list[Destination]) -> dict[int, str]:
    """Return {course: for how many of the chosen products the same rule exists, in words}."""
    if not draft.is_for_some or draft.action is None:
        return {}
    same = Rule.objects.filter(
        integration=draft.integration,
        action=draft.action.key,
        trigger=draft.trigger,
        destination__in=[each.pk for each in shown],
    )
    if draft.everywhere:
        same = same.filter(marketplace=draft.marketplace, product=None)
    else:
        same = same.filter(product__in=[each.pk for each in draft.products])
    if draft.rule is not None:
        same = same.exclude(pk=draft.rule.pk)
    counted = Counter(same.values_list("destination", flat=True))
    every = 1 if draft.everywhere else len(draft.products)
    if every == 1:
        return dict.fromkeys(counted, say("This rule exists already."))
    return {
        number: say(
            "This rule exists already for {count} of these {every} products.",
            count=count,
            every=every,
        )
        for number, count in counted.items()
    }


def _outcome(request: HttpRequest, draft: Draft, given: Any) -> dict[str, Any]:
    """Return the rules that would be made, those that exist, and those that belong to them."""
    rules = draft.rules()
    fresh, there = told_apart(rules)
    companions = pairing.companions(rules)
    return {
        "fresh": [rule.in_words() for rule in fresh[:SPELLED_OUT]],
        "more_fresh": len(fresh) - SPELLED_OUT,
        "number_fresh": len(fresh),
        "lately": [
            (each.rule.in_words(), each.sentences()) for each in previews(fresh[:PREVIEWED])
        ],
        "not_looked_at": max(0, len(fresh) - PREVIEWED),
        "there": earlier_offer.of_rules(request, there[:SPELLED_OUT], back=_here(request, given)),
        "pairs": pairing.by_trigger(companions),
    } | _ticks(draft, given, companions)


def told_apart(rules: list[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Return the rules that are still to be made, and the stored ones that equal the others."""
    known = pairing.stored_among(rules)
    found = [(rule, known.get(pairing.key(rule))) for rule in rules]
    return (
        [rule for rule, stored in found if stored is None],
        [stored for _, stored in found if stored is not None],
    )


def _ticks(draft: Draft, given: Any, companions: Iterable[Rule]) -> dict[str, Any]:
    """Return whether it is a subscription, and which of the rules that belong to it are ticked.

    The answer decides what is ticked until the person changes the ticks. It applies to the products
    for which it was given; for others, what is known of them counts.
    """
    offered = {rule.trigger for rule in companions}
    if not offered:
        return {}
    of_these = GLOBAL if draft.everywhere else ",".join(str(each.pk) for each in draft.products)
    known, told = _how_sold(draft)
    answered = given.get("subscription_of", of_these) == of_these
    asked = given.get("subscription") if answered else None
    sold = asked if asked in {"yes", "no"} else known
    if answered and given.get("ticked_for") == sold:
        ticked = offered & set(given.getlist("pair"))
    else:
        ticked = offered if sold == "yes" else offered.intersection(pairing.MATTERS_ALWAYS)
    return {
        "subscription": sold,
        "subscription_of": of_these,
        "how_sold": told,
        "ticked": ticked,
    }


def _how_sold(draft: Draft) -> tuple[str, Text]:
    """Return the answer that is assumed until a person gives one, and why."""
    if draft.everywhere:
        return "yes", say("A global rule also runs for products that are sold by subscription.")
    if draft.trigger.of_subscription:
        return "yes", say("This trigger is about subscriptions.")
    paid_once, told = subscriptions.how_sold(draft.products)
    return "no" if paid_once else "yes", told
