"""Undoing what was started for many at once: what it gave ends, what it ended is given back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.access import grant_runs
from events.access.lock import lock
from events.deciding import revocations
from events.execution import moving, rule_history
from events.models import Batch, EventLog, Grant, RuleRun
from events.models.event_status import refresh_event
from events.queue import wake
from integrations import audit
from integrations.audit import Act
from integrations.sentences import say
from rules import actions
from rules.actions import Effect

State = Grant.State
SENTENCE = _("Undone: {action}, {course} on {site}")


@dataclass(slots=True)
class Undo:
    """What undoing a batch does for one event, by the batch's actions: all of it or nothing.

    `gave` and `ended` are the actions whose grants end, and are given back. `why_not` says what has
    changed since, "" where nothing has.
    """

    event: EventLog
    gave: list[RuleRun] = field(default_factory=list)
    ended: list[RuleRun] = field(default_factory=list)
    why_not: str = ""

    @property
    def runs(self) -> list[RuleRun]:
        return [*self.gave, *self.ended]


def look(batch: Batch) -> list[Undo]:
    """What undoing it would do for each of its events, in the order of their numbers.

    A handful of queries, however many there are. Nothing is changed.
    """
    found: dict[int, Undo] = {}
    of_batch = RuleRun.objects.filter(pk__in=batch.new_ids).exclude(target="")
    named = of_batch.select_related("event__customer", "customer", "grant__integration")
    for run in named.order_by("event", "pk"):
        one = found.setdefault(run.event_id, Undo(run.event))
        (one.gave if run.spec.gives_access else one.ended).append(run)
    undos = list(found.values())
    given_besides = _given_besides(undos)
    taken_back = revocations.ended_since([one.event for one in undos if one.ended])
    for one in undos:
        if one.event.pk in taken_back:
            one.why_not = revocations.sentence(taken_back[one.event.pk])
        else:
            reasons = (_changed(run, given_besides) for run in one.runs)
            one.why_not = next(filter(None, reasons), "")
    return undos


def _given_besides(undos: Sequence[Undo]) -> set[int]:
    """The grants of the batch that another action had given before, or gives as well."""
    gave = [run for one in undos for run in one.gave]
    giving = RuleRun.objects.filter(action__in=actions.giving_access())
    others = giving.filter(grant__in=[run.grant_id for run in gave if run.grant_id])
    others = others.exclude(pk__in=[run.pk for run in gave])
    return {number for number in others.values_list("grant", flat=True) if number}


def _changed(run: RuleRun, given_besides: set[int]) -> str:
    """What has become of the action's access since, "" while it is as the action has left it."""
    grant = run.grant
    if grant is None:
        return say("nothing was given or ended yet: see the action")
    if grant.customer_id != run.customer_id:
        return say("somebody has moved the access to another e-mail since")
    if run.spec.gives_access and not grant.is_active:
        return say("the access has ended since")
    if run.spec.gives_access and grant.pk in given_besides:
        return say("something else of the same purchase gives it too")
    if run.spec.ends_access and grant.is_active:
        return say("the access was given again since")
    if run.spec.ends_access and grant.state == State.ENDED:
        return say("the purchase itself has ended")
    return ""


def undo(batch: Batch, events: Iterable[int], new: Batch) -> dict[str, int]:
    """Undo it for the events of these numbers; for how many it was not, per reason why.

    Each is looked at again first. The batch `new` gets the numbers of what is queued.
    """
    left: Counter[str] = Counter()
    wanted = set(events)
    for each in [one.event.pk for one in look(batch) if one.event.pk in wanted]:
        with transaction.atomic():
            lock()
            (one,) = look(_part(batch, each))
            if one.why_not:
                left[one.why_not] += 1
                continue
            made = _undo(one)
        new.run_ids += [run.pk for run in made]
    if new.run_ids:
        with transaction.atomic():
            wake.wake()
    return dict(left)


def _part(batch: Batch, event: int) -> Batch:
    """What the batch did for this event alone."""
    same = RuleRun.objects.filter(pk__in=batch.new_ids, event=event)
    return Batch(new_ids=list(same.values_list("pk", flat=True)))


def _undo(one: Undo) -> list[RuleRun]:
    """In the lock of deciding; the actions that do it in Thinkific."""
    giving = [_give_back(run.grant) for run in one.ended if run.grant]
    ending = [moving.waive(run.grant, SENTENCE) for run in one.gave if run.grant]
    made = RuleRun.objects.bulk_create([*giving, *ending])
    moving.leave_with_nothing(ending)
    back = {run.event_id for run in giving}
    EventLog.objects.filter(pk__in=back).update(gave_nothing=False)
    for number in {run.event_id for run in made}:
        refresh_event(number)
    before = {"access": [run.destination_name for run in ending]}
    after = {"access": [run.destination_name for run in giving]}
    audit.record(Act.BATCH_UNDONE, one.event, before=before, after=after)
    return made


def _give_back(grant: Grant) -> RuleRun:
    """The run (not saved) that gives once more in Thinkific what was waived."""
    grant.state, grant.seen_at = State.ACTIVE, None
    grant.save(update_fields=["state", "seen_at"])
    gave = RuleRun.objects.filter(grant=grant, action__in=actions.giving_access())
    last = gave.select_related("event__rule_texts").order_by("-received_at", "-pk")[0]
    run = grant_runs.run_for(
        grant,
        Effect.GIVES,
        SENTENCE,
        event_id=last.event_id,
        customer_id=grant.customer_id,
        grant=grant,
        rule=rule_history.rule_of(last),
        received_at=last.received_at,
        next_attempt_at=timezone.now(),
    )
    run.rule_sentence = last.rule_sentence  # it is given by what gave it first
    return run
