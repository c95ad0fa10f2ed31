"""Doing something for many rows at once: a preview first, then the progress and the results."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from config.admin.menu import allowed
from config.admin.parts import badges, batch_links, batch_message
from config.admin.parts.buttons import BACK, links_to, way_back
from config.admin.parts.changelist import takes_all
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_id, row_ids, row_in
from events.execution import former_days, rerun, retry_by_hand, reviewing, undo_preview
from events.models import Batch, EventLog, RuleRun
from events.queue import wake
from events.reports import batches
from events.reports.earlier import batch_preview
from events.reports.earlier.batch_preview import MAX_LINES, BatchPreview, Line
from integrations.models import Customer
from integrations.sentences import Said, facts, say, say_count

Row = TypeVar("Row", RuleRun, EventLog)
RETRY, ANYWAY, RERUN, DISMISS, DEAL = "retry", "anyway", "rerun", "dismiss", "deal"
DAYS = "days"
# Functions, because a batch stores its title for readers of each language.
TITLES: dict[str, Callable[[], Said]] = {
    RETRY: lambda: say("Retry"),
    ANYWAY: lambda: say("Do it anyway"),
    RERUN: lambda: say("Run the rules again"),
    DISMISS: lambda: say("Dismiss"),
    DAYS: lambda: say("End on the rule's day"),
    DEAL: lambda: say("Mark as dealt with"),
}
PERMISSIONS = {
    RETRY: "events.retry_rulerun",
    ANYWAY: "events.retry_rulerun",
    RERUN: "events.rerun_eventlog",
    DISMISS: "events.dismiss_rulerun",
    DAYS: "events.retry_rulerun",
    DEAL: "events.dismiss_eventlog",
}
UNDOES = "events.by_hand_grant"
LINES_SHOWN = 200
# A row's number: the next rows of the list are those after it.
AFTER = "after"
# The chosen bulk action of a list, kept for its next rows.
ACTION = "action"
KNOWN_ACTION = re.compile(r"[a-z_]{1,40}")


def preview_runs(request: HttpRequest, runs: QuerySet[RuleRun], what: str = RETRY) -> HttpResponse:
    """Show what doing this for these actions would change."""
    with_facts = _next(request, runs).select_related("event", "customer", "integration")
    chosen = list(with_facts[: MAX_LINES + 1])
    if what == DISMISS:
        return _look(request, what, batch_preview.of_dismissal(chosen), chosen)
    if what == DAYS:
        return _look(request, what, batch_preview.of_days(chosen), chosen)
    return _look(request, what, batch_preview.of_retry(chosen, anyway=what == ANYWAY), chosen)


def retry(request: HttpRequest, runs: QuerySet[RuleRun], what: str = RETRY) -> HttpResponse | None:
    """Retry a single action at once, as its button does; for several show the preview first."""
    in_order = runs.order_by("received_at", "pk")
    if len(in_order[:2]) > 1:
        return preview_runs(request, in_order, what)
    retry_now(request, in_order, TITLES[what](), anyway=what == ANYWAY)
    return None


def retry_now(
    request: HttpRequest, runs: Iterable[RuleRun], title: str, *, anyway: bool = False
) -> None:
    """Queue the actions that can be retried. The message says how many, then shows the results."""
    batch = new_batch(request, title)
    queued, left = retry_by_hand.retry(runs, anyway=anyway, batch=batch)
    start_with_message(request, batch, left, retry_by_hand.retried_sentence(queued, left))


def start_with_message(
    request: HttpRequest, batch: Batch, left: dict[str, int], sentence: str
) -> None:
    """Have the workers carry out the batch. The message `sentence` then shows its results.

    If nothing was queued, the message is a warning.
    """
    if not batch.run_ids:
        messages.warning(request, sentence)
        return
    _carry_out(batch, left)
    batch_message.say_queued(request, sentence, batch)


def _carry_out(batch: Batch, left: dict[str, int]) -> None:
    batch.left_out = left
    with transaction.atomic():
        batch.save()
        wake.wake()


def preview_events(
    request: HttpRequest, events: QuerySet[EventLog], what: str = RERUN
) -> HttpResponse:
    """Show what doing this for these events would change."""
    chosen = list(_next(request, events).select_related("customer", "delivery")[: MAX_LINES + 1])
    found = batch_preview.of_review(chosen) if what == DEAL else batch_preview.of_rerun(chosen)
    return _look(request, what, found, chosen)


def _next(request: HttpRequest, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Return the rows after those already looked at. `rows` are sorted by time and number."""
    last = row_in(rows.model._default_manager.all(), request.POST.get(AFTER))
    if last is None:
        return rows
    at = last.received_at
    return rows.filter(Q(received_at__gt=at) | Q(received_at=at, pk__gt=last.pk))


