"""The page of one event: what came, what was decided and why, what was done."""

import contextlib
import json
from datetime import timedelta
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from config.admin.pages.log.actions import Status as RunStatus
from config.admin.parts import badges, batch_links, event_result
from events.access.book import Book
from events.access.sale import Sale
from events.execution import email_correction, wait_reasons
from events.execution.rerun import Rerun, obstacles, payload_removed
from events.models import EventLog, RuleRun
from events.models.event_status import read_again
from events.reports import batches, review, rules_now
from events.reports.changed_rules import refunded
from events.reports.earlier import given_already, nothing_to_end
from events.reports.sentences import why
from events.reports.sentences.sentence import Code, Sentence
from events.reports.system import api_calls
from integrations.models import Customer
from integrations.samcart.encoding import decompress
from integrations.samcart.unreadable import Unreadable
from integrations.sealed import UNREADABLE
from integrations.secrets import SecretUnreadable
from integrations.sentences import joined, say, say_count
from rules.engine import REASONS, Reason, nearly_ran
from rules.listing import listed
from rules.models import MEANINGS, Rule
from rules.triggers import TAKES_BACK

# SamCart sends an order when it is placed. One that is older on arrival was delayed on its way.
LATE = timedelta(hours=1)
# The permission to see bodies word for word, here and in the templates.
RAW = "events.view_delivery"
NO_RULE = EventLog.Status.NO_RULE
RULES_NAMED = 3


def context(request: HttpRequest, event: EventLog) -> dict[str, Any]:
    """Return all that the page shows. Strangers' texts are cut there, and escaped."""
    runs = list(event.runs.all())
    read_again([(event, runs)])
    asked = (
        email_correction.runs_to_correct(event)
        if request.user.has_perm("events.rerun_eventlog")
        else []
    )
    event_result.note([event])
    access, still_has = _access(event, runs), _still_has(event)
    cannot, ended = obstacles([event]).get(event.pk, ""), nothing_to_end.ended_meanwhile([event])
    _note_rerun(event, left_out=bool(cannot or ended) or rules_now.all_ran(event))
    return {
        "runs": runs,
        "access": access,
        "still_in": bool(still_has),
        # Mostly a sentence about the course says so already, with the button.
        "still_has": "" if any(line.code == Code.NOT_ENDED for line in access) else still_has,
        "students": _students(event, runs),
        **_timeline(request, event, runs),
        **_why(event),
        **_explained(event, ended=bool(ended)),
        "cannot": cannot,
        "off": rules_now.turned_off(event),
        "payload": payload(event) if request.user.has_perm(RAW) else "",
        "payload_removed": payload_removed(event.delivery),
        "undone": review.needs_a_person(event),
        "triggers": MEANINGS,
        "can_name": event.status == EventLog.Status.UNKNOWN_TYPE
        and bool(event.raw_type)
        and event.delivery is not None
        and not event.delivery.address_trigger
        and request.user.has_perm("rules.add_namedtype"),
        "asked": asked,
        "wrong_email": email_correction.unusable_address(asked[0]) if asked else "",
        "placed_before": _placed_before(event),
        "failed": any(run.status == RunStatus.FAILED for run in runs),
    }


def _explained(event: EventLog, *, ended: bool) -> dict[str, Any]:
    """Return which rules fit it now (`since`), and how it was explained when it came.

    The explanation is left out if a rule fits now, or if a person `ended` what the rules were to
    end.
    """
    since = _since(event)
    outdated = since if event.status == NO_RULE else ended
    return {
        "since": "" if ended else since,
        "explanation": "" if outdated else event.explanation,
        "given_back": event.undone_at and event.trigger in TAKES_BACK,
    }


def _timeline(request: HttpRequest, event: EventLog, runs: list[RuleRun]) -> dict[str, Any]:
    done = batches.batch_acts([event.pk])
    back = batches.given_back(done).get(event.pk, ())
    runs = sorted([*runs, *back], key=lambda run: run.pk)
    lines = batch_links.of_events(request, done).get(event.pk, [])
    with_others = batch_links.among(runs, lines)
    steps = _steps(runs, with_others)
    return {
        "under_way": wait_reasons.under_way(runs),
        "steps": steps,
        "tried": [(s["run"].pk, api_calls.retry_sentence(s["run"], s["failed"])) for s in steps],
        "with_others": with_others,
    }


def _steps(runs: list[RuleRun], with_others: batch_links.Among) -> list[dict[str, Any]]:
    """Return the actions that were carried out, one after the other."""
    reasons, calls = wait_reasons.reasons(runs), api_calls.of_runs(runs)
    failed = api_calls.failed_attempts(runs, calls)
    return [
        {
            "run": run,
            "with_others": with_others.before[run.pk],
            "told": reasons[run.pk],
            "failed": failed.get(run.pk, []),
            "calls": calls.get(run.pk, []),
            "removed": api_calls.removed_sentence(run),
        }
        for run in runs
    ]


def _students(event: EventLog, runs: list[RuleRun]) -> list[Customer]:
    """Return the customers whose access these actions change, without the event's own."""
    whose = (run.customer for run in runs if run.target and run.customer != event.customer)
    return list(dict.fromkeys(customer for customer in whose if customer is not None))


