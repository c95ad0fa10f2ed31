"""Refunds that leave something of their purchase open."""

from collections.abc import Iterable, Sequence

from events.access.book import change_of
from events.access.sale import Sale
from events.models import EventLog, Grant, RuleRun


def leaves_open(event: EventLog, runs: Iterable[RuleRun], grants: Sequence[Grant]) -> bool:
    """Whether its purchase may have access open that none of the event's `runs` is to end.

    `grants` are those of the purchase. True also if a run opened one of them again, and if nothing
    is known of what the purchase gave, which may be decided later.
    """
    if not Sale.of(event).is_named:
        return False
    ends = [change_of(event, run) for run in runs if run.spec.ends_access]
    rows = [row for row in grants if row.opened_at]
    return not rows or any(
        row.is_active
        and (
            _gave_again(event, row)
            or not any(each.is_of(row) or each.includes(row) for each in ends)
        )
        for row in rows
    )


def _gave_again(event: EventLog, row: Grant) -> bool:
    """Whether a rule for this refund or cancellation opened the grant."""
    return row.because == event.trigger and row.event == event
