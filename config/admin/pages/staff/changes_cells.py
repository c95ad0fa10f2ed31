"""What the cells of the list of changes show."""

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from config.admin.pages.staff.change_line import ChangeLine
from config.admin.parts import badges
from config.admin.parts.buttons import page_of as page_of_row
from config.admin.parts.differences import NOTHING, differences, is_of_row
from events.models import EventLog
from events.reports import batches
from integrations.audit import Act
from integrations.models import AuditEntry, Customer
from integrations.sentences import Said, facts, format_time, parts, say, say_count
from integrations.who import shown_who
from rules.listing import listed
from rules.short_sentences import in_short

# The list shows this many values of an entry; its page has all of them.
LINES_SHOWN = 4
PERSON = User._meta.model_name
EVENT = EventLog._meta.model_name
# How many customers or products of a line the list names.
MAX_NAMES = 2


def did(line: ChangeLine) -> str:
    """Return what the line did, and how often or for how many buyers."""
    same = _own(line)
    if line.newest.act == Act.BUYERS_ENROLLED:
        return say_count(
            _number_of_buyers(line),
            "Ran rules for 1 earlier buyer",
            "Ran rules for {number} earlier buyers",
        )
    if len({each.act for each in same}) > 1:
        customers = {each.pk: line.customer_of(each) for each in same}
        buyers = {customer.pk if customer else -pk for pk, customer in customers.items()}
        return say_count(len(buyers), "Ended access of 1 buyer", "Ended access of {number} buyers")
    text = undid(line.undid) or capfirst(line.newest.sentence)
    return say("{did}, {number} times", did=text, number=len(same)) if len(same) > 1 else text


def undid(undone: AuditEntry | None) -> Said | str:
    """Return whose change an entry undid, "" for an entry that undid none that is known."""
    if undone is None:
        return ""
    person = badges.brief(shown_who(undone.who))
    match undone.act:
        case Act.RULE_ADDED:
            return say("Undid the adding of a rule by {person}", person=person)
        case Act.RULE_CHANGED:
            return say("Undid a change of a rule by {person}", person=person)
        case Act.RULE_DELETED:
            return say("Undid the deletion of a rule by {person}", person=person)
        case Act.PRODUCT_CHANGED:
            return say("Undid a change of a product by {person}", person=person)
        case Act.PRODUCT_DELETED:
            return say("Undid the deletion of a product by {person}", person=person)
    return ""


def undone(by: AuditEntry | None) -> SafeString:
    """Return the badge of what was undone, with who did it and when if that is known."""
    badge = badges.badge(say("Undone"), badges.GREY)
    if by is None:
        return badge
    person, moment = badges.brief(shown_who(by.who)), format_time(by.at)
    # Not in the badge, which is one line however long the name is.
    text = say("by {person} on {moment}", person=person, moment=moment)
    return format_html('{} <span class="soft">{}</span>', badge, badges.breakable(text))


def _own(line: ChangeLine) -> list[AuditEntry]:
    """Return the entries with the act of the newest one, or that end access as that does.

    A batch does several acts.
    """
    act = line.newest.act
    alike = batches.ENDED if act in batches.ENDED else (act,)
    return [each for each in line.entries if each.act in alike]


def _number_of_buyers(line: ChangeLine) -> int:
    """Return for how many buyers rules were run, also if a filter left out the events."""
    events = [each for each in line.entries if each.act == Act.EVENT_RERUN]
    customers = {each.pk: line.customer_of(each) for each in events}
    known = {customer.pk if customer else -pk for pk, customer in customers.items()}
    told = [(each.after or {}).get("buyers", 0) for each in line.entries]
    return len(known) or max(told)


def about(line: ChangeLine) -> SafeString | str:
    """Return what the line is about, and whom: the first two, and how many more."""
    if line.is_single:
        return _named_with_customer(line.newest, line.customer_of(line.newest))
    own = _own(line)
    name = _names(line, own)
    others = [each for each in line.entries if each not in own and line.customer_of(each)]
    if not others or any(map(line.customer_of, own)):
        return name
    return format_html('{} <span class="soft line">{}</span>', name, _names(line, others))


