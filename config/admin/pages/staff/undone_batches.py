"""Which entries of Changes about several rows at once were undone, or have nothing left to undo."""

from collections import defaultdict
from collections.abc import Iterable

from config.admin.parts import batch_links
from events.access import ended_by_hand
from events.models import Batch, EventLog, Grant, RuleRun
from events.reports.access.standing import CLOSED
from events.reports.batches import DONE, MADE_BY_PERSONS
from integrations.audit import Act
from integrations.models import AuditEntry

# {pk of an act on an event: IDs of the actions of its batch that ended access for it}
Endings = dict[int, set[int]]


def endings_of(entries: Iterable[AuditEntry]) -> Endings:
    """Return what these entries ended. Acts that also gave something are left out."""
    parts = {
        entry.pk: (int(entry.number), number)
        for entry in entries
        if entry.act in MADE_BY_PERSONS and (number := batch_links.number_of(entry)) is not None
    }
    if not parts:
        return {}
    events, batches = ({*each} for each in zip(*parts.values(), strict=True))
    known = Batch.objects.filter(pk__in=batches).values_list("pk", "new_ids")
    new = {batch: {pk for each in numbers for pk in each} for batch, numbers in known}
    of_events: dict[int, list[RuleRun]] = defaultdict(list)
    runs = RuleRun.objects.filter(event__in=events).exclude(target="")
    for run in runs.only("event", "action"):
        of_events[run.event_id].append(run)
    found = {}
    for pk, (event, batch) in parts.items():
        made = [run for run in of_events[event] if run.pk in new.get(batch, ())]
        if made and all(run.spec.ends_access for run in made):
            found[pk] = {run.pk for run in made}
    return found


def undone(entries: Iterable[AuditEntry], endings: Endings) -> set[int]:
    """Return the pks of those entries that are acts of a batch on an event and were undone.

    The batch was undone for the event, or persons gave back all that the act ended. `endings` are
    those of the entries.
    """
    back = ended_by_hand.given_back(set().union(*endings.values()))
    by_hand = {pk for pk, runs in endings.items() if runs <= back}
    return by_hand | _undone_with_batch(entries)


def open_again(endings: Endings) -> set[int]:
    """Return the pks of those entries whose batch ended access that is open again.

    A batch is not undone for such an event.
    """
    runs = RuleRun.objects.filter(pk__in=set().union(*endings.values()))
    is_open = runs.filter(code__in=CLOSED, grant__state=Grant.State.ACTIVE)
    found = set(is_open.values_list("pk", flat=True)) if endings else set()
    return {pk for pk, numbers in endings.items() if numbers & found}


def _undone_with_batch(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pks of those entries whose batch was undone for their event."""
    parts = {
        entry.pk: (entry.number, batch_links.number_of(entry))
        for entry in entries
        if entry.act in DONE
    }
    numbers = {number for _, number in parts.values() if number is not None}
    undoing = Batch.objects.filter(undoes__in=numbers).values_list("pk", "undoes")
    batches = dict(undoing) if numbers else {}
    if not batches:
        return set()
    undoings = AuditEntry.objects.filter(
        act=Act.BATCH_UNDONE,
        kind=EventLog._meta.model_name,
        number__in={event for event, _ in parts.values()},
    )
    found = {(each.number, batches.get(batch_links.number_of(each) or 0)) for each in undoings}
    return {pk for pk, part in parts.items() if part[1] is not None and part in found}
