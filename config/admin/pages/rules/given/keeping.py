"""Let buyers keep what no rule gives anymore, so that pages stop reporting them."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from config.admin.parts.badges import brief
from config.admin.parts.params import row_ids
from events.execution import moving
from events.models import Grant, RuleRun
from events.reports.changed_rules.left_behind import LeftBehind, LeftBehindPurchase
from integrations.sentences import Said, say, say_count
from rules.listing import of_several

# How many courses a sentence names.
COURSES_NAMED = 3


def let_keep(customers: int, courses: Said | str = "") -> Said:
    """Return the label of the button that posts `keepers`, the IDs of the grants to keep.

    It names the courses, if no sentence beside the button does.
    """
    if courses:
        return say_count(
            customers,
            "Let 1 buyer keep {courses}",
            "Let {number} buyers keep {courses}",
            courses=courses,
        )
    return say_count(customers, "Let 1 buyer keep it", "Let {number} buyers keep it")


def mention_again(kept: int, courses: Said | str = "") -> Said:
    """Return the label of the button that undoes the keeping of so many.

    It names the courses, if no sentence beside the button does.
    """
    if courses and kept:
        return say("Ask about {courses} again", courses=courses)
    return say_count(kept, "Ask about it again", "Ask about these {number} again")


def _told(request: HttpRequest) -> set[int]:
    return set(row_ids(request.POST.get("keepers", "").split(",")))


def products(request: HttpRequest) -> list[int]:
    """Return the IDs of the products that the grants in the form's `keepers` are about."""
    told = Grant.objects.filter(pk__in=_told(request), product__isnull=False)
    return list(told.order_by().values_list("product", flat=True).distinct())


def keep(request: HttpRequest, found: LeftBehind, back: str, page: str) -> HttpResponse:
    """Let buyers keep the grants that the form names in `keepers`, and go to `back`.

    A grant that is no longer among `found` is skipped. The message links to `page`.
    """
    told = _told(request)
    rows = [
        LeftBehindPurchase(row.event, grants)
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
            courses=of_several([*map(brief, kept.courses)], COURSES_NAMED, kept.customers),
        )
        link = format_html('{} <a href="{}">{}</a>', text, page, say("See who"))
        messages.success(request, link)
    else:
        messages.warning(request, say("Nothing was changed: look again at what is said below."))
    return HttpResponseRedirect(back)


def undo_keep(request: HttpRequest, runs: Sequence[RuleRun], back: str) -> HttpResponse:
    """Undo the keeping of what these actions gave, so that pages report the buyers again."""
    moving.undo_keep((run.event, [run.grant]) for run in runs if run.grant)
    if runs:
        messages.success(
            request,
            say("Admit asks about these buyers again, unless a rule gives them what they have."),
        )
    return HttpResponseRedirect(back)
