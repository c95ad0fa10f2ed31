"""Move a buyer to what a rule gives now: give that, and end what the rule gave before."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.access import book, grant_runs, ledger, lock
from events.deciding.reading import LineItem, RuleBook
from events.execution import one_by_one, rerun
from events.models import Batch, EventLog, Grant, RuleRun
from events.models.event_status import refresh_event
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.sentences import Text, say
from rules import actions
from rules.actions import Effect
from rules.models import Rule
from rules.triggers import Trigger

Status = RuleRun.Status
_Purchase = tuple[EventLog, Collection[int], tuple[LineItem, RuleBook] | None, Collection[Rule]]
CHANGED = _("Because the rule changed: {action}, {course} on {site}")
REFUNDED = _("Because it was refunded: {action}, {course} on {site}")
DELETED = _("Because the rule was deleted: {action}, {course} on {site}")


def move(
    purchases: Iterable[tuple[EventLog, Collection[int], Collection[Rule]]],
    batch: Batch,
    *,
    why: Text = CHANGED,
    endings: Mapping[int, EventLog] | None = None,
) -> dict[str, int]:
    """For each purchase (event, grant IDs, rules), give what the rules give now and end the grants.

    `why` is CHANGED, DELETED or REFUNDED. `endings` has, by event pk, what refunded or canceled a
    purchase since: its buyer is owed nothing. The batch gets the IDs of what was queued, and is
    saved with each purchase. Returns for how many purchases nothing was ended, by reason.
    """
    unread: Counter[str] = Counter()

    def one(purchase: _Purchase) -> str:
        event: EventLog | None
        event, grants, found, rules = purchase
        event = EventLog.objects.select_for_update(of=("self",)).filter(pk=event.pk).first()
        if event is None:
            return say("it has just changed")
        made = rerun.add(event, *found, only=rules) if found else []
        old = list(Grant.objects.active().filter(pk__in=grants).select_related("integration"))
        ended_by = (endings or {}).get(event.pk)
        why_not = _why_not(made, old, ended_by)
        ending = [] if why_not else [_end(grant, why, ended_by) for grant in old]
        RuleRun.objects.bulk_create(ending)
        if ended_by is None:
            leave_with_nothing(ending)
        if made or ending:
            batch.add_new([*made, *ending])
            batch.save()
        _note(event, made, ending, batch)
        return why_not

    left = one_by_one.do(_read(purchases, unread), one, batch)
    return dict(unread + left)


def _read(
    purchases: Iterable[tuple[EventLog, Collection[int], Collection[Rule]]], unread: Counter[str]
) -> Iterator[_Purchase]:
    """Yield the purchases with what SamCart sent, which takes no lock. Count unreadable ones."""
    books: dict[int, RuleBook] = {}
    for event, grants, rules in purchases:
        try:
            yield event, grants, rerun.line_of(event, books) if rules else None, rules
        except rerun.NotRead as error:
            unread[error.message] += 1


def keep(
    purchases: Iterable[tuple[EventLog, Collection[Grant]]],
    act: Act = Act.BUYERS_KEPT,
    *,
    why: str = "",
) -> None:
    """Record that the person who acts lets these buyers keep the grants, and `why`.

    Pages stop listing them, and no event that was received before ends them.
    """
    by, note = Grant.as_noted(audit.actor().who, why)
    _note_kept(purchases, act, {"kept_at": Now(), "kept_by": by, "kept_note": note})


def undo_keep(purchases: Iterable[tuple[EventLog, Collection[Grant]]]) -> None:
    """Take that back: pages list these buyers again if no rule gives their grants."""
    _note_kept(purchases, Act.BUYERS_TOLD, {"kept_at": None, "kept_by": "", "kept_note": ""})


def _note_kept(
    purchases: Iterable[tuple[EventLog, Collection[Grant]]], act: Act, kept_as: dict[str, Any]
) -> None:
    kept: dict[EventLog, list[Grant]] = defaultdict(list)
    for event, grants in purchases:
        kept[event] += grants
    numbers = [grant.pk for grants in kept.values() for grant in grants]
    with transaction.atomic():
        lock.lock()
        active = Grant.objects.active().filter(pk__in=numbers)
        still = set(active.values_list("pk", flat=True))  # a refund may have been decided meanwhile
        active.update(**kept_as)
        names = {
            event: [grant.name for grant in grants if grant.pk in still]
            for event, grants in kept.items()
        }
        kept = {event: grants for event, grants in kept.items() if names[event]}
        note = kept_as["kept_note"]
        audit.record_each(act, kept, after=lambda event: {"access": names[event]}, note=note)


def leave_with_nothing(ending: Collection[RuleRun], *, undone: bool = False) -> None:
    """Mark the purchases that have nothing open now: their buyers paid and are not in.

    A rule that is made later is offered for these, as for all that gave nothing. With `undone`,
    they raise no alarm, because a person wanted it.
    """
    gave = grant_runs.giving(run.grant_id for run in ending).values("event")
    giving = RuleRun.objects.filter(action__in=actions.giving_access())
    left = giving.filter(event=OuterRef("pk"), grant__state=Grant.State.ACTIVE)
    nothing = EventLog.objects.filter(~Exists(left), pk__in=gave)
    nothing.update(gave_nothing=True, undone_at=Now() if undone else None)


def _note(
    event: EventLog, made: Collection[RuleRun], ending: Collection[RuleRun], batch: Batch
) -> None:
    for number in {run.event_id for run in [*made, *ending]}:
        refresh_event(number)
    if made:
        before = {"access": [run.destination_name for run in ending]}
        after = {"access": [run.destination_name for run in made], BATCH: batch.pk}
        audit.record(Act.BUYERS_MOVED, event, before=before, after=after)
        return
    # What a person gave for the purchase has an event of its own. Its ending is told there, or at
    # the refund.
    names: dict[tuple[Act, EventLog], list[str]] = defaultdict(list)
    for run in ending:
        gave = grant_runs.giving([run.grant_id]).select_related("event").first()
        is_gift = gave is not None and gave.event.is_gift
        refunded = run.event.trigger == Trigger.PRODUCT_REFUNDED
        act = Act.REFUNDED_ENDED if refunded else Act.BUYERS_ENDED
        names[Act.GIVEN_ENDED if is_gift else act, run.event].append(run.destination_name)
    for (act, about), access in names.items():
        audit.record(act, about, before={"access": access}, after={BATCH: batch.pk})


def _why_not(made: Collection[RuleRun], old: Collection[Grant], ended_by: EventLog | None) -> str:
    """Say why the old access stays: nothing is taken before its replacement is on its way."""
    if not old:
        return say("it has just changed")
    if any(run.status != Status.WAITING for run in made):
        return say("what it would get instead was not given: see the event")
    if ended_by is None and len(set(grant_runs.giving(old).values_list("grant"))) < len(old):
        return say(grant_runs.NOT_KEPT)
    return ""


def _end(grant: Grant, sentence: Text, ended_by: EventLog | None) -> RuleRun:
    """End a grant by what refunded or canceled its purchase, or waive it if nothing did.

    Returns the run, not saved, that ends it in Thinkific: one of that event, or of the purchase.
    """
    if ended_by is None:
        return waive(grant, sentence)
    ledger.end_it(grant, ledger.Change.by_hand_after(grant, ended_by))
    book.save(grant, opened=False)
    return grant_runs.run_because(ended_by, grant, Effect.ENDS, sentence)


def waive(grant: Grant, sentence: Text) -> RuleRun:
    """Waive a grant. Return the run, not saved, that ends it in Thinkific.

    A waived grant may be opened again by the rules, as its purchase has not ended. `sentence` is as
    for `grant_runs.run_for`. A run that gave the grant must be kept. Call it under the deciding
    lock.
    """
    grant.state = Grant.State.WAIVED
    grant.save(update_fields=["state"])
    giving = grant_runs.giving([grant])
    last = giving[0]
    giving.update(rule=None)  # so that the rule can run again, if it is changed back
    return grant_runs.run_behind(last, grant, Effect.ENDS, sentence)
