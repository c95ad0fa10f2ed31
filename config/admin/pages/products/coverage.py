"""Coverage: what each product gives, ends and gives back, and setting up many products at once."""

from itertools import chain

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page as PageOfRows
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.html import format_html

from config.admin.pages.products.course_choices import Choices
from config.admin.pages.products.coverage_adding import Added, add
from config.admin.pages.products.coverage_conflicts import conflict_page
from config.admin.pages.products.coverage_filter import Filter, of_products
from config.admin.pages.products.coverage_form import CoverageForm
from config.admin.pages.products.coverage_said import (
    besides,
    effects,
    existing,
    said_added,
    said_off,
)
from config.admin.pages.rules import backfill, earlier_offer, left_over
from config.admin.pages.rules.given import left_behind_notices
from config.admin.pages.rules.given.turned_off import TurnedOffRules
from config.admin.pages.rules.rules import RuleAdmin
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts import edit_conflicts, params
from config.admin.parts.buttons import way_back
from config.admin.parts.page import Page, render
from events.reports.changed_rules import left_behind_summary
from events.reports.products import subscriptions
from events.reports.products.coverage import Coverage, Judged, judge_all, with_rules
from integrations.audit import Act
from integrations.sentences import joined, say, say_count
from rules.models import Rule

# Each row sends up to seven fields, and Django takes a thousand.
ROWS = 30
EVERY = "every"
# The buttons of the preview: add the rules, go back to what was entered, or forget it.
LOOKED, CHANGE, FORGET = "looked", "change", "forget"
# The button that ticks the courses suggested by name; it adds nothing.
TICK = "tick"
# The buttons that turn on what is off in a row, on one trigger. What was entered stays entered.
TURN_ON = "turn_on"
CSRF = "csrfmiddlewaretoken"
# The session's key for what was entered and is not saved yet, so that the preview has an address.
KEPT = "coverage"
LOOK = "look"


def show(request: HttpRequest) -> HttpResponse:
    """Show the table by GET. A POST adds rules to the rows that were sent."""
    if request.method == "POST":
        return _save(request)
    if LOOK in request.GET:
        return _look(request)
    asked = Filter.read(request.GET)
    rows = judge_all()
    found = asked.of(rows)
    shown = Paginator(found, ROWS).get_page(params.page_number(request.GET.get("p")))
    choices = Choices()
    forms = _fresh(with_rules(list(shown)), choices)
    return _page(request, rows, forms, choices, asked=asked, shown=shown)


def _fresh(rows: list[Coverage], choices: Choices) -> list[CoverageForm]:
    once = subscriptions.paid_once(row.product for row in rows if row.product and not row.set_up)
    return [
        CoverageForm.fresh(row, choices, paid_once=bool(row.product and row.product.pk in once))
        for row in rows
    ]


def _page(
    request: HttpRequest,
    rows: list[Judged],
    forms: list[CoverageForm],
    choices: Choices,
    *,
    asked: Filter,
    shown: PageOfRows | None = None,
) -> HttpResponse:
    may_add = request.user.has_perm("rules.add_rule")
    # If the filter names products, the notes are about these only.
    behind = (
        [] if asked.only else left_behind_notices.by_rule(request, left_behind_summary.summarize())
    )
    _note_lacking(request, forms)
    counted = asked.of(rows) if asked.only else rows
    return render(
        request,
        "admin/coverage.html",
        title=say("Coverage"),
        asked=asked,
        any=bool(rows),
        forms=forms,
        shown=shown,
        options=choices.options() if may_add else "",
        accounts={row.marketplace.pk for row in rows},
        behind=behind,
        **_counts(counted),
        see_nothing=_giving_nothing(counted),
        undoable=undo_offers.latest_deletion(request),
        may_settle=request.user.has_perms(left_over.MAY),
        to_mend=sum(bool(form.row.holes) for form in forms),
        every=EVERY,
        opened=edit_conflicts.form_state(request),
        kept=f"?{LOOK}=yes" if may_add and KEPT in request.session else "",
        may_add=may_add,
        back=way_back(request) or request.get_full_path(),
        suggests=may_add and any(form.suggested for form in forms),
        to_review=any(each.suggested or each.is_touched or each.row.holes for each in forms),
    )


