"""Whether anybody has access: pages say that it stays only where somebody has some."""

from collections import defaultdict
from collections.abc import Iterable

from events.models import Grant
from integrations.models import Destination, Integration
from rules.models import Rule


def has_any_of(destinations: Iterable[Destination | None]) -> bool:
    """Whether somebody has one of these courses and bundles; a query for each integration."""
    targets: dict[int, set[str]] = defaultdict(set)
    for each in destinations:
        if each is not None:
            targets[each.integration_id].add(f"{each.kind}:{each.external_id}")
    active = Grant.objects.active()
    return any(
        active.filter(integration=site, target__in=some).exists() for site, some in targets.items()
    )


def has_what_rules_are_about(rules: Iterable[Rule]) -> bool:
    """The same of the courses and bundles of these rules."""
    return has_any_of(rule.destination for rule in rules)


def has_something_at(integration: Integration) -> bool:
    """Whether somebody has anything of this integration."""
    return Grant.objects.active().filter(integration=integration).exists()
