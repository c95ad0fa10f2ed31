"""Compare with Thinkific: what was paid for, what Thinkific shows, and what to do about it."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Page as PageOfRows
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from config.admin.pages import bulk_actions
from config.admin.pages.log.log_filters import NOT_IN
from config.admin.pages.rules.given import refunded
from config.admin.parts import batch_message
from config.admin.parts.changelist import CappedPaginator
from config.admin.parts.page import Page, render
from config.admin.parts.params import page_number, row_ids, row_in
from events.comparison import comparing
from events.execution.enroll_again import enroll_again
from events.execution.retry_by_hand import retried_sentence
from events.models import ComparisonFinding, ComparisonRun
from events.queue import wake
from events.reports import comparison
from events.reports.changed_rules.refunded import refunded_with_access
from events.reports.comparison import Kind
from events.reports.owed import promise
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration
from integrations.sentences import Text, say

PER_PAGE = 100
# How many one press of the button queues; it can be pressed again.
REPAIRED_AT_ONCE = 500
CHANGES = "events.retry_rulerun"
# What a person should know and do about each kind.
ADVICE = {
    Kind.MISSING: _(
        "Thinkific does not show the course as open for these students. If it was open before, "
        "somebody may have ended it in Thinkific on purpose: enroll again only those who should "
        "have it."
    ),
    Kind.ENDS: _(
        "The purchase gives access without an end date, but Thinkific has one. Enroll again "
        "removes that date. Leave out students whose end date you set yourself."
    ),
    Kind.UNEXPLAINED: _(
        "Admit knows of nothing that gives these students the course. If they may keep it, there "
        "is nothing to do. If not, end the enrollment in Thinkific: Admit does not end it."
    ),
    Kind.BEFORE: _("They were enrolled before Admit took over. There is nothing to do."),
}


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one kind, and what to do about them."""

    kind: ComparisonFinding.Kind
    count: int
    advice: Text
    pages: PageOfRows[ComparisonFinding]
    rows: list[comparison.Row]

    @property
    def can_enroll(self) -> bool:
        """Whether enrolling the students again fixes these findings."""
        return self.kind in {Kind.MISSING, Kind.ENDS}


def show(request: HttpRequest) -> HttpResponse:
    """The last comparison of `site`, and how far a running one is.

    `kind` and `p` choose the list.
    """
    sites = list(comparison.sites())
    site = row_in(comparison.sites(), request.GET.get("site")) or next(iter(sites), None)
    last = comparison.last(site) if site else None
    running = comparison.under_way(site) if site else None
    return render(
        request,
        "admin/compare.html",
        title=say("Compare with Thinkific"),
        sites=sites,
        site=site,
        last=last,
        running=running,
        progress=comparison.progress(running) if running else "",
        summary=comparison.summary(last) if last else "",
        read=comparison.read_sentence(last) if last else "",
        section=_section(request, last) if last else None,
        counts=_counts(last) if last else [],
        left_out=last.left_out if last else [],
        gave_nothing=promise.unfulfilled().order_by().values("customer").distinct().count(),
        not_in=NOT_IN,
        refunds=refunded.in_words(refunded_with_access()),
        at_once=REPAIRED_AT_ONCE,
        may_change=request.user.has_perm(CHANGES),
        refused=_refused(site),
    )


def _blocked(site: Integration) -> str:
    """Return why the site gets no calls now, as a CallBudget.Blocked; "" if it gets them."""
    why, seconds = rate_limit.blocked_for(site.pk)
    return why if seconds > 0 else ""


def _refused(site: Integration | None) -> list[Integration]:
    """Return the site, in a list, if it is on and its key is rejected."""
    refused = Integration.Connection.REFUSED
    return [site] if site and site.enabled and site.connection == refused else []


def _counts(last: ComparisonRun) -> list[tuple[ComparisonFinding.Kind, int]]:
    found = comparison.counts(last)
    return [(kind, found[kind]) for kind in comparison.KINDS]


def _section(request: HttpRequest, last: ComparisonRun) -> Section:
    """Return the list that the address asks for, else the first one that is not empty."""
    found = comparison.counts(last)
    asked = [kind for kind in comparison.KINDS if kind == request.GET.get("kind")]
    first = [kind for kind in comparison.KINDS if found[kind]]
    kind = next(iter([*asked, *first, Kind.MISSING]))
    number = page_number(request.GET.get("p"))
    findings = last.findings.filter(kind=kind).select_related("customer").order_by("pk")
    pages = CappedPaginator.at_page(findings, PER_PAGE, number).get_page(number)
    return Section(kind, found[kind], ADVICE[kind], pages, comparison.rows(pages))


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Start a comparison, or continue one that stopped; the worker carries it out."""
    site = row_in(comparison.sites(), request.POST.get("site"))
    blocked = _blocked(site) if site else ""
    if site is None:
        messages.error(request, say("This integration no longer exists."))
    elif not site.enabled:
        text = say("{site} is turned off. Turn it on, then compare.", site=site)
        messages.warning(request, text)
    elif blocked == CallBudget.Blocked.KEY:
        messages.warning(request, say("{site} is not compared: its key is rejected.", site=site))
    else:
        comparing.start(site, by=request.user.get_username())
        with transaction.atomic():
            wake.wake()
        text = say(
            "{site} is being compared. This waits whenever a buyer is being given access.",
            site=site,
        )
        if blocked:
            paused = say("{site} is paused. It is compared when the pause is over.", site=site)
            messages.warning(request, paused)
        else:
            batch_message.say_started(request, text)
    return HttpResponseRedirect(_address(site))


@require_POST
def enroll(request: HttpRequest) -> HttpResponse:
    """Enroll the selected students again, or all of this kind."""
    site = row_in(comparison.sites(), request.POST.get("site"))
    last = comparison.last(site) if site else None
    if last is None or str(last.pk) != request.POST.get("comparison"):
        newer = say("Nobody was enrolled: there is a newer comparison. Choose once more.")
        messages.warning(request, newer)
        return HttpResponseRedirect(_address(site))
    kind = request.POST.get("kind", "")
    findings = comparison.to_approve(last).filter(kind=kind)
    if "all" not in request.POST:
        findings = findings.filter(
            pk__in=row_ids(request.POST.getlist("finding")[:REPAIRED_AT_ONCE])
        )
    batch = bulk_actions.new_batch(request, say("Enroll again: {site}", site=site))
    queued, left = enroll_again(findings, at_most=REPAIRED_AT_ONCE, batch=batch)
    nobody = say("Nobody was selected, so nobody was enrolled.")
    text = retried_sentence(queued, left) if queued or left else nobody
    return bulk_actions.start_and_show(request, batch, left, text, _address(site, kind))


def _address(site: Integration | None, kind: str = "") -> str:
    page = reverse("admin:compare")
    if site is None:
        return page
    known = f"&kind={kind}" if kind in comparison.KINDS else ""
    return f"{page}?site={site.pk}{known}"


PAGES = [
    Page("compare/", "compare", show, "events.view_rulerun"),
    Page("compare/start/", "compare-start", start, CHANGES),
    Page("compare/enroll/", "compare-enroll", enroll, CHANGES),
]
