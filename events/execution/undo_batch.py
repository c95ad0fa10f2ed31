"""Undo what was started for many at once: end what it gave, and give back what it ended."""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from events.access import book, ended_by_hand, grant_runs, ledger, pending, revocations
from events.access.ledger import Change, Judgment
from events.execution import delayed, moving, one_by_one, rule_history
from events.execution.rerun import Rerun
from events.models import Batch, EventLog, Grant, RuleRun
from events.models.event_status import refresh_event
from events.models.runs import DISMISSED, UNDECIDED
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.sentences import say
from rules.actions import Effect

State = Grant.State
SENTENCE = _("Undone: {action}, {course} on {site}")
# The codes of endings that waited, and were dropped before they were decided.
FELL_AWAY = {pending.REPLACED, delayed.PAID_AGAIN}
# The codes of endings that ended nothing.
ENDED_NOTHING = {
    *FELL_AWAY,
    DISMISSED,
    UNDECIDED,
    *(each.value for each in Judgment if not each.is_carried_out),
}


@dataclass(slots=True)
class Undo:
    """What undoing a batch does for one purchase: all of it or nothing.

    It consists of actions of the batch: the grants of `gave` end, those of `ended` are given back,
    and the endings in `pending` are dropped. `why_not` says what has changed since, so that nothing
    is undone; "" if nothing has.
    """

    event: EventLog
    gave: list[RuleRun] = field(default_factory=list)
    ended: list[RuleRun] = field(default_factory=list)
    pending: list[RuleRun] = field(default_factory=list)
    why_not: str = ""

    @property
    def runs(self) -> list[RuleRun]:
        return [*self.gave, *self.ended, *self.pending]

    @property
    def number(self) -> int:
        """The number by which it is chosen; no other purchase of the batch has it."""
        return self.runs[0].pk


def preview(batch: Batch) -> list[Undo]:
    """Return what undoing the batch would do for each purchase, in the order of the batch.

    It takes a handful of queries, however many purchases there are, and changes nothing.
    """
    return _look(batch.new_ids, batch.started_at)


def _look(purchases: Sequence[Sequence[int]], since: datetime) -> list[Undo]:
    numbers = [number for each in purchases for number in each]
    of_batch = RuleRun.objects.filter(pk__in=numbers).exclude(target="")
    named = of_batch.select_related("event__customer", "customer", "grant__integration")
    runs = {run.pk: run for run in named if not _fell_away(run)}
    of_each = ([runs[pk] for pk in each if pk in runs] for each in purchases)
    undos = [_sorted(together) for together in _together(of_each)]
    acts, besides = _acts(undos), _ended_besides(undos)
    events = [run.event for one in undos if one.ended for run in one.runs]
    taken_back = revocations.later_endings(events)
    for one in undos:
        by = (taken_back.get(run.event_id) for run in one.runs if one.ended)
        # A refund before the batch is no obstacle: the batch may have ended access because of it.
        if ending := next((each for each in by if each and each.received_at > since), None):
            one.why_not = revocations.sentence(ending)
        else:
            reasons = (_changed(run, one, acts, besides) for run in [*one.gave, *one.ended])
            one.why_not = next(filter(None, reasons), "")
    return undos


def kept_by_undo(endings: Iterable[RuleRun]) -> dict[int, list[EventLog]]:
    """Return {grant ID: refunds and cancellations} of what undoing these lets the buyers keep.

    Takes two queries.
    """
    ended = [grant for grant in _grants(endings) if grant.state == State.ENDED]
    return ended_by_hand.taken_back(ended)


def _fell_away(run: RuleRun) -> bool:
    """Whether it is a waiting ending that was dropped, so that there is nothing to undo."""
    if not run.spec.ends_access:
        return False
    dismissed = run.code == DISMISSED and (run.grant is None or run.grant.is_active)
    return dismissed or run.code in FELL_AWAY


def _together(of_each: Iterable[list[RuleRun]]) -> list[list[RuleRun]]:
    """Return the actions of each purchase, joined where they are about the same grant."""
    found: list[list[RuleRun]] = []
    place: dict[int | None, int] = {}
    for runs in of_each:
        for same in {place[run.grant_id] for run in runs if run.grant_id in place}:
            runs, found[same] = found[same] + runs, []
        place |= {run.grant_id: len(found) for run in runs if run.grant_id}
        found.append(runs)
    return [runs for runs in found if runs]


def _sorted(runs: Sequence[RuleRun]) -> Undo:
    one = Undo(runs[0].event)
    for run in runs:
        ended = one.pending if run.is_pending else one.ended
        (one.gave if run.spec.gives_access else ended).append(run)
    return one


def _acts(undos: Sequence[Undo]) -> Mapping[int | None, list[RuleRun]]:
    """Return the actions that gave or ended these grants, by grant, in the order of deciding."""
    grants = {run.grant_id for one in undos for run in one.runs if run.grant_id}
    found: dict[int | None, list[RuleRun]] = defaultdict(list)
    for run in RuleRun.objects.filter(grant__in=grants).order_by("pk"):
        if run.spec.gives_access or not (run.is_pending or run.code in ENDED_NOTHING):
            found[run.grant_id].append(run)
    return found


def _ended_for_event(run: RuleRun) -> bool:
    """Whether the access ended with the action because of the event that the action is of."""
    grant = run.grant
    return bool(
        grant
        and grant.state == State.ENDED
        and grant.opened_at
        and grant.event_id == run.event_id
        and run.spec.ends_access
        and run.event.trigger
        and run.code not in ENDED_NOTHING
    )


