"""What the page says about buyers who have access by a rule: how many, what they get and lose."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.bulk_actions import LINES_SHOWN
from config.admin.pages.rules.given import change_links, given_words, keeping
from config.admin.pages.rules.given.change_links import Link
from config.admin.parts.badges import brief, rule_text
from events.access import revocations
from events.models import EventLog, RuleRun
from events.reports.changed_rules.left_behind import (
    MAX_RUNS,
    LeftBehind,
    LeftBehindPurchase,
    with_still_given,
)
from events.reports.earlier.batch_preview import Line
from integrations.models import AuditEntry
from integrations.sentences import Said, joined, say, say_count
from rules.listing import listed, of_several
from rules.models import Rule
from rules.triggers import Trigger

COURSES_NAMED = 3
ADDS = "rules.add_rule"
# How many products an address may name: a server reads 4,094 characters of one.
PRODUCTS = 200


def context(
    request: HttpRequest, found: LeftBehind, kept: Sequence[RuleRun], *, still_first: bool
) -> dict[str, Any]:
    """Return what the template shows; `kept` are the actions whose access others may keep.

    With `still_first` the page is about those who have what the rule gives now, if there are any.
    """
    found = with_still_given(found)
    can = [row.line for row in found.rows if not row.why_not]
    left_out = [row.line for row in found.rows if row.why_not]
    still = found.still[:LINES_SHOWN]
    endings = revocations.later_endings(run.event for run in still)
    return {
        "title": _who_has_it(found.rule) if still_first and still else title(found),
        "still_first": still_first and bool(still),
        "more": found.more,
        "number": len(can),
        **_what_follows(found),
        "lists": [_list(say("What will be done"), can), _list(_heading(found), left_out)],
        "chosen": [line.event.pk for line in can],
        **_of_refunded(found),
        "keep": keeping.let_keep(found.customers, courses_of(found)),
        "grants": [grant.pk for grant in found.grants],
        "still": [(run, _why(endings.get(run.event_id))) for run in still],
        "others": len(found.still) - LINES_SHOWN,
        "kept_runs": kept,
        "again": keeping.mention_again(len(kept), _kept(kept)),
        "rule": found.rule,
        "given_now": _given_now(found.rule),
        "at_once": MAX_RUNS,
        "deletions": _deletions(request, found),
        "another": _another_course(found) if allowed(request, ADDS) else "",
    }


def of_change(request: HttpRequest, found: LeftBehind, number: int) -> dict[str, Any]:
    """Return what the page says about the last change of the rule with this number, if any.

    `changes` link it if it may have been the mistake: an undo is none. If it is none and nobody
    has what the rule gave before, `may_be_wrong` says that the rule itself may be the mistake.
    """
    entry = change_links.last_change(number) if number else None
    was_undone = entry is not None and entry.undoes is not None
    shown = entry if found.rows and not was_undone else None
    return {
        "changes": change_links.of_entries(request, [shown]),
        "may_be_wrong": found.rule is not None and not found.rows and not was_undone,
        "subject": _subject(found, entry),
    }


def _subject(found: LeftBehind, entry: AuditEntry | None) -> Said | str:
    """Return which rule the page is about, or the products of deleted rules."""
    if found.rule is not None:
        return found.rule.in_words()
    if entry is not None:
        return say("Deleted rule: {rule}", rule=rule_text(entry.name))
    names = dict.fromkeys(
        brief(row.event.product.name) for row in found.rows if row.event.product is not None
    )
    return say("Bought: {products}", products=listed([*names], COURSES_NAMED)) if names else ""


def _deletions(request: HttpRequest, found: LeftBehind) -> Sequence[Link]:
    """Return links to the changes that deleted the rules; none for a rule that is there."""
    if found.rule is not None:
        return ()
    products = dict.fromkeys(row.event.product_id for row in found.rows if row.event.product_id)
    return change_links.of_deleted(request, [*products], found.courses)


def _of_refunded(found: LeftBehind) -> dict[str, Any]:
    """Return what ends the access of refunded buyers, who cannot be moved; empty for none."""
    rows = refunded_rows(found)
    names = dict.fromkeys(grant.name for row in rows for grant in row.grants)
    label = say_count(
        LeftBehind(found.rule, rows).customers,
        "End {courses} for 1 refunded buyer",
        "End {courses} for {number} refunded buyers",
        courses=listed([*map(brief, names)], COURSES_NAMED),
    )
    return {"end_refunded": label, "refunded": [row.event.pk for row in rows]} if rows else {}


def _heading(found: LeftBehind) -> Said:
    """Return what stands above the buyers who are not moved."""
    apart = [row for row in found.rows if row.why_not]
    if len(refunded_rows(found)) == len(apart):
        return say("Refunded or canceled: can only be ended")
    return say("Left out")


def refunded_rows(found: LeftBehind) -> list[LeftBehindPurchase]:
    """Return the purchases of refunded buyers, who cannot be moved: their access can be ended."""
    return [row for row in found.rows if row.why_not and row.ending]


def courses_of(found: LeftBehind) -> Said:
    """Return the names of what these buyers have, as in "End Ink or Wash for 2 buyers"."""
    return of_several([*map(brief, found.courses)], COURSES_NAMED, found.customers)


def _kept(runs: Sequence[RuleRun]) -> Said:
    names = dict.fromkeys(brief(run.grant.name) for run in runs if run.grant)
    return listed([*names], COURSES_NAMED)


def still_given(customers: int, courses: Said | str = "") -> Said | None:
    """Return of how many buyers something stays open by something else; None for none.

    `courses` are the names of what that is, if the page says them nowhere else.
    """
    if not customers:
        return None
    if courses:
        return say_count(
            customers,
            "1 buyer keeps {courses}, because something else gives it.",
            "{number} buyers keep {courses}, because something else gives it.",
            courses=courses,
        )
    return say_count(
        customers,
        "1 buyer keeps access, because something else gives it.",
        "{number} buyers keep access, because something else gives it.",
    )


def _why(ending: EventLog | None) -> Said | str:
    return revocations.sentence(ending) if ending else ""


def _another_course(found: LeftBehind) -> str:
    """Return the address of New rule, to give these buyers something; "" if a rule does already."""
    rows = [row for row in found.rows if not row.why_not]
    products = dict.fromkeys(row.event.product_id for row in rows if row.event.product_id)
    if _given(found.rows) or not products:
        return ""
    triggers = {row.event.trigger for row in rows}
    trigger = triggers.pop() if len(triggers) == 1 else Trigger.PRODUCT_PURCHASED.value
    asked = [("product", str(product)) for product in [*products][:PRODUCTS]]
    return f"{reverse('admin:new-rule')}?{urlencode([*asked, ('trigger', trigger)])}"


def _list(title: Said, lines: list[Line]) -> tuple[Said, list[Line], int]:
    """Return the heading, the lines that are shown, and how many more there are."""
    return title, lines[:LINES_SHOWN], len(lines) - LINES_SHOWN


def title_of_end(found: LeftBehind) -> Said:
    """Return the title of a batch that only ends what the rule gave."""
    if found.rule is None:
        return say("End what a deleted rule gave")
    return say("End what the rule gave before")


def title(found: LeftBehind) -> Said:
    """Return the title of the page and of the batch that it starts."""
    if courses := _given(row for row in found.rows if not row.why_not):
        return say("Move buyers to {courses}", courses=courses)
    if found.rule is not None and not found.rows:
        return _who_has_it(found.rule)
    return title_of_end(found)


def _who_has_it(rule: Rule | None) -> Said:
    if course := _given_now(rule):
        return say("Who has {course} through this rule", course=course)
    return say("Who has access through this rule")


def _given_now(rule: Rule | None) -> str:
    """Return the name of what the rule gives, "" for nothing."""
    return brief(rule.destination) if rule and rule.destination else ""


def _given(rows: Iterable[LeftBehindPurchase]) -> str:
    """Return the names of what these buyers get instead, "" for nothing."""
    names = dict.fromkeys(brief(rule.destination) for row in rows for rule in row.gives)
    return listed([*names], COURSES_NAMED)


def _what_follows(found: LeftBehind) -> dict[str, Any]:
    """Return the labels of the buttons, and what buyers who can be moved lose.

    `ends_only` says that they can only lose it.
    """
    rows = [row for row in found.rows if not row.why_not]
    moved = LeftBehind(found.rule, rows)
    only_end = say_count(
        moved.customers,
        "End {courses} for 1 buyer",
        "End {courses} for {number} buyers",
        courses=courses_of(moved),
    )
    told: dict[str, Any] = {"label": only_end, "ends_only": True}
    if courses := _given(rows):
        move = say_count(
            moved.customers,
            "Move 1 buyer to {courses}",
            "Move {number} buyers to {courses}",
            courses=courses,
        )
        told = {"label": move, "ends_only": False}
        # An edited rule fits its earlier buyers, so only a deleted one offers to end access and
        # give nothing.
        told |= {"only_end": only_end} if found.rule is None else {}
    ends = say(
        "Their access to {courses} ends, unless another purchase gives it.",
        courses=listed([*map(brief, moved.courses)], COURSES_NAMED),
    )
    keeps = still_given(moved.still_given, _still_open(rows))
    return told | {"ends": joined([ends, keeps, given_words.taken_back(moved.taken_back)])}


def _still_open(rows: Iterable[LeftBehindPurchase]) -> Said:
    """Return the names of what stays open by something else when these buyers are moved."""
    some = [row for row in rows if row.still_given]
    names = dict.fromkeys(
        brief(grant.name) for row in some for grant in row.grants if grant.pk in row.still_given
    )
    return of_several([*names], COURSES_NAMED, len(some))
