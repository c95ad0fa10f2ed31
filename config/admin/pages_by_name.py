"""Pages that the search finds: by their title, and by words for what one does there."""

from collections.abc import Iterator

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from config.admin import menu
from integrations.sentences import Text
from integrations.who import OWNERS_ONLY

# The permission to give, end and move access.
BY_HAND = "events.by_hand_grant"

# Pages that no entry of the menu leads to: those of the menu at the top right, and those that other
# pages link. Each with the permission to see it.
BESIDE_THE_MENU: tuple[tuple[Text, str, str], ...] = (
    (_("My account: time zone"), "admin:account", ""),
    (_("Sessions"), "admin:sessions", ""),
    (_("Second factor"), "admin:second-factor", ""),
    (_("Change password"), "admin:password_change", ""),
    (_("Refunded, but still has access"), "admin:refunded", BY_HAND),
    (_("Kept on purpose after a refund"), "admin:refunded", BY_HAND),
    (_("Kept on purpose after a cancellation"), "admin:refunded", BY_HAND),
    (_("Give access"), "admin:give-to-anyone", BY_HAND),
    (_("Enter a missed order"), "admin:enter-order", BY_HAND),
    (_("New rule"), "admin:new-rule", "rules.add_rule"),
    (_("Leftover rules"), "admin:left-over", "rules.change_rule"),
    (_("Add product"), "admin:integrations_product_add", "integrations.add_product"),
    (_("Add several products"), "admin:several-products", "integrations.add_product"),
    (_("New integration"), "admin:integrations_integration_add", "integrations.add_integration"),
    (_("New person"), "admin:auth_user_add", OWNERS_ONLY),
)
# Other words by which people look for a page, by the page's name.
ALSO: dict[str, Text] = {
    "admin:index": _("home, today, problems"),
    "admin:integrations_customer_changelist": _("buyers, students, e-mail, move, erase"),
    "admin:events_eventlog_changelist": _("events, sales, orders, purchases, payments"),
    "admin:events_rulerun_changelist": _("enrollments, failed, waiting, retry, dismiss"),
    "admin:compare": _("check Thinkific, differences"),
    "admin:simulate": _("test, try out"),
    "admin:integrations_auditentry_changelist": _("undo, history, who did it"),
    "admin:samcart": _("connect, webhook address, accounts, triggers"),
    "admin:integrations_integration_changelist": _("connect Thinkific, API key, token, webhook"),
    "admin:rules_rule_changelist": _("enroll, end access, turn on, turn off"),
    "admin:integrations_product_changelist": _("offers, rename"),
    "admin:coverage": _("missing rules, set up products, end access"),
    "admin:letter": _("e-mail, reply, answer, template"),
    "admin:help": _("manual, glossary, words"),
    "admin:alerts": _("notifications, e-mail, warnings"),
    "admin:queue": _("workers, waiting"),
    "admin:auth_user_changelist": _("team, staff, roles, permissions, invite"),
    "admin:account": _("language, preferences"),
    "admin:sessions": _("sign out, browsers, devices"),
    "admin:second-factor": _("2FA, authenticator, codes"),
    "admin:refunded": _("refunds, buyers, refunded and still in, end access, keep access"),
    "admin:give-to-anyone": _("enroll by hand, free access"),
    "admin:enter-order": _("add a sale, purchase, by hand"),
    "admin:new-rule": _("add, create, enroll, end access"),
    "admin:left-over": _("clean up old rules, rules left over"),
    "admin:integrations_product_add": _("create, new product"),
    "admin:several-products": _("import, create, list"),
    "admin:integrations_integration_add": _("add, connect Thinkific, Notify URL, school"),
    "admin:auth_user_add": _("add, invite, user, colleague"),
}


def find(request: HttpRequest, word: str) -> Iterator[tuple[str, Text]]:
    """Yield (address, title) of the pages that fit what was typed and that the person may see.

    Each typed word begins a word of the page's title, or another word for the page.
    """
    typed = word.casefold().split()
    for name, url, label in _may_see(request):
        known = f" {label} {ALSO.get(name, '')}".casefold()
        if all(f" {each}" in known for each in typed):
            yield url, label


def _may_see(request: HttpRequest) -> Iterator[tuple[str, str, Text]]:
    """Yield (name, address, title) of the pages the person may see, those of the menu first."""
    for section in menu.for_person(request):
        for line in section["lines"]:
            yield line["name"], line["url"], line["label"]
    for label, name, permission in BESIDE_THE_MENU:
        if menu.allowed(request, permission):
            yield name, reverse(name), label
