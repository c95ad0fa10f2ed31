"""From claimed runs to conversations: all that their steps need to know, read for many at once."""

import logging
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError
from django.db.models import OuterRef, Q, Subquery

from events.execution import messages
from events.execution.conversation import Conversation
from events.models import EventLog, RuleRun
from integrations import app_registry
from integrations.app_spec import Steps
from integrations.findings import Finding
from integrations.models import Destination, FieldMapping, Integration
from integrations.thinkific import memory
from integrations.thinkific.attempt import Attempt
from rules.actions import ActionInput, ActionOutcome
from rules.triggers import Trigger

log = logging.getLogger(__name__)


class Overtaken(Exception):
    """An event received later was carried out already; `message` says which."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def begin(runs: Sequence[RuleRun]) -> list[Conversation]:
    """Conversations for these runs, begun; one that cannot be read ends alone."""
    try:
        return conversations(runs)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # which of them it is shows when each is read alone
        return [begun for run in runs for begun in _alone(run)]


def _alone(run: RuleRun) -> list[Conversation]:
    try:
        return conversations([run])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # Its event, customer or site was deleted meanwhile, or it is a fault of ours.
        log.warning("unreadable", extra={"run": run.pk, "error": type(error).__name__})
        if run.integration is None:
            return []  # it is given up once its lease has ended
        remembered = memory.Memory(run.integration, run.customer)
        conversation = Conversation(
            run.integration, remembered, remembered.attempt(), _nothing(), run=run, run_id=run.pk
        )
        conversation.fail(error)
        return [conversation]


def _nothing() -> Steps[None]:
    yield from ()


def conversations(runs: Sequence[RuleRun]) -> list[Conversation]:
    """Conversations for these runs, begun: each has its first call, or is over."""
    overtaken = _overtaken(runs)
    destinations = _destinations(runs)
    memories = memory.read([(run.integration, run.customer) for run in runs if run.integration])
    begun = []
    for run, remembered in zip(runs, memories, strict=True):
        filled = FieldMapping.objects.values_for(remembered.integration, run.event.custom_fields)
        attempt = remembered.attempt({field.external_id: field.label for field in filled})
        action_input = _action_input(
            run, destinations, {field.external_id: v for field, v in filled.items()}
        )
        app = app_registry.of(remembered.integration)
        steps = app.checked(attempt, _steps(run, attempt, action_input))
        conversation = Conversation(
            remembered.integration, remembered, attempt, steps, run=run, run_id=run.pk
        )
        _begin(conversation, overtaken.get(run.pk))
        begun.append(conversation)
    return begun


def _steps(run: RuleRun, attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    # A generator of ours: whatever is wrong with the action shows when it begins, in its own run.
    return (yield from run.spec.run(attempt, action_input))


def question(
    integration: Integration,
    steps: Steps[Finding],
    *,
    asked_at: float,
    run_id: int | None = None,
) -> Conversation:
    """The question to a site whether it is open, begun; its calls are kept with the run."""
    (remembered,) = memory.read([(integration, None)])
    attempt = remembered.attempt()
    conversation = Conversation(
        integration,
        remembered,
        attempt,
        steps,
        asked_at=asked_at,
        run_id=run_id,
    )
    _begin(conversation, None)
    return conversation


def _begin(conversation: Conversation, overtaken: Overtaken | None) -> None:
    if overtaken is not None:
        conversation.fail(overtaken)
        return
    try:
        client = conversation.app.client(conversation.integration, conversation.note)
    except Exception as error:  # its secret cannot be opened
        conversation.fail(error)
    else:
        conversation.client = client
        conversation.begin()


def _overtaken(runs: Sequence[RuleRun]) -> dict[int, Overtaken]:
    """By pk: those for whose course an event received later was carried out already."""
    at = OuterRef("received_at")
    later = RuleRun.objects.filter(
        Q(received_at__gt=at) | Q(received_at=at, pk__gt=OuterRef("pk")),
        customer=OuterRef("customer"),
        integration=OuterRef("integration"),
        target=OuterRef("target"),
        status=RuleRun.Status.DONE,
    ).exclude(event=OuterRef("event"))
    newest = Subquery(later.order_by("-received_at", "-pk").values("pk")[:1])
    judged = RuleRun.objects.filter(pk__in=[run.pk for run in runs], forced=False)
    found = judged.exclude(target="").annotate(later=newest).filter(later__isnull=False)
    by_run = dict(found.values_list("pk", "later"))
    others = RuleRun.objects.select_related("event").in_bulk(by_run.values())
    return {pk: _say_overtaken(others[other].event) for pk, other in by_run.items()}


def _say_overtaken(later: EventLog) -> Overtaken:
    of_order = f" of order {later.order_id}" if later.order_id else ""
    return Overtaken(
        f"Overtaken by {Trigger(later.trigger or '').wording.happening}{of_order}, "
        "which was received later and is done already."
    )


def _destinations(runs: Sequence[RuleRun]) -> dict[tuple[int, str, int], Destination]:
    rows = Destination.objects.filter(
        integration__in={run.integration_id for run in runs},
        external_id__in={run.destination_id for run in runs},
    )
    return {(row.integration_id, row.kind, row.external_id): row for row in rows}


def _action_input(
    run: RuleRun,
    destinations: dict[tuple[int, str, int], Destination],
    fields: dict[int, str],
) -> ActionInput:
    number, target = run.destination_id or 0, run.spec.target
    found = destinations.get((run.integration_id or 0, target.value, number)) if target else None
    return ActionInput(
        destination_id=number,
        destination=run.destination_name,
        course_ids=tuple(found.course_ids) if found else (),
        said_gone=bool(found and found.gone_at),
        fields=fields,
        attempt=run.attempts,
        message=messages.of(run),
    )
