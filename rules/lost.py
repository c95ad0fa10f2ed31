"""Rules that can do nothing any more, because their course or bundle has gone from Thinkific."""

from dataclasses import dataclass

from django.db.models import Count

from integrations.models import Destination, Integration


@dataclass(frozen=True, slots=True)
class Lost:
    """A course or bundle that has gone, and how many rules still name it."""

    destination: Destination
    rules: int


def lost(integration: Integration) -> list[Lost]:
    """What has gone from the site and is still used, courses first, by name."""
    gone = integration.destinations.filter(gone_at__isnull=False).order_by("-kind", "name", "pk")
    used = gone.annotate(used=Count("rules")).filter(used__gt=0)
    return [Lost(destination, destination.used) for destination in used]


def sentence(found: list[Lost]) -> str:
    """ "1 removed course is used by 2 rules"; without the stop, for a link may follow."""
    kinds = {each.destination.kind for each in found}
    noun = kinds.pop() if len(kinds) == 1 else "course or bundle"
    many = {"course": "courses", "bundle": "bundles"}.get(noun, "courses and bundles")
    rules = sum(each.rules for each in found)
    what = f"removed {noun} is" if len(found) == 1 else f"removed {many} are"
    return f"{len(found)} {what} used by {rules} rule{'' if rules == 1 else 's'}"
