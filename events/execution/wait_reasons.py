"""Why a run waits right now: the stored message was true when it was written."""

from collections.abc import Iterable, Sequence

from events.models import RuleRun
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration
from integrations.sentences import say


def reason(run: RuleRun) -> str:
    """Say what a waiting run waits for; return "" for a running one, else the run's message."""
    return reasons([run])[run.pk]


def reasons(runs: Sequence[RuleRun]) -> dict[int, str]:
    """Return the same for many, by pk, with a query for all and one for each of their sites.

    An ending that waits for its day keeps its own message.
    """
    waiting = [
        run
        for run in runs
        if run.status == RuleRun.Status.WAITING and run.integration and not run.is_pending
    ]
    # What a running one last waited for is not true anymore.
    found = {run.pk: "" if run.status == RuleRun.Status.RUNNING else run.message for run in runs}
    if not waiting:
        return found
    sites = {run.integration.pk: run.integration for run in waiting if run.integration}
    closed = {pk: _closed(site) for pk, site in sites.items()}
    behind = RuleRun.objects.filter(pk__in=[run.pk for run in waiting]).behind_another()
    blocked = set(behind.values_list("pk", flat=True))
    for run in waiting:
        keeps = closed[run.integration_id] if run.integration_id else ""
        if not keeps and run.pk in blocked and not run.waits_to_retry:
            keeps = say("Waits until another action for the same customer is done.")
        found[run.pk] = keeps or found[run.pk] or say("Waits for its turn.")
    return found


def under_way(runs: Iterable[RuleRun]) -> bool:
    """Whether any of these is being carried out, or waits only for its turn."""
    states = RuleRun.Status
    return any(
        run.status == states.RUNNING
        or (run.status == states.WAITING and not run.is_pending and not run.waits_to_retry)
        for run in runs
        if run.integration is None or run.integration.enabled
    )


def is_next(run: RuleRun) -> bool:
    """Whether it is being carried out, or waits only for its turn, and its site is open."""
    return run.integration is not None and under_way([run]) and not _closed(run.integration)


def _closed(site: Integration) -> str:
    """Say what keeps every run of this site waiting; "" if nothing does."""
    if not site.enabled:
        return say("{site} is turned off; this continues when it is turned on.", site=site)
    why, seconds = rate_limit.blocked_for(site.pk)
    return at_closed_site(site, why) if seconds > 0 else ""


def at_closed_site(integration: Integration, why: str) -> str:
    """Say what keeps every run of a blocked site waiting; `why` is a CallBudget.Blocked."""
    app = app_registry.of(integration)
    if why == CallBudget.Blocked.KEY and app.has_catalog and integration.not_let_in:
        return say(
            "Waits because {integration} never connected: its address or its key is wrong. It "
            "continues as soon as that is fixed.",
            integration=integration,
        )
    if why == CallBudget.Blocked.KEY and integration.denied:
        return say(
            "Waits because {integration} denies access: its Thinkific plan has no API access "
            "(Grow or higher is required), or the key lacks a permission. It continues as soon as "
            "that is fixed in Thinkific.",
            integration=integration,
        )
    if why == CallBudget.Blocked.KEY:
        return say(
            "Waits because the {secret} of {site} does not work. It continues as soon as this "
            "{secret} works again or another one is entered.",
            secret=app.secret,
            site=integration,
        )
    if why == CallBudget.Blocked.AWAY:
        return say(
            "Waits because {site} could not be reached. It continues by itself.", site=integration
        )
    return say(
        "Waits because {outside} asked for a pause. It continues by itself.", outside=app.outside
    )
