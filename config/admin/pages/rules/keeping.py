"""Letting buyers keep what no rule gives any more: then pages do not tell of them."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from config.admin.parts.badges import brief
from config.admin.parts.params import row_ids
from events.execution import moving
from events.models import RuleRun
from events.reports.left_behind import Behind, LeftBehind
from integrations.sentences import Said, say, say_count
from rules.listing import listed

# So many courses are named in a sentence.
COURSES_NAMED = 3


def let_keep(customers: int) -> Said:
    """What the button says that posts `keepers`, the numbers of what these keep."""
    return say_count(customers, "Let 1 buyer keep it", "Let {number} buyers keep it")


def keep(request: HttpRequest, found: LeftBehind, back: str, page: str) -> HttpResponse:
    """Let the buyers keep those grants of which they were told; `page` shows them afterward."""
    told = set(row_ids(request.POST.get("keepers", "").split(",")))
    rows = [
        Behind(row.event, grants)
        for row in found.rows
        if (grants := [grant for grant in row.grants if grant.pk in told])
    ]
    moving.keep((row.event, row.grants) for row in rows)
    kept = LeftBehind(found.rule, rows)
    if rows:
        text = say_count(
            kept.customers,
            "1 buyer keeps {courses}.",
            "{number} buyers keep {courses}.",
            courses=listed([*map(brief, kept.courses)], COURSES_NAMED),
        )
        link = format_html('{} <a href="{}">{}</a>', text, page, say("See who"))
        messages.success(request, link)
    else:
        messages.warning(request, say("Nothing was changed: look again at what is said below."))
    return HttpResponseRedirect(back)


def tell_again(request: HttpRequest, runs: Sequence[RuleRun], back: str) -> HttpResponse:
    """Take that back for these actions that gave what is kept."""
    moving.tell_again((run.event, [run.grant]) for run in runs if run.grant)
    if runs:
        messages.success(request, say("Pages tell of them again where no rule gives it."))
    return HttpResponseRedirect(back)
