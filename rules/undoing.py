"""Undo the last change of a rule, using the values that its audit entry kept."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import joined, say
from rules import changing
from rules.models import Rule

UNDONE = {Act.RULE_ADDED, Act.RULE_CHANGED, Act.RULE_DELETED}
# A request never takes longer than this, so all entries of one step lie within it.
LONGEST_STEP = timedelta(minutes=10)
CHANGED_SINCE = _("The rule was changed since. Undo the later change first, or edit the rule.")


def why_not(entry: AuditEntry) -> str:
    """Return why this change cannot be undone, or "" if it can."""
    try:
        _before(entry)
    except ValueError as error:
        return str(error)
    return ""


def of_step(entry: AuditEntry) -> list[AuditEntry]:
    """Return the entries of the same act in the same step, including this one."""
    same = AuditEntry.objects.filter(
        act=entry.act, kind=entry.kind, who=entry.who, place=entry.place
    )
    if entry.step is not None:
        around = same.filter(at__range=(entry.at - LONGEST_STEP, entry.at + LONGEST_STEP))
        return list(around.filter(step=entry.step).order_by("pk"))
    # SQLite compares times as text, and stored times have fewer digits than query parameters. So
    # the query takes a wider range, and Python picks the exact time.
    about_then = same.filter(at__gt=entry.at - timedelta(milliseconds=1), at__lte=entry.at)
    return [each for each in about_then.order_by("pk") if each.at == entry.at]


def left(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Return which of these additions and deletions are the last change of their rule.

    A deleted rule is not there again; an added one is still there.
    """
    entries = list(entries)
    last = newest(entries)
    rules = Rule.objects.filter(pk__in=[int(each.number) for each in entries if each.pk in last])
    there = set(rules.values_list("pk", flat=True))
    return [
        each
        for each in entries
        if each.pk in last and (int(each.number) in there) == (each.act == Act.RULE_ADDED)
    ]


def newest(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pk of the newest rule change for each rule that these entries are about."""
    numbers = {each.number for each in entries if each.act in UNDONE}
    every = AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number__in=numbers, act__in=UNDONE
    )
    last = every.order_by().values("number").annotate(last=Max("pk"))
    return set(last.values_list("last", flat=True)) if numbers else set()


def undo_deleting(entry: AuditEntry) -> list[Rule]:
    """Restore all rules that were deleted in this step and do not exist again.

    Restores all or none. Raises ValueError with a sentence if one cannot be restored.
    """
    with transaction.atomic():
        return [undo(each) for each in left(of_step(entry))]


def undo(entry: AuditEntry) -> Rule:
    """Restore the rule to what it was before this change, and record that as a new change.

    Raises ValueError with a sentence where the change cannot be undone. For a change or a
    deletion: a rule that was added is deleted as any other, by the page that asks about it.
    """
    if reason := why_not(entry):
        raise ValueError(reason)
    try:
        return _undo(entry)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None


def undone(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pks of the given changes that were undone, unless that undo was undone, too."""
    rules = {each.pk: each.number for each in entries if each.act in UNDONE}
    if not rules:
        return set()
    later = AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number__in=set(rules.values()), pk__gt=min(rules)
    )
    found: set[int] = set()
    undoings = later.filter(undoes__isnull=False).order_by("-pk")
    for number, change in undoings.values_list("pk", "undoes"):
        if number not in found and change is not None:
            found.add(change)
    return found & rules.keys()


def _undo(entry: AuditEntry) -> Rule:
    with changing.all_or_none():
        # Lock the rule before reading it: somebody else may be editing it right now.
        list(Rule.objects.select_for_update().filter(pk=entry.number))
        now = audit.stored(Rule(pk=int(entry.number)))
        rule = _before(entry)
        assert rule is not None, "a rule that was added is deleted"
        is_new = rule._state.adding
        rule.save(force_insert=is_new)
        act = Act.RULE_ADDED if is_new else Act.RULE_CHANGED
        after = audit.values(rule)
        audit.record_difference(act, rule, now, after, undoes=entry.pk)
    return rule


def _before(entry: AuditEntry) -> Rule | None:
    """Return the unsaved rule as it was before, or None if it did not exist.

    Raises ValueError with a sentence if the change cannot be undone.
    """
    if entry.act not in UNDONE:
        raise ValueError(say("Only what was done to a rule can be undone."))
    later = AuditEntry.objects.filter(kind=entry.kind, number=entry.number, pk__gt=entry.pk)
    if later.filter(act__in=UNDONE).exists():
        raise ValueError(CHANGED_SINCE)
    rule = Rule.objects.filter(pk=int(entry.number)).first()
    if entry.act != Act.RULE_DELETED and (rule is None or not _is_as_left(rule, entry)):
        raise ValueError(CHANGED_SINCE)
    if entry.act == Act.RULE_ADDED:
        return None
    if entry.act == Act.RULE_DELETED:
        if rule is not None:
            raise ValueError(say("This rule is there again."))
        rule = Rule(pk=int(entry.number))
    assert rule is not None
    for name, value in (entry.before or {}).items():
        setattr(rule, name, _as_it_was(name, value))
    if rule.destination and rule.is_gone:
        raise ValueError(joined([rule.destination.missing, say("Choose another course for it.")]))
    try:
        rule.full_clean()
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return rule


def _is_as_left(rule: Rule, entry: AuditEntry) -> bool:
    """Return whether the rule still is as this change left it. Changed names do not matter."""
    now = audit.values(rule)
    return all(_plain(now[name]) == _plain(value) for name, value in (entry.after or {}).items())


def _plain(value: Any) -> Any:
    return value["number"] if isinstance(value, dict) else value


def _as_it_was(name: str, value: Any) -> Any:
    """Return the value for the rule's field. Raises ValueError if the related row is gone."""
    if not isinstance(value, dict):
        return value
    field: Any = Rule._meta.get_field(name)
    found = field.related_model._default_manager.filter(pk=value["number"]).first()
    if found is None:
        raise ValueError(
            say(
                "{name} is not there any more, so the rule cannot be as before.",
                name=value["name"],
            )
        )
    return found
