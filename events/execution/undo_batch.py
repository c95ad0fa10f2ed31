"""Undo what was started for many at once: end what it gave, and give back what it ended.

A person chooses among what the preview shows, and each is looked at again when it is undone:

    undos = undo_preview.preview(batch)
    chosen = [one.number for one in undos if not one.why_not]
    result = undo(batch, chosen, new)  # `new` is the batch that the undoing itself is
"""

from collections.abc import Collection, Iterable

from django.utils.translation import gettext_lazy as _

from events.access import book, ended_by_hand, grant_runs, ledger, pending
from events.access.ledger import Change
from events.execution import moving, one_by_one, rule_history
from events.execution.rerun import Rerun
from events.execution.undo_preview import Undo, ended_for_event, look_again, preview
from events.models import Batch, EventLog, Grant, RuleRun
from events.models.event_status import refresh_event
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.sentences import say
from rules.actions import Effect

State = Grant.State
SENTENCE = _("Undone: {action}, {course} on {site}")


def undo(batch: Batch, chosen: Collection[int], new: Batch) -> Rerun:
    """Undo the batch for the purchases of these numbers. Return what was queued and left out.

    Each is looked at again first. The batch `new` gets the IDs of what is queued and dropped. It is
    saved with each purchase, so that it knows of everything that is done.
    """
    new.undoes = batch
    queued: list[RuleRun] = []

    def undo_one(seen: Undo) -> str:
        now = look_again(seen, batch)
        if now is None or now.why_not:
            return now.why_not if now else say("it has just changed")
        queued.extend(_undo_purchase(now, new))
        return ""

    left = one_by_one.do((each for each in preview(batch) if each.number in chosen), undo_one, new)
    return Rerun(len(queued), dict(left))


def _undo_purchase(one: Undo, new: Batch) -> list[RuleRun]:
    """Undo one purchase, under the deciding lock. Return the actions that do it in Thinkific."""
    _drop(one.pending, new.started_by)
    for_events = [run for run in one.ended if ended_for_event(run)]
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
    # If that action still names its rule, no other action of the event may name it with the same
    # target: the constraint `run_once_per_event_and_rule` allows one.
    rule = rule_history.rule_of(first) if first.rule_id is None else None
    if first != last and rule:
        RuleRun.objects.filter(pk=first.pk).update(rule=rule)
        rule = None
    run = grant_runs.run_behind(last, grant, Effect.GIVES, SENTENCE, rule=rule)
    run.rule_sentence = last.rule_sentence  # what gave it first gives it again
    return run


def kept_by_undo(endings: Iterable[RuleRun]) -> dict[int, list[EventLog]]:
    """Return {grant ID: refunds and cancellations} of what undoing these lets the buyers keep.

    Takes two queries.
    """
    ended = [grant for grant in _grants(endings) if grant.state == State.ENDED]
    return ended_by_hand.taken_back(ended)


def _grants(runs: Iterable[RuleRun]) -> list[Grant]:
    """Return the grants of these runs, each once."""
    return [*{run.grant.pk: run.grant for run in runs if run.grant}.values()]
