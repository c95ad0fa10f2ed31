"""How far a batch is, and what came of it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet
from django.utils.text import capfirst
from django.utils.translation import pgettext_lazy

from events.access import going_on, grant_runs
from events.execution import wait_reasons
from events.models import Batch, EventLog, Grant, RuleRun
from events.models.runs import DELAYED, UNFINISHED
from events.reports.access.standing import CLOSED
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.models import AuditEntry, Customer
from integrations.sentences import Said, Text, format_day, joined, say, say_count
from integrations.who import shown_who
from rules.actions.endings import STILL_GIVEN

Status = RuleRun.Status
# At most this many of its failed actions are listed, and of those that ended nothing.
MAX_LISTED = 50
# At most this many reasons to wait are told.
MOST_REASONS = 3
# The acts on an event as one of a batch.
DONE = (
    Act.EVENT_RERUN,
    Act.BUYERS_MOVED,
    Act.BUYERS_ENDED,
    Act.REFUNDED_ENDED,
    Act.GIVEN_ENDED,
    Act.BATCH_UNDONE,
)
ENDED = (Act.BUYERS_ENDED, Act.REFUNDED_ENDED, Act.GIVEN_ENDED)
MADE_BY_PERSONS = (Act.EVENT_RERUN, *ENDED)
MOVE_HERE = EventLog.ByHand.MOVE_HERE
ENDINGS = (Act.BUYERS_MOVED, *MADE_BY_PERSONS)
# The acts of batches on events, by event ID, the newest first.
Done = Mapping[int, Sequence[AuditEntry]]
# Customers are named if there are at most this many.
CUSTOMERS_NAMED = 5
# What actions with these codes are counted as. Others are counted by their status.
BY_CODE: dict[str, Text] = {
    "enrolled": pgettext_lazy("actions", "enrolled"),
    "already_enrolled": pgettext_lazy("actions", "had it already"),
    "ended": pgettext_lazy("actions", "ended"),
    "had_ended": pgettext_lazy("actions", "had ended already"),
    "was_not_enrolled": pgettext_lazy("actions", "had nothing to end"),
    "no_student": pgettext_lazy("actions", "had nothing to end"),
    "kept": pgettext_lazy("actions", "kept, because something else gives it"),
    "posted": pgettext_lazy("actions", "sent"),
}
BY_STATUS: dict[str, Text] = {
    Status.DONE: pgettext_lazy("actions", "done"),
    Status.SKIPPED: pgettext_lazy("actions", "had nothing to do"),
    Status.HELD: pgettext_lazy("actions", "waiting for you"),
    Status.FAILED: pgettext_lazy("actions", "failed"),
}
LATER, REMOVED, AGAIN = (
    pgettext_lazy("actions", "end on a day to come"),
    pgettext_lazy("actions", "removed since"),
    pgettext_lazy("actions", "given again since"),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is. `outcomes` are (how many, what), `waits` (why, how many).

    `others` is how many more go on: with `over` and `waits` they make the `total`. `customers` are
    those it is about, or empty if there are many. `waiting` are some of the actions
    that go on by themselves, and `still_given` some of those that ended nothing because something
    else gives the access.
    """

    total: int
    over: int
    outcomes: Sequence[tuple[int, str]]
    waits: Sequence[tuple[str, int]]
    failed: Sequence[RuleRun]
    number_failed: int
    customers: Sequence[Customer] = ()
    waiting: Sequence[RuleRun] = ()
    still_given: Sequence[RuleRun] = ()
    others: int = 0

    @property
    def is_over(self) -> bool:
        """Whether none of its actions goes on by itself anymore."""
        return self.over >= self.total

    @property
    def is_kept_waiting(self) -> bool:
        """Whether an action waits after a failed attempt, or for an integration that is closed."""
        return any(run.waits_to_retry or going_on.needs_a_person(run) for run in self.waiting)

    def sentence(self) -> str:
        """Return the outcomes, such as "24 enrolled · 2 had it already · 1 failed"."""
        each = (say("{number} {what}", number=number, what=what) for number, what in self.outcomes)
        return capfirst(joined(each, " · "))


