"""What is done for many at once: a look first, then how far it is, then what came of it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from config.admin.menu import name_of
from config.admin.parts import badges
from config.admin.parts.buttons import BACK, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids, row_in
from events.execution import rerun, retry_by_hand
from events.models import Batch, EventLog, RuleRun
from events.queue import wake
from events.reports import batches, many
from events.reports.many import AT_ONCE, Look

RETRY, ANYWAY, RERUN = "retry", "anyway", "rerun"
TITLES = {RETRY: "Retry", ANYWAY: "Do it anyway", RERUN: "Run the rules again"}
PERMISSIONS = {
    RETRY: "events.retry_rulerun",
    ANYWAY: "events.retry_rulerun",
    RERUN: "events.rerun_eventlog",
}
SHOWN = 200


def look_at_runs(request: HttpRequest, runs: Any, *, anyway: bool = False) -> HttpResponse:
    """The page that says what queuing these actions again would do."""
    chosen = list(runs.select_related("event", "customer", "integration")[: AT_ONCE + 1])
    found = many.of_retry(chosen, anyway=anyway)
    return _look(request, ANYWAY if anyway else RETRY, found, chosen)


def look_at_events(request: HttpRequest, events: Any) -> HttpResponse:
    """The page that says what running the rules again for these events would do."""
    chosen = list(events.select_related("customer", "delivery")[: AT_ONCE + 1])
    return _look(request, RERUN, many.of_rerun(chosen), chosen)


def _look(
    request: HttpRequest, what: str, found: Look, chosen: Sequence[RuleRun | EventLog]
) -> HttpResponse:
    return render(
        request,
        "admin/many/look.html",
        title=TITLES[what],
        action=reverse(f"admin:many-{what}"),
        more=found.more,
        number=len(found.done),
        lists=[
            ("What will be done", found.done[:SHOWN], len(found.done) - SHOWN),
            ("Left out", found.left_out[:SHOWN], len(found.left_out) - SHOWN),
        ],
        chosen=[each.pk for each in chosen[:AT_ONCE]],
        at_once=AT_ONCE,
        back=request.get_full_path(),
    )


def _doing(what: str) -> Page:
    """The address that does what was looked at; the page of what comes of it follows."""

    @require_POST
    def do(request: HttpRequest) -> HttpResponse:
        numbers = row_ids(request.POST.get("chosen", "").split(","))[:AT_ONCE]
        batch = begin(request, TITLES[what])
        if what == RERUN:
            events = EventLog.objects.filter(pk__in=numbers).order_by("received_at", "pk")
            came = rerun.rerun(events, batch=batch)
            return done(request, batch, came.left, came.sentence(), way_back(request))
        runs = RuleRun.objects.filter(pk__in=numbers).order_by("received_at", "pk")
        queued, left = retry_by_hand.retry(runs, anyway=what == ANYWAY, batch=batch)
        sentence = retry_by_hand.retried_sentence(queued, left)
        return done(request, batch, left, sentence, way_back(request))

    return Page(f"many/{what}/", f"many-{what}", do, PERMISSIONS[what])


def begin(request: HttpRequest, title: str) -> Batch:
    """A batch for what is going to be queued, not saved."""
    return Batch(title=title[:200], started_by=name_of(request)[:150])


def done(
    request: HttpRequest, batch: Batch, left: dict[str, int], sentence: str, back: str = ""
) -> HttpResponse:
    """Have the workers carry the batch out, and show how far it is; `sentence` says what was done.

    Where nothing was queued, the page `back` follows.
    """
    if not batch.run_ids:
        messages.warning(request, sentence)
        return HttpResponseRedirect(back or reverse("admin:events_rulerun_changelist"))
    batch.left_out = left
    with transaction.atomic():
        batch.save()
        wake.wake()
    messages.success(request, sentence)
    asked = {"number": batch.pk} | ({BACK: back} if back else {})
    return HttpResponseRedirect(f"{reverse('admin:batch')}?{urlencode(asked)}")


def show(request: HttpRequest) -> HttpResponse:
    """How far it is, and what came of it."""
    batch = row_in(Batch.objects.all(), request.GET.get("number"))
    if batch is None:
        messages.error(request, "What came of this is not kept any more. The actions are here.")
        return HttpResponseRedirect(reverse("admin:events_rulerun_changelist"))
    found = batches.progress(batch)
    return render(
        request,
        "admin/many/batch.html",
        title=badges.brief(batch.title),
        batch=batch,
        progress=found,
        failed=",".join(str(run.pk) for run in found.failed),
        back=way_back(request),
    )


PAGES = [
    *(_doing(what) for what in TITLES),
    Page("many/", "batch", show, "events.view_rulerun"),
]
