"""What is left to do for earlier customers of rules: how many there are, and the page of them."""

from collections.abc import Collection, Iterable, Sequence, Set
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import earlier_words
from config.admin.pages.rules.given import refunded
from config.admin.pages.rules.given.given_by_rule import PERMISSION
from config.admin.parts.buttons import BACK
from events.access.sale import Sale
from events.reports import rules_now
from events.reports.changed_rules.refunded import refunded_with_access
from events.reports.earlier import backfill, earlier
from events.reports.earlier.earlier_buyers import Preview, merged
from integrations.models import Product
from integrations.sentences import joined, say
from rules import pairing
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger

# The most rules that one page looks at. Saving Coverage adds one for each course of each row.
MOST_RULES = 500
# What a refunded purchase left open: the sale that the refund names, and the site and course.
LeftOpen = tuple[Sale, int | None, str]

# The events and rules (their IDs) of buyers who are moved to what these rules give.
Moved = Collection[tuple[int, int]]


def address(rules: Sequence[Rule], product: Product | None = None, *, back: str = "") -> str:
    """Return the address of the page that lists the earlier buyers for these rules."""
    asked: dict[str, Any] = {"rule": [rule.pk for rule in rules]}
    asked |= {"product": product.pk} if product else {}
    asked |= {BACK: back} if back else {}
    return f"{reverse('admin:earlier')}?{urlencode(asked, doseq=True)}"


def of_cancellation(rule: Rule) -> bool:
    """Return whether the rule ends access at a cancellation: the paid time may not be over then."""
    return rule.spec.ends_access and rule.trigger in {
        Trigger.SUBSCRIPTION_CANCELED,
        Trigger.SUBSCRIPTION_DELINQUENT,
    }


def refunded_page(request: HttpRequest, found: Preview) -> str:
    """Return the page of refunded buyers if it lists some of these customers, else ""."""
    if not any(_listed(found, _left_open(request, found))):
        return ""
    return refunded.address(_products(found), back=request.get_full_path())


def _page(rules: Sequence[Rule], found: Preview, left_open: Set[LeftOpen], back: str) -> str:
    """Return the page for these customers of the rules.

    If all are refunded buyers who are still in, it is the page where each of them can be chosen.
    """
    if left_open and all(_listed(found, left_open)):
        return refunded.address(_products(found), back=back)
    return address(rules, back=back)


def _products(found: Preview) -> set[int]:
    return {row.event.product_id for row in found.run if row.event.product_id}


def _left_open(request: HttpRequest, found: Preview) -> Set[LeftOpen]:
    """Return what the page of refunded buyers lists, if some of these customers may be there.

    Empty for a person who may not open that page.
    """
    may_be = any(row.event.left_open for row in found.run)
    if not may_be or not allowed(request, PERMISSION):
        return frozenset()
    return {
        (Sale.of(each.refund), grant.integration_id, grant.target)
        for each in refunded_with_access()
        for grant in each.grants
    }


def _listed(found: Preview, left_open: Set[LeftOpen]) -> list[bool]:
    """Return, for each purchase and rule, whether the page of refunded buyers lists it."""
    return [
        (Sale.of(row.event), rule.integration_id, rule.target) in left_open
        for row in [*found.run, *found.unchanged]
        for rule in row.rules
    ]


def sentence(
    request: HttpRequest, rules: Iterable[Rule], back: str, moved: Moved = frozenset()
) -> SafeString | None:
    """Return for whom these rules were on too late, with links: what is left to do for them.

    These are earlier buyers who lack what the rules give on a purchase, and refunded or canceled
    buyers who still have what the rules end then. Those who are `moved` to what a rule gives are
    left out. None if there are neither, or if the person may do neither.
    """
    rules = list(rules)
    told = [_lacking(request, rules, back, moved), _still_in(request, rules, back)]
    return format_html_join(" ", "{}", ((each,) for each in told if each)) or None