def progress(batch: Batch) -> Progress:
    """Return how far the actions of the batch are."""
    runs = RuleRun.objects.filter(pk__in=batch.run_ids)
    has_it = Exists(Grant.objects.seen().filter(pk=OuterRef("grant")))
    states = list(runs.annotate(has_it=has_it).values_list("status", "code", "has_it"))
    goes_on = runs.decided().filter(status__in=UNFINISHED)
    # From the same reading as the outcomes: else an action that ends in between is in neither.
    number = sum(status in UNFINISHED and code != DELAYED for status, code, _ in states)
    found = Counter(_what(status, code) for status, code, _ in states)
    found.pop("", None)
    if not number:
        # If access that was ended is open now, it was given again since. That counts an action a
        # second time, so it is left out while the outcomes and what goes on make the total.
        found[str(AGAIN)] = sum(has_it and code in CLOSED for _, code, has_it in states)
    found[str(REMOVED)] = len(batch.run_ids) - len(states)
    about = runs.filter(customer__isnull=False).values("customer")
    customers = list(Customer.objects.filter(pk__in=about).order_by("email")[: CUSTOMERS_NAMED + 1])
    number_failed = sum(status == Status.FAILED for status, _, _ in states)
    failed = runs.filter(status=Status.FAILED).select_related("customer", "event", "integration")
    waiting = list(goes_on.select_related("integration")[:MAX_LISTED])
    waits = Counter(wait_reasons.reasons(waiting).values()).most_common(MOST_REASONS)
    return Progress(
        total=len(batch.run_ids),
        over=len(batch.run_ids) - number,
        outcomes=[(count, what) for what, count in _in_order(found) if count],
        waits=waits,
        failed=list(failed.order_by("pk")[:MAX_LISTED]),
        number_failed=number_failed,
        customers=customers if len(customers) <= CUSTOMERS_NAMED else (),
        waiting=waiting,
        still_given=_still_given(runs) if STILL_GIVEN in {code for _, code, _ in states} else (),
        others=max(0, number - sum(count for _, count in waits)),
    )


def _still_given(runs: QuerySet[RuleRun]) -> list[RuleRun]:
    found = runs.filter(code=STILL_GIVEN, status=Status.DONE)
    return list(found.select_related("customer", "event").order_by("pk")[:MAX_LISTED])


def recent_undo_sentence(events: Collection[EventLog]) -> Said | str:
    """Say for how many buyers of these events access was undone; "" if there are no events.

    If one person undid it on one day, it is "Mia undid access for 2 buyers on 28 Nov.".
    """
    if not events:
        return ""
    buyers = len({event.customer_id or -event.pk for event in events})
    entries = AuditEntry.objects.filter(
        act=Act.BATCH_UNDONE,
        kind=EventLog._meta.model_name,
        number__in=[str(event.pk) for event in events],
    )
    last = {entry.number: (entry.who, format_day(entry.at)) for entry in entries.order_by("pk")}
    by_whom = {last.get(str(event.pk)) for event in events}
    person, day = (by_whom.pop() if len(by_whom) == 1 else None) or ("", "")
    if not person:
        return say_count(
            buyers, "Access for 1 buyer was undone.", "Access for {number} buyers was undone."
        )
    return say_count(
        buyers,
        "{person} undid access for 1 buyer on {day}.",
        "{person} undid access for {number} buyers on {day}.",
        person=shown_who(person),
        day=day,
    )


def batch_acts(events: Collection[int]) -> Done:
    """Return the acts of batches on each of these events, the newest first. Takes one query."""
    entries = AuditEntry.objects.filter(
        act__in=DONE,
        kind=EventLog._meta.model_name,
        number__in={str(event) for event in events},
    )
    found: dict[int, list[AuditEntry]] = defaultdict(list)
    for entry in entries.order_by("-pk") if events else ():
        found[int(entry.number)].append(entry)
    return found