def _named_with_customer(entry: AuditEntry, customer: Customer | None) -> SafeString | str:
    """Return the name of an entry, and the customer that it is about."""
    name = _name(entry) or NOTHING
    if customer is None:
        return badges.changes_by(entry.name) if entry.kind == PERSON and entry.name else name
    if entry.kind == Customer._meta.model_name:
        return _link(customer, name)
    return format_html('{} <span class="soft line">{}</span>', name, _customer(customer))


def shown_name(entry: AuditEntry) -> str:
    """Return the name of what the entry is about: a person's as `shown_who`, a rule in short.

    Entries of versions before 0.26 call an event "Product Purchased #22", like an order.
    """
    if entry.kind == EVENT and entry.name.endswith(former := f" #{entry.number}"):
        what = entry.name.removesuffix(former)
        return say("{event}, event {number}", event=what, number=entry.number)
    return shown_who(entry.name) if entry.kind == PERSON else in_short(entry.name)


def _name(entry: AuditEntry) -> SafeString:
    return badges.breakable(badges.legible(shown_name(entry), 200))


def _customer(customer: Customer) -> SafeString:
    return _link(customer, badges.breakable(badges.brief(customer.readable_email)))


def _link(customer: Customer, name: str) -> SafeString:
    page = reverse("admin:integrations_customer_change", args=[customer.pk])
    return format_html('<a href="{}">{}</a>', page, name)


def _names(line: ChangeLine, entries: Iterable[AuditEntry]) -> SafeString | str:
    names = [
        customer.readable_email if customer else _product(entry) or shown_name(entry)
        for entry in entries
        for customer in [line.customer_of(entry)]
    ]
    found = [*dict.fromkeys(badges.brief(name) for name in names if name)]
    return badges.breakable(listed(found, MAX_NAMES)) if found else NOTHING


def _product(entry: AuditEntry) -> str:
    """Return the name of the rule's product, as the entry's name has it; "" if it has none."""
    if not isinstance(entry.name, Said):
        return ""
    return str(facts(parts(entry.name)[0]).get("product", ""))


def change(line: ChangeLine) -> SafeString | str:
    """Return what was changed, what became of it, and the entries of a line of several."""
    found = {_difference(each) for each in line.entries}
    same = found.pop() if len(found) == 1 else NOTHING
    parts = [each for each in (line.results, line.undo.stay, *line.buyers) if each]
    if same != NOTHING:
        parts.insert(0, same)
    if line.is_single and not parts:
        return same
    shown = format_html_join(mark_safe("<br>"), "{}", ((part,) for part in parts))
    fold = "" if line.is_single else _fold(line)
    return format_html("<div>{}{}</div>", shown, fold)


def _difference(entry: AuditEntry) -> SafeString | str:
    """Return what was changed, as much of it as the list shows."""
    lines = [] if is_of_row(entry) else [str(line) for line in differences(entry)]
    shown = [*lines[:LINES_SHOWN], *(["…"] if len(lines) > LINES_SHOWN else [])]
    if entry.note and not entry.undoes:
        shown.append(badges.brief(entry.note))
    parts = ((badges.breakable(line),) for line in shown)
    return format_html_join(mark_safe("<br>"), "{}", parts) or NOTHING


def _fold(line: ChangeLine) -> SafeString:
    """Return the entries of a line, each with a link to its page, and its customer."""
    each = (
        (
            page_of_row(entry),
            _name(entry) or str(entry.pk),
            format_html(", {}", _customer(customer)) if customer else "",
        )
        for entry in line.entries
        for customer in [line.customer_of(entry)]
    )
    return format_html(
        '<details class="fold"><summary>{}</summary><ul>{}</ul></details>',
        say("Show each"),
        format_html_join("", '<li><a href="{}">{}</a>{}</li>', each),
    )
