"""What the cells of the list of changes show."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from config.admin.parts import badges
from config.admin.parts.buttons import page_of as page_of_row
from config.admin.parts.differences import NOTHING, differences, is_of_row
from integrations.audit import Act
from integrations.models import AuditEntry, Customer
from integrations.sentences import Said, facts, parts, say, say_count
from integrations.who import shown_who
from rules.listing import listed
from rules.short_sentences import in_short

# The list shows this many values of an entry; its page has all of them.
LINES_SHOWN = 4
PERSON = User._meta.model_name
# How many customers or products of a line the list names.
MAX_NAMES = 2


def did(entry: Any) -> str:
    """Return what the line did, and how often or for how many buyers."""
    same = [each for each in entry.line if each.act == entry.act]
    if entry.act == Act.BUYERS_ENROLLED:
        return say_count(
            _number_of_buyers(entry.line),
            "Ran rules for 1 earlier buyer",
            "Ran rules for {number} earlier buyers",
        )
    text = capfirst(entry.sentence)
    return say("{did}, {number} times", did=text, number=len(same)) if len(same) > 1 else text


def _number_of_buyers(line: Sequence[Any]) -> int:
    """Return for how many buyers rules were run, also if a filter left out the events."""
    events = [each for each in line if each.act == Act.EVENT_RERUN]
    known = {each.customer.pk if each.customer else -each.pk for each in events}
    told = [(each.after or {}).get("buyers", 0) for each in line]
    return len(known) or max(told)


def about(entry: Any) -> SafeString | str:
    """Return what the line is about, and whom: the first two, and how many more."""
    if len(entry.line) == 1:
        return _named_with_customer(entry)
    own = [each for each in entry.line if each.act == entry.act]
    name = _names(own)
    others = [each for each in entry.line if each.act != entry.act and each.customer]
    if not others or any(each.customer for each in own):
        return name
    return format_html('{} <span class="soft line">{}</span>', name, _names(others))


def _named_with_customer(entry: Any) -> SafeString | str:
    """Return the name of an entry, and the customer that it is about."""
    name = _name(entry) or NOTHING
    if entry.customer is None:
        return name
    if entry.kind == Customer._meta.model_name:
        return _link(entry.customer, name)
    return format_html('{} <span class="soft line">{}</span>', name, _customer(entry.customer))


def shown_name(entry: AuditEntry) -> str:
    """Return the name of what the entry is about: a person's as `shown_who`, a rule in short."""
    return shown_who(entry.name) if entry.kind == PERSON else in_short(entry.name)


def _name(entry: AuditEntry) -> SafeString:
    return badges.breakable(badges.legible(shown_name(entry), 200))


def _customer(customer: Customer) -> SafeString:
    return _link(customer, badges.breakable(badges.brief(customer.readable_email)))


def _link(customer: Customer, name: str) -> SafeString:
    page = reverse("admin:integrations_customer_change", args=[customer.pk])
    return format_html('<a href="{}">{}</a>', page, name)


def _names(line: Sequence[Any]) -> SafeString | str:
    names = [
        entry.customer.readable_email if entry.customer else _product(entry) or shown_name(entry)
        for entry in line
    ]
    found = [*dict.fromkeys(badges.brief(name) for name in names if name)]
    return badges.breakable(listed(found, MAX_NAMES)) if found else NOTHING


def _product(entry: AuditEntry) -> str:
    """Return the name of the rule's product, as the entry's name has it; "" if it has none."""
    if not isinstance(entry.name, Said):
        return ""
    return str(facts(parts(entry.name)[0]).get("product", ""))


def change(entry: Any) -> SafeString | str:
    """Return what was changed, what became of it, and the entries of a line of several."""
    found = {_difference(each) for each in entry.line}
    same = found.pop() if len(found) == 1 else NOTHING
    parts = [each for each in (entry.batch, entry.stay) if each]
    if same != NOTHING:
        parts.insert(0, same)
    if len(entry.line) == 1 and not parts:
        return same
    shown = format_html_join(mark_safe("<br>"), "{}", ((part,) for part in parts))
    fold = _fold(entry.line) if len(entry.line) > 1 else ""
    return format_html("<div>{}{}</div>", shown, fold)


def _difference(entry: AuditEntry) -> SafeString | str:
    """Return what was changed, as much of it as the list shows."""
    lines = [] if is_of_row(entry) else [str(line) for line in differences(entry)]
    shown = [*lines[:LINES_SHOWN], *(["…"] if len(lines) > LINES_SHOWN else [])]
    if entry.note and not entry.undoes:
        shown.append(badges.brief(entry.note))
    parts = ((badges.breakable(line),) for line in shown)
    return format_html_join(mark_safe("<br>"), "{}", parts) or NOTHING


def _fold(line: list[Any]) -> SafeString:
    """Return the entries of a line, each with a link to its page, and its customer."""
    each = (
        (
            page_of_row(entry),
            _name(entry) or str(entry.pk),
            format_html(", {}", _customer(entry.customer)) if entry.customer else "",
        )
        for entry in line
    )
    return format_html(
        '<details class="fold"><summary>{}</summary><ul>{}</ul></details>',
        say("Show each of them"),
        format_html_join("", '<li><a href="{}">{}</a>{}</li>', each),
    )