def acts_on(endings: Collection[RuleRun]) -> Done:
    """Return the acts of batches on the events of these actions, the newest first.

    An action that ended access which was moved here has the event of the move. The act was done on
    the purchase, and is among those of the move. Takes one query, or three if there is such an
    action.
    """
    done = dict(batch_acts({run.event_id for run in endings}))
    moved = [run for run in endings if run.grant_id and run.event.by_hand == MOVE_HERE]
    if not moved:
        return done
    giving = grant_runs.giving({run.grant_id for run in moved}).filter(event__trigger__isnull=False)
    events: dict[int | None, set[int]] = defaultdict(set)
    for grant, event in giving.values_list("grant", "event"):
        events[grant].add(event)
    acts = batch_acts(set().union(*events.values()))
    for run in moved:
        mine = (entry for event in events[run.grant_id] for entry in acts.get(event, ()))
        named = {
            entry.pk: entry
            for entry in [*mine, *done.get(run.event_id, ())]
            if entry.number == str(run.event_id)
            or run.destination_name in (entry.before or {}).get("access", [])
        }
        done[run.event_id] = [named[pk] for pk in sorted(named, reverse=True)]
    return done


def given_back(done: Done) -> dict[int, list[RuleRun]]:
    """Return, by event ID, the actions by which undoing a batch gave back what the event ended.

    These are actions of the purchase, since that is what gives the access. `done` comes from
    `batch_acts`. Takes three queries, or none if nothing was undone.
    """
    undone = {
        event: {(each.after or {}).get(BATCH) for each in acts if each.act == Act.BATCH_UNDONE}
        for event, acts in done.items()
    }
    numbers = {number for of_event in undone.values() for number in of_event if number}
    if not numbers:
        return {}
    batches = Batch.objects.in_bulk(numbers)
    ended: dict[int, set[int | None]] = defaultdict(set)
    of_events = RuleRun.objects.filter(event__in=undone, grant__isnull=False)
    for event, grant in of_events.values_list("event", "grant"):
        ended[event].add(grant)
    giving = grant_runs.giving(set().union(*ended.values())).order_by("pk")
    found: dict[int, list[RuleRun]] = defaultdict(list)
    for run in giving.select_related("integration", "grant", "event", "customer"):
        for event, of_event in undone.items():
            is_other = run.event_id != event and run.grant_id in ended[event]
            if is_other and any(
                run.pk in batches[number].run_ids for number in of_event if number in batches
            ):
                found[event].append(run)
    return found


def last_undo(event: int, done: Done, name: str = "") -> AuditEntry | None:
    """Return the entry that undid a batch for this event; None if an undo was not the last act.

    `done` comes from `batch_acts`. With `name`, only acts that ended access to this course or
    bundle count.
    """
    ended = (
        entry
        for entry in done.get(event, ())
        if not name or name in (entry.before or {}).get("access", [])
    )
    last = next(ended, None)
    return last if last and last.act == Act.BATCH_UNDONE else None


def last_ending(run: RuleRun, done: Done) -> AuditEntry | None:
    """Return the newest act by which a person ended access in a batch, for this action's event."""
    return next((each for each in done.get(run.event_id, ()) if each.act in ENDINGS), None)


def _what(status: str, code: str) -> str:
    """Return what an action is counted as; "" while it goes on."""
    if status in UNFINISHED:
        return str(LATER) if code == DELAYED else ""
    if status == Status.DONE and code in BY_CODE:
        return str(BY_CODE[code])
    return str(BY_STATUS[status])


def _in_order(found: "Counter[str]") -> list[tuple[str, int]]:
    """Sort the outcomes, what went well first."""
    order = [str(what) for what in (*BY_CODE.values(), *BY_STATUS.values())]
    known = {what: place for place, what in reversed(list(enumerate(order)))}
    return sorted(found.items(), key=lambda each: known.get(each[0], len(order)))
