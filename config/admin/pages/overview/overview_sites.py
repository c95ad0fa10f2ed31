"""What the overview shows of each integration: what is wrong with it, and what waits for it."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from events.reports.system import backlog, queue
from integrations import app_registry, credentials
from integrations.models import Integration
from integrations.thinkific.explain import trouble


def _urgency(site: Integration) -> int:
    """Return how urgently a site needs a person: 0 is most urgent, and calm sites come last."""
    kinds = Integration.Connection
    connection = site.connection if site.enabled else None
    return [
        connection == kinds.REFUSED,
        connection == kinds.UNREACHABLE,
        bool(credentials.expiry_warning(site, timezone.localdate())),
        connection != kinds.CONNECTED,
        True,
    ].index(True)


@dataclass(frozen=True, slots=True)
class Site:
    """An integration, what is wrong with it, and until when it is paused.

    `when_on` says what happens when it is turned on: "" unless it is off and actions wait for it.
    """

    integration: Integration
    health: str
    until: datetime | None
    when_on: str

    @property
    def needs_somebody(self) -> bool:
        return bool(self.health or self.until or self.when_on)


def by_urgency(sites: list[Integration], *, advise: bool) -> list[Site]:
    """Return these integrations, the ones that need a person most urgently first.

    With `advise` they say what to do, for a person who may change them.
    """
    pauses = queue.paused()
    return [
        Site(
            site,
            _health(site, advise=advise),
            pauses.get(site.pk) if site.enabled else None,
            "" if site.enabled else backlog.when_on_sentence(site),
        )
        for site in sorted(sites, key=_urgency)
    ]


def _health(site: Integration, *, advise: bool) -> str:
    if not app_registry.of(site).has_catalog:
        return site.connection_message
    warning = credentials.expiry_warning(site, timezone.localdate(), advise=advise)
    return warning or trouble(site, advise=advise)
