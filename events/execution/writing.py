"""What a turn of the loop writes: all that is under way in one transaction, or nothing."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from events.access import before_admit
from events.execution import attempt_result, results, same_student
from events.execution.conversation import Conversation, per_site
from events.execution.results import Result
from events.models import RuleRun
from events.models.event_status import lock_events
from integrations.calls import rate_limit, slots
from integrations.calls.findings import Finding
from integrations.errors import OutOfTime
from integrations.models import ApiCall, Intent, SiteAnswer
from integrations.secrets import SecretUnreadable
from integrations.sentences import say
from integrations.thinkific import memory, site_check
from integrations.thinkific.attempt import FoundEnded, FoundOpen, Opened
from integrations.thinkific.calls import Post

log = logging.getLogger(__name__)
Status = RuleRun.Status
Many = Sequence[Conversation]
Results = Mapping[Conversation, Result]
# How many more calls the site of a conversation may get at once, beside those chosen in this turn.
Room = Callable[[Conversation, Sequence[Conversation]], int]


@dataclass(slots=True)
class Written:
    """What the transaction allows: calls to send now, and conversations that are gone.

    `slots_at` says when the next slot of each site is free, in monotonic seconds.
    """

    calls: list[Conversation] = field(default_factory=list)
    gone: list[Conversation] = field(default_factory=list)
    slots_at: dict[int, float] = field(default_factory=dict)


def write(over: Many, ready: Many, *, room: Room) -> Written:
    """Write what these conversations brought, and take what the next calls of `ready` need.

    Raises OperationalError or InterfaceError when the database is away; then nothing was written,
    and the next turn tries again. If one breaks the transaction, each is written alone, and only
    that one fails.
    """
    ended = {each: attempt_result.result_of(each) for each, _ in _runs(over)}
    try:
        return _write_all(over, ready, ended, room)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # Give each its own transaction, to find the one that fails.
        written = Written()
        for each in over:
            _write_one([each], [], ended, written)
        for each in ready:
            _write_one([], [each], ended, written)
        return written


def _write_all(over: Many, ready: Many, ended: Results, room: Room) -> Written:
    everyone = [*over, *ready]
    written = Written()
    with transaction.atomic():
        # Rows are locked in the same order everywhere: sites, events, runs.
        limits = {each.site: each.app.calls_per_minute() for each in ready}
        budgets = slots.look(limits)
        found_out = same_student.found_out(ready)
        # If two processes find out the same at once, the second one sees what the first wrote.
        slots.lock({each.site: limits[each.site] for each in found_out})
        lock_events({run.event_id for _, run in _runs(over)})
        held = results.hold(run for _, run in _runs(everyone))
        lost = [each for each, run in _runs(everyone) if _key(run) not in held]
        _keep(everyone)
        same_student.begin_again(found_out)
        ours = [(run, ended[each]) for each, run in _runs(over) if _key(run) in held]
        results.write(ours, opened=_opened(everyone))
        _end_questions(each for each in over if each.run is None)
        # This turn's answers may have paused or opened a site.
        told_of = {each.site for each in everyone if _tells_of_site(each)}
        budgets |= slots.look({site: limits[site] for site in limits.keys() & told_of})
        waiting = [each for each in ready if each.wants_slot and each not in lost]
        for site, group in per_site(waiting).items():
            _take_slots(group, budgets.get(site), written, room)
        _renew(run.pk for _, run in _runs(written.calls))
        intents = _intend(written.calls)
    same_student.remember(found_out)
    for each in everyone:
        each.forget()
    for each, intent in intents:
        memory.begin_doubt(each.memory, each.attempt, intent)
    for each, run in _runs(over):
        if _key(run) in held:
            log.info("run_ended", extra={"run": run.pk, "status": ended[each].status.value})
    _close(lost)
    written.gone = [*over, *lost]
    return written


def _close(lost: Many) -> None:
    """Close conversations whose runs another worker has taken over.

    What they learned is written; how they ended is not.
    """
    for each in lost:
        each.steps.close()
        log.warning("lease_lost", extra={"run": each.run_id})


def _write_one(over: Many, ready: Many, ended: Results, written: Written) -> None:
    """Write one conversation alone. Its next call waits for the next turn."""
    try:
        written.gone += _write_all(over, ready, ended, room=_none).gone
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # Its site or customer was deleted meanwhile, or our code is at fault. There is no place for
        # what was learned then; how the run ended is written without it.
        for each in [*over, *ready]:
            log.warning("unwritable", extra={"run": each.run_id, "error": type(error).__name__})
            each.forget()
        for each in ready:
            each.fail(error)
        if over:
            written.gone += _end_bare(over, ended)


def _end_bare(over: Many, ended: Results) -> Many:
    """End one conversation, writing nothing else about it."""
    try:
        return _write_all(over, [], ended, room=_none).gone
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # its result cannot be written either
        for each in over:
            each.error, each.result = error, None
        broken = {each: attempt_result.result_of(each) for each, _ in _runs(over)}
        return _write_all(over, [], broken, room=_none).gone


def _key(run: RuleRun) -> tuple[int, UUID | None]:
    return run.pk, run.lease_token


def _none(*_: object) -> int:
    return 0


def _keep(everyone: Many) -> None:
    """Write the exchanges and what was learned."""
    ApiCall.objects.bulk_create([row for each in everyone for row in each.rows()])
    memory.write((each.memory, each.attempt.notes) for each in everyone)
    for each in everyone:
        for note in each.attempt.notes:
            if isinstance(note, Finding):
                each.app.take_effect(each.integration, note)
    learned = [(run, note) for each, run in _runs(everyone) for note in each.attempt.notes]
    before_admit.record((run, note) for run, note in learned if isinstance(note, FoundOpen))
    before_admit.forget((run, note) for run, note in learned if isinstance(note, FoundEnded))


def _opened(everyone: Many) -> list[RuleRun]:
    """Return the runs whose access Thinkific has just opened."""
    notes = [(run, note) for each, run in _runs(everyone) for note in each.attempt.notes]
    return [run for run, note in notes if isinstance(note, Opened)]


def _tells_of_site(each: Conversation) -> bool:
    ended = each.run is None and each.is_over
    return ended or any(isinstance(note, Finding) for note in each.attempt.notes)


def _take_slots(
    waiting: list[Conversation],
    budget: slots.Budget | None,
    written: Written,
    room: Room,
) -> None:
    """Choose the calls that go out in this turn. Runs at a paused site go back."""
    if budget is None:
        for each in waiting:
            each.fail(OutOfTime(say("The integration was deleted.")))
        return
    if budget.blocked:
        blocked = rate_limit.SiteBlocked(budget.blocked, budget.blocked_for)
        for each, _ in _runs(waiting):
            each.fail(blocked)
        waiting = [each for each in waiting if each.run is None]
    if waiting:
        taken = budget.take(min(len(waiting), room(waiting[0], written.calls)))
        written.calls += waiting[:taken]
    written.slots_at[budget.site] = time.monotonic() + budget.slot_in


def _renew(runs: Iterable[int]) -> None:
    ours = list(runs)
    if ours:
        until = Now() + timedelta(seconds=settings.LEASE_SECONDS)
        RuleRun.objects.filter(pk__in=ours).update(lease_until=until)


def _intend(calls: Many) -> list[tuple[Conversation, Intent]]:
    posts = [(each, each.request) for each in calls if isinstance(each.request, Post)]
    if not posts:
        return []
    intents = memory.intend((each.memory, post.target) for each, post in posts)
    return [(each, intent) for (each, _), intent in zip(posts, intents, strict=True)]


def _end_questions(questions: Iterable[Conversation]) -> None:
    """Let the answers to questions take effect: they open sites or pause them."""
    for each in questions:
        site = each.integration
        if not site_check.has_its_key(site):
            rate_limit.stop_asking(site.pk, each.asked_at)  # the answer is about an old key
        elif each.error is None:
            each.app.take_effect(site, each.outcome)
            rate_limit.answered(site.pk, each.asked_at, each.outcome.state)
        elif isinstance(each.error, SecretUnreadable):
            site_check.reject_key(site, each.error.message)
            rate_limit.answered(site.pk, each.asked_at, SiteAnswer.REFUSED)
        elif isinstance(each.error, OutOfTime | rate_limit.NoSlot):
            rate_limit.stop_asking(site.pk, each.asked_at)
        else:
            # Our fault would come again at once: wait for a while, as if there had been no answer.
            kind = type(each.error).__name__
            log.error("question_broke", extra={"integration": site.pk, "error": kind})
            rate_limit.answered(site.pk, each.asked_at, SiteAnswer.UNKNOWN)


def _runs(conversations: Iterable[Conversation]) -> list[tuple[Conversation, RuleRun]]:
    """Return the conversations that carry out runs, with their runs; questions are left out."""
    return [(each, each.run) for each in conversations if each.run is not None]
