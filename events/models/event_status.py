"""The status of an event follows from its runs."""

from collections.abc import Collection, Iterable, Sequence

from django.db import connection

from events.models.event_log import EventLog
from events.models.runs import DELAYED, UNFINISHED, RuleRun


def refresh_event(event_id: int) -> None:
    """Set the event's status by its runs. Call it in a transaction."""
    lock_events([event_id])
    show([event_id])


def show(event_ids: Collection[int]) -> None:
    """Set the status of each of these events by its runs. The events must be locked."""
    if not event_ids:
        return
    states: dict[int, list[tuple[str, str]]] = {pk: [] for pk in event_ids}
    runs = RuleRun.objects.filter(event__in=event_ids)
    for pk, status, code in runs.values_list("event", "status", "code"):
        states[pk].append((status, code))
    alike: dict[str, list[int]] = {}
    for pk, found in states.items():
        alike.setdefault(_status_of(found), []).append(pk)
    for status, pks in alike.items():
        EventLog.objects.filter(pk__in=pks).update(status=status)


def _status_of(runs: Collection[tuple[str, str]]) -> EventLog.Status:
    """Return the event's status for runs of these (status, code).

    An ending that waits for its day counts only if the other runs did nothing.
    """
    now = [status for status, code in runs if (status, code) != (RuleRun.Status.WAITING, DELAYED)]
    found = EventLog.status_of(now)
    settled = now and found != EventLog.Status.SKIPPED
    return found if settled else EventLog.status_of([status for status, _ in runs])


def read_again(read: Iterable[tuple[EventLog, Sequence[RuleRun]]]) -> None:
    """Read the status again of events that wait, though all their runs have ended.

    `read` are events, each with the runs that were read after it: they may have ended in between.
    """
    behind = [
        event
        for event, runs in read
        if event.status == EventLog.Status.WAITING
        and runs
        and not any(run.status in UNFINISHED for run in runs)
    ]
    if behind:
        found = EventLog.objects.filter(pk__in=[event.pk for event in behind])
        now = dict(found.values_list("pk", "status"))
        for event in behind:
            event.status = now.get(event.pk, event.status)


def lock_events(event_ids: Collection[int]) -> None:
    """Lock the events: if two runs of one end at once, the second must see the first's status."""
    if event_ids and connection.features.has_select_for_update:
        events = EventLog.objects.select_for_update().filter(pk__in=event_ids)
        list(events.order_by("pk").values_list("pk"))
