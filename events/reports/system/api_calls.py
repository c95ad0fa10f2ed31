"""The API calls of runs as they were made, with secrets masked."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest

from django.conf import settings
from django.utils import timezone

from events.models import RuleRun
from events.models.runs import DISMISSED
from integrations.audit import Act
from integrations.models import ApiCall, AuditEntry
from integrations.sentences import MINUTE, Said, format_day, say, say_count

# Per run. A run that was tried for three days made a few dozen.
MAX_CALLS = 100
# These statuses are not about the request, so they always end the attempt.
NEVER_GOES_ON = frozenset({401, 403, 408, 425, 429})
# After a failed call, the question whether the site is open comes within this time.
SAME_MOMENT = timedelta(seconds=5)
# The acts by which a person has an action carried out again.
QUEUED = (Act.RUN_RETRIED, Act.RUN_RELEASED, Act.DONE_ANYWAY, Act.RUN_REPEATED)
BODIES = ("request_body", "response_body")


def removed_sentence(run: RuleRun) -> str:
    """Return a sentence if housekeeping has removed the calls of a run because of their age."""
    days = settings.KEEP_EXCHANGES_DAYS
    last = run.finished_at or run.started_at
    if not (days and last and last < timezone.now() - timedelta(days=days)):
        return ""
    return say_count(
        days,
        "Calls are kept for 1 day; those of this action are gone.",
        "Calls are kept for {number} days; those of this action are gone.",
    )


def of_runs(runs: Iterable[RuleRun]) -> dict[int, list[ApiCall]]:
    """Return {run pk: its calls, oldest first}; on average at most MAX_CALLS a run, the newest."""
    return _calls(list(runs))


def _calls(runs: Sequence[RuleRun], without: Sequence[str] = ()) -> dict[int, list[ApiCall]]:
    asked = [run.pk for run in runs]
    rows = ApiCall.objects.filter(run_id__in=asked).defer(*without)
    calls = rows.order_by("-pk")[: MAX_CALLS * len(asked)]
    found: dict[int, list[ApiCall]] = defaultdict(list)
    for call in reversed(list(calls) if asked else []):
        found[call.run_id or 0].append(call)
    return found


def failed_attempts(
    runs: Iterable[RuleRun], calls: Mapping[int, Sequence[ApiCall]]
) -> dict[int, list[ApiCall]]:
    """Return {run pk: the call at which each failed attempt ended, oldest first}.

    `calls` are those of the runs. After a call that Thinkific refuses, the attempt may go on with
    another one: so a refusal counts only if no call follows, or a person queued the action again.
    """
    by_hand: dict[int, list[datetime]] = defaultdict(list)
    of_runs = [run for run in runs if any(call.error for call in calls.get(run.pk, ()))]
    entries = AuditEntry.objects.filter(
        kind=RuleRun._meta.model_name, number__in=[str(run.pk) for run in of_runs], act__in=QUEUED
    )
    for number, moment in entries.values_list("number", "at") if of_runs else ():
        by_hand[int(number)].append(moment)
    return {run.pk: _failed(run, calls[run.pk], by_hand[run.pk]) for run in of_runs}


def attempts(run: RuleRun, failed: Sequence[ApiCall] | None) -> int:
    """Return how often an action was tried, with the attempts that the whole site refused.

    Those do not use up its retries, so the action does not count them; `failed` are the calls at
    which its attempts failed.
    """
    refused = [call for call in failed or () if call.status in NEVER_GOES_ON]
    return max(run.attempts, len(refused))


def retry_sentence(run: RuleRun, failed: Sequence[ApiCall]) -> Said | str:
    """Return "Tried again 29 Nov 06:01: the same answer." for an action that failed again.

    `failed` are the last calls of its failed attempts. "" if there are fewer than two, or if it is
    not failed now.
    """
    if run.status != RuleRun.Status.FAILED or len(failed) < 2:
        return ""
    before, last = failed[-2:]
    when = format_day(last.sent_at, MINUTE)
    if last.error == before.error:
        return say("Tried again {when}: the same answer.", when=when)
    return say("Tried again {when}.", when=when)


def _failed(run: RuleRun, calls: Sequence[ApiCall], by_hand: Sequence[datetime]) -> list[ApiCall]:
    found: list[ApiCall] = []
    for call, then in zip_longest(calls, calls[1:]):
        if not call.error or not _ends_attempt(run, call, then, by_hand):
            continue
        if (
            found
            and found[-1].error == call.error
            and call.sent_at - found[-1].sent_at < SAME_MOMENT
        ):
            found.pop()  # the question whether the site is open got the same answer
        found.append(call)
    return found


def _ends_attempt(
    run: RuleRun, call: ApiCall, then: ApiCall | None, by_hand: Sequence[datetime]
) -> bool:
    """Whether this call, which had an error, ended its attempt; `then` is the next call."""
    states = RuleRun.Status
    if then is None:
        dismissed = run.status == states.SKIPPED and run.code == DISMISSED
        return dismissed or run.status in {states.FAILED, states.WAITING, states.HELD}
    may_be_refused = call.status is not None and 300 <= call.status < 500
    if not may_be_refused or call.status in NEVER_GOES_ON:
        return True
    return any(call.sent_at < moment <= then.sent_at for moment in by_hand)


def without_bodies(runs: Iterable[RuleRun]) -> dict[int, list[ApiCall]]:
    """Return the same without bodies, and without the calls of actions that pass on."""
    return _calls([run for run in runs if not run.spec.passes_on], without=BODIES)
