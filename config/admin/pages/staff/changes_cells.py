"""What the cells of the list of changes show."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from config.admin.parts import badges
from config.admin.parts.buttons import page_of as page_of_row
from config.admin.parts.differences import NOTHING, differences, is_of_row
from integrations.models import AuditEntry
from integrations.sentences import Said, facts, parts, say
from rules.listing import listed

# The list shows this many values of an entry; its page has all of them.
LINES_SHOWN = 4
# How many customers or products of a line the list names.
NAMES = 2


def named_with_customer(entry: Any) -> SafeString | str:
    """Return the name of an entry, and the customer that it is about."""
    name = badges.breakable(badges.legible(entry.name, 200)) if entry.name else NOTHING
    if entry.customer is None:
        return name
    whose = badges.brief(entry.customer.readable_email)
    page = reverse("admin:integrations_customer_change", args=[entry.customer.pk])
    link = format_html('<a href="{}">{}</a>', page, badges.breakable(whose))
    return format_html('{} <span class="soft line">{}</span>', name, link)


def about(line: list[Any]) -> str:
    """Return whom or what a line of several entries is about: the first two, and how many more."""
    names = [
        entry.customer.readable_email if entry.customer else _product(entry) or entry.name
        for entry in line
    ]
    found = [*dict.fromkeys(badges.brief(name) for name in names if name)]
    return listed(found, NAMES) or NOTHING


def _product(entry: AuditEntry) -> str:
    """Return the name of the rule's product, as the entry's name has it; "" if it has none."""
    if not isinstance(entry.name, Said):
        return ""
    return str(facts(parts(entry.name)[0]).get("product", ""))


def difference(entry: AuditEntry) -> SafeString | str:
    """Return what was changed, as much of it as the list shows."""
    lines = [] if is_of_row(entry) else [str(line) for line in differences(entry)]
    shown = [*lines[:LINES_SHOWN], *(["…"] if len(lines) > LINES_SHOWN else [])]
    if entry.note and not entry.undoes:
        shown.append(badges.brief(entry.note))
    parts = ((badges.breakable(line),) for line in shown)
    return format_html_join(mark_safe("<br>"), "{}", parts) or NOTHING


def fold(line: list[Any]) -> SafeString:
    """Return the entries of a line, each with a link to its page, and its customer."""
    each = (
        (
            page_of_row(entry),
            badges.breakable(badges.legible(entry.name, 200) or str(entry.pk)),
            badges.breakable(f", {badges.brief(entry.customer.readable_email)}")
            if entry.customer
            else "",
        )
        for entry in line
    )
    return format_html(
        '<details class="fold"><summary>{}</summary><ul>{}</ul></details>',
        say("Show each of them"),
        format_html_join("", '<li><a href="{}">{}</a>{}</li>', each),
    )
