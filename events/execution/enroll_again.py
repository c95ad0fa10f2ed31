"""Give again what a comparison with Thinkific did not find there."""

from collections import Counter
from collections.abc import Collection, Iterable

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from events.access import grant_runs
from events.execution import retry_by_hand, retry_reasons
from events.models import Batch, ComparisonFinding, RuleRun
from events.queue import wake
from integrations.sentences import say

Kind = ComparisonFinding.Kind
CHUNK = 200
NO_RUN = _("no action of this purchase is kept anymore: give the access by hand")
DONE_SINCE = _("done since")


def enroll_again(
    findings: QuerySet[ComparisonFinding],
    *,
    at_most: int | None = None,
    batch: Batch | None = None,
) -> tuple[int, dict[str, int]]:
    """Queue the actions that give what these findings miss, about `at_most` of them.

    Return how many actions were queued, and {reason: how many findings} for the others. An action
    for a bundle covers all of its courses. The IDs of queued actions are added to the batch.
    """
    queued, last = 0, 0
    left: Counter[str] = Counter()
    tried: set[int] = set()
    while at_most is None or queued < at_most:
        chunk = with_runs(findings.filter(pk__gt=last).order_by("pk")[:CHUNK])
        if not chunk:
            break
        last = chunk[-1][0].pk
        others = [(run, why) for _, run, why in chunk if run is None or run.pk not in tried]
        left.update(why for _, why in others if why)
        runs = {run.pk: run for run, why in others if run and not why}
        number, refused = retry_by_hand.give_again(runs.values(), batch=batch)
        queued += number
        left.update(refused)
        tried |= runs.keys()
    if queued:
        with transaction.atomic():
            wake.wake()
    return queued, dict(left)


def with_runs(
    findings: Iterable[ComparisonFinding],
) -> list[tuple[ComparisonFinding, RuleRun | None, str]]:
    """Return each finding with the action that gives it, and why that is not given again.

    The reason is "" where it can be given again, and where there is nothing to give.
    """
    found = list(findings)
    runs = _giving_runs({each.grant_id for each in found if each.grant_id})
    return [
        (each, run, _why_not(each, run))
        for each, run in ((each, runs.get(each.grant_id or 0)) for each in found)
    ]


def _giving_runs(grants: Collection[int]) -> dict[int, RuleRun]:
    """Return {grant ID: the newest action that gives it}."""
    giving = grant_runs.giving(grants).select_related("grant", "event", "rule")
    found = giving.order_by("received_at", "pk")  # a newer one replaces an older one
    return {run.grant_id: run for run in found if run.grant_id}


def _why_not(finding: ComparisonFinding, run: RuleRun | None) -> str:
    if finding.kind not in {Kind.MISSING, Kind.ENDS}:
        return ""
    if run is None:
        return say(NO_RUN)
    if run.status == RuleRun.Status.DONE and run.finished_at and run.finished_at > finding.found_at:
        return say(DONE_SINCE)
    return retry_reasons.why_not_given_again(run)
