"""What persons ended by hand, and is as they left it: it can be given back."""

from collections import defaultdict
from collections.abc import Collection

from events.access import ledger, students
from events.models import Grant, RuleRun


def as_left(endings: Collection[RuleRun]) -> dict[int, list[Grant]]:
    """Return {action ID: the grants that a person ended with it, as the person left them}.

    Actions that ended nothing by hand, or whose grants were decided on since, are left out. Grants
    that were moved to another account since do not count, so there may be none. Takes three
    queries.
    """
    whose = students.same_users((run.integration_id, run.customer_id) for run in endings)
    ended: dict[int | None, list[Grant]] = defaultdict(list)
    as_left = Grant.objects.filter(state=Grant.State.ENDED, because=ledger.BY_HAND)
    for grant in as_left.filter(event__in={run.event_id for run in endings}):
        ended[grant.event_id].append(grant)
    return {
        run.pk: [
            grant
            for grant in ended[run.event_id]
            if grant.customer_id in whose[run.integration_id, run.customer_id]
        ]
        for run in endings
        if run.event_id in ended
    }
