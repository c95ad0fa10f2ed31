"""What one step did to rules, and which of it can still be undone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from django.db.models import Max, Q

from integrations.audit import Act
from integrations.models import AuditEntry
from rules.history import product_undoing
from rules.models import Rule

OF_RULES = {Act.RULE_ADDED, Act.RULE_CHANGED, Act.RULE_DELETED}
# A request never takes longer than this, so all entries of one step lie within it.
LONGEST_STEP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did to rules, and what has become of it.

    `left` are those of the entries that can be undone. Of the other rules, `there` exist and
    `gone` do not.
    """

    entries: Sequence[AuditEntry]
    left: Sequence[AuditEntry]
    there: int
    gone: int


def of_step(entry: AuditEntry) -> list[AuditEntry]:
    """Return the entries of the same act in the same step, including this one.

    For a product's deletion, return the entries of the rules that were deleted with it.
    """
    return _of_steps([entry])[entry.pk]


def every(entries: Iterable[AuditEntry]) -> dict[int, Step]:
    """Return the step of each of these changes of rules, by pk. Takes the same few queries for any.

    Each entry stands for its whole step.
    """
    found = _of_steps(entries)
    of_all = [*chain.from_iterable(found.values())]
    standing = {each.pk for each in still_standing(of_all)}
    others = [int(each.number) for each in of_all if each.pk not in standing]
    rules = Rule.objects.filter(pk__in=others).values_list("pk", flat=True) if others else ()
    exist = {str(number) for number in rules}
    return {pk: _step(of_it, standing, exist) for pk, of_it in found.items()}


def _step(entries: Sequence[AuditEntry], standing: set[int], exist: set[str]) -> Step:
    others = [each.number for each in entries if each.pk not in standing]
    there = sum(number in exist for number in others)
    undoable = [each for each in entries if each.pk in standing]
    return Step(entries, undoable, there, len(others) - there)


def still_standing(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Return which of these changes of rules still stand.

    Each is the last change of its rule. A deleted rule does not exist again, and an added or
    changed one still exists.
    """
    entries = list(entries)
    last = newest(entries)
    numbers = [int(each.number) for each in entries if each.pk in last]
    rules = Rule.objects.filter(pk__in=numbers).values_list("pk", flat=True) if numbers else ()
    there = set(rules)
    return [
        each
        for each in entries
        if each.pk in last and (int(each.number) in there) == (each.act != Act.RULE_DELETED)
    ]


def newest(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pk of the newest rule change for each rule that these entries are about."""
    numbers = {each.number for each in entries if each.act in OF_RULES}
    changes = AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number__in=numbers, act__in=OF_RULES
    )
    last = changes.order_by().values("number").annotate(last=Max("pk"))
    return set(last.values_list("last", flat=True)) if numbers else set()


def _of_steps(entries: Iterable[AuditEntry]) -> dict[int, list[AuditEntry]]:
    """Return what `of_step` does for each of these entries, by pk, in one query."""
    entries = list(entries)
    around = Q()
    for entry in entries:
        around |= Q(at__range=_moments(entry), step=entry.step)
    found: dict[int | datetime, list[AuditEntry]] = defaultdict(list)
    # Neither a condition on the act nor an order: for these the database would read far more rows.
    for each in sorted(AuditEntry.objects.filter(around), key=_number) if entries else ():
        found[_mark(each)].append(each)
    return {
        entry.pk: [each for each in found[_mark(entry)] if _is_with(each, entry)]
        for entry in entries
    }


def _moments(entry: AuditEntry) -> tuple[datetime, datetime]:
    """Return the first and last moment at which an entry of the same step can be."""
    if entry.step is not None:
        return entry.at - LONGEST_STEP, entry.at + LONGEST_STEP
    # SQLite compares times as text. Stored times have three decimals, query parameters six or, at a
    # full second, none. So the query takes a wider range, and Python picks the exact time.
    near = timedelta(milliseconds=1)
    return entry.at - near, entry.at + near


def _number(entry: AuditEntry) -> int:
    return entry.pk


def _mark(entry: AuditEntry) -> int | datetime:
    """Return what the entries of one step have in common."""
    return entry.at if entry.step is None else entry.step


def _is_with(each: AuditEntry, entry: AuditEntry) -> bool:
    if (each.who, each.place) != (entry.who, entry.place):
        return False
    if entry.act == Act.PRODUCT_DELETED:
        is_rule = each.act == Act.RULE_DELETED
        return is_rule and product_undoing.number_in(each) == int(entry.number)
    return (each.act, each.kind) == (entry.act, entry.kind)
