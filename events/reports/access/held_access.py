"""What many customers have in Thinkific, for pages that ask about all of them at once."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from django.db.models import Q
from django.db.models.functions import Now

from events.access import ledger
from events.models import Grant

# {(integration ID, course or bundle): the grant that gives it}
OfOne = dict[tuple[int, str], Grant]
# By customer ID.
Held = dict[int, OfOne]


def held(customers: Collection[int], *, without_end: bool = False) -> Held:
    """Return what these customers have in Thinkific: the oldest grant of each course or bundle.

    A customer with a bundle also has its courses. Grants that have ended by themselves are left
    out; with `without_end`, also those that will. Takes one query, and another one if anybody has a
    bundle.
    """
    found: Held = defaultdict(dict)
    lasts = Q(until=None) if without_end else Q(until=None) | Q(until__gt=Now())
    seen = Grant.objects.seen().filter(lasts, customer__in=customers)
    rows = sorted(seen, key=lambda row: row.pk)
    for row in rows:
        found[row.customer_id].setdefault((row.integration_id, row.target), row)
    for row, part in _parts([row for row in rows if row.course_ids]):
        found[row.customer_id].setdefault((row.integration_id, part), row)
    return found


def _parts(bundles: Sequence[Grant]) -> Iterator[tuple[Grant, str]]:
    """Yield these grants of bundles with each course that their sources still give by them."""
    if not bundles:
        return
    asked = {row.pk for row in bundles}
    every = Grant.objects.filter(customer__in={row.customer_id for row in bundles}).order_by("pk")
    for rows in ledger.by_source(every).values():
        for bundle in rows:
            for part in bundle.parts if bundle.pk in asked else ():
                if ledger.holder(rows, bundle.integration_id, part) == bundle:
                    yield bundle, part
