"""What is compared at a site: the courses that rules or grants give, and who should have them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min

from events.access import students
from events.comparison import differences
from events.comparison.differences import Kind
from events.models import ComparisonFinding, ComparisonRun, Grant
from integrations.models import Destination, Integration, Marketplace
from integrations.sentences import say
from rules import actions
from rules.models import Rule

# Grants per transaction. It is small because nothing else can write to SQLite meanwhile.
CHUNK = 50


def courses_of_rules(site: Integration) -> dict[int, str]:
    """Return {number: name} of the courses that rules give at the site, alone or in a bundle."""
    giving = Rule.objects.filter(
        integration=site, enabled=True, action__in=actions.giving_access()
    ).select_related("destination")
    given = [rule.destination for rule in giving if rule.destination is not None]
    numbers = {each.external_id for each in given if each.kind == Destination.Kind.COURSE}
    return named(site, numbers.union(*(each.course_ids for each in given)))


def named(site: Integration, numbers: Collection[int]) -> dict[int, str]:
    """Return {number: name} of these courses."""
    known = Destination.objects.filter(
        integration=site, kind=Destination.Kind.COURSE, external_id__in=numbers
    )
    names = dict(known.values_list("external_id", "name"))
    return {
        number: names.get(number) or say("Course {number}", number=str(number))
        for number in sorted(numbers)
    }


def take_over(site: Integration) -> datetime:
    """Return since when Admit could give access at the site: connected, with a SamCart account."""
    first: datetime | None = Marketplace.objects.aggregate(at=Min("created_at"))["at"]
    return max(first or site.created_at, site.created_at)


@dataclass(frozen=True, slots=True)
class ListedGrants:
    """Some grants of the site, up to `last_grant`, and the courses that they give.

    `given` pairs grants with course numbers; `names` is {number: name}.
    """

    last_grant: int
    given: Sequence[tuple[Grant, int]]
    names: dict[int, str]


def list_some(run: ComparisonRun) -> ListedGrants | None:
    """Return what the site's next grants give, or None if there are no more. Reads only."""
    active = Grant.objects.active().filter(integration=run.integration, pk__gt=run.last_grant)
    chunk = list(active.order_by("pk")[:CHUNK])
    if not chunk:
        return None
    given = _given_by(run.integration_id, chunk)
    names = named(run.integration, {number for _, number in given})
    return ListedGrants(chunk[-1].pk, given, names)


def write_listed(run: ComparisonRun, listed: ListedGrants) -> None:
    """Record who should have these courses. Call it inside a transaction."""
    known = dict(run.courses)
    new = [[number, name] for number, name in listed.names.items() if number not in known]
    run.courses = [*run.courses, *new]
    run.last_grant = listed.last_grant
    ComparisonFinding.objects.bulk_create(
        ComparisonFinding(
            comparison=run,
            kind=Kind.UNSEEN,
            course_id=number,
            name=listed.names[number],
            customer_id=grant.customer_id,
            grant=grant,
        )
        for grant, number in listed.given
    )


def _given_by(site: int, chunk: Sequence[Grant]) -> list[tuple[Grant, int]]:
    same = students.same_users((site, grant.customer_id) for grant in chunk)
    whom = set().union(*same.values())
    rows = list(Grant.objects.filter(integration=site, customer__in=whom))
    of_customer: dict[int, list[Grant]] = {}
    for row in rows:
        of_customer.setdefault(row.customer_id, []).append(row)
    found = []
    for grant in chunk:
        group = same[site, grant.customer_id]
        mine = [row for customer in sorted(group) for row in of_customer.get(customer, ())]
        found += [(grant, number) for number in differences.given_by(grant, mine)]
    return found
