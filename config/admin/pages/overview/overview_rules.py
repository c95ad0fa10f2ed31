"""What the Overview says of rules: off, deleted, leftover, or without what buyers paid for."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.admin.pages.overview import overview_deleted
from config.admin.pages.rules import (
    change_links,
    former_days_notices,
    left_over,
    missing_courses,
    since_change,
    turned_off,
)
from events.models import EventLog
from events.reports import dashboard, own_rules
from events.reports.own_rules import SoldWithoutOwnRule
from events.reports.promise import LATELY
from integrations.models import AuditEntry
from rules import broken_rules, rule_changes
from rules.facts import Places


@dataclass(frozen=True, slots=True)
class AboutRules:
    """What is `shown` by the template, and the `facts` for the headline, both by name."""

    shown: dict[str, Any]
    facts: dict[str, Any]


def summarize(
    request: HttpRequest,
    rules: Places,
    unfulfilled: QuerySet[EventLog],
    only_global: Sequence[SoldWithoutOwnRule],
) -> AboutRules:
    """Return what is told of the rules.

    `unfulfilled` are purchases that gave nothing, `only_global` products served by global rules.
    """
    off = turned_off.summarize(request, rules)
    recent = rule_changes.since(timezone.now() - LATELY)
    deleted = overview_deleted.summarize(request, rules, recent)
    leftover, says_leftover = left_over.that_give(request, rules)
    gone = broken_rules.still_giving()
    products = _by_product(request, unfulfilled, rules, only_global, recent)
    return AboutRules(
        shown={
            "turned_off": off,
            "deleted_rules": deleted,
            "left_over": says_leftover,
            "missing_courses": missing_courses.told(request, gone),
            "former_days": [
                *former_days_notices.of_all(request),
                *since_change.of_new_days(request, recent),
            ],
            **products,
        },
        facts={
            "turned_off": off.products,
            "refunds_off": off.refunds,
            "cancellations_off": off.cancellations,
            "giving_off": off.everywhere,
            "deleted": deleted.alarms,
            "left_over": leftover,
            "missing_courses": len(gone),
            "only_global": sum(each.off is None for each, _ in products["only_global"]),
            "own_off": sum(each.off is not None for each, _ in products["only_global"]),
        },
    )


def _by_product(
    request: HttpRequest,
    unfulfilled: QuerySet[EventLog],
    rules: Places,
    only_global: Sequence[SoldWithoutOwnRule],
    recent: Sequence[AuditEntry],
) -> dict[str, Any]:
    """Return which products gave their buyers nothing, or only what global rules give.

    With each come links to the change that may have caused it.
    """
    with_own = own_rules.accounts(rules)
    found = dashboard.unfulfilled_products(unfulfilled, with_own)
    listed = {each.product for each in found}
    without = dashboard.without_rule(rules)
    lacking = [each.product for each in found if each.product and each.rule is None]
    lacking += [each.product for each in only_global if each.product not in listed]
    lacking += [each.product for each in without if each.product not in listed]
    links = change_links.of_ungiven(request, lacking, rules, recent, with_own)
    return {
        "nothing_given": [
            (each, links.get(each.product.pk, ()) if each.product else ()) for each in found
        ],
        "many_without_rule": sum(each.needs_rule for each in found) > 1,
        "only_global": _told(only_global, listed, links),
        "without_rule": _told(without, listed, links),
    }


def _told(found: Sequence[Any], listed: Container[Any], links: Mapping[int, Any]) -> list[Any]:
    """Return those that are not listed elsewhere, each with its links."""
    return [(each, links.get(each.product.pk, ())) for each in found if each.product not in listed]