def _lacking(
    request: HttpRequest, rules: Sequence[Rule], back: str, moved: Moved
) -> SafeString | None:
    giving = [rule for rule in rules if pairing.is_to_give(rule)][:MOST_RULES]
    if not giving or not request.user.has_perm("events.rerun_eventlog"):
        return None
    text, page = (
        earlier_words.in_words(giving, backfill.preview(*giving).without(moved)),
        address(giving, back=back),
    )
    if not text:
        return None
    return format_html('{} <a href="{}">{}</a>', text, page, say("See and enroll them"))


def _still_in(request: HttpRequest, rules: Sequence[Rule], back: str) -> SafeString | None:
    ending = [
        rule
        for rule in rules
        if rule.enabled and rule.spec.ends_access and rule.trigger in TAKES_BACK
    ][:MOST_RULES]
    if not ending or not request.user.has_perm("events.rerun_eventlog"):
        return None
    found = backfill.preview(*ending).to_end
    if not found.customers:
        return None
    told = joined([earlier_words.in_words(ending, found), refunded.kept_on_purpose(found.kept)])
    page = _page(ending, found, _left_open(request, found), back)
    if urlsplit(page).path == urlsplit(back).path:  # which shows them
        return None
    return format_html('{} <a href="{}">{}</a>', told, page, say("See and end it"))


def of_rules(
    request: HttpRequest, rules: Sequence[Rule], *, back: str, moved: Moved = frozenset()
) -> list[dict[str, Any]]:
    """Return what a page says of the earlier customers of each of these rules.

    `told` says how many there are, "" for none; `kept` who is left out because a person let them
    keep what the rule ends. If there are some, `page` and `label` are those of the link to their
    list. Those who are `moved` to what a rule gives are left out.
    """
    found = backfill.preview(*rules).without(moved)
    parts, left_open = found.by_rule(rules), _left_open(request, found)
    return [_of_rule(rule, parts[rule.pk], left_open, back) for rule in rules]


def _of_rule(rule: Rule, found: Preview, left_open: Set[LeftOpen], back: str) -> dict[str, Any]:
    label = say("See and run it for them")
    if rule.gives_on_purchase:
        label = say("See and enroll them")
    elif rule.spec.ends_access:
        label = say("See and end it")
    told = earlier_words.in_words([rule], found)
    return {
        "rule": rule,
        "found": found,
        "told": told,
        "kept": refunded.kept_on_purpose(found.kept),
        "page": _page([rule], found, left_open, back) if told else "",
        "label": label,
    }


def together(told: Sequence[dict[str, Any]], *, back: str) -> dict[str, Any]:
    """Return what a page says of the earlier buyers of several rules that give access.

    `told` is what `of_rules` says of each of them. The page lists what each buyer gets by all.
    """
    rules = [each["rule"] for each in told]
    return {
        "told": earlier_words.in_words(rules, merged(each["found"] for each in told)),
        "page": address(rules, back=back),
        "label": say("See and enroll them"),
    }


def lacking_by_product(rules: Sequence[Rule], *, back: str) -> dict[int, tuple[str, str]]:
    """Return {product ID: how many earlier buyers lack what its rules give, and their page}.

    Buyers whose purchase gave nothing are left out: pages tell of them as buyers without access.
    """
    late = earlier.rules_with_lacking_buyers(rules, earlier.MAX_RULES)
    found = backfill.preview(*late).by_rule(late)
    told: dict[int, tuple[str, str]] = {}
    for product in dict.fromkeys(rule.product_id for rule in late if rule.product_id):
        mine = [rule for rule in late if rule.product_id == product]
        of_mine = merged(found[rule.pk].lacking_access for rule in mine)
        if text := earlier_words.lacking(of_mine):
            told[product] = text, address(mine, back=back)
    return told


def of_product(giving: Sequence[Rule], product: Product, moved: Moved) -> dict[str, Any]:
    """Return what a product's page says of buyers from before these rules, which give access.

    Those who are `moved` to what a rule gives are left out.
    """
    found = backfill.preview(*giving, product=product).without(moved)
    why = ""
    if found.customers_given_nothing:
        why = rules_now.since(found.run[0].event, giving[0], several=found.only_unfulfilled is None)
    return {
        "before": found,
        "before_page": address(giving, product),
        "lacking": earlier_words.lacking(found.lacking_access),
        "undone_before": found.customers_undone,
        "why_before": why,
    }
