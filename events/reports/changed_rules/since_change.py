"""Who bought since a rule was made to give another course, and got that one."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import Count, Q

from events.models import Grant
from events.reports.access import open_access
from rules.models import Rule


def got_by(rules: Iterable[Rule], since: Mapping[int, datetime]) -> dict[int, int]:
    """Return how many buyers since then have what each of these rules gives, by its ID.

    `since` maps the same IDs. Rules without such buyers are left out. Takes one query, none without
    rules.
    """
    of_them = Q()
    for rule in rules:
        of_them |= Q(
            rule=rule.pk,
            integration=rule.integration_id,
            target=rule.target,
            received_at__gt=since[rule.pk],
        )
    if not of_them:
        return {}
    runs = open_access.giving_runs().filter(of_them, grant__state=Grant.State.ACTIVE)
    counted = runs.order_by().values_list("rule").annotate(Count("customer", distinct=True))
    return {rule: buyers for rule, buyers in counted if buyers}
