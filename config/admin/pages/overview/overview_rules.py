"""What the Overview says of rules: off, deleted, leftover, or without what buyers paid for."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from config.admin.pages.overview import overview_deleted
from config.admin.pages.rules import earlier_offer, former_days_notices, left_over
from config.admin.pages.rules.courses import missing_courses
from config.admin.pages.rules.given import change_links, since_change, turned_off
from events.models import EventLog
from events.reports import dashboard
from events.reports.owed import own_rules, own_rules_since
from events.reports.owed.own_rules import SoldWithoutOwnRule
from events.reports.owed.own_rules_since import NotGivenYet
from events.reports.owed.promise import LATELY
from events.reports.products import without_rule
from integrations.audit import Act
from integrations.models import AuditEntry
from rules import broken_rules
from rules.facts import Places
from rules.history import rule_changes


@dataclass(frozen=True, slots=True)
class AboutRules:
    """What is `shown` by the template, and the `facts` for the headline, both by name."""

    shown: dict[str, Any]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sales:
    """What was sold lately and got only what global rules give, and the `recent` changes of rules.

    The products in `only_global` have no rule of their own that is on. Those in `not_given_yet`
    have had one since.
    """

    recent: Sequence[AuditEntry]
    only_global: Sequence[SoldWithoutOwnRule]
    not_given_yet: Sequence[NotGivenYet]


def read_sales(rules: Places) -> Sales:
    """Read what the Overview needs to know of such sales, before it counts who has access."""
    recent = rule_changes.since(timezone.now() - LATELY)
    changed = {int(each.number) for each in recent if each.act == Act.RULE_CHANGED}
    return Sales(
        recent, own_rules.sold_without(rules), own_rules_since.not_given_yet(rules, changed)
    )


def summarize(
    request: HttpRequest, rules: Places, unfulfilled: QuerySet[EventLog], sales: Sales
) -> AboutRules:
    """Return what is told of the rules. `unfulfilled` are purchases that gave nothing."""
    off = turned_off.summarize(request, rules)
    deleted = overview_deleted.summarize(request, rules, sales.recent)
    leftover, left_by, says_leftover = left_over.on_overview(request, rules)
    gone = broken_rules.still_giving()
    products = _by_product(request, unfulfilled, rules, sales)
    return AboutRules(
        shown={
            "turned_off": off,
            "deleted_rules": deleted,
            "left_over": says_leftover,
            "left_by": left_by,
            "missing_courses": missing_courses.told(request, gone),
            "former_days": _former_days(request, sales),
            "not_given_yet": [
                (each, earlier_offer.address(each.rules, each.product, back=request.path))
                for each in sales.not_given_yet
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
            "not_given_yet": sum(each.buyers for each in sales.not_given_yet),
            # Where all are in the table of those who paid for nothing, that says it.
            "without_rule": products["number_without_rule"] if products["without_rule"] else 0,
            "only_global": sum(each.off is None for each, _ in products["only_global"]),
            "own_off": sum(each.off is not None for each, _ in products["only_global"]),
        },
    )


def _former_days(request: HttpRequest, sales: Sales) -> list[SafeString]:
    """Return what is told of rules that end access on another day than before."""
    return [
        *former_days_notices.of_all(request),
        *since_change.of_new_days(request, sales.recent),
    ]


def _by_product(
    request: HttpRequest,
    unfulfilled: QuerySet[EventLog],
    rules: Places,
    sales: Sales,
) -> dict[str, Any]:
    """Return which products gave their buyers nothing, or only what global rules give.

    With each come links to the change that may have caused it.
    """
    with_own = rules.accounts_with_own
    found = dashboard.unfulfilled_products(unfulfilled, with_own)
    listed = {each.product for each in found}
    without = without_rule.find(rules, unfulfilled, told=listed)
    lacking = [each.product for each in found if each.product and each.rule is None]
    lacking += [each.product for each in sales.only_global if each.product not in listed]
    lacking += [each.product for each in without.shown]
    links = change_links.of_ungiven(request, lacking, rules, sales.recent, with_own)
    return {
        "nothing_given": [
            (each, links.get(each.product.pk, ()) if each.product else ()) for each in found
        ],
        "many_without_rule": sum(each.needs_rule for each in found) > 1,
        "only_global": _told(sales.only_global, listed, links),
        "without_rule": _told(without.shown, listed, links),
        "number_without_rule": without.number,
    }


def _told(found: Sequence[Any], listed: Container[Any], links: Mapping[int, Any]) -> list[Any]:
    """Return those that are not listed elsewhere, each with its links."""
    return [(each, links.get(each.product.pk, ())) for each in found if each.product not in listed]
