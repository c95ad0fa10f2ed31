"""Events as plain data and plain words, for commands, the demo and scripts."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from events.execution import wait_reasons
from events.models import Delivery, EventLog, RuleRun
from rules.engine import REASONS, Reason

# A rule that was off when the event came may be on now.
THEN = REASONS | {Reason.OFF: _("The rule was off then.")}
NOT_READ = "Not read yet: a worker of manage.py up does that within a second."


def as_data(event: EventLog) -> dict[str, Any]:
    """Return the event with its runs and verdicts; all values can be written as JSON."""
    return {
        "id": event.pk,
        "received_at": event.received_at.isoformat(),
        "type": event.raw_type,
        "trigger": event.trigger,
        "product": event.product.external_id if event.product else None,
        "order": event.order_id or None,
        "email": event.customer.email if event.customer else None,
        "status": event.status,
        "reason": event.explanation,
        "runs": [_run(run) for run in _runs(event)],
        "verdicts": [
            {"rule": sentence, "runs": ran, "reason": str(THEN[Reason(why)])}
            for sentence, ran, why in event.sentences()
        ],
        "ordered_at": event.ordered_at.isoformat() if event.ordered_at else None,
        "by_hand": event.by_hand or None,
        "author": event.author or None,
        "note": event.author_note or None,
    }


def _run(run: RuleRun) -> dict[str, Any]:
    return {
        "id": run.pk,
        "rule": run.rule_sentence,
        "action": run.action,
        "destination": run.destination_id,
        "status": run.status,
        "attempts": run.attempts,
        "code": run.code,
        "message": wait_reasons.reason(run),
        "next_attempt_at": run.next_attempt_at.isoformat() if run.next_attempt_at else None,
        "student": run.customer.email if run.customer else None,
    }


def unread(delivery: Delivery) -> dict[str, Any]:
    """A delivery that no worker has read yet, in the shape of an event that waits."""
    return {
        "id": None,
        "received_at": delivery.received_at.isoformat(),
        "type": "",
        "trigger": None,
        "product": None,
        "order": None,
        "email": None,
        "status": EventLog.Status.WAITING.value,
        "reason": NOT_READ,
        "runs": [],
        "verdicts": [],
        "ordered_at": None,
        "by_hand": None,
        "author": None,
        "note": None,
    }


def in_words(event: EventLog) -> list[str]:
    """A few lines for a terminal: what came, and what was done about it."""
    what = event.what_happened or event.raw_type or "Something unknown"
    about = [
        f"of {event.product}" if event.product else "",
        f"for {event.customer}" if event.customer else "",
        f"(order {event.order_id})" if event.order_id else "",
    ]
    lines = [" ".join(filter(None, [f"{what}", *about])) + f": {event.get_status_display()}."]
    if event.author:
        lines.append(f"  {event.author}: {event.author_note}")
    if event.reason:
        lines.append(f"  {event.reason}")
    for run in _runs(event):
        action = f"{run.spec.label}, {run.destination_name}"
        lines.append(f"  {action}: {run.get_status_display()}. {wait_reasons.reason(run)}")
    return [printable(line) for line in lines]


def _runs(event: EventLog) -> list[RuleRun]:
    # Sorted here, so that prefetched runs are not fetched again.
    return sorted(event.runs.all(), key=lambda run: run.pk)


def printable(line: str) -> str:
    """Return the line without characters that control a terminal or the direction of its text."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
