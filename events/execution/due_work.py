"""What is due: runs whose time has come, and sites to ask whether they are open again."""

from events.models import RuleRun
from integrations.calls import rate_limit
from integrations.models import Integration


def exists() -> bool:
    """Whether a worker would find something to do now."""
    sites = rate_limit.open_sites() | rate_limit.sites_to_ask()
    ready = RuleRun.objects.due().filter(integration__in=sites)
    return any(
        found.exists() for found in (ready, RuleRun.objects.lapsed(), RuleRun.objects.orphaned())
    )


def sites_to_ask() -> list[Integration]:
    """Return the sites whose pause is over and whose runs wait for that."""
    sites = rate_limit.sites_to_ask()
    if not sites:
        return []
    waiting = RuleRun.objects.due().filter(integration__in=sites)
    return list(Integration.objects.filter(pk__in=waiting.values("integration")))
