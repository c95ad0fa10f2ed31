"""Undoing a batch: a preview first, then the progress."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.pages import bulk_actions
from config.admin.pages.rules.given import given_parts, refunded
from config.admin.parts.badges import brief
from config.admin.parts.buttons import page_of, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids, row_in
from events.execution import undo_batch, undo_preview
from events.execution.rerun import Rerun
from events.execution.undo_preview import Undo
from events.models import Batch
from events.reports.earlier import batch_preview as looks
from integrations.sentences import Said, joined, say, say_count
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

# How many rules and buyers are named.
RULES_NAMED = 3
PEOPLE_NAMED = 3


def show(request: HttpRequest) -> HttpResponse:
    """Show by GET what is undone for whom, and who is left out. A POST does it for the `chosen`."""
    batch = row_in(Batch.objects.all(), request.GET.get("number"))
    if batch is None:
        messages.error(
            request, say("The results are no longer kept, so this cannot be undone here.")
        )
        return HttpResponseRedirect(reverse("admin:events_rulerun_changelist"))
    back = way_back(request) or f"{reverse('admin:batch')}?{urlencode({'number': batch.pk})}"
    if request.method == "POST":
        return _undo(request, batch, back)
    # What is left out comes last: if there is much, the next preview begins with the others.
    undos = sorted(undo_preview.preview(batch), key=lambda one: bool(one.why_not))
    return render(
        request,
        "admin/many/look.html",
        title=say("Undo: {what}", what=brief(batch.title)),
        form_action=request.get_full_path(),
        back=back,
        **_what_follows(request, undos),
    )


def _what_follows(request: HttpRequest, undos: Sequence[Undo]) -> dict[str, Any]:
    found = looks.of_undo(undos)
    number = len(found.done)
    stays = say(
        "Accounts that were made in Thinkific stay there, and messages that were sent cannot be "
        "taken back."
    )
    may_see = request.user.has_perm("rules.view_rule")
    told = [stays, *_kept(request, undos), *_stay_on(undos, may_see=may_see)]
    if keeps := given_parts.still_given(found.still_given):
        told.insert(0, keeps)
    return {
        "number": number,
        "label": say_count(number, "Undo it for 1 purchase", "Undo it for {number} purchases"),
        "ends": format_html_join(" ", "{}", ((text,) for text in told)),
        "more": found.more,
        "lists": bulk_actions.lists(found),
        "chosen": [one.number for one in undos[: looks.MAX_LINES] if not one.why_not],
        "at_once": looks.MAX_LINES,
    }


def _kept(request: HttpRequest, undos: Sequence[Undo]) -> list[SafeString | Said]:
    """Say who was refunded or canceled, so that giving it back lets the buyer keep it."""
    endings = [run for one in undos for run in one.ended if not one.why_not]
    back = undo_batch.kept_by_undo(endings)
    with_refund: dict[int, str] = {}
    others: dict[int, str] = {}
    for run in endings:
        events, who = back.get(run.grant_id or 0), run.customer
        if events and who:
            is_refund = any(each.trigger == Trigger.PRODUCT_REFUNDED for each in events)
            (with_refund if is_refund else others)[who.pk] = brief(who.name or who.readable_email)
    told: list[SafeString | Said] = []
    if with_refund:
        text = say_count(
            len(with_refund),
            "{people} was refunded. After this undo, the access counts as kept on purpose. To be "
            "asked about it again, go to",
            "{people} were refunded. After this undo, the access counts as kept on purpose. To be "
            "asked about it again, go to",
            people=listed([*with_refund.values()], PEOPLE_NAMED),
        )
        page = f"{refunded.address(back=request.get_full_path())}#kept"
        label = say("Refunded, but still has access")
        told.append(format_html('{} <a href="{}">{}</a>.', text, page, label))
    if others:
        text = say(
            "{people} canceled or stopped paying. After this undo, the access counts as kept on "
            "purpose.",
            people=listed([*others.values()], PEOPLE_NAMED),
        )
        told.append(text)
    return told


def _stay_on(undos: Sequence[Undo], *, may_see: bool) -> list[SafeString | Said]:
    """Return that rules which gave it still do so for later buyers, with a link to each."""
    runs = [run.pk for one in undos for run in one.gave if not one.why_not]
    found = Rule.objects.filter(runs__in=runs, enabled=True).with_names().distinct()
    rules = list(found.order_by("pk"))
    told: list[SafeString | Said] = []
    for rule in rules[:RULES_NAMED]:
        text = say(
            "The rule stays on: a later buyer still gets {course}.", course=brief(rule.destination)
        )
        link = format_html('<a href="{}">{}</a>', page_of(rule), say("See the rule"))
        told.append(format_html("{} {}", text, link) if may_see else text)
    if (others := len(rules) - RULES_NAMED) > 0:
        told.append(
            say_count(
                others,
                "1 other rule that gave it stays on, too.",
                "{number} other rules that gave it stay on, too.",
            )
        )
    return told


def _undo(request: HttpRequest, batch: Batch, back: str) -> HttpResponse:
    chosen = row_ids(request.POST.get("chosen", "").split(","))[: looks.MAX_LINES]
    new = bulk_actions.new_batch(request, say("Undo: {what}", what=batch.title))
    came = undo_batch.undo(batch, set(chosen), new)
    return bulk_actions.start_and_show(request, new, came.left, _what_came(came, new), back)


def _what_came(came: Rerun, new: Batch) -> str:
    dropped = len(new.run_ids) - came.queued
    if not dropped:
        return came.sentence()
    endings = say_count(
        dropped, "1 ending that waited is dropped.", "{number} endings that waited are dropped."
    )
    return joined([came.sentence(), endings], by=" ")


PAGES = [Page("many/undo/", "undo-batch", show, bulk_actions.UNDOES)]
