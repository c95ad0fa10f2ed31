"""Endings whose day has come: they are decided by the ledger as it is now."""

import logging
from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from events.access import decisions, pending
from events.access.decisions import Settled
from events.access.lock import lock
from events.models import EventLog, RuleRun
from events.models.event_status import refresh_event
from events.models.runs import UNDECIDED
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import NOW
from integrations.sentences import Said, format_day, say
from integrations.who import shown_who

log = logging.getLogger(__name__)
DECIDED_AT_ONCE = 100
PAID_AGAIN = "paid_again"


def decide_due() -> int:
    """Decide on up to DECIDED_AT_ONCE endings whose day has come. Return how many there were."""
    ready = list(
        RuleRun.objects.delayed()
        .due()
        .order_by("next_attempt_at", "pk")
        .values_list("pk", flat=True)[:DECIDED_AT_ONCE]
    )
    for pk in ready:
        try:
            _decide(pk)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # a fault of ours with one of them must not stop the others
            log.error("action_broke", extra={"run": pk}, exc_info=error)
            _set_aside(pk, type(error).__name__)
    return len(ready)


def _decide(pk: int) -> None:
    with transaction.atomic():
        lock()
        for run in RuleRun.objects.delayed().due().filter(pk=pk).select_for_update(of=("self",)):
            run.code, run.message = "not_started", ""
            run.next_attempt_at = timezone.now()
            if not skip_if_paid_again(run):
                decisions.decide_alone(run, Settled.DUE)
            run.save()
            refresh_event(run.event_id)


def skip_if_paid_again(run: RuleRun) -> bool:
    """Skip the ending if its purchase was paid for again. Return whether; the run is not saved."""
    if again := pending.paid_again(run.event):
        message = say("Nothing was ended: {again} came before its day.", again=again)
        run.skip(PAID_AGAIN, message)
        return True
    return False


def _set_aside(pk: int, kind: str) -> None:
    message = say("Admit itself failed ({kind}). Call your technician, then retry.", kind=kind)
    with transaction.atomic():
        broken = RuleRun.objects.delayed().filter(pk=pk)
        for event in broken.values_list("event", flat=True):
            broken.end(RuleRun.Status.FAILED, UNDECIDED, message)
            refresh_event(event)


def bring_forward(run: RuleRun, *, by: str) -> bool:
    """End the access now, as this person wants. Return whether its day was still to come."""
    with transaction.atomic():
        same = RuleRun.objects.delayed().filter(pk=run.pk, next_attempt_at__gt=Now())
        planned = same.values_list("next_attempt_at", flat=True).first()
        waited = bool(same.update(next_attempt_at=Now()))
        if waited:
            access = [access_of(run)]
            before, after = ({"access": access, "ends": end} for end in (planned, NOW))
            audit.record(Act.ENDED_NOW, run, before=before, after=after)
        if waited and planned and run.event.is_gift:
            _note_early_end(run.event, planned, by)
    return waited


def access_of(run: RuleRun) -> Said:
    """Return what the run ends, as audit entries name it."""
    site = run.integration or run.site
    return say("{course} on {site}", course=run.destination_name, site=site)


def _note_early_end(event: EventLog, planned: datetime, by: str) -> None:
    """Keep the day until which it was given: the action itself knows only when it ended."""
    event.reason = say(
        "It was given until {day}, and {person} ended it early on {today}.",
        day=format_day(planned),
        person=shown_who(by),
        today=format_day(timezone.now()),
    )
    event.save(update_fields=["reason"])
