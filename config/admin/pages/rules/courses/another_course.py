"""Replaces a course or bundle that is gone, in its rules and the actions that failed because of it.

If it was entered by hand, its number may be wrong: it is corrected here for all its rules, and the
mistyped entry is removed if nothing uses it anymore.
"""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages import bulk_actions
from config.admin.pages.integrations import integration_messages
from config.admin.pages.rules.by_number_form import USE, ByNumberForm
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts.badges import brief
from config.admin.parts.buttons import BACK, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids, row_in, word
from events.execution import gone_destinations, retry_by_hand
from events.models import RuleRun
from events.reports.earlier.batch_preview import MAX_LINES
from integrations.audit import Act
from integrations.finding.ordering import by_name
from integrations.models import Destination
from integrations.sentences import Said, joined, say, say_count
from integrations.thinkific import catalog
from rules import changing
from rules.models import Rule

EDITS, RETRIES = "rules.change_rule", "events.retry_rulerun"
MAX_FOUND = 50
# The names of the buttons that change no rule: the form comes back with what was entered.
FIND, REFRESH = "find", "refresh"
# The choice to enter the right number instead of choosing another course.
BY_NUMBER = "by_number"
# On a request: all courses that are gone, read once for the rows of its page.
_GONE = "_admit_gone"


@dataclass(slots=True)
class Form:
    """What was posted: the ticked rules, and the other course; `error` says what is missing.

    `number` is the right number as typed, or None if another course is chosen from the list.
    `wrong` says what is wrong with it, and `found` is another course that has it.
    """

    rules: list[Rule]
    chosen: Destination | None
    turn_on: bool
    number: str | None = None
    error: str = ""
    wrong: str = ""
    found: Destination | None = None


def show(request: HttpRequest) -> HttpResponse:
    """Show the rules and failed actions of a course that is gone, and change what they give."""
    asked = request.POST if request.method == "POST" else request.GET
    named = _named(asked.get("course"), asked.get("action"))
    if named and REFRESH in request.POST:
        integration_messages.read_again(request, [named.integration])
    gone = _gone(asked.get("course"), asked.get("action"))
    if gone is None:
        messages.info(request, _there_again(asked.get("course"), asked.get("action")))
        failed = f"{reverse('admin:events_rulerun_changelist')}?status__exact=failed"
        return HttpResponseRedirect(way_back(request) or failed)
    rules = list(gone.rules.with_names().order_by("pk"))
    failed_runs = _failed(request, gone, rules)
    form = Form(rules, None, not any(rule.enabled for rule in rules), "" if gone.by_hand else None)
    if request.method == "POST":
        form = _read(request, gone, rules)
        if not {FIND, REFRESH} & set(request.POST):
            _save(form, gone)
            if not (form.error or form.wrong):
                return _retry(request, gone, form, failed_runs)
    return _page(request, gone, rules, form, failed_runs)


def address(run: RuleRun, *, back: str = "") -> str:
    """Return the address of this page, for the course that this action could not give."""
    asked = {"action": run.pk} | ({BACK: back} if back else {})
    return f"{reverse('admin:another-course')}?{urlencode(asked)}"


def label(run: RuleRun) -> str:
    """Return the label of the link to this page, with the number of actions that it retries."""
    gone = gone_destinations.given_by(run).first()
    failed = gone_destinations.failed_by(gone) if gone else RuleRun.objects.none()
    number = failed.order_by()[:MAX_LINES].count()
    if number <= 1 or (gone and gone.by_hand):
        return choose_another(gone)
    if run.spec.target == Destination.Kind.COURSE:
        return say(
            "Choose another course and retry the {number} that failed because of it", number=number
        )
    return say(
        "Choose another bundle and retry the {number} that failed because of it", number=number
    )


def choose_another(gone: Destination | None) -> str:
    """Return the label of the button."""
    if gone and gone.by_hand:
        return say("Correct the number")
    is_course = gone is None or gone.kind == Destination.Kind.COURSE
    return say("Choose another course") if is_course else say("Choose another bundle")


def in_row(request: HttpRequest, run: RuleRun) -> str:
    """Return the same for a row of a list; all courses that are gone are read once for its page."""
    if (gone := getattr(request, _GONE, None)) is None:
        rows = Destination.objects.exclude(Destination.STILL_THERE)
        gone = {(row.integration_id, row.kind, row.external_id): row for row in rows}
        setattr(request, _GONE, gone)
    return choose_another(gone.get((run.integration_id, run.spec.target, run.destination_id)))


def _gone(course: object, action: object) -> Destination | None:
    """Return the course that the address or its action names; None if Thinkific has it."""
    found = _named(course, action)
    return found if found and found.left_list else None


def _named(course: object, action: object) -> Destination | None:
    if run := row_in(RuleRun.objects.all(), action):
        return gone_destinations.given_by(run).select_related("integration").first()
    return row_in(Destination.objects.select_related("integration"), course)


def _there_again(course: object, action: object) -> str:
    if _named(course, action) is None:
        return say(
            "This course or bundle was removed from Admit's list, so no rule uses it anymore."
        )
    return say("This course or bundle is there again. What failed can be retried.")


def _failed(request: HttpRequest, gone: Destination, rules: list[Rule]) -> list[RuleRun]:
    """Return what failed because of it and this person may retry."""
    if not allowed(request, RETRIES):
        return []
    runs = gone_destinations.failed_by(gone).filter(rule__isnull=False)
    # If no rule uses it anymore, a retry gives what the action's rule gives now.
    runs = runs.filter(rule__in=rules) if rules else runs
    return list(runs.order_by("received_at", "pk")[:MAX_LINES])