def _look(
    request: HttpRequest, what: str, found: BatchPreview, chosen: Sequence[RuleRun | EventLog]
) -> HttpResponse:
    goes_on = found.more and takes_all(request)
    return render(
        request,
        "admin/many/look.html",
        title=TITLES[what](),
        form_action=reverse(f"admin:many-{what}"),
        more=found.more,
        number=len(found.done),
        lists=lists(found),
        waiting=found.waiting,
        chosen=[each.pk for each in chosen[:MAX_LINES]],
        at_once=MAX_LINES,
        back=request.get_full_path(),
        action=_action(request.POST) if goes_on else "",
        after=chosen[MAX_LINES - 1].pk if goes_on else "",
    )


def lists(found: BatchPreview) -> list[tuple[Said, list[Line], int]]:
    """Return what the preview shows: a heading, its lines, and how many lines more there are."""
    return [
        (say("What will be done"), found.done[:LINES_SHOWN], len(found.done) - LINES_SHOWN),
        (say("Left out"), found.left_out[:LINES_SHOWN], len(found.left_out) - LINES_SHOWN),
    ]


def _action(asked: QueryDict) -> str:
    """Return the name of the list's bulk action, "" for none."""
    name = (asked.getlist(ACTION) or [""])[0]
    return name if KNOWN_ACTION.fullmatch(name) else ""


def _doing(what: str) -> Page:
    """Return the page that carries out a preview, and leads to the page of its results."""

    @require_POST
    def do(request: HttpRequest) -> HttpResponse:
        numbers = row_ids(request.POST.get("chosen", "").split(","))[:MAX_LINES]
        back = way_back(request)
        events = EventLog.objects.filter(pk__in=numbers).order_by("received_at", "pk")
        runs = RuleRun.objects.filter(pk__in=numbers).order_by("received_at", "pk")
        runs = runs.select_related("integration")
        if what in {DISMISS, DEAL}:
            by = request.user.get_username()
            number = (
                retry_by_hand.dismiss(runs, by=by)
                if what == DISMISS
                else reviewing.mark_reviewed(events, by=by)
            )
            return _marked(request, what, number, back)
        batch = new_batch(request, TITLES[what]())
        if what == RERUN:
            came = rerun.rerun(events, batch=batch)
            return start_and_show(request, batch, came.left, came.sentence(), back)
        if what == DAYS:
            return _apply_days(request, runs, batch, back)
        queued, left = retry_by_hand.retry(runs, anyway=what == ANYWAY, batch=batch)
        return start_and_show(
            request, batch, left, retry_by_hand.retried_sentence(queued, left), back
        )

    return Page(f"many/{what}/", f"many-{what}", do, PERMISSIONS[what])


def _apply_days(
    request: HttpRequest, runs: QuerySet[RuleRun], batch: Batch, back: str
) -> HttpResponse:
    """Let these endings come on the days of their rules, and show those that come at once."""
    moved = former_days.apply(runs, batch=batch, by=request.user.get_username())
    if not batch.run_ids:
        return _marked(request, DAYS, moved, back)
    if moved:
        later = say_count(moved, "1 has another day.", "{number} have another day.")
        messages.success(request, later)
    text = say_count(len(batch.run_ids), "1 access ends now.", "{number} end now.")
    return start_and_show(request, batch, {}, text, back)


