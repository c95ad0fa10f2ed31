"""Endings for the other students of an order, where one event ends what several have."""

from collections.abc import Iterable

from events.models import EventLog, Grant, RuleRun

# What the ending of another student takes over from the run of the rule.
COPIED = (
    "integration",
    "action",
    "destination_id",
    "destination_name",
    "target",
    "site",
    "rule_sentence",
    "ends_all",
    "received_at",
    "next_attempt_at",
)


def endings(event: EventLog, run: RuleRun, ended: Iterable[Grant]) -> list[RuleRun]:
    """Return runs, not saved, that end these grants for students other than the run's own.

    An event that names no product is about all products of its order, and each may have a student
    of its own. A rule runs once for an event, so these runs have no rule.
    """
    facts = {name: getattr(run, name) for name in COPIED}
    others: dict[int, Grant] = {}
    for row in ended:
        if row.customer_id != run.customer_id:
            others.setdefault(row.customer_id, row)
    return [
        RuleRun(event=event, customer=row.customer, grant=row, code="not_started", **facts)
        for row in others.values()
    ]