def _others(gone: Destination) -> QuerySet[Destination]:
    same = Destination.objects.filter(integration=gone.integration_id, kind=gone.kind)
    return same.filter(gone_at=None).order_by(by_name(), "pk")


def _read(request: HttpRequest, gone: Destination, rules: list[Rule]) -> Form:
    """Return what was posted. USE answers the question whether another course has the number."""
    ticked = set(row_ids(request.POST.getlist("rule")))
    chosen = request.POST.get(USE) or request.POST.get("destination")
    by_number = gone.by_hand and chosen == BY_NUMBER
    return Form(
        [rule for rule in rules if rule.pk in ticked],
        row_in(_others(gone), chosen),
        "turn_on" in request.POST,
        request.POST.get("number", "") if by_number else None,
    )


def _save(form: Form, gone: Destination) -> None:
    """Change the rules as posted. If that is not possible, the form has the error."""
    is_course = gone.kind == Destination.Kind.COURSE
    if not gone.rules.exists():
        form.error = say("No rule uses it anymore, so nothing was changed.")
    elif not form.rules:
        form.error = say("Select at least one rule.")
    elif form.number is None and form.chosen is None:
        form.error = (
            say("Choose the course to give instead.")
            if is_course
            else say("Choose the bundle to give instead.")
        )
    else:
        _change(form, gone)


def _change(form: Form, gone: Destination) -> None:
    try:
        with changing.all_or_none():
            if form.number is not None:
                form.chosen = _entered(gone, form, form.number)
                if form.chosen is None:
                    return
                catalog.enter(form.chosen)
            assert form.chosen is not None
            changing.point_to(form.rules, form.chosen, on=form.turn_on)
    except ValidationError as error:
        form.error = " ".join(error.messages)


def _entered(gone: Destination, form: Form, number: str) -> Destination | None:
    """Return what has the right number, not saved; None if it is wrong, and the form says why."""
    name = {"number": number, "name": gone.name}
    entry = ByNumberForm(name, integration=gone.integration, kind=Destination.Kind(gone.kind))
    if not entry.is_valid():
        form.wrong = " ".join(str(each) for errors in entry.errors.values() for each in errors)
        form.found = entry.found
        return None
    found = entry.destination()
    if found.pk == gone.pk:
        form.wrong = gone.missing
        return None
    return found


def _retry(
    request: HttpRequest, gone: Destination, form: Form, failed: list[RuleRun]
) -> HttpResponse:
    assert form.chosen is not None
    chosen = brief(form.chosen.name)
    if form.number is not None:
        chosen = say("{name}, number {number}", name=chosen, number=str(form.chosen.external_id))
    text = say_count(
        len(form.rules),
        "1 rule uses {name} from now on.",
        "{number} rules use {name} from now on.",
        name=chosen,
    )
    back = way_back(request)
    mine = {rule.pk for rule in form.rules}
    runs = RuleRun.objects.filter(pk__in=[run.pk for run in failed if run.rule_id in mine])
    if not runs:
        _say_used(request, text, gone, form.rules)
        page = f"{reverse('admin:rules_rule_changelist')}?destination__id__exact={form.chosen.pk}"
        return HttpResponseRedirect(back or page)
    batch = bulk_actions.new_batch(request, say("Retry with {name}", name=chosen))
    queued, left = retry_by_hand.retry(runs.order_by("received_at", "pk"), batch=batch)
    # The page that follows says how far the queued actions are.
    none = "" if queued else retry_by_hand.retried_sentence(queued, left)
    _say_used(request, text, gone, form.rules)
    return bulk_actions.start_and_show(request, batch, left, none, back)


def _say_used(request: HttpRequest, text: Said, gone: Destination, rules: list[Rule]) -> None:
    """Say which course the rules use now, with Undo, and whether the other entry was removed."""
    told, back = joined([text, _removed(gone)]), way_back(request)
    messages.success(request, undo_offers.with_undo(request, told, Act.RULE_CHANGED, rules, back))


def _removed(gone: Destination) -> str:
    """Remove a mistyped entry that nothing uses anymore, and say so; "" if it stays."""
    name, number = brief(gone.name), str(gone.external_id)
    if gone_destinations.is_named(gone) or not gone_destinations.remove(gone):
        return ""
    return say("{name}, number {number}, is not in the list anymore.", name=name, number=number)


def _page(
    request: HttpRequest, gone: Destination, rules: list[Rule], form: Form, failed: list[RuleRun]
) -> HttpResponse:
    like = word((request.POST if request.method == "POST" else request.GET).get("q"))
    found = list(_others(gone).filter(name__icontains=like)[: MAX_FOUND + 1])
    more, found = len(found) > MAX_FOUND, found[:MAX_FOUND]
    if form.chosen is not None and form.number is None and form.chosen not in found:
        found.insert(0, form.chosen)
    of_rule = Counter(run.rule_id for run in failed)
    return render(
        request,
        "admin/another_course.html",
        title=_title(gone),
        gone=gone,
        rules=[(rule, rule in form.rules, of_rule[rule.pk]) for rule in rules],
        off=[rule for rule in rules if not rule.enabled],
        form=form,
        number=len(failed),
        failed=",".join(str(run.pk) for run in failed),
        by_number=BY_NUMBER,
        shown=found,
        more=more,
        most=MAX_FOUND,
        q=like,
        typed=request.POST.get("number", ""),
        back=way_back(request),
    )


def _title(gone: Destination) -> str:
    if gone.by_hand:
        return say("Correct the number of {name}", name=brief(gone.name))
    if gone.kind == Destination.Kind.COURSE:
        return say("Another course in place of {name}", name=brief(gone.name))
    return say("Another bundle in place of {name}", name=brief(gone.name))


PAGES = [Page("another-course/", "another-course", show, EDITS)]