def _access(event: EventLog, runs: list[RuleRun]) -> list[Sentence]:
    """Return a sentence for each course or bundle that these actions change, for each student.

    And for what a person gave for this purchase or ended after this refund, where rules did not.
    """
    wanted = {(run.customer, run.integration_id, run.target) for run in runs}
    if (event.gave_nothing and event.dealt_with_at) or event.left_open:
        given = Book([Sale.of(event)]).of(event)
        wanted |= {(row.customer, row.integration_id, row.target) for row in given}
    return [
        sentence
        for customer in {customer for customer, *_ in wanted if customer is not None}
        for each, sentence in why.of_customer(customer)
        if (customer, each.integration, each.target) in wanted
    ]


def _still_has(event: EventLog) -> str:
    """Return the names of what the buyer of this refund still has.

    What a rule gave again is left out: the sentence about the access tells of it.
    """
    found = refunded.refunded_with_access(among=[event]) if event.left_open else []
    mine = (each for each in found if each.refund.pk == event.pk)
    left = (grant for each in mine for grant in [*each.not_ended, *each.given_back])
    return listed([badges.brief(grant.name) for grant in left])


def may_run_again(event: EventLog) -> bool:
    """Return whether the page has the button that runs the rules again. Call `context` first."""
    return getattr(event, "may_run_again", False)


def _note_rerun(event: Any, *, left_out: bool) -> None:
    """Keep for `may_run_again` whether running the rules again is known to do nothing.

    The page of a refund whose buyer is still in has another button, which ends it.
    """
    event.may_run_again = not left_out and not getattr(event, "still_in", False)


def _why(event: EventLog) -> dict[str, Any]:
    """Return the rules that ran or nearly ran as `why`, and all others as `unconcerned`.

    The `page` of each is the rule's number, or None if it was deleted.
    """
    of_product = Rule.objects.filter(product=event.product_id).exclude(product=None)
    same = set(of_product.values_list("pk", flat=True)) if event.product_id else set()
    off = [rule for rule, code in event.verdicts if code == Reason.OFF]
    now = Rule.objects.in_bulk(off) if off else {}
    of_account = Rule.objects.filter(marketplace=event.marketplace_id)
    there = set(of_account.values_list("pk", flat=True)) if event.verdicts else set()
    ran: list[dict[str, Any]] = []
    nearly: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for (rule, _), (sentence, has_run, code) in zip(event.verdicts, event.sentences(), strict=True):
        reason = Reason(code)
        told = rules_now.off_then(event, now.get(rule)) if rule in off else REASONS[reason]
        page = rule if rule in there else None
        row = {"rule": sentence, "page": page, "ran": has_run, "reason": told}
        if has_run:
            ran.append(row)
        elif nearly_ran(reason, same_product=rule in same):
            # Rules that would have run if they were on come first.
            nearly.insert(0 if reason is Reason.OFF else len(nearly), row)
        else:
            others.append(row)
    return {"why": ran + nearly, "unconcerned": others}


def _since(event: EventLog) -> str:
    """Return what to say if a rule fits this event now and none did when it came, else ""."""
    if not event.gave_nothing:
        return ""
    now = rules_now.fitting([event]).get(event.pk, [])
    rule = next((rule for rule in now if not rule.spec.passes_on), None)
    return (
        joined([rules_now.since(event, rule), given_already.sentences([event]).get(event.pk)])
        if rule
        else ""
    )


def rerun_sentence(done: Rerun) -> SafeString:
    """Return what running the rules again did, with links to fitting rules that are off."""
    if not done.off:
        return format_html("{}", done.sentence())
    number = len(done.off)
    about = say_count(
        number, "The rule that matches is turned off:", "The rules that match are turned off:"
    )
    links = format_html_join(", ", '<a href="{}">{}</a>', map(_link, done.off[:RULES_NAMED]))
    more = "" if number <= RULES_NAMED else f" +{number - RULES_NAMED}"
    return format_html("{} {} {}{}", done.sentence(), about, links, more)


def _link(rule: Rule) -> tuple[str, str]:
    return reverse("admin:rules_rule_change", args=[rule.pk]), badges.rule_text(rule.sentence())


def _placed_before(event: EventLog) -> str:
    """Return "3 days" for the time from order to receipt, "" for an hour or less."""
    if event.ordered_at is None or event.received_at - event.ordered_at <= LATE:
        return ""
    return timesince(event.ordered_at, event.received_at, depth=1)


def headline(event: EventLog) -> str:
    """Return "Product Purchased: Watercolor for Beginners"."""
    what = badges.happened(event) or badges.brief(event.raw_type) or say("Unknown event")
    return f"{what}: {badges.brief(event.product.name)}" if event.product else what


def payload(event: EventLog) -> str:
    """Return the body as received, JSON laid out to be readable; "" if there is no delivery."""
    if event.delivery is None:
        return ""
    try:
        body = event.delivery.body
    except SecretUnreadable:
        return str(UNREADABLE)
    with contextlib.suppress(Unreadable):
        body = decompress(body, event.delivery.content_encoding)
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def addresses(model_admin: ModelAdmin) -> list[URLPattern]:
    def download(request: HttpRequest, object_id: str) -> HttpResponse:
        """Download the bytes as received. They are a stranger's, so no page shows them raw."""
        if not request.user.has_perms(["events.view_eventlog", RAW]):
            raise PermissionDenied
        event = model_admin.get_object(request, object_id)
        if event is None or event.delivery is None or payload_removed(event.delivery):
            raise Http404
        try:
            body = event.delivery.body
        except SecretUnreadable:
            raise Http404 from None
        name = f"event-{event.pk}.json"
        return HttpResponse(
            body,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f'attachment; filename="{name}"',
                "X-Content-Type-Options": "nosniff",
            },
        )

    view = model_admin.admin_site.admin_view(download)
    return [path("<path:object_id>/download/", view, name="events_eventlog_download")]
