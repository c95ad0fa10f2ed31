"""The menu: every page with its place, and who sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from events.models import RuleRun

SUPERUSER = "superuser"
MANY = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu; `permission` may be SUPERUSER, "" is for everyone."""

    label: str
    url: str
    permission: str
    query: str = ""
    counts_failed: bool = False

    @property
    def icon(self) -> str:
        """Its symbol in static/admit/icons.svg: the last word of the label."""
        return self.label.split()[-1].lower()


MENU: Sequence[tuple[str, Sequence[Entry]]] = (
    ("", (Entry("Overview", "admin:index", ""),)),
    (
        "Setup",
        (
            Entry("SamCart", "admin:samcart", "integrations.view_marketplace"),
            Entry(
                "Integrations",
                "admin:integrations_integration_changelist",
                "integrations.view_integration",
            ),
            Entry(
                "Global rules",
                "admin:rules_rule_changelist",
                "rules.view_rule",
                query="?scope__exact=global",
            ),
            Entry("Products", "admin:integrations_product_changelist", "integrations.view_product"),
            Entry("Coverage", "admin:coverage", "rules.view_rule"),
            Entry("Help", "admin:help", ""),
        ),
    ),
    (
        "Activity",
        (
            Entry("Log", "admin:events_eventlog_changelist", "events.view_eventlog"),
            Entry(
                "Actions",
                "admin:events_rulerun_changelist",
                "events.view_rulerun",
                counts_failed=True,
            ),
            Entry(
                "Customers",
                "admin:integrations_customer_changelist",
                "integrations.view_customer",
            ),
            Entry("Compare", "admin:compare", "events.view_rulerun"),
            Entry("Simulate", "admin:simulate", "events.simulate_eventlog"),
            Entry(
                "Changes",
                "admin:integrations_auditentry_changelist",
                "integrations.view_auditentry",
            ),
        ),
    ),
    (
        "System",
        (
            Entry("Alerts", "admin:alerts", "events.view_rulerun"),
            Entry("Queue", "admin:queue", SUPERUSER),
            Entry("People", "admin:auth_user_changelist", SUPERUSER),
            Entry("Groups", "admin:auth_group_changelist", SUPERUSER),
        ),
    ),
)


def allowed(request: HttpRequest, permission: str) -> bool:
    """Whether the signed-in person may; "" asks for no more than to be staff."""
    if permission == SUPERUSER:
        return bool(request.user.is_active and request.user.is_superuser)
    return not permission or request.user.has_perm(permission)


def name_of(request: HttpRequest) -> str:
    """The name under which others see the signed-in person."""
    user = request.user
    return (user.get_short_name() if user.is_authenticated else "") or user.get_username()


def for_person(request: HttpRequest) -> list[dict[str, Any]]:
    """The sections as this person sees them; empty ones are left out."""
    found = []
    for title, entries in MENU:
        lines = [_line(request, entry) for entry in entries if allowed(request, entry.permission)]
        if lines:
            found.append({"title": title, "lines": lines})
    return found


def _line(request: HttpRequest, entry: Entry) -> dict[str, Any]:
    address = reverse(entry.url)
    here = (
        request.path == address if entry.url == "admin:index" else request.path.startswith(address)
    )
    return {
        "label": entry.label,
        "icon": entry.icon,
        "url": address + entry.query,
        "here": here,
        "failed": _failed() if entry.counts_failed else "",
    }


def _failed() -> str:
    """How many actions need a person: capped at a hundred."""
    failed = RuleRun.objects.filter(status=RuleRun.Status.FAILED)
    number = failed.order_by()[:MANY].count()
    return "" if not number else f"{MANY - 1}+" if number == MANY else str(number)
