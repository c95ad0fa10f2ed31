"""Turn what happened before the ledger existed into grants, some events at a time.

Events are read in receipt order, and the ledger decides by the actions of that time. No action is
carried out here, and waiting ones go on as before. Where access is due by the ledger although the
last action ended it, a person is asked: see `Grant.objects.stranded`.
"""

import logging
from collections.abc import Iterator, Sequence

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.access import event_student
from events.access.book import logged
from events.access.decisions import Decisions
from events.access.done_before import DoneBefore
from events.access.lock import try_lock
from events.access.sale import Sale
from events.models import EventLog, Grant, History, RuleRun
from events.models.runs import DISMISSED
from integrations.sentences import Said, say
from rules.triggers import Category, Trigger

log = logging.getLogger(__name__)
Status = RuleRun.Status
BOUGHT = Trigger.PRODUCT_PURCHASED
STEP = 50  # events per transaction
OVER = (Status.DONE, Status.SKIPPED)
UNUSED = ("verdicts", "custom_fields", "reason")  # long columns of events that are not needed here
COMPARED = ("state", "seen_at", "opened_at", "ended_at", "decided_at", "because", "event")
CHANGED = ("status", "code", "message", "customer", "ends_all", "finished_at", "next_attempt_at")
WAIT = _("Admit is still reading the history; try again in a few minutes")


def unread() -> History | None:
    """Return how far the history is read, or None if all of it is. Nothing is decided before."""
    return History.objects.filter(done_at=None).first()


def check() -> None:
    """Raise ValueError with a sentence while some history is unread: nothing is decided before."""
    if unread() is not None:
        raise ValueError(f"{WAIT}.")


def sentence(history: History) -> Said:
    """Say "The history is being read: 12,300 of 100,000 events." """
    return say(
        "The history is being read: {read} of {events} events.",
        read=history.read,
        events=history.events,
    )


def step() -> int:
    """Read the next events in a transaction of their own. Return how many were read.

    Returns 0 if all are read, or if another worker is reading. An event that breaks our code is
    left out, and counted as unclear.
    """
    try:
        return _read(STEP)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # read each alone, to leave out only the one that fails
        return sum(_read_alone() for _ in range(STEP))


def _read_alone() -> int:
    try:
        return _read(1)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        history = unread()
        event = _events(history).values_list("pk", flat=True).first() if history else None
        log.error("history_event_left_out", extra={"event": event, "error": type(error).__name__})
        return _read(1, leave_out=True)


def _read(size: int, *, leave_out: bool = False) -> int:
    with transaction.atomic():
        history = unread() if try_lock() else None
        if history is None:
            return 0
        page = list(_events(history).values_list("received_at", "pk")[:size])
        if page:
            history.unclear += 1 if leave_out else _decide_all([pk for _, pk in page])
            history.read += len(page)
            history.reached_at, history.reached_id = page[-1]
        else:
            history.done_at = timezone.now()
        history.save()
    return len(page)


def _events(history: History) -> QuerySet[EventLog]:
    """Return the events that are not read yet, in receipt order."""
    events = EventLog.objects.order_by("received_at", "pk")
    if history.reached_at is None:
        return events
    beyond = Q(received_at__gt=history.reached_at) | Q(pk__gt=history.reached_id)
    return events.filter(beyond, received_at__gte=history.reached_at)


def _decide_all(events: Sequence[int]) -> int:
    """Make grants from what was decided for these events. Return the number of unclear actions."""
    runs = list(_runs(events))
    stood = {run.pk: _stands(run) for run in runs}
    log_of = _log_of_all(runs)
    decisions = Decisions([Sale.of(run.event) for run in runs], log=log_of)
    for run in runs:
        _decide(decisions, run, log_of)
    stored = _compare(runs)
    decisions.write()
    Grant.objects.bulk_update(stored, COMPARED)
    _name_grants([run for run in runs if run.grant])
    _write([run for run in runs if _stands(run) != stood[run.pk]])
    return sum(run.grant is None for run in runs)


