"""Changes and deletions of rules, as entries of the audit tell of them."""

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from datetime import datetime
from typing import Any

from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from integrations.sentences import Said, format_day, say
from integrations.who import shown_who
from rules.actions import ACTIONS
from rules.models import Rule

# At most this many changes are looked at, newest first.
MAX_ENTRIES = 500


def since(moment: datetime) -> list[AuditEntry]:
    """Return the changes and deletions of rules since then, the newest first. Takes one query."""
    entries = AuditEntry.objects.filter(
        at__gte=moment,
        act__in=[Act.RULE_CHANGED, Act.RULE_DELETED],
        kind=Rule._meta.model_name,
    )
    return list(entries.order_by("-pk")[:MAX_ENTRIES])


def deleted(changes: Iterable[AuditEntry]) -> list[Rule]:
    """Return the rules that these changes deleted and that were on, not saved, with their IDs.

    They have no course or bundle if Admit no longer knows it. Takes one query, or none.
    """
    entries = [each for each in changes if each.act == Act.RULE_DELETED and _was_on(each)]
    numbers = {number_before(each, "destination") for each in entries} - {None}
    known = Destination.objects.select_related("integration").in_bulk(numbers) if numbers else {}
    rules = []
    for each in entries:
        before, account = each.before or {}, number_before(each, "marketplace")
        if account is None:
            continue
        course = known.get(number_before(each, "destination") or 0)
        rule = Rule(
            pk=int(each.number),
            marketplace_id=account,
            product_id=number_before(each, "product"),
            trigger=before["trigger"],
            action=before["action"],
            destination=course,
        )
        if course is not None:
            rule.integration = course.integration
        rules.append(rule)
    return rules


def _was_on(entry: AuditEntry) -> bool:
    """Return whether the rule was on, as far as the entry tells all that a rule needs."""
    before = entry.before or {}
    told = before.get("action") in ACTIONS and "trigger" in before
    return told and before.get("enabled", True)


def number_before(entry: AuditEntry, name: str) -> int | None:
    """Return the ID of what the rule was about before, by the name of its field.

    None if the rule was about none, or the entry does not tell.
    """
    return _number(entry.before, name)


def number_after(entry: AuditEntry, name: str) -> int | None:
    """Return the ID of what the rule is about since then, like `number_before`."""
    return _number(entry.after, name)


def _number(values: Mapping[str, Any] | None, name: str) -> int | None:
    kept = (values or {}).get(name)
    return kept.get("number") if isinstance(kept, dict) else None


def before_new_course(
    changes: Iterable[AuditEntry], rules: Mapping[int, Rule]
) -> dict[int, tuple[Rule, datetime]]:
    """Return each rule as it was before it came to its course, not saved, and when that was.

    `changes` are the newest first, and `rules` by ID, as is the result. Rules whose course did not
    change, or whose former course Admit no longer knows, are left out. Takes one query, or none.
    """
    newest: dict[int, AuditEntry] = {}
    for each in changes:
        if each.act == Act.RULE_CHANGED and "destination" in (each.after or {}):
            newest.setdefault(int(each.number), each)
    moved = {pk: each for pk, each in newest.items() if pk in rules}
    numbers = {number_before(each, "destination") for each in moved.values()} - {None}
    known = Destination.objects.select_related("integration").in_bulk(numbers) if numbers else {}
    found = {}
    for pk, entry in moved.items():
        if course := known.get(number_before(entry, "destination") or 0):
            former = copy(rules[pk])
            former.destination, former.integration = course, course.integration
            found[pk] = (former, entry.at)
    return found


def away_from(rule: int, courses: Collection[int]) -> AuditEntry | None:
    """Return the newest change by which this rule gave one of these courses (IDs) no more.

    None also if that change was an undo, which puts a mistake right. Takes one query.
    """
    entries = AuditEntry.objects.filter(
        act=Act.RULE_CHANGED,
        kind=Rule._meta.model_name,
        number=str(rule),
        # A list, because PostgreSQL compares no value within JSON with a column of numbers.
        before__destination__number__in=list(courses),
    )
    last = entries.order_by("-pk").first()
    return last if last and not last.undoes else None


def course_before(entry: AuditEntry) -> str:
    """Return the name of the course or bundle that the rule was about before, "" if unknown."""
    return _course(entry.before)


def _course(values: Mapping[str, Any] | None) -> str:
    kept = (values or {}).get("destination")
    return str(kept.get("name", "")) if isinstance(kept, dict) else ""


def in_words(entry: AuditEntry, *, product: str = "") -> Said:
    """Say who took a course from what a rule gives, on what day, and what it gives instead.

    Where it is not plain whose rule that is, pass the name of the `product`.
    """
    facts = {
        "person": shown_who(entry.who) or say("Somebody"),
        "old": course_before(entry),
        "new": _course(entry.after),
        "day": format_day(entry.at),
        "product": product,
    }
    if entry.act == Act.RULE_DELETED:
        return say("{person} deleted the rule that gave {old} on {day}.", **facts)
    if not facts["new"]:
        return say("{person} changed the rule that gave {old} on {day}.", **facts)
    if product:
        return say("{person} changed a rule of {product} on {day} from {old} to {new}.", **facts)
    return say("{person} changed the rule on {day} from {old} to {new}.", **facts)
