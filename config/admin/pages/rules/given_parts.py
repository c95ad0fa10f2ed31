"""What the page says of those who have access by a rule: who gets and loses what, and how many."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.many import SHOWN
from config.admin.parts.badges import brief
from events.deciding import revocations
from events.models import EventLog, RuleRun
from events.reports.left_behind import MOST, Behind, LeftBehind
from events.reports.many import Line
from integrations.sentences import Said, joined, say, say_count
from rules.listing import listed
from rules.triggers import Trigger

NAMED = 3
ADDS = "rules.add_rule"
# So many products an address names: a server reads 4,094 characters of one.
PRODUCTS = 200


def context(request: HttpRequest, found: LeftBehind, kept: Sequence[RuleRun]) -> dict[str, Any]:
    """What the template shows of these, and of what buyers are let keep."""
    can = [row.line for row in found.rows if not row.why_not]
    left_out = [row.line for row in found.rows if row.why_not]
    still = found.still[:SHOWN]
    endings = revocations.ended_since(run.event for run in still)
    return {
        "title": title(found),
        "more": found.more,
        "number": len(can),
        **_what_follows(found),
        "lists": [_list(say("What will be done"), can), _list(say("Left out"), left_out)],
        "chosen": [line.event.pk for line in can],
        "keep": say_count(found.customers, "Let 1 buyer keep it", "Let {number} buyers keep it"),
        "every": [row.event.pk for row in found.rows],
        "still": [(run, _why(endings.get(run.event_id))) for run in still],
        "others": len(found.still) - SHOWN,
        "kept_runs": kept,
        "again": say_count(len(kept), "Tell of it again", "Tell of these {number} again"),
        "rule": found.rule,
        "at_once": MOST,
        "another": _another_course(found) if allowed(request, ADDS) else "",
    }


def taken_back(customers: int) -> Said | str:
    """That these many were refunded or canceled, and still have it; "" for none."""
    if not customers:
        return ""
    return say_count(
        customers,
        "The purchase of 1 buyer was refunded or canceled since.",
        "The purchases of {number} buyers were refunded or canceled since.",
    )


def _why(ending: EventLog | None) -> Said | str:
    return revocations.sentence(ending) if ending else ""


def _another_course(found: LeftBehind) -> str:
    """Where a rule is made by which these can be moved; "" where they can be, or need none."""
    rows = [row for row in found.rows if not row.why_not]
    products = dict.fromkeys(row.event.product_id for row in rows if row.event.product_id)
    if _given(found.rows) or not products:
        return ""
    triggers = {row.event.trigger for row in rows}
    trigger = triggers.pop() if len(triggers) == 1 else Trigger.PRODUCT_PURCHASED.value
    asked = [("product", str(product)) for product in [*products][:PRODUCTS]]
    return f"{reverse('admin:new-rule')}?{urlencode([*asked, ('trigger', trigger)])}"


def _list(title: Said, lines: list[Line]) -> tuple[Said, list[Line], int]:
    """What is shown of these, and how many more there are."""
    return title, lines[:SHOWN], len(lines) - SHOWN


def title(found: LeftBehind) -> Said:
    """Of the page, and of what is done by it."""
    if courses := _given(found.rows):
        return say("Move buyers to {courses}", courses=courses)
    if found.rule is None:
        return say("End what a deleted rule gave")
    if not found.rows:
        return say("Who has it by this rule")
    return say("End what the rule gave before")


def _given(rows: Iterable[Behind]) -> str:
    """The names of what these get instead, "" where that is nothing."""
    names = dict.fromkeys(brief(rule.destination) for row in rows for rule in row.gives)
    return listed([*names], NAMED)


def _what_follows(found: LeftBehind) -> dict[str, Said]:
    """What the buttons say, and what those who can be moved lose by it."""
    rows = [row for row in found.rows if not row.why_not]
    moved = LeftBehind(found.rule, rows)
    only_end = say_count(moved.customers, "End it for 1 buyer", "End it for {number} buyers")
    told = {"label": only_end}
    if courses := _given(rows):
        move = say_count(
            moved.customers,
            "Move 1 buyer to {courses}",
            "Move {number} buyers to {courses}",
            courses=courses,
        )
        told = {"label": move}
        # Whether an edited rule fits its earlier buyers, too, is no question.
        told |= {"only_end": only_end} if found.rule is None else {}
    ends = say(
        "Their access to {courses} ends, unless another purchase gives it.",
        courses=listed([*map(brief, moved.courses)], NAMED),
    )
    return told | {"ends": joined([ends, taken_back(moved.taken_back)])}
