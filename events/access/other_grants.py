"""What students keep when some of their grants end, because other grants give it as well."""

from collections import defaultdict
from collections.abc import Collection

from django.db.models import Q
from django.db.models.functions import Now

from events.access import ledger
from events.models import Grant
from integrations.targets import Target


class OtherGrants:
    """All grants of the students of the `ending` grants but these, read with one query."""

    def __init__(self, ending: Collection[Grant]) -> None:
        self._of_customer: dict[int, list[Grant]] = defaultdict(list)
        if not ending:
            return
        numbers = {grant.pk for grant in ending}
        lasting = Grant.objects.filter(Q(until=None) | Q(until__gt=Now()))
        for grant in lasting.filter(customer__in={grant.customer_id for grant in ending}):
            if grant.pk not in numbers:
                self._of_customer[grant.customer_id].append(grant)

    def give(self, grant: Grant, parts: Collection[str] | None = None) -> bool:
        """Whether the student keeps all of an ending grant, or all of these parts of it."""
        asked = grant.parts if parts is None else grant.parts.intersection(parts)
        rows = self._of_customer.get(grant.customer_id, [])
        held = {part for part in asked if ledger.holder(rows, grant.integration_id, part)}
        return gives_all(held, grant.target, asked)


def gives_all(held: Collection[str], target: str, parts: Collection[str]) -> bool:
    """Whether who has `held` has this course or bundle, or all these parts of it.

    Who has all courses of a bundle has the bundle.
    """
    courses = {part for part in parts if Target.parse(part).is_course}
    return target in held or (courses or {*parts}) <= {*held}
