"""What happened to a customer: events with their actions, as the customer's page lists them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.parts import badges, batch_links, event_result, times
from config.admin.parts.batch_links import DatedLine
from config.admin.parts.changelist import CappedPaginator
from events.access import moves
from events.access.ledger import Judgment
from events.execution import wait_reasons
from events.models import EventLog, RuleRun
from events.models.event_status import read_again
from events.reports import batches
from events.reports.customers import keeping_decisions
from events.reports.system import api_calls
from integrations.models import ApiCall, Customer

PER_PAGE = 50
MOST_OF_OTHERS = 200


@dataclass(frozen=True, slots=True)
class ShownAction:
    """An action in the timeline.

    `told` says what it waits for or what came of it, `failed` are its failed attempts, and
    `with_others` says what was done to the event as one of several before this action.
    """

    run: RuleRun
    told: str
    failed: Sequence[ApiCall]
    with_others: Sequence[SafeString]


@dataclass(frozen=True, slots=True)
class Step:
    """An event in the timeline.

    `idle` are those actions that the page folds, because they had nothing to end. `last` says what
    was done to the event as one of several after its last action. `source` is the customer from
    whom the event moved access here.
    """

    event: EventLog
    actions: Sequence[ShownAction]
    idle: Sequence[ShownAction] = ()
    last: Sequence[SafeString] = ()
    source: Customer | None = None


def events_of(customer: Customer, number: int) -> Page[EventLog]:
    """Return one page of the customer's events, newest first, with their actions."""
    runs = RuleRun.objects.select_related("integration", "grant", "customer").order_by("pk")
    events = (
        _about(customer)
        .select_related("product")
        .defer("verdicts", "custom_fields")
        .prefetch_related(Prefetch("runs", runs))
        .order_by("-received_at", "-pk")
    )
    return CappedPaginator.at_page(events, PER_PAGE, number).get_page(number)


def _about(customer: Customer) -> QuerySet[EventLog]:
    """Return the customer's events, and those of others that changed this customer's access."""
    own = Q(customer=customer)
    runs = RuleRun.objects.filter(customer=customer).exclude(event__customer=customer)
    others = list(runs.order_by().values_list("event", flat=True)[:MOST_OF_OTHERS])
    return EventLog.objects.filter(own | Q(pk__in=others) if others else own)


def timeline(request: HttpRequest, shown: Page[EventLog]) -> dict[str, Any]:
    """Return what the template needs to list these events with their actions."""
    of_event = {event.pk: list(event.runs.all()) for event in shown}
    read_again((event, of_event[event.pk]) for event in shown)
    done = batches.batch_acts(of_event)
    _move_given_back(of_event, done)
    runs = [run for each in of_event.values() for run in each]
    told, calls = wait_reasons.reasons(runs), api_calls.without_bodies(runs)
    event_result.note(shown)
    failed = api_calls.failed_attempts(runs, calls)
    lines, sources = _lines(request, of_event, done), moves.moved_from(runs)

    def step(event: EventLog) -> Step:
        own = of_event[event.pk]
        among = batch_links.among(own, lines[event.pk])
        actions, idle = (
            [
                ShownAction(run, told[run.pk], failed.get(run.pk, []), among.before[run.pk])
                for run in part
            ]
            for part in _acting_and_idle(own)
        )
        return Step(event, actions, idle, last=among.after, source=sources.get(event.pk))

    return {
        "steps": [step(event) for event in shown],
        "runs": runs,
        "tried": [(run.pk, api_calls.retry_sentence(run, failed.get(run.pk, ()))) for run in runs],
        "under_way": wait_reasons.under_way(runs),
    }


def _move_given_back(of_event: dict[int, list[RuleRun]], done: batches.Done) -> None:
    """List what an undo gave back with the event at which it was undone."""
    back = batches.given_back(done)
    elsewhere = {run.pk for given in back.values() for run in given}
    for pk, own in of_event.items():
        here = [*(run for run in own if run.pk not in elsewhere), *back.get(pk, ())]
        of_event[pk] = sorted(here, key=lambda run: run.pk)


def _lines(
    request: HttpRequest, events: Collection[int], done: batches.Done
) -> dict[int, list[DatedLine]]:
    """Return {event: what persons did about it, with the time, the oldest first}."""
    of_batches, decided = batch_links.of_events(request, done), keeping_decisions.of_events(events)
    found = {}
    for event in events:
        shown = [
            DatedLine(at, format_html("{} {}", times.when(at), badges.legible(text, 1000)))
            for at, text in decided.get(event, ())
        ]
        found[event] = sorted([*of_batches.get(event, []), *shown], key=lambda line: line.at)
    return found


def _acting_and_idle(runs: Sequence[RuleRun]) -> tuple[list[RuleRun], list[RuleRun]]:
    """Return the actions to show, and several that had nothing to end, which the page folds.

    Rules for every product also run for refunds of products that give something else.
    """
    idle = [run for run in runs if run.code == Judgment.GAVE_NOTHING]
    if len(idle) < 2:
        return [*runs], []
    return [run for run in runs if run not in idle], idle
