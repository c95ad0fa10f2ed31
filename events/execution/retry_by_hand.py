"""What a person does with runs by hand: retry, send again, dismiss."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.access import decisions, history, waiving
from events.access.decisions import Settled
from events.access.lock import lock
from events.execution import gone_destinations, retry_reasons
from events.models import Batch, RuleRun
from events.models.event_status import refresh_event
from events.models.runs import BRAKED, DELAYED, DISMISSED, UNDECIDED
from events.queue import wake
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.sentences import joined, say, say_count
from integrations.who import shown_who
from rules.models import Rule

Status = RuleRun.Status


def retry(
    runs: Iterable[RuleRun],
    *,
    anyway: bool = False,
    as_now: bool = False,
    batch: Batch | None = None,
) -> tuple[int, dict[str, int]]:
    """Queue failed, held or skipped runs again, and done ones whose access was lost since.

    A run that waits for its next attempt makes it now. `anyway` also carries out what was decided
    otherwise, refunded or canceled. With `as_now`, a failed run gives what its rule gives now. The
    batch gets the IDs of the runs that were queued.

    Returns how many were queued, and how many were not, by reason.
    """
    runs = list(runs)
    act = Act.DONE_ANYWAY if anyway else None
    found = retry_reasons.reasons(runs, anyway=anyway)
    return _queue_all(runs, found, anyway=anyway, as_now=as_now, act=act, batch=batch)


def give_again(
    runs: Iterable[RuleRun], *, batch: Batch | None = None
) -> tuple[int, dict[str, int]]:
    """Queue runs whose grants are active, even done ones: Thinkific does not show the access.

    Each keeps what was decided, and looks at Thinkific before it changes anything. Returns what
    `retry` returns.
    """
    runs = list(runs)
    wait = say(history.WAIT) if history.unread() else ""
    why_not = {run.pk: wait or retry_reasons.why_not_given_again(run) for run in runs}
    return _queue_all(runs, why_not, anyway=False, act=Act.REPAIR_APPROVED, batch=batch)


def _queue_all(
    runs: Iterable[RuleRun],
    reasons: Mapping[int, str],
    *,
    anyway: bool,
    as_now: bool = False,
    act: Act | None,
    batch: Batch | None,
) -> tuple[int, dict[str, int]]:
    """Queue the runs that have no reason against it. Returns what `retry` returns."""
    queued = 0
    left: dict[str, int] = {}
    for run in runs:
        reason = reasons[run.pk]
        doing = act or _act(run)
        if not reason and not _queue(run, anyway=anyway, as_now=as_now, act=doing, batch=batch):
            reason = say("it has just changed")
        if reason:
            left[reason] = left.get(reason, 0) + 1
        else:
            queued += 1
    return queued, left


def run_again(run: RuleRun) -> str:
    """Queue what was passed on as a new message. Return why it was not queued, "" if it was."""
    if reason := retry_reasons.why_not_again(run):
        return reason
    queued = _queue(run, anyway=False, act=Act.RUN_REPEATED)
    return "" if queued else say("it has just changed")


def dismiss(runs: Iterable[RuleRun], *, by: str) -> int:
    """End failed, held or delayed runs that nobody needs. Return how many were ended."""
    number = 0
    for run in runs:
        with transaction.atomic():
            lock()
            open_run = RuleRun.objects.dismissible().filter(pk=run.pk).select_for_update()
            dismissed = 0
            for before in open_run.values_list("message", flat=True):
                facts = {"person": shown_who(by), "before": before}
                message = say("Dismissed by {person}. Before: {before}", **facts)
                dismissed = open_run.end(Status.SKIPPED, DISMISSED, message)
            if dismissed:  # if not, it was retried meanwhile and may be giving access
                waiving.waive([run])
                refresh_event(run.event_id)
                audit.record(Act.RUN_DISMISSED, run)
        number += dismissed
    return number


def _act(run: RuleRun) -> Act:
    """Return the audit act for queuing this run again."""
    return Act.RUN_RELEASED if run.status == Status.HELD else Act.RUN_RETRIED


def retried_sentence(queued: int, left: dict[str, int]) -> str:
    """Say "2 queued, 1 skipped: it had succeeded." """
    others = [
        say_count(number, "1 skipped: {reason}", "{number} skipped: {reason}", reason=reason)
        for reason, number in left.items()
    ]
    queued_ = say_count(queued, "1 queued", "{number} queued")
    return joined([joined([queued_, *others], by=", "), "."], by="")


def _queue(
    run: RuleRun,
    *,
    anyway: bool,
    as_now: bool = False,
    act: Act,
    batch: Batch | None = None,
) -> bool:
    """Queue this run and save the batch, in one transaction. Return whether it could be queued."""
    with transaction.atomic():
        lock()
        same = RuleRun.objects.select_for_update().filter(pk=run.pk, status=run.status)
        if (found := same.first()) is None:
            return False
        run = found  # somebody may have changed it since it was looked at
        if batch is not None:
            _note_in(batch, run)
        audit.record(act, run, after={BATCH: batch.pk} if batch else None)
        if run.status == Status.WAITING:
            return bool(same.update(next_attempt_at=Now()))
        instead = _given_instead(run, as_now=as_now)
        undecided = run.code == UNDECIDED and not anyway
        settled = _settled(run, anyway=anyway)
        run.status, run.code, run.message = Status.WAITING, "queued", say("Queued again.")
        run.attempts = run.crashes = 0
        run.message_id, run.finished_at, run.next_attempt_at = uuid4(), None, timezone.now()
        if instead:
            _turn_to(run, instead)
        if undecided:
            run.code = DELAYED  # its day has come: the worker decides on it as on any other
        elif run.target and (anyway or run.grant_id is None):
            decisions.decide_alone(run, settled)
        elif run.grant is not None and (run.spec.gives_access or run.customer_id is None):
            # Before the ledger, each event had its own customer. An ending stays with the customer
            # for whom it was decided: what was moved since is closed to nobody else.
            run.customer = run.grant.customer
        run.save()
        refresh_event(run.event_id)
    return True


def _turn_to(run: RuleRun, instead: dict[str, Any]) -> None:
    """Have the run give something else than before, which is no longer owed."""
    waiving.waive([run])
    run.grant = None
    for name, value in instead.items():
        setattr(run, name, value)


def _note_in(batch: Batch, run: RuleRun) -> None:
    """Save the run in the batch, and wake a worker: the request may die before the next run."""
    batch.run_ids.append(run.pk)
    batch.save()
    wake.wake()


def _settled(run: RuleRun, *, anyway: bool) -> Settled:
    """Return what a person settles by queuing this run."""
    if anyway:
        return Settled.ANYWAY
    # It was to end at once before it was held, whatever delay its rule has by now.
    return Settled.DUE if run.code == BRAKED else Settled.RIGHT


def _given_instead(run: RuleRun, *, as_now: bool) -> dict[str, Any]:
    """Return what the rule gives now, if the course is gone and the rule was edited since.

    With `as_now`, also if the run is outdated. Any other run repeats what was decided when its
    event came.
    """
    rule = run.rule
    if rule is None or not run.event.is_for(rule) or not rule.spec.gives_access:
        return {}
    if gone_destinations.is_gone(run) or (as_now and retry_reasons.is_outdated(run)):
        return RuleRun.copy_of(rule) if _is_first_of_its_form(run, rule) else {}
    return {}


def _is_first_of_its_form(run: RuleRun, rule: Rule) -> bool:
    others = RuleRun.objects.filter(event=run.event_id, rule=rule).exclude(pk=run.pk)
    return RuleRun.form_of(rule) not in {each.form for each in others}
