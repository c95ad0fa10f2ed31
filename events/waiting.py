"""Why a run waits, as things stand now: what is stored was true when it was written."""

from events.models import RuleRun
from integrations import budget
from integrations.models import CallBudget, Integration


def reason(run: RuleRun) -> str:
    """One sentence on what keeps a waiting run; the message of any other run."""
    if run.status != RuleRun.Status.WAITING or run.integration is None:
        return run.message
    if not run.integration.enabled:
        return f"{run.integration} is turned off; this goes on when it is turned on."
    why, seconds = budget.blocked_for(run.integration.pk)
    if seconds > 0:
        return at_closed_site(run.integration, why)
    if not RuleRun.objects.filter(pk=run.pk).next_in_line().exists():
        return "Waits until an earlier action for the same customer is done."
    return run.message or "Waits for its turn."


def at_closed_site(integration: Integration, why: str) -> str:
    """What keeps every run of a site that is blocked; `why` is a CallBudget.Blocked."""
    if why == CallBudget.Blocked.KEY:
        return (
            f"Waits because the key of {integration} does not work. "
            "Edit the integration; then this goes on by itself."
        )
    return "Waits because Thinkific asked for a pause. It goes on by itself."
