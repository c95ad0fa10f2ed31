"""Undo the last change of a rule or product, or all of one step, from what the audit kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import joined, say
from rules import changing
from rules.history import product_undoing
from rules.history.steps import OF_RULES, of_step, still_standing
from rules.models import Rule

UNDOABLE_ACTS = {*OF_RULES, Act.PRODUCT_CHANGED, Act.PRODUCT_DELETED}
CHANGED_SINCE = _("The rule was changed since. Undo the later change first, or edit the rule.")


@dataclass(frozen=True, slots=True)
class Restored:
    """What `undo_step` brought back, or made what it was before."""

    products: list[Product]
    rules: list[Rule]


def why_not(entry: AuditEntry) -> str:
    """Return why this change cannot be undone, or "" if it can."""
    if entry.act == Act.PRODUCT_DELETED:
        return _why_not_product(entry)
    if entry.act == Act.PRODUCT_CHANGED:
        return product_undoing.why_not_renamed(entry)
    try:
        _before(entry)
    except ValueError as error:
        return str(error)
    return ""


def undo_step(entry: AuditEntry) -> Restored:
    """Undo what still stands of the changes or deletions of rules in this step, or none of it.

    The products of deleted rules are restored, too. Raises ValueError with a sentence if something
    cannot be undone.
    """
    if entry.act == Act.PRODUCT_DELETED and (reason := why_not(entry)):
        raise ValueError(reason)
    found = still_standing(of_step(entry))
    numbers = [product_undoing.number_in(each) for each in [entry, *found]]
    try:
        with changing.all_or_none():
            products = product_undoing.restore_all(each for each in numbers if each is not None)
            # The last change first, because a change may have needed the ones before it.
            rules = [undo(each) for each in reversed(found)]
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    return Restored(products, rules[::-1])


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


def undone_changes(entries: Iterable[AuditEntry]) -> set[int]:
    """Return the pks of the given changes that were undone, unless that undo was undone, too."""
    return {*undoings(entries)}


def undoings(entries: Iterable[AuditEntry]) -> dict[int, AuditEntry]:
    """Return the entry that undid each of the given changes, by pk of the change.

    An undo that was undone itself is left out. Takes one query, none without changes.
    """
    subjects = {each.pk: (each.kind, each.number) for each in entries if each.act in UNDOABLE_ACTS}
    if not subjects:
        return {}
    kinds, numbers = zip(*subjects.values(), strict=True)
    later = AuditEntry.objects.filter(
        kind__in=set(kinds), number__in=set(numbers), pk__gt=min(subjects)
    )
    found: dict[int, AuditEntry] = {}
    undone = later.filter(undoes__isnull=False).order_by("-pk").only("undoes", "who", "at")
    for entry in undone:
        if entry.pk not in found and entry.undoes is not None:
            found.setdefault(entry.undoes, entry)
    return {pk: entry for pk, entry in found.items() if pk in subjects}


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
    if entry.act not in OF_RULES:
        raise ValueError(say("Only what was done to a rule can be undone."))
    later = AuditEntry.objects.filter(kind=entry.kind, number=entry.number, pk__gt=entry.pk)
    if later.filter(act__in=OF_RULES).exists():
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
                "{name} no longer exists, so the rule cannot be restored.",
                name=value["name"],
            )
        )
    return found


def _why_not_product(entry: AuditEntry) -> str:
    product = product_undoing.known(int(entry.number))
    if product is None:
        account = (entry.before or {}).get("marketplace") or {}
        return say("{name} no longer exists.", name=account.get("name", ""))
    if product._state.adding or still_standing(of_step(entry)):
        return ""
    return say("{name} is there again.", name=product.name)
