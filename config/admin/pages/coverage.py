"""Coverage: what each product gives, what ends that and gives it back; many are set up at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from config.admin.pages import backfill
from config.admin.pages.coverage_form import Choices, CoverageForm
from config.admin.parts import params
from config.admin.parts.page import Page, render
from events.reports import backfill as earlier
from events.reports import subscriptions
from events.reports.coverage import Coverage, coverage
from integrations.sentences import Said, joined, say, say_count
from rules import pairing
from rules.models import Rule

# Each row sends up to seven fields, and Django takes a thousand.
MANY = 100
NAMED = 3
EVERY = "every"
LONGEST_WORD = 100
# The buttons of the page that shows the rules first: add them, or go back to what was entered.
LOOKED, CHANGE = "looked", "change"
CSRF = "csrfmiddlewaretoken"


def show(request: HttpRequest) -> HttpResponse:
    """The table by GET; rules are added by POST, to the rows that were sent."""
    if request.method == "POST":
        return _save(request)
    word = params.word(request.GET.get("q"), LONGEST_WORD)
    rows = coverage()
    found = [row for row in rows if word.casefold() in _name(row).casefold()]
    choices = Choices()
    forms = _fresh(found[:MANY], choices)
    return _page(request, rows, forms, choices, word=word, more=len(found) > MANY)


def _fresh(rows: list[Coverage], choices: Choices) -> list[CoverageForm]:
    once = subscriptions.paid_once(row.product for row in rows if row.product and not row.given)
    return [
        CoverageForm.fresh(row, choices, paid_once=bool(row.product and row.product.pk in once))
        for row in rows
    ]


def _page(
    request: HttpRequest,
    rows: list[Coverage],
    forms: list[CoverageForm],
    choices: Choices,
    *,
    word: str,
    more: bool = False,
) -> HttpResponse:
    may_add = request.user.has_perm("rules.add_rule")
    return render(
        request,
        "admin/coverage.html",
        title=say("Coverage"),
        q=word,
        any=bool(rows),
        forms=forms,
        more=more,
        most=MANY,
        names=choices.names if may_add else [],
        accounts={row.marketplace.pk for row in rows},
        nothing=sum(row.gives_nothing_to_buyers for row in rows),
        without_pairs=sum(bool(row.holes) for row in rows),
        to_mend=sum(bool(form.row.holes) for form in forms),
        every=EVERY,
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
        text = joined([text, say("The rows that need a change stand first.")])
    messages.warning(request, text)
    return _page(request, coverage(), forms, choices, word=word)


def _look(request: HttpRequest, added: "_Added") -> HttpResponse:
    """The page that shows the rules of several products before they are added."""
    sent = {name: values for name, values in request.POST.lists() if name != CSRF}
    return render(
        request,
        "admin/coverage_look.html",
        title=say("Look before these rules are added"),
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
    rows = [row for row in coverage() if row.key in sent]
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
        text = say(
            "The rules that are missing are there, but turned off. Turn them on at the product."
        )
        messages.warning(request, text)
    elif not made:
        messages.warning(request, say("Nothing was added."))
    for form, rules in made[:NAMED]:
        text = say_count(
            len(rules),
            "{name}: 1 rule added. {rules}",
            "{name}: {number} rules added. {rules}",
            name=form.name,
            rules=_told(rules),
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
    _offer_earlier(request, [rule for _, rules in made for rule in rules])


def _existing(form: CoverageForm, rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        names = {"name": form.name, "course": str(rule.destination)}
        if rule.enabled:
            yield say("{name} has a rule for {course} already.", **names)
        else:
            yield say("{name} has a rule for {course} already, and it is turned off.", **names)


def _offer_earlier(request: HttpRequest, rules: list[Rule]) -> None:
    """Lead to those who paid before these rules were made: one look at all of them."""
    giving = [rule for rule in rules if earlier.gives_now(rule)]
    if not giving or not request.user.has_perm("events.rerun_eventlog"):
        return
    number = earlier.preview(*giving).customers
    if number:
        address = backfill.address(giving, back=reverse("admin:coverage"))
        link = format_html('<a href="{}">{}</a>', address, say("See and enroll them"))
        buyers = say_count(
            number,
            "1 buyer paid before and got nothing:",
            "{number} buyers paid before and got nothing:",
        )
        messages.success(request, format_html("{} {}", buyers, link))


def _told(rules: list[Rule]) -> Said:
    """ "Product Purchased: Course Two. Product Refunded: Course Two." """
    return joined(
        say(
            "{trigger}: {courses}.",
            trigger=trigger.label,
            courses=", ".join(str(rule.destination) for rule in each),
        )
        for trigger, each in pairing.by_trigger(rules)
    )


def _name(row: Coverage) -> str:
    return say("Every product") if row.product is None else row.product.name


PAGES = [Page("coverage/", "coverage", show, "rules.view_rule")]
