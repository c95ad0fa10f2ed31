"""The way back from an undo: a link in the message that says what was undone."""

from collections.abc import Iterable

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts.buttons import BACK
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, say


def told(request: HttpRequest, text: str, undone: Iterable[AuditEntry], back: str) -> str:
    """Return the sentence about an undo, with the link that takes it back.

    `undone` are the entries that were undone just now; the page that is linked asks first, and
    leads to `back`. Without the permission to take it back there is no link.
    """
    numbers = [each.pk for each in undone]
    entries = AuditEntry.objects.filter(undoes__in=numbers).exclude(act=Act.PRODUCT_ADDED)
    newest = list(entries.order_by("-pk")[:2])
    if not newest or not undo_offers.may_undo(request, newest[0], whole_step=True):
        return text
    where = page(newest[0], back, alone=len(newest) == 1)
    then = '{} <span data-then><a href="{}">{}</a></span>'
    return format_html(then, text, where, label())


def label() -> Said:
    """Return the label of the link to the page that takes an undo back."""
    return say("Take back this undo")


def page(entry: AuditEntry, back: str, *, alone: bool) -> str:
    """Return the address of the page that asks before it undoes this entry, or its step."""
    if entry.act == Act.PRODUCT_CHANGED:
        where = reverse("admin:integrations_auditentry_change", args=[entry.pk])
        return f"{where}?{urlencode({BACK: back})}"
    if entry.act == Act.RULE_ADDED and alone:
        return undo_offers.address_of_one(entry, back)
    return undo_offers.address(entry, back)
