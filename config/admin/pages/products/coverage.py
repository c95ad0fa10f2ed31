"""Coverage: what each product gives, what ends that and gives it back; many are set up at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Page as PageOfRows
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from config.admin.pages.products.coverage_form import Choices, CoverageForm
from config.admin.pages.products.coverage_meanwhile import overtaken, said_added
from config.admin.pages.rules import backfill, behind_all, left_over, undo_offers
from config.admin.parts import badges, meanwhile, params
from config.admin.parts.page import Page, render
from events.reports import behind_all_rules, subscriptions
from events.reports.coverage import Coverage, Judged, judged, with_rules
from integrations.sentences import Said, joined, say, say_count
from rules import changing, pairing
from rules.models import Rule

# Each row sends up to seven fields, and Django takes a thousand.
ROWS = 30
EVERY = "every"
LONGEST_WORD = 100
Row = TypeVar("Row", bound=Judged)
# The buttons of the page that shows the rules first: add them, go back to what was entered, or
# forget it.
LOOKED, CHANGE, FORGET = "looked", "change", "forget"
# The button that ticks what is suggested by name; nothing is added by it.
TICK = "tick"
CSRF = "csrfmiddlewaretoken"
# What was entered and is not saved yet, in the session: so the page that shows it has an address.
KEPT = "coverage"
LOOK = "look"


def show(request: HttpRequest) -> HttpResponse:
    """The table by GET; rules are added by POST, to the rows that were sent."""
    if request.method == "POST":
        return _save(request)
    if LOOK in request.GET:
        return _look(request)
    word = params.word(request.GET.get("q"), LONGEST_WORD)
    rows = judged()
    found = named_like(rows, word)
    shown = Paginator(found, ROWS).get_page(params.page_number(request.GET.get("p")))
    choices = Choices()
    forms = _fresh(with_rules(list(shown)), choices)
    return _page(request, rows, forms, choices, word=word, shown=shown)


def _fresh(rows: list[Coverage], choices: Choices) -> list[CoverageForm]:
    once = subscriptions.paid_once(row.product for row in rows if row.product and not row.given)
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
    word: str,
    shown: PageOfRows | None = None,
) -> HttpResponse:
    may_add = request.user.has_perm("rules.add_rule")
    return render(
        request,
        "admin/coverage.html",
        title=say("Coverage"),
        q=word,
        any=bool(rows),
        forms=forms,
        shown=shown,
        options=_options(choices.names) if may_add else "",
        accounts={row.marketplace.pk for row in rows},
        nothing=sum(row.gives_nothing_to_buyers for row in rows),
        without_pairs=sum(bool(row.holes) for row in rows),
        behind=behind_all.by_rule(request, behind_all_rules.everywhere()),
        left_over=sum(bool(row.left_over) for row in rows),
        undoable=undo_offers.step(request),
        may_settle=request.user.has_perms(left_over.MAY),
        to_mend=sum(bool(form.row.holes) for form in forms),
        every=EVERY,
        opened=meanwhile.opened(request),
        kept=f"?{LOOK}=yes" if may_add and KEPT in request.session else "",
        may_add=may_add,
        suggests=may_add and any(form.suggested for form in forms),
    )


def _save(request: HttpRequest) -> HttpResponse:
    """Add what was entered, or with the button `missing` what is recommended, in one go.

    A page shows the rules before they are added, but for those missing to one product.
    """
    if not request.user.has_perm("rules.add_rule"):
        raise PermissionDenied
    word = params.word(request.POST.get("q"), LONGEST_WORD)
    if FORGET in request.POST:
        request.session.pop(KEPT, None)
        return _again(word)
    forms, choices = _read(request.POST)
    if TICK in request.POST:
        for form in forms:
            form.entered = list(dict.fromkeys([*form.entered, *form.suggested]))
        return _page(request, judged(), forms, choices, word=word)
    mend = "missing" in request.POST
    wanted = _wanted(forms, request.POST)
    if CHANGE not in request.POST and not mend and (page := overtaken(request, wanted)):
        return page
    if CHANGE not in request.POST and (mend or not any(form.errors for form in forms)):
        unseen = None if LOOKED in request.POST else int(mend)
        added = _add(wanted, mend=mend, unseen=unseen)
        if added and added.only_looked:
            sent = {name: values for name, values in request.POST.lists() if name != CSRF}
            request.session[KEPT] = sent
            return HttpResponseRedirect(f"{reverse('admin:coverage')}?{LOOK}=yes")
        if added:
            request.session.pop(KEPT, None)
            _say(request, added, mend=mend)
            # What was entered elsewhere is not saved by `missing`, and stays.
            forms, choices = _read(request.POST) if mend else ([], choices)
            if not any(form.is_touched for form in forms):
                return _again(word)
    forms.sort(key=lambda form: not form.errors)
    text = say("What was entered is not saved yet.")
    if forms and forms[0].errors:
        text = joined([text, say("The rows that need a change are at the top.")])
    messages.warning(request, text)
    return _page(request, judged(), forms, choices, word=word)


def _look(request: HttpRequest) -> HttpResponse:
    """The page that shows the rules before they are added."""
    kept = request.session.get(KEPT)
    if not kept or not request.user.has_perm("rules.add_rule"):
        return _again("")
    given = MultiValueDict(kept)
    forms, _ = _read(given)
    mend = "missing" in given
    added = _add(_wanted(forms, given), mend=mend, unseen=0)
    if not added or not added.made:
        del request.session[KEPT]
        text = say("What was entered cannot be added any more: rules have changed meanwhile.")
        messages.warning(request, text)
        return _again("")
    return render(
        request,
        "admin/coverage_look.html",
        title=say("Review these rules"),
        number=sum(len(rules) for _, rules in added.made),
        lines=[(form.name, _effects(rules)) for form, rules in added.made],
        existing=[sentence for form, rules in added.left for sentence in _existing(form, rules)],
        fields=[(name, value) for name, values in kept.items() for value in values],
        looked=LOOKED,
        change=CHANGE,
        forget=FORGET,
    )


def _effects(rules: list[Rule]) -> list[Said]:
    """ "Product Refunded: ends access to Course Two" """
    found = []
    for trigger, each in pairing.by_trigger(rules):
        facts = {
            "trigger": trigger.label,
            "courses": ", ".join(badges.destination(rule.destination) for rule in each),
        }
        if each[0].spec.ends_access:
            found.append(say("{trigger}: ends access to {courses}", **facts))
        else:
            found.append(say("{trigger}: gives access to {courses}", **facts))
    return found


def _again(word: str) -> HttpResponseRedirect:
    query = f"?{urlencode({'q': word})}" if word else ""
    return HttpResponseRedirect(reverse("admin:coverage") + query)


def _read(given: MultiValueDict[str, str]) -> tuple[list[CoverageForm], Choices]:
    """The rows that were sent, in the order of the page."""
    choices, sent = Choices(), set(given.getlist("row"))
    rows = with_rules([row for row in judged() if row.key in sent])
    return [CoverageForm.read(row, choices, given) for row in rows], choices


def _wanted(forms: list[CoverageForm], given: MultiValueDict[str, str]) -> list[CoverageForm]:
    """All rows, or with the button `missing` the one or those that it is for."""
    missing = given.get("missing")
    return [form for form in forms if missing is None or missing in {EVERY, form.row.key}]


@dataclass
class _Added:
    """The rules that were made for each row, and those that were there already.

    `only_looked`: they were taken back, for a person to look at them first.
    """

    made: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    left: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    only_looked: bool = False


def _add(forms: list[CoverageForm], *, mend: bool, unseen: int | None) -> _Added | None:
    """Add all of it; None when one of them cannot be added, and then its row has the error.

    The rules of more than `unseen` products are taken back again; None takes none back.
    """
    added = _Added()
    try:
        with changing.all_or_none():
            for form in forms:
                added.left.append((form, [] if mend else form.existing()))
                rules = form.row.recommended() if mend else form.rules()
                for rule in rules:
                    rule.full_clean()
                if rules:
                    added.made.append((form, rules))
            changing.add_all([rule for _, rules in added.made for rule in rules])
            added.only_looked = unseen is not None and len(added.made) > unseen
            transaction.set_rollback(added.only_looked)
    except ValidationError as error:
        form.errors += error.messages
        return None
    return added


def _say(request: HttpRequest, added: _Added, *, mend: bool) -> None:
    """What was made, for each product, and what was there already."""
    for form, rules in added.left:
        for sentence in _existing(form, rules):
            messages.warning(request, sentence)
    made = added.made
    if not made and mend:
        text = say("The rules that are missing are there, but turned off.")
        page = f"{reverse('admin:rules_rule_changelist')}?state=off"
        link = format_html('<a href="{}">{}</a>', page, say("See those that are off"))
        messages.warning(request, format_html("{} {}", text, link))
    elif not made:
        messages.warning(request, say("Nothing was added."))
    # Of several products a page has just shown the rules.
    for form, rules in made if len(made) == 1 else ():
        messages.success(request, said_added(form.name, rules))
    if len(made) > 1:
        text = say(
            "{rules} added for {products} products.",
            rules=say_count(sum(len(rules) for _, rules in made), "1 rule", "{number} rules"),
            products=len(made),
        )
        messages.success(request, text)
    backfill.offer(request, [r for _, rules in made for r in rules], reverse("admin:coverage"))


def _existing(form: CoverageForm, rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        names = {"name": form.name, "course": str(rule.destination)}
        if rule.enabled:
            yield say("{name} has a rule for {course} already.", **names)
        else:
            yield say("{name} has a rule for {course} already, and it is turned off.", **names)


def _options(names: Iterable[str]) -> SafeString:
    """Of the list behind the fields; not in the template, for there may be thousands."""
    options = (f'<option value="{escape(name)}"></option>' for name in names)
    return mark_safe("".join(options))  # noqa: S308 - each escaped


def named_like(rows: Iterable[Row], word: str) -> list[Row]:
    """Those whose name has this word in it."""
    return [row for row in rows if word.casefold() in name_of(row).casefold()]


def name_of(row: Judged) -> str:
    return say("Every product") if row.product is None else row.product.name


PAGES = [Page("coverage/", "coverage", show, "rules.view_rule")]