def _marked(request: HttpRequest, what: str, number: int, back: str) -> HttpResponse:
    """Confirm what was done without a worker, and offer the next rows or the list."""
    messages.success(request, say("{what}: done for {number}.", what=TITLES[what](), number=number))
    if not (back and request.POST.get(AFTER)):
        return HttpResponseRedirect(back or reverse("admin:index"))
    return render(
        request,
        "admin/many/marked.html",
        title=TITLES[what](),
        back=back,
        action=_action(request.POST),
        after=row_id(request.POST[AFTER]) or "",
    )


def new_batch(request: HttpRequest, title: str) -> Batch:
    """Return a batch, not saved, for the actions that will be queued."""
    return Batch(title=title, started_by=request.user.get_username()[:150])


def start_and_show(
    request: HttpRequest, batch: Batch, left: dict[str, int], sentence: str, back: str = ""
) -> HttpResponse:
    """Have the workers carry out the batch, and show its progress. `sentence` says what starts.

    If nothing was queued, lead to the page `back`.
    """
    if not batch.run_ids:
        messages.warning(request, sentence)
        return HttpResponseRedirect(back or reverse("admin:events_rulerun_changelist"))
    _carry_out(batch, left)
    batch_message.say_started(request, sentence)
    asked: dict[str, Any] = {"number": batch.pk} | ({BACK: back} if back else {})
    if after := row_id(request.POST.get(AFTER)):
        asked |= {AFTER: after, ACTION: _action(request.POST)}
    return HttpResponseRedirect(f"{reverse('admin:batch')}?{urlencode(asked)}")


def show(request: HttpRequest) -> HttpResponse:
    """Show how far the batch is, and its results."""
    batch = row_in(Batch.objects.all(), request.GET.get("number"))
    if batch is None:
        text = say("The results are no longer kept. The list of actions is shown instead.")
        messages.error(request, text)
        return HttpResponseRedirect(reverse("admin:events_rulerun_changelist"))
    found = batches.progress(batch)
    return render(
        request,
        "admin/many/batch.html",
        title=say("For earlier buyers") if (rule := _rule_of(batch)) else badges.brief(batch.title),
        rule=rule,
        batch=batch,
        progress=found,
        customers=links_to(_named_apart(found.customers)),
        left_out=batch.left_out.items(),
        failed=",".join(str(run.pk) for run in found.failed),
        undone=batch.undone_by.order_by("pk"),
        instead=batch_links.instead_of_undo(request, batch),
        can_undo=allowed(request, UNDOES) and _can_be_undone(batch),
        back=way_back(request),
        action=_action(request.GET),
        after=row_id(request.GET.get(AFTER)) or "",
    )


def _named_apart(customers: Sequence[Customer]) -> list[tuple[Customer, str]]:
    """Return the customers with their names; those of the same name with their addresses, too."""
    named = [
        (each, badges.brief(each.name), badges.brief(each.readable_email)) for each in customers
    ]
    alike = Counter(name for _, name, _ in named)
    return [
        (each, say("{name} ({email})", name=name, email=email) if alike[name] > 1 else name)
        if name
        else (each, email)
        for each, name, email in named
    ]


def _rule_of(batch: Batch) -> str:
    """Return the sentence of the rule if a single one ran for earlier buyers, else ""."""
    return str(facts(batch.title).get("rule", "")) if isinstance(batch.title, Said) else ""


def _can_be_undone(batch: Batch) -> bool:
    return bool(batch.new_ids) and not all(each.why_not for each in undo_preview.preview(batch))


PAGES = [
    *(_doing(what) for what in TITLES),
    Page("many/", "batch", show, "events.view_rulerun"),
]
