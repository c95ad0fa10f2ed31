"""When an unfinished action goes on: by itself, or after a person opened its integration."""

from events.models import RuleRun
from integrations.models import Integration
from integrations.sentences import Said, say


def needs_a_person(run: RuleRun) -> bool:
    """Whether a run waits for an integration that is off, or whose key is refused."""
    site = run.integration
    if run.status != RuleRun.Status.WAITING or site is None:
        return False
    return not site.enabled or site.connection == Integration.Connection.REFUSED


def goes_on(run: RuleRun) -> Said:
    """Say, for use inside a sentence, when an unfinished run goes on: "continues by itself"."""
    site = run.integration
    if site is None or not needs_a_person(run):
        return say("continues by itself")
    if not site.enabled:
        return say("continues as soon as {site} is turned on", site=site)
    return say(
        "continues as soon as the key of {site} works again or another one is entered", site=site
    )


def waits_for_key(run: RuleRun) -> bool:
    """Whether a run waits for an integration that is on and whose key is refused."""
    return needs_a_person(run) and run.integration is not None and run.integration.enabled
