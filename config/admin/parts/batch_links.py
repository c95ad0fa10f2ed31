"""Links from what was done for several rows at once to the page of its results."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.parts import badges
from config.admin.parts.buttons import BACK
from events.access import ended_by_hand
from events.models import Batch, EventLog, Grant, RuleRun
from events.reports.batches import DONE, ENDED_ACCESS, MADE_BY_PERSONS, Done
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.models import AuditEntry
from integrations.sentences import format_day, say, say_count
from rules.models import Rule

SEES = "events.view_rulerun"


def number_of(entry: AuditEntry) -> int | None:
    """Return the number of the batch that this was a part of, None if of none."""
    found = (entry.after or {}).get(BATCH)
    return found if isinstance(found, int) else None


def existing_batches(request: HttpRequest, entries: Iterable[AuditEntry]) -> dict[int, Batch]:
    """Return the batches of these entries that still exist, by number.

    Returns none for a person who may not see them.
    """
    numbers = {number_of(entry) for entry in entries} - {None}
    if not numbers or not allowed(request, SEES):
        return {}
    return Batch.objects.in_bulk(list(numbers))


def undone_entries(entries: Collection[AuditEntry]) -> set[int]:
    """Return the pks of those entries that are acts of a batch on an event and were undone.

    The batch was undone for the event, or persons gave back all that the act ended.
    """
    endings = _endings(entries)
    back = ended_by_hand.given_back(set().union(*endings.values()))
    by_hand = {pk for pk, runs in endings.items() if runs <= back}
    return by_hand | _undone_with_batch(entries)


def given_again(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pks of those entries whose batch ended access that is open again.

    A batch is not undone for such an event.
    """
    endings = _endings(entries)
    runs = RuleRun.objects.filter(pk__in=set().union(*endings.values()))
    is_open = runs.filter(code__in=ENDED_ACCESS, grant__state=Grant.State.ACTIVE)
    found = set(is_open.values_list("pk", flat=True)) if endings else set()
    return {pk for pk, numbers in endings.items() if numbers & found}


def _endings(entries: Iterable[AuditEntry]) -> dict[int, set[int]]:
    """Return {pk of an act on an event: IDs of the actions of its batch that ended access for it}.

    Acts that also gave something are left out.
    """
    parts = {
        entry.pk: (int(entry.number), number)
        for entry in entries
        if entry.act in MADE_BY_PERSONS and (number := number_of(entry)) is not None
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


def _undone_with_batch(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pks of those entries whose batch was undone for their event."""
    parts = {entry.pk: (entry.number, number_of(entry)) for entry in entries if entry.act in DONE}
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
    found = {(each.number, batches.get(number_of(each) or 0)) for each in undoings}
    return {pk for pk, part in parts.items() if part[1] is not None and part in found}


def link(request: HttpRequest, number: int) -> SafeString:
    """Return a link "See what came of it" to the batch's page, which leads back to this one."""
    asked = {"number": number, BACK: request.get_full_path()}
    page = f"{reverse('admin:batch')}?{urlencode(asked)}"
    return format_html('<a href="{}">{}</a>', page, say("See what came of it"))


def of_rules(request: HttpRequest, rules: Collection[Rule]) -> SafeString | None:
    """Return "Ran for 3 earlier buyers on 28 Nov. See what came of it" for the latest such run.

    None if there was none for these rules, or its results are not kept.
    """
    entries = AuditEntry.objects.filter(
        act=Act.BUYERS_ENROLLED,
        kind=Rule._meta.model_name,
        number__in=[str(rule.pk) for rule in rules],
    )
    newest = entries.order_by("-pk").first() if rules else None
    if newest is None or not (found := existing_batches(request, [newest])):
        return None
    same = entries.filter(**{f"after__{BATCH}": number_of(newest)})
    text = say_count(
        max((entry.after or {}).get("buyers", 0) for entry in same),
        "Ran for 1 earlier buyer on {day}.",
        "Ran for {number} earlier buyers on {day}.",
        day=format_day(newest.at),
    )
    return format_html("{} {}", text, link(request, next(iter(found))))


@dataclass(frozen=True, slots=True)
class Among:
    """What was done to an event as one of several, among its actions in the order of time.

    `before` are the lines that stand before an action, by its pk, `after` those after the last.
    """

    before: Mapping[int, Sequence[SafeString]]
    after: Sequence[SafeString]


def among(runs: Iterable[RuleRun], lines: Iterable[tuple[datetime, SafeString]]) -> Among:
    """Put the lines of an event, each with its time, among its actions. Both are oldest first."""
    left, before = list(lines), {}
    for run in runs:
        at = run.finished_at or run.started_at  # without either, it is still to come
        earlier = [line for line in left if at is None or line[0] <= at]
        before[run.pk] = [text for _, text in earlier]
        left = left[len(earlier) :]
    return Among(before, [text for _, text in left])


def of_events(request: HttpRequest, done: Done) -> dict[int, list[tuple[datetime, SafeString]]]:
    """Return {event: what was done to it as one of several, with the time, the oldest first}.

    `done` comes from `batches.batch_acts`.
    """
    known = existing_batches(request, (entry for acts in done.values() for entry in acts))
    found: dict[int, list[tuple[datetime, SafeString]]] = {}
    for event, acts in done.items():
        for entry in reversed(acts):
            batch = known.get(number_of(entry) or 0)
            if batch is not None:
                # The title may be a sentence, such as that of a rule.
                title = badges.brief(batch.title).removesuffix(".")
                facts = badges.when(entry.at), title, link(request, batch.pk)
                line = entry.at, format_html("{} {}. {}", *facts)
                found.setdefault(event, []).append(line)
    return found
