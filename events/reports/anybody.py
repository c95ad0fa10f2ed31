"""Whether anybody has access, and by which rule. Pages say so before something is deleted."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Min

from events.models import Grant
from events.reports.open_access import still_open
from integrations.models import Destination, Integration
from rules.models import Rule

# How many (rule, buyer) pairs are counted when several rules are deleted together.
MOST_OF_SEVERAL = 5000


def has_any_of(destinations: Iterable[Destination | None]) -> bool:
    """Return whether anybody has one of these courses and bundles. One query per integration."""
    targets: dict[int, set[str]] = defaultdict(set)
    for each in destinations:
        if each is not None:
            targets[each.integration_id].add(f"{each.kind}:{each.external_id}")
    active = Grant.objects.active()
    return any(
        active.filter(integration=site, target__in=some).exists() for site, some in targets.items()
    )


def has_what_rules_are_about(rules: Iterable[Rule]) -> bool:
    """Return whether anybody has one of the courses and bundles of these rules."""
    return has_any_of(rule.destination for rule in rules)


def has_something_at(integration: Integration) -> bool:
    """Return whether anybody has a course or bundle of this integration."""
    return Grant.objects.active().filter(integration=integration).exists()


def who_has_it_by(rules: Collection[int]) -> list[tuple[int, int]]:
    """Return (rule ID, customer ID) for each buyer who still has what one of these rules gave.

    Takes one query. The earliest come first; at most MOST_OF_SEVERAL + 1 pairs.
    """
    pairs = still_open().filter(rule__in=rules).values_list("rule", "grant__customer")
    first = pairs.annotate(first=Min("pk")).order_by("first")[: MOST_OF_SEVERAL + 1]
    return [(rule, customer) for rule, customer, _ in first]
