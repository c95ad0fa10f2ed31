"""Whether anybody has access, and by which rule. Pages say so before something is deleted."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Min

from events.models import Grant
from events.reports.access.open_access import runs_with_open_access
from integrations.models import Destination, Integration
from rules.models import Rule

# How many (rule, buyer) pairs are counted when several rules are deleted together.
MAX_HOLDERS = 5000


def exists_for_destinations(destinations: Iterable[Destination | None]) -> bool:
    """Return whether anybody has one of these courses and bundles. One query per integration."""
    targets: dict[int, set[str]] = defaultdict(set)
    for each in destinations:
        if each is not None:
            targets[each.integration_id].add(each.target)
    active = Grant.objects.active()
    return any(
        active.filter(integration=site, target__in=some).exists() for site, some in targets.items()
    )


def exists_for_rules(rules: Iterable[Rule]) -> bool:
    """Return whether anybody has one of the courses and bundles of these rules."""
    return exists_for_destinations(rule.destination for rule in rules)


def exists_at(integration: Integration) -> bool:
    """Return whether anybody has a course or bundle of this integration."""
    return Grant.objects.active().filter(integration=integration).exists()


def holders_by_rule(rules: Collection[int]) -> list[tuple[int, int]]:
    """Return (rule ID, customer ID) for each buyer who still has what one of these rules gave.

    Takes one query. The earliest come first; at most MAX_HOLDERS + 1 pairs.
    """
    pairs = runs_with_open_access().filter(rule__in=rules).values_list("rule", "grant__customer")
    first = pairs.annotate(first=Min("pk")).order_by("first")[: MAX_HOLDERS + 1]
    return [(rule, customer) for rule, customer, _ in first]
