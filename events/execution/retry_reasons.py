"""Why an action cannot be queued again, in words."""

from collections.abc import Collection, Iterable, Sequence

from django.utils.translation import gettext_lazy as _

from events.access import going_on, history, revocations
from events.execution import messages
from events.models import EventLog, RuleRun
from events.models.runs import DISMISSED
from integrations.sentences import say

Status = RuleRun.Status
NO_EMAIL = _("its e-mail address cannot be used: open the event and enter the right e-mail")


def reasons(runs: Sequence[RuleRun], *, anyway: bool = False) -> dict[int, str]:
    """Return why each of these runs cannot be queued again, by pk; "" if it can."""
    back = {} if anyway else taken_back(runs)
    wait = say(history.WAIT) if history.unread() else ""
    lost = _lost(runs, anyway=anyway)
    return {
        run.pk: wait or _why_not(run, lost, anyway=anyway) or back.get(run.pk, "") for run in runs
    }


def taken_back(runs: Sequence[RuleRun]) -> dict[int, str]:
    """Say "order 1183 was refunded on 3 May", by pk, for giving runs whose event was since."""
    giving = [run for run in runs if run.spec.gives_access]
    events = EventLog.objects.filter(pk__in={run.event_id for run in giving})
    ending = revocations.later_endings(events)
    return {
        run.pk: revocations.sentence(ending[run.event_id])
        for run in giving
        if run.event_id in ending
    }


def why_not(run: RuleRun, *, anyway: bool = False) -> str:
    """Say why this run cannot be queued again; "" if it can. Does not look for refunds."""
    return _why_not(run, _lost([run], anyway=anyway), anyway=anyway)


def _lost(runs: Iterable[RuleRun], *, anyway: bool) -> set[int]:
    """Return those of the finished runs whose access was lost, or is due and not on its way.

    With `anyway`, skipped runs are left out, because they are queued in any case.
    """
    statuses = {Status.DONE} if anyway else {Status.DONE, Status.SKIPPED}
    over = [run.pk for run in runs if run.status in statuses]
    if not over:
        return set()
    same = RuleRun.objects.filter(pk__in=over).order_by()
    found = (same.lost(), same.stranded())
    return {pk for rows in found for pk in rows.values_list("pk", flat=True)}


def _why_not(run: RuleRun, lost: Collection[int], *, anyway: bool) -> str:
    if run.status == Status.RUNNING or (run.status == Status.WAITING and not run.waits_to_retry):
        return going_on.goes_on(run)
    if run.status == Status.DONE and run.pk not in lost:
        return say("it had succeeded")
    if run.status == Status.SKIPPED and not anyway and run.pk not in lost:
        dismissed = run.code == DISMISSED
        return say("somebody has dismissed it") if dismissed else say("nothing is due by it")
    if run.customer_id is None and not run.spec.passes_on:
        return str(NO_EMAIL)
    if run.integration_id is None:
        return say("its integration was deleted")
    return ""


def why_not_given_again(run: RuleRun) -> str:
    """Say why this run cannot give again what it gave; "" if it can."""
    if run.status == Status.HELD:
        return say("it waits for you: release it if it is right")
    if run.grant is None or not run.grant.is_active:
        return say("this access is not due anymore")
    return "" if run.status == Status.DONE else why_not(run)


def why_not_again(run: RuleRun) -> str:
    """Say why this run cannot be sent again; "" if it can."""
    if run.status != Status.DONE or not run.spec.passes_on:
        return say("only what was sent to a receiver can be sent again")
    if run.integration_id is None:
        return say("its integration was deleted")
    return "" if messages.message_of(run) else say("what SamCart sent is not kept anymore")


def is_outdated(run: RuleRun) -> bool:
    """Whether it failed to give something, and its rule still fits but gives something else."""
    rule = run.rule
    return (
        rule is not None
        and rule.enabled
        and run.status == Status.FAILED
        and run.spec.gives_access
        and rule.spec.gives_access
        and run.event.is_for(rule)
        and run.form != RuleRun.form_of(rule)
    )
