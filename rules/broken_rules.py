"""Rules whose course or bundle Thinkific says is gone, or does not list any more."""

from dataclasses import dataclass

from django.db.models import Count, QuerySet

from integrations.models import Destination, Integration


@dataclass(frozen=True, slots=True)
class BrokenRules:
    """A course or bundle that is gone or not listed, and how many rules name it."""

    destination: Destination
    rules: int


def gone(integration: Integration) -> list[BrokenRules]:
    """What is gone from the site and is used, courses first, by name: its rules do nothing."""
    return _used(integration.destinations.filter(gone_at__isnull=False))


def unlisted(integration: Integration) -> list[BrokenRules]:
    """What has left the site's list and is used: its rules go on."""
    return _used(integration.destinations.filter(gone_at=None, unlisted_at__isnull=False))


def sentence(found: list[BrokenRules]) -> str:
    """ "1 course used by 2 rules is gone from Thinkific", of what `gone` or `unlisted` found.

    Without the stop, for a link may follow.
    """
    kinds = {each.destination.kind for each in found}
    noun = kinds.pop() if len(kinds) == 1 else "course or bundle"
    many = {"course": "courses", "bundle": "bundles"}.get(noun, "courses and bundles")
    rules = sum(each.rules for each in found)
    what = f"1 {noun}" if len(found) == 1 else f"{len(found)} {many}"
    used = f"used by {rules} rule{'' if rules == 1 else 's'}"
    return f"{what} {used} {'is' if len(found) == 1 else 'are'} {found[0].destination.standing}"


def _used(destinations: QuerySet[Destination]) -> list[BrokenRules]:
    used = destinations.annotate(used=Count("rules")).filter(used__gt=0)
    return [BrokenRules(each, each.used) for each in used.order_by("-kind", "name", "pk")]
