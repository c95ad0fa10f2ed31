"""What happened before there was a ledger becomes grants, some events at a time.

The events are read in the order of receipt, and the ledger decides by the actions of their time.
Nothing is carried out: what waits goes on as it would have. Where access is due by the ledger and
the last action took it away, a person is asked: see `Grant.objects.stranded`.
"""

import logging
from collections.abc import Iterator, Sequence

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.access import whose
from events.access.book import logged
from events.access.decisions import Decisions
from events.access.done_before import DoneBefore
from events.access.ledger import Sale
from events.access.lock import try_lock
from events.models import EventLog, Grant, History, RuleRun
from events.models.runs import DISMISSED
from integrations.models import Customer
from integrations.sentences import Said, say
from rules.triggers import Category, Trigger

log = logging.getLogger(__name__)
Status = RuleRun.Status
BOUGHT = Trigger.PRODUCT_PURCHASED
STEP = 50  # events that are read in one transaction
OVER = (Status.DONE, Status.SKIPPED)
UNUSED = ("verdicts", "custom_fields", "reason")  # of events, and long
COMPARED = ("state", "seen_at", "opened_at", "ended_at", "decided_at", "because", "event")
CHANGED = ("status", "code", "message", "customer", "ends_all", "finished_at", "next_attempt_at")
WAIT = _("Admit is still reading the history; try again in a few minutes")


def unread() -> History | None:
    """How far the history is read, None where all of it is. Until then nothing is decided."""
    return History.objects.filter(done_at=None).first()


def check() -> None:
    """Raises ValueError with a sentence while some of it is unread: nothing is decided before."""
    if unread() is not None:
        raise ValueError(f"{WAIT}.")


def sentence(history: History) -> Said:
    """ "The history is being read: 12,300 of 100,000 events." """
    return say(
        "The history is being read: {read} of {events} events.",
        read=history.read,
        events=history.events,
    )


def step() -> int:
    """Read some more events, in a transaction of their own; how many.

    0 when all are read, or when another worker is at it. An event that breaks our code is left
    out, and counted.
    """
    try:
        return _read(STEP)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # which of them it is shows when each is read alone
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
    """Those not read yet."""
    events = EventLog.objects.order_by("received_at", "pk")
    if history.reached_at is None:
        return events
    beyond = Q(received_at__gt=history.reached_at) | Q(pk__gt=history.reached_id)
    return events.filter(beyond, received_at__gte=history.reached_at)


def _decide_all(events: Sequence[int]) -> int:
    """Make grants of what was decided for these events; of how many actions that is unclear."""
    runs = list(_runs(events))
    stood = {run.pk: _stands(run) for run in runs}
    decisions = _Past(runs)
    for run in runs:
        _decide(decisions, run)
    stored = _compare(runs)
    decisions.write()
    Grant.objects.bulk_update(stored, COMPARED)
    _name_grants([run for run in runs if run.grant])
    _write([run for run in runs if _stands(run) != stood[run.pk]])
    return sum(run.grant is None for run in runs)


def _runs(events: Sequence[int]) -> Iterator[RuleRun]:
    """The actions that changed a customer's access, or are going to, in the order of receipt."""
    runs = RuleRun.objects.filter(event__in=events, integration__isnull=False)
    runs = runs.exclude(Q(target="") | Q(customer=None) | Q(status=Status.HELD))
    runs = runs.exclude(code=DISMISSED, started_at=None)  # it was held
    found = runs.select_related("event__customer", "event__product", "customer", "integration")
    found = found.defer("rule_sentence", *(f"event__{name}" for name in UNUSED))
    yield from found.order_by("received_at", "event", "pk").select_for_update(of=("self",))


class _Past(Decisions):
    """The decisions on these actions, with the log of their purchases read at once."""

    def __init__(self, runs: Sequence[RuleRun]) -> None:
        super().__init__([Sale.of(run.event) for run in runs])
        asking = [run.event for run in runs if run.spec.ends_access or run.event.trigger != BOUGHT]
        orders = {event.order_id for event in asking} - {""}
        subscriptions = {event.subscription_id for event in asking} - {""}
        ids = Q(order_id__in=orders) | Q(subscription_id__in=subscriptions)
        self._events = list(logged(ids).defer(*UNUSED)) if orders or subscriptions else []

    def payer(self, event: EventLog) -> Customer | None:
        """Whose access the event is about: then, no field could name another student."""
        return whose.payer(event, self._book.of(event), self._log)

    def _log(self, sale: Sale) -> list[EventLog]:
        return [event for event in self._events if sale.is_same(Sale.of(event))]


def _stands(run: RuleRun) -> tuple[str, int | None, bool]:
    return run.status, run.customer_id, run.ends_all


def _decide(decisions: _Past, run: RuleRun) -> None:
    """Let the ledger decide on what was decided then."""
    event, customer, was_over = run.event, run.customer, run.status in OVER
    run.ends_all = run.spec.ends_access and _ends_all(Trigger(str(event.trigger)))
    if run.ends_all or not Sale.of(event).is_named:
        decisions.write()  # what it concerns is looked up
    run.customer = decisions.payer(event) or customer
    if run.status == Status.WAITING:
        decisions.decide(event, run)
    elif not decisions.unclear(event, run):
        decisions.change(event, run)
    if was_over:
        run.customer = customer  # for whom it was carried out


def _ends_all(trigger: Trigger) -> bool:
    """Whether it meant any access: there is no purchase whose access it could end."""
    return trigger is BOUGHT or trigger.category is Category.COURSES


def _compare(runs: Sequence[RuleRun]) -> list[Grant]:
    """Note whether Thinkific holds what was given, as far as the actions carried out say.

    Returns those of the grants that are stored already.
    """
    changed = [(run, run.grant) for run in runs if run.grant is not None]
    done = DoneBefore([row for _, row in changed], {run.pk: row for run, row in changed})
    for run, row in changed:
        if run.spec.gives_access and _was_given(run) and row.is_active:
            row.seen_at = done.held_since(row)
        elif run.spec.ends_access and run.status == Status.DONE:
            done.reopen(row, run.finished_at)
    for run, row in changed:
        # Where no later event gave it again.
        if run.code == DISMISSED and row.event_id == run.event_id and _is_owed(row):
            row.state = Grant.State.WAIVED
    return [*{row.pk: row for _, row in changed if row.pk is not None}.values()]


def _name_grants(runs: Sequence[RuleRun]) -> None:
    """Write the grant of each: by one statement for all, which bulk_update is long in building."""
    pairs = [(run.grant.pk, run.pk) for run in runs if run.grant is not None]
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE events_rulerun SET grant_id = %s WHERE id = %s", pairs)


def _was_given(run: RuleRun) -> bool:
    """Whether it was given, or by what came later."""
    return run.status in OVER and run.code != DISMISSED


def _is_owed(row: Grant) -> bool:
    return row.is_active and row.seen_at is None


def _write(runs: Sequence[RuleRun]) -> None:
    """Write those that go on in another way, with the status of their events."""
    for run in runs:
        run.save(update_fields=CHANGED)
    events = EventLog.objects.filter(pk__in={run.event_id for run in runs})
    for event in events.prefetch_related("runs"):
        status = event.status_of([run.status for run in event.runs.all()])
        EventLog.objects.filter(pk=event.pk).update(status=status)
