"""Undo what one step did to rules: a page shows what changes, then one button."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.rules import earlier_offer, former_days_notices
from config.admin.pages.rules.given import given_by_rule
from config.admin.pages.rules.undoing import undo_again, undo_offers
from config.admin.parts.badges import brief
from config.admin.parts.buttons import way_back
from config.admin.parts.differences import Difference, differences
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids
from events.execution import rule_history
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import Said, say, say_count
from rules.actions import ACTIONS
from rules.history import steps, undoing
from rules.listing import listed
from rules.models import Rule

MAX_SHOWN = 200
# How many rules the page checks for whether they can come back, with a dozen queries each. The
# button checks all of them.
MAX_CHECKED = 10


def show(request: HttpRequest) -> HttpResponse:
    """Show by GET the step's rules that can be as before. A POST undoes the step.

    Rules that were added are deleted by the page that deletes any rules.
    """
    entry = undo_offers.requested_entry(request, *steps.OF_RULES)
    back = way_back(request) or reverse("admin:integrations_auditentry_changelist")
    if entry is None:
        return _nothing_left(request, back)
    if not undo_offers.may_undo(request, entry, whole_step=True):
        raise PermissionDenied
    step = steps.every([entry])[entry.pk]
    if not step.left:
        return _nothing_left(request, back)
    stay = undo_offers.stay(entry.act, step)
    if entry.act == Act.RULE_ADDED:
        return _delete(request, [int(each.number) for each in step.left], stay, back)
    if request.method == "POST":
        return restore(request, entry, back)
    reasons = (undoing.why_not(each) for each in step.left[:MAX_CHECKED])
    return render(
        request,
        "admin/rules/undo_step.html",
        **_labels(entry, len(step.left)),
        meanwhile=_meanwhile(step.left),
        entry=entry,
        rules=[(each, _changes(each)) for each in step.left[:MAX_SHOWN]],
        others=len(step.left) - MAX_SHOWN,
        stay=stay,
        why_not=next(filter(None, reasons), ""),
        form_action=undo_offers.address(entry),
        back=back,
    )


def _meanwhile(left: Sequence[AuditEntry]) -> Said:
    """Say what does not happen for what came in while these rules were changed or deleted."""
    numbers = [int(each.number) for each in left]
    now = dict(Rule.objects.filter(pk__in=numbers).values_list("pk", "action"))
    before = {(each.before or {}).get("action") or now.get(int(each.number)) for each in left}
    ends = {ACTIONS[action].ends_access for action in before if action in ACTIONS}
    if True not in ends:
        return say("Nobody gets access for what came in meanwhile.")
    if ends == {True}:
        return say("Nobody loses access for what came in meanwhile.")
    return say("Nobody gets or loses access for what came in meanwhile.")


def _changes(entry: AuditEntry) -> list[Difference]:
    """Return what differs; for a deleted rule its name says it all."""
    return differences(entry) if entry.act == Act.RULE_CHANGED else []


def _labels(entry: AuditEntry, number: int) -> dict[str, Said]:
    """Return the title of the page and the label of its button."""
    if entry.act == Act.RULE_CHANGED:
        return {
            "title": say_count(number, "Undo 1 changed rule?", "Undo {number} changed rules?"),
            "label": say_count(number, "Undo 1 change", "Undo {number} changes"),
        }
    return {
        "title": say_count(number, "Bring back 1 rule?", "Bring back {number} rules?"),
        "label": say_count(number, "Bring back 1 rule", "Bring back {number} rules"),
    }


def _nothing_left(request: HttpRequest, back: str) -> HttpResponse:
    messages.warning(request, say("Nothing was left to undo."))
    return HttpResponseRedirect(back)


def _delete(request: HttpRequest, left: Sequence[int], stay: Said | str, back: str) -> HttpResponse:
    """Ask before deleting the added rules that are `left`. A POST deletes those that were shown.

    `stay` says what became of the others of the step.
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
    page.context_data = (page.context_data or {}) | {"back": back, "stay": stay}
    return page


def restore(request: HttpRequest, entry: AuditEntry, back: str) -> HttpResponse:
    """Undo what the step deleted or changed as far as it still stands, and go to `back`."""
    try:
        restored = undoing.undo_step(entry)
    except ValueError as error:
        messages.warning(request, say("Not undone. {why}", why=error))
        return HttpResponseRedirect(back)
    text = _restored(restored, entry.act)
    messages.success(request, undo_again.told(request, text, steps.of_step(entry), back))
    if entry.act == Act.RULE_CHANGED:
        _say_who_keeps(request, restored.rules, back)
    else:
        for rule in restored.rules:
            rule_history.give_back(rule)
    if meanwhile := earlier_offer.sentence(request, restored.rules, back):
        messages.warning(request, meanwhile)
    if waiting := former_days_notices.sentence(request, restored.rules):
        messages.warning(request, waiting)
    return HttpResponseRedirect(back)


def _say_who_keeps(request: HttpRequest, rules: Sequence[Rule], back: str) -> None:
    """Say for the first of these rules which buyers keep what it does not give anymore.

    The pages that the messages link lead back to `back`.
    """
    if not allowed(request, given_by_rule.PERMISSION):
        return
    for rule in rules[:MAX_CHECKED]:
        if given := given_by_rule.sentence(rule.pk, back=back):
            messages.warning(request, given)


def _restored(found: undoing.Restored, act: str) -> Said:
    """Return a sentence such as: Undone: Ink Club and 5 rules are back."""
    number = len(found.rules)
    if act == Act.RULE_CHANGED:
        return say_count(
            number, "Undone: 1 rule is as before.", "Undone: {number} rules are as before."
        )
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
