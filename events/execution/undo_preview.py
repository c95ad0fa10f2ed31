"""What undoing a batch would do, and what has changed since so that it cannot be undone.

Nothing is changed here: `undo_batch` undoes what a person chooses of the preview.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from events.access import grant_runs, ledger, pending, revocations
from events.access.ledger import Judgment
from events.execution import delayed
from events.models import Batch, EventLog, Grant, RuleRun
from events.models.runs import DISMISSED, UNDECIDED
from integrations.sentences import say

State = Grant.State
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
    return _undos(batch.new_ids, batch.started_at)


def look_again(one: Undo, batch: Batch) -> Undo | None:
    """Return what undoing this purchase would do now; None if nothing of it is left to undo."""
    return next(iter(_undos([[run.pk for run in one.runs]], batch.started_at)), None)


def _undos(purchases: Sequence[Sequence[int]], since: datetime) -> list[Undo]:
    """Return what undoing these actions, by purchase, would do now that were started at `since`."""
    numbers = [number for each in purchases for number in each]
    of_batch = RuleRun.objects.filter(pk__in=numbers).exclude(target="")
    named = of_batch.select_related("event__customer", "customer", "grant__integration")
    runs = {run.pk: run for run in named if not _fell_away(run)}
    of_each = ([runs[pk] for pk in each if pk in runs] for each in purchases)
    undos = [_sorted(joined) for joined in _joined_by_grant(of_each)]
    _note_what_has_changed(undos, since)
    return undos


def _fell_away(run: RuleRun) -> bool:
    """Whether it is a waiting ending that was dropped, so that there is nothing to undo."""
    if not run.spec.ends_access:
        return False
    dismissed = run.code == DISMISSED and (run.grant is None or run.grant.is_active)
    return dismissed or run.code in FELL_AWAY


def _joined_by_grant(of_each: Iterable[list[RuleRun]]) -> list[list[RuleRun]]:
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
    """Return the undoing of these actions, sorted by what they did."""
    one = Undo(runs[0].event)
    for run in runs:
        ended = one.pending if run.is_pending else one.ended
        (one.gave if run.spec.gives_access else ended).append(run)
    return one


def _note_what_has_changed(undos: Sequence[Undo], since: datetime) -> None:
    """Set `why_not` of each that cannot be undone anymore."""
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


def _acts(undos: Sequence[Undo]) -> Mapping[int | None, list[RuleRun]]:
    """Return the actions that gave or ended these grants, by grant, in the order of deciding."""
    grants = {run.grant_id for one in undos for run in one.runs if run.grant_id}
    found: dict[int | None, list[RuleRun]] = defaultdict(list)
    for run in RuleRun.objects.filter(grant__in=grants).order_by("pk"):
        if run.spec.gives_access or not (run.is_pending or run.code in ENDED_NOTHING):
            found[run.grant_id].append(run)
    return found


def _ended_besides(undos: Iterable[Undo]) -> set[int]:
    """Return the IDs of actions for events that ended something beside their own grant."""
    runs = [run for one in undos for run in one.ended if ended_for_event(run)]
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
    if grant.state == State.ENDED and not by_hand_after and not ended_for_event(run):
        return say("the purchase itself has ended")
    if run.pk in besides:
        return say("it ended something else too: give both back by hand")
    if any(each.pk > run.pk for each in others):
        return say("it was given and ended again since")
    if not any(each.spec.gives_access for each in acts[grant.pk]):
        return say(grant_runs.NOT_KEPT)
    return ""


def _changed_giving(run: RuleRun, grant: Grant, others: Collection[RuleRun]) -> str:
    """Say the same of an action that gave access. `others` acted on its grant, too."""
    if not grant.is_active:
        return say("the access has ended since")
    ended = max((each.pk for each in others if each.spec.ends_access), default=0)
    if ended > run.pk:
        return say("it was ended and given again since")
    if any(each.pk > ended for each in others if each.spec.gives_access):
        return say("something else of the same purchase gives it too")
    return ""


def ended_for_event(run: RuleRun) -> bool:
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
