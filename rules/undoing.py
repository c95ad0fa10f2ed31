"""Undo the last change of a rule or the deletion of a product, from what the audit entry kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max, QuerySet
from django.utils.translation import gettext_lazy as _

from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import joined, say
from rules import changing, product_undoing
from rules.models import Rule

UNDONE = {Act.RULE_ADDED, Act.RULE_CHANGED, Act.RULE_DELETED}
UNDOABLE = {*UNDONE, Act.PRODUCT_DELETED}
# A request never takes longer than this, so all entries of one step lie within it.
LONGEST_STEP = timedelta(minutes=10)
CHANGED_SINCE = _("The rule was changed since. Undo the later change first, or edit the rule.")


@dataclass(frozen=True, slots=True)
class Restored:
    """What `undo_deleting` brought back."""

    products: list[Product]
    rules: list[Rule]


def why_not(entry: AuditEntry) -> str:
    """Return why this change cannot be undone, or "" if it can."""
    if entry.act == Act.PRODUCT_DELETED:
        return _why_not_product(entry)
    try:
        _before(entry)
    except ValueError as error:
        return str(error)
    return ""


def of_step(entry: AuditEntry) -> list[AuditEntry]:
    """Return the entries of the same act in the same step, including this one.

    For a product's deletion, return the entries of the rules that were deleted with it.
    """
    same = AuditEntry.objects.filter(who=entry.who, place=entry.place)
    if entry.act == Act.PRODUCT_DELETED:
        deleted = _in_step(same.filter(act=Act.RULE_DELETED), entry)
        return [each for each in deleted if product_undoing.number_in(each) == int(entry.number)]
    same = same.filter(act=entry.act, kind=entry.kind)
    if entry.step is not None:
        return _in_step(same, entry)
    # SQLite compares times as text, and stored times have fewer digits than query parameters. So
    # the query takes a wider range, and Python picks the exact time.
    about_then = same.filter(at__gt=entry.at - timedelta(milliseconds=1), at__lte=entry.at)
    return [each for each in about_then.order_by("pk") if each.at == entry.at]


def left(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Return which of these additions and deletions of rules still stand.

    Each is the last change of its rule. A deleted rule does not exist again, and an added one still
    exists.
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


def undo_deleting(entry: AuditEntry) -> Restored:
    """Restore all rules that were deleted in this step and do not exist again, and their products.

    Restores all or none. Raises ValueError with a sentence if one cannot be restored.
    """
    if entry.act == Act.PRODUCT_DELETED and (reason := why_not(entry)):
        raise ValueError(reason)
    gone = left(of_step(entry))
    numbers = [product_undoing.number_in(each) for each in [entry, *gone]]
    try:
        with changing.all_or_none():
            products = product_undoing.restore_all(each for each in numbers if each is not None)
            rules = [undo(each) for each in gone]
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return Restored(products, rules)


def undo(entry: AuditEntry) -> Rule:
    """Restore the rule to what it was before this change, and record that as a new change.

    A deleted product that the rule was for is restored, too. `entry` is a change or a deletion: an
    added rule is deleted like any other, by the page that asks first. Raises ValueError with a
    sentence if the change cannot be undone.
    """
    if reason := why_not(entry):
        raise ValueError(reason)
    try:
        return _undo(entry)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None


def undone(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pks of the given changes that were undone, unless that undo was undone, too."""
    subjects = {each.pk: (each.kind, each.number) for each in entries if each.act in UNDOABLE}
    if not subjects:
        return set()
    kinds, numbers = zip(*subjects.values(), strict=True)
    later = AuditEntry.objects.filter(
        kind__in=set(kinds), number__in=set(numbers), pk__gt=min(subjects)
    )
    found: set[int] = set()
    undoings = later.filter(undoes__isnull=False).order_by("-pk")
    for number, change in undoings.values_list("pk", "undoes"):
        if number not in found and change is not None:
            found.add(change)
    return found & subjects.keys()


def _undo(entry: AuditEntry) -> Rule:
    with changing.all_or_none():
        # Lock the rule before reading it: somebody else may be editing it right now.
        list(Rule.objects.select_for_update().filter(pk=entry.number))
        now = audit.stored(Rule(pk=int(entry.number)))
        rule = _before(entry)
        if rule is None:  # an added rule is deleted by the page that asks first
            raise ValueError(CHANGED_SINCE)
        if rule.product is not None and rule.product._state.adding:
            product_undoing.restore(rule.product)
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
    is_missing = rule.product is not None and rule.product._state.adding
    try:
        rule.full_clean(exclude={"product"} if is_missing else None)
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
    """Return the value for the rule's field. Raises ValueError if the related row is gone.

    A product that was deleted is returned unsaved.
    """
    if not isinstance(value, dict):
        return value
    field: Any = Rule._meta.get_field(name)
    if field.related_model is Product:
        found = product_undoing.known(value["number"])
    else:
        found = field.related_model._default_manager.filter(pk=value["number"]).first()
    if found is None:
        raise ValueError(
            say(
                "{name} is not there any more, so the rule cannot be as before.",
                name=value["name"],
            )
        )
    return found


def _why_not_product(entry: AuditEntry) -> str:
    product = product_undoing.known(int(entry.number))
    if product is None:
        account = (entry.before or {}).get("marketplace") or {}
        return say("{name} is not there any more.", name=account.get("name", ""))
    if product._state.adding or left(of_step(entry)):
        return ""
    return say("{name} is there again.", name=product.name)


def _in_step(among: QuerySet[AuditEntry], entry: AuditEntry) -> list[AuditEntry]:
    if entry.step is None:
        return []
    around = among.filter(at__range=(entry.at - LONGEST_STEP, entry.at + LONGEST_STEP))
    return list(around.filter(step=entry.step).order_by("pk"))
