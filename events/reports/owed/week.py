"""Who of this week's buyers counts: those who were not refunded or canceled since."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from events.models import EventLog, Grant
from events.reports.access import standing
from rules.triggers import TAKES_BACK

# At most this many grants are compared with refunds and cancellations, the newest.
MAX_COMPARED = 1000


def taken_back(given: QuerySet[Grant], since: datetime) -> Collection[int]:
    """Return the IDs of those of these grants whose purchase was refunded or canceled since.

    They are open, because no rule ended them or a person lets the buyer keep them.
    """
    ends = EventLog.objects.filter(received_at__gte=since, trigger__in=TAKES_BACK)
    ends = ends.exclude(status=EventLog.Status.REPEAT)
    bought = Grant.objects.filter(source=Grant.Source.PURCHASE).order_by()
    # Not as one condition with OR, for which PostgreSQL would walk through all grants.
    named = [
        bought.exclude(**{name: ""}).filter(**{f"{name}__in": ends.values(name)}).values("pk")
        for name in ("order_id", "subscription_id")
    ]
    rows = given.filter(pk__in=named[0].union(named[1], all=True)).order_by("-pk").distinct()
    return standing.taken_back(list(rows[:MAX_COMPARED]))


def besides(given: QuerySet[Grant], others: Collection[int]) -> int:
    """Return how many of these other customers have none of the grants."""
    if not others:
        return 0
    have = given.filter(customer__in=others).values_list("customer", flat=True)
    return len({*others} - {*have})
