"""Undo what one step did to rules: a page shows what comes back or goes, then one button."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from config.admin.pages.rules import earlier_offer, undo_offers
from config.admin.parts.badges import brief
from config.admin.parts.buttons import way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids
from events.execution import rule_history
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, say, say_count
from rules import undoing
from rules.listing import listed
from rules.models import Rule

SHOWN = 200
# How many rules the page checks for whether they can come back, with a dozen queries each. The
# button checks all of them.
LOOKED_AT = 10


def show(request: HttpRequest) -> HttpResponse:
    """Show by GET the step's rules that can be brought back or deleted. A POST undoes the step.

    Rules that were added are deleted by the page that deletes any rules.
    """
    entry = undo_offers.asked(request, *undo_offers.OF_RULES)
    back = way_back(request) or reverse("admin:integrations_auditentry_changelist")
    if entry is None:
        return _nothing_left(request, back)
    if not undo_offers.may(request, entry):
        raise PermissionDenied
    step = undoing.of_step(entry)
    left = undoing.left(step)
    if not left:
        return _nothing_left(request, back)
    if entry.act == Act.RULE_ADDED:
        return _delete(request, [int(each.number) for each in left], len(step), back)
    if request.method == "POST":
        return restore(request, entry, back)
    reasons = (undoing.why_not(each) for each in left[:LOOKED_AT])
    title = say_count(len(left), "Bring back 1 rule?", "Bring back {number} rules?")
    return render(
        request,
        "admin/rules/undo_step.html",
        title=title,
        entry=entry,
        rules=left[:SHOWN],
        others=len(left) - SHOWN,
        label=say_count(len(left), "Bring back 1 rule", "Bring back {number} rules"),
        why_not=next(filter(None, reasons), ""),
        form_action=undo_offers.address(entry),
        back=back,
    )


def _nothing_left(request: HttpRequest, back: str) -> HttpResponse:
    messages.warning(request, say("Nothing was left to undo."))
    return HttpResponseRedirect(back)


def _delete(request: HttpRequest, left: Sequence[int], of: int, back: str) -> HttpResponse:
    """Ask before deleting the added rules that are `left`. A POST deletes those that were shown.

    The step added `of` rules in all.
    """
    numbers = set(left)
    if request.method == "POST":
        numbers &= set(row_ids(request.POST.getlist(ACTION_CHECKBOX_NAME)))
    if not numbers:
        return _nothing_left(request, back)
    rules = Rule.objects.filter(pk__in=numbers).with_names().order_by("product", "pk")
    every: Any = admin.site.get_model_admin(Rule)
    page = every.delete_selected(request, rules)
    if not isinstance(page, TemplateResponse):
        return page or HttpResponseRedirect(back)
    stay = of - len(left)
    text = say_count(
        stay,
        "1 rule of that step was changed or deleted since: it stays as it is.",
        "{number} rules of that step were changed or deleted since: they stay as they are.",
    )
    page.context_data = (page.context_data or {}) | {"back": back, "stay": text if stay else ""}
    return page


def restore(request: HttpRequest, entry: AuditEntry, back: str) -> HttpResponse:
    """Bring back what the step deleted and does not exist again, and go to `back`."""
    try:
        restored = undoing.undo_deleting(entry)
    except ValueError as error:
        messages.warning(request, say("Not undone. {why}", why=error))
        return HttpResponseRedirect(back)
    for rule in restored.rules:
        rule_history.give_back(rule)
    messages.success(request, _restored(restored))
    if meanwhile := earlier_offer.sentence(request, restored.rules, back):
        messages.info(request, meanwhile)
    return HttpResponseRedirect(back)


def _restored(found: undoing.Restored) -> Said:
    """Return a sentence such as: Undone: Ink Club and 5 rules are back."""
    number = len(found.rules)
    if not found.products:
        return say_count(number, "Undone: 1 rule is back.", "Undone: {number} rules are back.")
    products = listed([brief(product.name) for product in found.products])
    if not number:
        return say("Undone: {products} is back.", products=products)
    return say_count(
        number,
        "Undone: {products} and 1 rule are back.",
        "Undone: {products} and {number} rules are back.",
        products=products,
    )


PAGES = [Page("undo-step/", "undo-step", show, undo_offers.EDITS)]
