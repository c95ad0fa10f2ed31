"""Find rules whose course or bundle is gone from Thinkific or no longer listed there."""

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from integrations.models import Destination, Integration
from integrations.sentences import Said, say_count
from rules import actions


@dataclass(frozen=True, slots=True)
class BrokenRules:
    """A course or bundle that is gone or unlisted, and the number of rules that use it."""

    destination: Destination
    rules: int


def gone(integration: Integration) -> list[BrokenRules]:
    """Return courses, then bundles, that rules use but are gone from the site, sorted by name.

    Their rules can do nothing.
    """
    return _used(integration.destinations.filter(gone_at__isnull=False))


def unlisted(integration: Integration) -> list[BrokenRules]:
    """Return courses, then bundles, that rules use but the site no longer lists, sorted by name.

    Their rules still work.
    """
    return _used(integration.destinations.filter(gone_at=None, unlisted_at__isnull=False))


def still_giving() -> list[BrokenRules]:
    """Return what is gone or no longer listed and what rules that are on still give, by name.

    Of all sites, with the number of these rules. Takes one query.
    """
    left: QuerySet[Destination] = Destination.objects.filter(
        Q(gone_at__isnull=False) | Q(unlisted_at__isnull=False)
    )
    giving = Q(rules__enabled=True, rules__action__in=actions.giving_access())
    used = left.annotate(used=Count("rules", filter=giving)).filter(used__gt=0)
    return [BrokenRules(each, each.used) for each in used.order_by("name", "pk")]


def sentence(found: list[BrokenRules]) -> Said:
    """Describe what `gone` or `unlisted` found: "1 course used by 2 rules is gone from Thinkific".

    `found` must not be empty. There is no final period, because a link may follow.
    """
    what = _counted(len(found), {each.destination.kind for each in found})
    rules = sum(each.rules for each in found)
    used = say_count(rules, "used by 1 rule", "used by {number} rules")
    if found[0].destination.gone_at is not None:
        # A course entered by hand may never have been in Thinkific, so "gone" would be wrong.
        if any(each.destination.by_hand for each in found):
            return say_count(
                len(found),
                "{what} {used} is not in Thinkific",
                "{what} {used} are not in Thinkific",
                what=what,
                used=used,
            )
        return say_count(
            len(found),
            "{what} {used} is gone from Thinkific",
            "{what} {used} are gone from Thinkific",
            what=what,
            used=used,
        )
    return say_count(
        len(found),
        "{what} {used} is not listed by Thinkific",
        "{what} {used} are not listed by Thinkific",
        what=what,
        used=used,
    )


def _counted(number: int, kinds: set[str]) -> Said:
    if len(kinds) > 1:
        return say_count(number, "1 course or bundle", "{number} courses and bundles")
    if Destination.Kind.BUNDLE in kinds:
        return say_count(number, "1 bundle", "{number} bundles")
    return say_count(number, "1 course", "{number} courses")


def _used(destinations: QuerySet[Destination]) -> list[BrokenRules]:
    used = destinations.annotate(used=Count("rules")).filter(used__gt=0)
    return [BrokenRules(each, each.used) for each in used.order_by("-kind", "name", "pk")]
