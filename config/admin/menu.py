"""The menu: which pages it lists, in which order, and who sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from events.models import RuleRun
from integrations.sentences import Text
from integrations.who import OWNERS_ONLY

MAX_FAILED = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu. `permission` may be OWNERS_ONLY; "" lets everyone see it.

    `icon` is its symbol in static/admit/icons.svg.
    """

    icon: str
    label: Text
    url: str
    permission: str
    query: str = ""
    counts_failed: bool = False


# What is looked at every day comes first: on a phone the rest is below the fold of the menu.
MENU: Sequence[tuple[Text, Sequence[Entry]]] = (
    ("", (Entry("overview", _("Overview"), "admin:index", ""),)),
    (
        _("Activity"),
        (
            Entry(
                "customers",
                _("Customers"),
                "admin:integrations_customer_changelist",
                "integrations.view_customer",
            ),
            Entry("log", _("Log"), "admin:events_eventlog_changelist", "events.view_eventlog"),
            Entry(
                "actions",
                _("Actions"),
                "admin:events_rulerun_changelist",
                "events.view_rulerun",
                counts_failed=True,
            ),
            Entry("compare", _("Compare"), "admin:compare", "events.view_rulerun"),
            Entry("simulate", _("Simulate"), "admin:simulate", "events.simulate_eventlog"),
            Entry(
                "changes",
                _("Changes"),
                "admin:integrations_auditentry_changelist",
                "integrations.view_auditentry",
            ),
        ),
    ),
    (
        _("Setup"),
        (
            Entry("samcart", "SamCart", "admin:samcart", "integrations.view_marketplace"),
            Entry(
                "integrations",
                _("Integrations"),
                "admin:integrations_integration_changelist",
                "integrations.view_integration",
            ),
            Entry("rules", _("All rules"), "admin:rules_rule_changelist", "rules.view_rule"),
            Entry(
                "global",
                _("Global rules"),
                "admin:rules_rule_changelist",
                "rules.view_rule",
                query="?scope__exact=global",
            ),
            Entry(
                "products",
                _("Products"),
                "admin:integrations_product_changelist",
                "integrations.view_product",
            ),
            Entry("coverage", _("Coverage"), "admin:coverage", "rules.view_rule"),
            Entry("letter", _("Letter"), "admin:letter", "integrations.change_integration"),
            Entry("help", _("Help"), "admin:help", ""),
        ),
    ),
    (
        _("System"),
        (
            Entry("alerts", _("Alerts"), "admin:alerts", "events.view_rulerun"),
            Entry("queue", _("Queue"), "admin:queue", OWNERS_ONLY),
            Entry("people", _("People"), "admin:auth_user_changelist", OWNERS_ONLY),
        ),
    ),
)


def allowed(request: HttpRequest, permission: str) -> bool:
    """Return whether the signed-in person has the permission; "" is one that all staff have."""
    return not permission or request.user.has_perm(permission)


def for_person(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sections that this person sees; empty ones are left out."""
    found = []
    for title, entries in MENU:
        lines = [_line(request, entry) for entry in entries if allowed(request, entry.permission)]
        if lines:
            found.append({"title": title, "lines": lines})
    return found


def _line(request: HttpRequest, entry: Entry) -> dict[str, Any]:
    address = reverse(entry.url)
    return {
        "label": entry.label,
        "name": entry.url,
        "icon": entry.icon,
        "url": address + entry.query,
        "here": _is_here(request, entry, address),
        "failed": _failed() if entry.counts_failed else "",
    }


def _is_here(request: HttpRequest, entry: Entry, address: str) -> bool:
    """Return whether the open page is this entry's, and not that of an entry for a part of it."""
    if entry.url == "admin:index":
        return request.path == address
    if not request.path.startswith(address):
        return False
    if entry.query:
        return all(request.GET.get(k) == v for k, v in parse_qsl(entry.query.lstrip("?")))
    same = (each for _, entries in MENU for each in entries if each.url == entry.url)
    return not any(_is_here(request, each, address) for each in same if each.query)


def _failed() -> str:
    """Return how many actions failed, as "99+" from a hundred on; "" for none."""
    failed = RuleRun.objects.filter(status=RuleRun.Status.FAILED)
    number = failed.order_by()[:MAX_FAILED].count()
    return "" if not number else f"{MAX_FAILED - 1}+" if number == MAX_FAILED else str(number)