def _giving_nothing(rows: list[Judged]) -> str:
    """Return the address of Coverage with the products that give nothing, "" if all rows do."""
    nothing = [row.number for row in rows if row.number and row.gives_nothing_to_buyers]
    return of_products(nothing).address if len(nothing) < len(rows) else ""


def _counts(rows: list[Judged]) -> dict[str, int]:
    """Return in how many of these rows something is missing, off or left over."""
    return {
        "nothing": sum(row.gives_nothing_to_buyers for row in rows),
        "without_pairs": sum(bool(row.holes) for row in rows),
        "turned_off": sum(bool(row.off) for row in rows),
        "left_over": sum(bool(row.left_over) for row in rows),
    }


def _note_lacking(request: HttpRequest, forms: list[CoverageForm]) -> None:
    rules = list(chain(*(form.row.given for form in forms)))
    found = earlier_offer.lacking_by_product(rules, back=request.get_full_path())
    for form in forms:
        form.lacking = found.get(form.row.number or 0)


def _save(request: HttpRequest) -> HttpResponse:
    """Add what was entered, or with the button `missing` what is recommended, all or nothing.

    A preview shows the rules first, unless `missing` was pressed for a single product.
    """
    if not request.user.has_perm("rules.add_rule"):
        raise PermissionDenied
    asked = Filter.read(request.POST)
    if FORGET in request.POST:
        request.session.pop(KEPT, None)
        return HttpResponseRedirect(asked.address)
    forms, choices = _read(request.POST)
    if TICK in request.POST:
        for form in forms:
            form.entered = list(dict.fromkeys([*form.entered, *form.suggested]))
        return _page(request, judge_all(), forms, choices, asked=asked)
    if TURN_ON in request.POST:
        return _turn_on(request, forms, asked)
    mend = "missing" in request.POST
    wanted = _wanted(forms, request.POST)
    if CHANGE not in request.POST and not mend and (page := conflict_page(request, wanted)):
        return page
    if CHANGE not in request.POST and (mend or not any(form.errors for form in forms)):
        unseen = None if LOOKED in request.POST else int(mend)
        added = add(wanted, mend=mend, unseen=unseen)
        if added and added.only_looked:
            sent = {name: values for name, values in request.POST.lists() if name != CSRF}
            request.session[KEPT] = sent
            return HttpResponseRedirect(f"{reverse('admin:coverage')}?{LOOK}=yes")
        if added:
            request.session.pop(KEPT, None)
            _say(request, added, several=choices.has_several_sites)
            # `missing` does not save what was entered in rows, so it stays.
            forms, choices = _read(request.POST) if mend else ([], choices)
            if not any(form.is_touched for form in forms):
                return HttpResponseRedirect(asked.address)
    return _unsaved(request, forms, choices, asked)


def _unsaved(
    request: HttpRequest, forms: list[CoverageForm], choices: Choices, asked: Filter
) -> HttpResponse:
    """Return the page with what was entered, and a message that it is not saved."""
    forms.sort(key=lambda form: not form.errors)
    text = say("What was entered is not saved yet.")
    if forms and forms[0].errors:
        text = joined([text, say("The rows that need a change are at the top.")])
    messages.warning(request, text)
    return _page(request, judge_all(), forms, choices, asked=asked)


