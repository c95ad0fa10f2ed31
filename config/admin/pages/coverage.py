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
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.pages import backfill
from config.admin.pages.coverage_form import Choices, CoverageForm
from config.admin.pages.coverage_meanwhile import in_words, overtaken
from config.admin.parts import meanwhile, params
from config.admin.parts.page import Page, render
from events.reports.coverage import Judged, judged, with_rules
from integrations.sentences import joined, say, say_count
from rules import pairing
from rules.models import Rule

# Each row sends up to seven fields, and Django takes a thousand.
ROWS = 30
NAMED = 3
EVERY = "every"
LONGEST_WORD = 100
Row = TypeVar("Row", bound=Judged)
# The buttons of the page that shows the rules first: add them, or go back to what was entered.
LOOKED, CHANGE = "looked", "change"
CSRF = "csrfmiddlewaretoken"


def show(request: HttpRequest) -> HttpResponse:
    """The table by GET; rules are added by POST, to the rows that were sent."""
    if request.method == "POST":
        return _save(request)
    word = params.word(request.GET.get("q"), LONGEST_WORD)
    rows = judged()
    found = named_like(rows, word)
    shown = Paginator(found, ROWS).get_page(params.page_number(request.GET.get("p")))
    choices = Choices()
    forms = [CoverageForm.fresh(row, choices) for row in with_rules(list(shown))]
    return _page(request, rows, forms, choices, word=word, shown=shown)


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
        to_mend=sum(bool(form.row.holes) for form in forms),
        every=EVERY,
        opened=meanwhile.opened(request),
        may_add=may_add,
    )


def _save(request: HttpRequest) -> HttpResponse:
    """Add what was entered, or with the button `missing` what is recommended, in one go.

    When several products would get rules, a page shows them before they are added.
    """
    if not request.user.has_perm("rules.add_rule"):
        raise PermissionDenied
    word, sent = params.word(request.POST.get("q"), LONGEST_WORD), set(request.POST.getlist("row"))
    forms, choices = _read(request, sent)
    missing = request.POST.get("missing")
    mend = missing is not None
    wanted = [form for form in forms if not mend or missing in {EVERY, form.row.key}]
    if CHANGE not in request.POST and not mend and (page := overtaken(request, wanted)):
        return page
    if CHANGE not in request.POST and (mend or not any(form.errors for form in forms)):
        added = _add(wanted, mend=mend, look=LOOKED not in request.POST)
        if added and added.only_looked:
            return _look(request, added)
        if added:
            _say(request, added, mend=mend)
            # What was entered elsewhere is not saved by `missing`, and stays.
            forms, choices = _read(request, sent) if mend else ([], choices)
            if not any(form.is_touched for form in forms):
                return _again(word)
    forms.sort(key=lambda form: not form.errors)
    text = say("What was entered is not saved yet.")
    if forms and forms[0].errors:
        text = joined([text, say("The rows that need a change are at the top.")])
    messages.warning(request, text)
    return _page(request, judged(), forms, choices, word=word)


def _look(request: HttpRequest, added: "_Added") -> HttpResponse:
    """The page that shows the rules of several products before they are added."""
    sent = {name: values for name, values in request.POST.lists() if name != CSRF}
    return render(
        request,
        "admin/coverage_look.html",
        title=say("Review these rules"),
        number=sum(len(rules) for _, rules in added.made),
        lines=[(form.name, pairing.by_trigger(rules)) for form, rules in added.made],
        existing=[sentence for form, rules in added.left for sentence in _existing(form, rules)],
        fields=[(name, value) for name, values in sent.items() for value in values],
        looked=LOOKED,
        change=CHANGE,
    )


def _again(word: str) -> HttpResponseRedirect:
    query = f"?{urlencode({'q': word})}" if word else ""
    return HttpResponseRedirect(reverse("admin:coverage") + query)


def _read(request: HttpRequest, sent: set[str]) -> tuple[list[CoverageForm], Choices]:
    choices = Choices()
    rows = with_rules([row for row in judged() if row.key in sent])
    return [CoverageForm.read(row, choices, request.POST) for row in rows], choices


@dataclass
class _Added:
    """The rules that were made for each row, and those that were there already.

    `only_looked`: they were taken back, for a person to look at them first.
    """

    made: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    left: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    only_looked: bool = False


def _add(forms: list[CoverageForm], *, mend: bool, look: bool) -> _Added | None:
    """Add all of it; None when one of them cannot be added, and then its row has the error.

    With `look`, rules of several products are taken back again.
    """
    added = _Added()
    try:
        with transaction.atomic():
            for form in forms:
                added.left.append((form, [] if mend else form.existing()))
                rules = form.row.recommended() if mend else form.rules()
                pairing.add(rules)
                if rules:
                    added.made.append((form, rules))
            added.only_looked = look and len(added.made) > 1
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
    for form, rules in made[:NAMED]:
        text = say_count(
            len(rules),
            "{name}: 1 rule added. {rules}",
            "{name}: {number} rules added. {rules}",
            name=form.name,
            rules=in_words(rules),
        )
        messages.success(request, text)
    if len(made) > NAMED:
        text = say_count(
            sum(len(rules) for _, rules in made[NAMED:]),
            "1 rule added for {others}.",
            "{number} rules added for {others}.",
            others=say_count(len(made) - NAMED, "1 more product", "{number} more products"),
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
    return format_html_join("", '<option value="{}"></option>', ((name,) for name in names))


def named_like(rows: Iterable[Row], word: str) -> list[Row]:
    """Those whose name has this word in it."""
    return [row for row in rows if word.casefold() in name_of(row).casefold()]


def name_of(row: Judged) -> str:
    return say("Every product") if row.product is None else row.product.name


PAGES = [Page("coverage/", "coverage", show, "rules.view_rule")]