def _ended_besides(undos: Iterable[Undo]) -> set[int]:
    """Return the IDs of actions for events that ended something beside their own grant."""
    runs = [run for one in undos for run in one.ended if _ended_for_event(run)]
    if not runs:
        return set()
    own = {run.grant_id for run in runs}
    ended = Grant.objects.filter(
        event__in={run.event_id for run in runs}, state=State.ENDED, opened_at__isnull=False
    )
    others = [(row.event_id, row.integration_id, row) for row in ended if row.pk not in own]
    return {
        run.pk
        for run in runs
        for event, integration, row in others
        if (event, integration) == (run.event_id, run.integration_id)
        and run.grant
        and (run.ends_all or row.parts & run.grant.parts)
    }


def _changed(
    run: RuleRun,
    one: Undo,
    acts: Mapping[int | None, list[RuleRun]],
    besides: Container[int],
) -> str:
    """Say what has changed since about the action's access; "" if it is as the action left it."""
    grant = run.grant
    if grant is None or run.code == UNDECIDED:
        return say("nothing was given or ended yet: see the action")
    if grant.customer_id != run.customer_id:
        return say("somebody has moved the access to another e-mail since")
    of_purchase = {each.pk for each in one.runs}
    others = [each for each in acts[grant.pk] if each.pk not in of_purchase]
    if run.spec.gives_access:
        return _changed_giving(run, grant, others)
    if grant.is_active:
        return say("the access was given again since")
    by_hand_after = grant.because.startswith(ledger.BY_HAND_AFTER)
    if grant.state == State.ENDED and not by_hand_after and not _ended_for_event(run):
        return say("the purchase itself has ended")
    if run.pk in besides:
        return say("it ended something else too: give both back by hand")
    if any(each.pk > run.pk for each in others):
        return say("it was given and ended again since")
    return ""


def _changed_giving(run: RuleRun, grant: Grant, others: Collection[RuleRun]) -> str:
    if not grant.is_active:
        return say("the access has ended since")
    ended = max((each.pk for each in others if each.spec.ends_access), default=0)
    if ended > run.pk:
        return say("it was ended and given again since")
    if any(each.pk > ended for each in others if each.spec.gives_access):
        return say("something else of the same purchase gives it too")
    return ""


def undo(batch: Batch, chosen: Collection[int], new: Batch) -> Rerun:
    """Undo the batch for the purchases of these numbers. Return what was queued and left out.

    Each is looked at again first. The batch `new` gets the IDs of what is queued and dropped. It is
    saved with each purchase, so that it knows of everything that is done.
    """
    new.undoes = batch
    queued: list[RuleRun] = []

    def one(seen: Undo) -> str:
        now = next(iter(_look([[run.pk for run in seen.runs]], batch.started_at)), None)
        if now is None or now.why_not:
            return now.why_not if now else say("it has just changed")
        queued.extend(_undo(now, new))
        return ""

    left = one_by_one.do((each for each in preview(batch) if each.number in chosen), one, new)
    return Rerun(len(queued), dict(left))


def _undo(one: Undo, new: Batch) -> list[RuleRun]:
    """Undo one purchase, under the deciding lock. Return the actions that do it in Thinkific."""
    _drop(one.pending, new.started_by)
    for_events = [run for run in one.ended if _ended_for_event(run)]
    back = _grants(one.ended)
    giving = [_give_back(grant) for grant in back]
    ending = [moving.waive(grant, SENTENCE) for grant in _grants(one.gave)]
    made = RuleRun.objects.bulk_create([*giving, *ending])
    moving.leave_with_nothing(ending, undone=True)
    ended_by_hand.offer_again(for_events)
    gave = grant_runs.giving(back)
    EventLog.objects.filter(pk__in=gave.values("event")).update(gave_nothing=False)
    for number in {run.event_id for run in made}:
        refresh_event(number)
    new.run_ids += [run.pk for run in [*made, *one.pending]]
    new.save()
    before = {"access": [run.destination_name for run in ending]}
    after = {"access": [run.destination_name for run in giving], BATCH: new.pk}
    audit.record(Act.BATCH_UNDONE, one.event, before=before, after=after)
    return made


def _grants(runs: Iterable[RuleRun]) -> list[Grant]:
    """Return the grants of these runs, each once."""
    return [*{run.grant.pk: run.grant for run in runs if run.grant}.values()]


def _drop(endings: Collection[RuleRun], by: str) -> None:
    """Drop these endings for good. Their rules may run once more."""
    pending.replace(endings, by)
    RuleRun.objects.filter(pk__in=[run.pk for run in endings]).update(rule=None)


def _give_back(grant: Grant) -> RuleRun:
    """Reopen what was ended. Return the run, not saved, that gives it again in Thinkific."""
    giving = grant_runs.giving([grant]).select_related("event__rule_texts")
    last = giving[0]
    if grant.state == State.ENDED:
        as_last = Change.by_hand(grant, last.event, last.event.received_at)
        as_given = ended_by_hand.as_given([grant]).get(grant.pk, as_last)
        ended_by_hand.reopen(grant, as_given, audit.actor().who)
    else:
        ledger.make_active(grant)
        book.save(grant, opened=True)
    # Access that was moved here was given by the purchase, which is another event. The action of
    # the purchase names the rule again, so that the buyer counts as one of that rule.
    first = next((run for run in giving if run.event.trigger), last)
    # An action that still names its rule stays that rule's only one for the event.
    rule = rule_history.rule_of(first) if first.rule_id is None else None
    if first != last and rule:
        RuleRun.objects.filter(pk=first.pk).update(rule=rule)
        rule = None
    run = grant_runs.run_behind(last, grant, Effect.GIVES, SENTENCE, rule=rule)
    run.rule_sentence = last.rule_sentence  # what gave it first gives it again
    return run
