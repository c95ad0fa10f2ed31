"""Which rules end a course or bundle at a refund or another event, and which give it."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db.models import Q

from events.models.event_log import ACCOUNT
from events.reports.earlier.nothing_to_end import parts_of
from integrations.models import Destination
from integrations.targets import Target
from rules import actions, pairing
from rules.fired import fired_by
from rules.models import Rule, RuleQuerySet
from rules.triggers import TAKES_BACK


class Ending(NamedTuple):
    """A course or bundle that events of this account, product and trigger should end; by IDs."""

    account: int | None
    product: int | None
    trigger: str | None
    integration: int | None
    target: str


def ending_rules(endings: Collection[Ending]) -> dict[Ending, Rule]:
    """Return the rules that end these courses or bundles at such events, one for each.

    It may end a bundle that contains the course. A rule that is on goes first. What no rule ends is
    left out. Takes one query, or none for nothing.
    """
    if not endings:
        return {}
    rules = _concerning(endings).filter(
        trigger__in={each for ending in endings for each in fired_by(ending.trigger)},
        action__in=actions.ending_access(),
    )
    known: dict[Ending, Rule] = {}
    for rule in rules.order_by("-enabled", "pk").with_names():
        for part in parts_of(rule):
            place = (rule.marketplace_id, rule.product_id, rule.trigger, rule.integration_id, part)
            known.setdefault(Ending(*place), rule)
    found = {}
    for ending in endings:
        fitting = [
            known[place]
            for product in {ending.product, None}
            for trigger in fired_by(ending.trigger)
            for place in [ending._replace(product=product, trigger=trigger)]
            if place in known
        ]
        if fitting:
            found[ending] = min(fitting, key=lambda rule: (not rule.enabled, rule.pk))
    return found


def given_now(endings: Collection[Ending]) -> dict[Ending, Destination]:
    """Return which of these a rule that is on gives to buyers of the product.

    What rules give back, or give on a refund or cancellation, does not count. What is gone from
    Thinkific is left out. Takes two queries, or fewer if there are none.
    """
    courses = _destinations(endings) if endings else {}
    if not courses:
        return {}
    rules = _concerning(endings).filter(
        enabled=True, action__in=actions.giving_access(), destination__in=courses.values()
    )
    rules = rules.exclude(trigger__in=[*pairing.GIVES_BACK, *TAKES_BACK])
    giving = set(rules.values_list("marketplace", "product", "destination"))
    found = {}
    for ending in endings:
        course = courses.get((ending.integration, ending.target))
        products = {ending.product, None}
        if course and any((ending.account, each, course.pk) in giving for each in products):
            found[ending] = course
    return found


def _concerning(endings: Iterable[Ending]) -> RuleQuerySet:
    """Return the rules of these products and the global ones of these accounts."""
    # An expression, because with the column SQLite would walk through all rules of the account.
    return Rule.objects.alias(account=ACCOUNT).filter(
        Q(product=None) | Q(product__in={ending.product for ending in endings}),
        account__in={ending.account for ending in endings},
    )


def _destinations(endings: Iterable[Ending]) -> dict[tuple[int | None, str], Destination]:
    rows = Destination.objects.filter(
        gone_at=None,
        integration__in={ending.integration for ending in endings},
        external_id__in={Target.parse(ending.target).number for ending in endings},
    )
    return {(row.integration_id, row.target): row for row in rows}