def _turn_on(request: HttpRequest, forms: list[CoverageForm], asked: Filter) -> HttpResponse:
    """Turn on the rules of the row and the trigger that the button names."""
    if not request.user.has_perm("rules.change_rule"):
        raise PermissionDenied
    key, _, trigger = request.POST[TURN_ON].partition(" ")
    meant = (form.turned_off.items() for form in forms if form.row.key == key)
    rules = chain(*(rules for on, rules in chain(*meant) if on == trigger))
    rule_admin = admin.site.get_model_admin(Rule)
    assert isinstance(rule_admin, RuleAdmin)
    back = rule_admin.turn_on(request, Rule.objects.filter(pk__in=[rule.pk for rule in rules]))
    forms, choices = _read(request.POST)
    is_touched = any(form.is_touched for form in forms)
    return _unsaved(request, forms, choices, asked) if is_touched else back


def _look(request: HttpRequest) -> HttpResponse:
    """The preview: the rules as they would be added."""
    kept = request.session.get(KEPT)
    if not kept or not request.user.has_perm("rules.add_rule"):
        return HttpResponseRedirect(Filter().address)
    given = MultiValueDict(kept)
    forms, choices = _read(given)
    several = choices.has_several_sites
    mend = "missing" in given
    added = add(_wanted(forms, given), mend=mend, unseen=0)
    if not added or not added.made:
        del request.session[KEPT]
        text = say("What was entered cannot be added anymore: rules have changed meanwhile.")
        messages.warning(request, text)
        return HttpResponseRedirect(Filter().address)
    lines = [(form.name, effects(rules, with_site=several)) for form, rules in added.made]
    return render(
        request,
        "admin/coverage_look.html",
        title=say("Review these rules"),
        number=sum(len(rules) for _, rules in added.made),
        lines=lines,
        shown=sum(len(said) for _, said in lines),
        existing=[
            *filter(None, (besides(form, rules) for form, rules in added.made)),
            *(sentence for form, rules in added.left for sentence in existing(form, rules)),
            *(said_off(form.name, rules, with_site=several) for form, rules in added.off),
        ],
        fields=[(name, value) for name, values in kept.items() for value in values],
        looked=LOOKED,
        change=CHANGE,
        forget=FORGET,
    )


def _read(given: MultiValueDict[str, str]) -> tuple[list[CoverageForm], Choices]:
    """Return the rows that were sent, in the order of the page."""
    choices, sent = Choices(), set(given.getlist("row"))
    rows = with_rules([row for row in judge_all() if row.key in sent])
    return [CoverageForm.read(row, choices, given) for row in rows], choices


def _wanted(forms: list[CoverageForm], given: MultiValueDict[str, str]) -> list[CoverageForm]:
    """Return all rows, or with the button `missing` those that it is for."""
    missing = given.get("missing")
    if missing == EVERY:
        return [form for form in forms if form.row.holes]
    return [form for form in forms if missing in {None, form.row.key}]


def _say(request: HttpRequest, added: Added, *, several: bool) -> None:
    """Say which rules were added for each product, and which existed already.

    With `several` schools, the school of each course is named.
    """
    for form, rules in added.left:
        for sentence in existing(form, rules):
            messages.warning(request, sentence)
    for form, rules in added.off:
        off = TurnedOffRules(rules, said_off(form.name, rules, with_site=several))
        link = format_html('<a href="{}">{}</a>', off.page, off.label)
        messages.warning(request, format_html("{} {}", off.text, link))
    made = added.made
    if not made and not added.off:
        text = say("Nothing was added: choose a course or bundle in a row, or select a trigger.")
        messages.warning(request, text)
    fresh, page = [rule for _, rules in made for rule in rules], reverse("admin:coverage")
    if made:
        # For several products the preview has just shown the rules.
        text = (
            said_added(made[0][0].name, fresh, with_site=several)
            if len(made) == 1
            else say(
                "{rules} added for {products} products.",
                rules=say_count(len(fresh), "1 rule", "{number} rules"),
                products=len(made),
            )
        )
        messages.success(request, undo_offers.with_undo(request, text, Act.RULE_ADDED, fresh, page))
    backfill.offer(request, fresh, page)


PAGES = [Page("coverage/", "coverage", show, "rules.view_rule")]