def _runs(events: Sequence[int]) -> Iterator[RuleRun]:
    """Yield the actions that changed a customer's access or are to change it, in receipt order."""
    runs = RuleRun.objects.filter(event__in=events, integration__isnull=False)
    runs = runs.exclude(Q(target="") | Q(customer=None) | Q(status=Status.HELD))
    runs = runs.exclude(code=DISMISSED, started_at=None)  # dismissed while held
    found = runs.select_related("event__customer", "event__product", "customer", "integration")
    found = found.defer("rule_sentence", *(f"event__{name}" for name in UNUSED))
    yield from found.order_by("received_at", "event", "pk").select_for_update(of=("self",))


def _log_of_all(runs: Sequence[RuleRun]) -> event_student.Log:
    """Read the log of all purchases of these actions at once."""
    asking = [run.event for run in runs if run.spec.ends_access or run.event.trigger != BOUGHT]
    orders = {event.order_id for event in asking} - {""}
    subscriptions = {event.subscription_id for event in asking} - {""}
    ids = Q(order_id__in=orders) | Q(subscription_id__in=subscriptions)
    events = list(logged(ids).defer(*UNUSED)) if orders or subscriptions else []
    return lambda sale: [event for event in events if sale.is_same(Sale.of(event))]


def _stands(run: RuleRun) -> tuple[str, int | None, bool]:
    return run.status, run.customer_id, run.ends_all


def _decide(decisions: Decisions, run: RuleRun, log_of: event_student.Log) -> None:
    """Let the ledger decide on an action of that time."""
    event, customer, was_over = run.event, run.customer, run.status in OVER
    run.ends_all = run.spec.ends_access and _ends_all(Trigger(str(event.trigger)))
    if run.ends_all or not Sale.of(event).is_named:
        decisions.write()  # its grants are read from the database
    # At the time of these actions, no field could name another student than the payer.
    payer = event_student.payer(event, decisions.grants_of(event), log_of)
    run.customer = payer or customer
    if run.status == Status.WAITING:
        decisions.decide(event, run)
    elif not decisions.unclear(event, run):
        decisions.change(event, run)
    if was_over:
        run.customer = customer  # keep the one for whom it was carried out


def _ends_all(trigger: Trigger) -> bool:
    """Whether an ending meant access from any source: the trigger names no purchase to end."""
    return trigger is BOUGHT or trigger.category is Category.COURSES


def _compare(runs: Sequence[RuleRun]) -> list[Grant]:
    """Record whether Thinkific holds what was given, judging by the actions carried out.

    Returns the affected grants that were stored before.
    """
    changed = [(run, run.grant) for run in runs if run.grant is not None]
    done = DoneBefore([row for _, row in changed], {run.pk: row for run, row in changed})
    for run, row in changed:
        if run.spec.gives_access and _was_given(run) and row.is_active:
            row.seen_at = done.held_since(row)
        elif run.spec.ends_access and run.status == Status.DONE:
            done.reopen(row, run.finished_at)
    for run, row in changed:
        # Only if no later event gave it again.
        if run.code == DISMISSED and row.event_id == run.event_id and _is_owed(row):
            row.state = Grant.State.WAIVED
    return [*{row.pk: row for _, row in changed if row.pk is not None}.values()]


def _name_grants(runs: Sequence[RuleRun]) -> None:
    """Write the grant of each run, in one statement for all: bulk_update is slow to build one."""
    pairs = [(run.grant.pk, run.pk) for run in runs if run.grant is not None]
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE events_rulerun SET grant_id = %s WHERE id = %s", pairs)


def _was_given(run: RuleRun) -> bool:
    """Whether this run, or what came later, gave the access."""
    return run.status in OVER and run.code != DISMISSED


def _is_owed(row: Grant) -> bool:
    return row.is_active and row.seen_at is None


def _write(runs: Sequence[RuleRun]) -> None:
    """Save the runs that the ledger changed, and update the status of their events."""
    for run in runs:
        run.save(update_fields=CHANGED)
    events = EventLog.objects.filter(pk__in={run.event_id for run in runs})
    for event in events.prefetch_related("runs"):
        status = event.status_of([run.status for run in event.runs.all()])
        EventLog.objects.filter(pk=event.pk).update(status=status)
