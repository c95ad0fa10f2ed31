"""The API calls of runs, as they were, secrets masked."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from events.models import RuleRun
from integrations.models import ApiCall
from integrations.sentences import say_count

# Of one run; one that was tried for three days made a few dozen.
MAX_CALLS = 100
BODIES = ("request_body", "response_body")


def removed(run: RuleRun) -> str:
    """A sentence when the calls of a run are so old that housekeeping has removed them."""
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
    """{run's pk: its calls, oldest first}; at most a hundred for each run asked for."""
    return _calls(list(runs))


def _calls(runs: Sequence[RuleRun], without: Sequence[str] = ()) -> dict[int, list[ApiCall]]:
    asked = [run.pk for run in runs]
    rows = ApiCall.objects.filter(run_id__in=asked).defer(*without)
    calls = rows.order_by("-pk")[: MAX_CALLS * len(asked)]
    found: dict[int, list[ApiCall]] = defaultdict(list)
    for call in reversed(list(calls) if asked else []):
        found[call.run_id or 0].append(call)
    return found


def in_short(runs: Iterable[RuleRun]) -> dict[int, list[ApiCall]]:
    """The same without what was sent and answered word for word; of what is passed on, none."""
    return _calls([run for run in runs if not run.spec.passes_on], without=BODIES)
