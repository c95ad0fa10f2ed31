"""Turn claimed runs into conversations: read all that their steps need, for many at once."""

import logging
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError

from events.access import due
from events.execution import messages
from events.execution.conversation import Conversation
from events.models import RuleRun
from integrations import app_registry
from integrations.app_spec import Steps
from integrations.calls.findings import Finding
from integrations.models import Destination, FieldMapping, Integration
from integrations.thinkific import memory
from integrations.thinkific.attempt import Attempt
from rules.actions import ActionInput, ActionOutcome, Message

log = logging.getLogger(__name__)


class NotDue(Exception):
    """The ledger says that there is nothing to do anymore; `message` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def begin(runs: Sequence[RuleRun]) -> list[Conversation]:
    """Return conversations for these runs, begun. One that cannot be read fails alone."""
    try:
        return conversations(runs)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # read each alone, to find the one that fails
        return [begun for run in runs for begun in _alone(run)]


def _alone(run: RuleRun) -> list[Conversation]:
    try:
        return conversations([run])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # Its event, customer or site was deleted meanwhile, or our code is at fault.
        log.warning("unreadable", extra={"run": run.pk, "error": type(error).__name__})
        if run.integration is None:
            return []  # recovery ends it once its lease has lapsed
        remembered = memory.Memory(run.integration, run.customer)
        conversation = Conversation(
            run.integration, remembered, remembered.attempt(), _nothing(), run=run, run_id=run.pk
        )
        conversation.fail(error)
        return [conversation]


def _nothing() -> Steps[None]:
    yield from ()


def conversations(runs: Sequence[RuleRun]) -> list[Conversation]:
    """Return conversations for these runs, begun: each has its first call, or is over."""
    all_due = due.due(runs)
    destinations = _destinations(runs)
    memories = memory.read([(run.integration, run.customer) for run in runs if run.integration])
    orders = [(run.integration_id, run.event.custom_fields) for run in runs]
    fields_of = FieldMapping.objects.values_for_all(orders)
    sent = messages.messages_of(runs)
    begun = []
    for run, remembered, filled in zip(runs, memories, fields_of, strict=True):
        attempt = remembered.attempt({field.external_id: field.label for field in filled})
        is_due = all_due.get(run.pk, due.NOTHING_KNOWN)
        fields = {field.external_id: value for field, value in filled.items()}
        action_input = _action_input(run, destinations, fields, is_due, sent.get(run.pk))
        app = app_registry.of(remembered.integration)
        steps = app.checked(attempt, _steps(run, attempt, action_input))
        conversation = Conversation(
            remembered.integration, remembered, attempt, steps, run=run, run_id=run.pk
        )
        _begin(conversation, NotDue(is_due.nothing) if is_due.nothing else None)
        begun.append(conversation)
    return begun


def _steps(run: RuleRun, attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    # A generator of our own, so that a faulty action fails when it begins, in its own run.
    return (yield from run.spec.run(attempt, action_input))


def question(
    integration: Integration,
    steps: Steps[Finding],
    *,
    asked_at: float,
    run_id: int | None = None,
) -> Conversation:
    """Return the question to a site whether it is open, begun. Its calls are kept with the run."""
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


def _begin(conversation: Conversation, not_due: NotDue | None) -> None:
    if not_due is not None:
        conversation.fail(not_due)
        return
    try:
        client = conversation.app.client(conversation.integration, conversation.note)
    except Exception as error:  # its secret cannot be opened
        conversation.fail(error)
    else:
        conversation.client = client
        conversation.begin()


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
    is_due: due.Due,
    message: Message | None,
) -> ActionInput:
    number, target = run.destination_id or 0, run.spec.target
    found = destinations.get((run.integration_id or 0, target.value, number)) if target else None
    # Each action asks for the courses of a bundle that Thinkific does not list.
    course_ids = found.course_ids if found and found.listed else ()
    return ActionInput(
        destination_id=number,
        destination=run.destination_name,
        course_ids=tuple(course_ids),
        said_gone=bool(found and found.gone_at),
        missing=found.missing if found and found.by_hand else "",
        fields=fields,
        still_given=is_due.still_given,
        only=is_due.only,
        gave=is_due.gave,
        until=is_due.until,
        given_before=is_due.given_before,
        attempt=run.attempts,
        message=message,
    )
