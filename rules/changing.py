"""Change rules. Every change, from a page or a file, leaves an audit entry."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.utils.translation import gettext_lazy as _

from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from rules.models import Rule

# The fields that decide who gets what from a rule.
DEFINING_FIELDS = ("action", "destination", "integration", "product", "trigger")
# The same, with whether anybody gets it now.
EFFECTIVE_FIELDS = (*DEFINING_FIELDS, "enabled")
CHANGED_MEANWHILE = _(
    "Somebody else changed these rules at the same moment. Look again, then save again."
)


@contextmanager
def all_or_none() -> Iterator[None]:
    """Open a transaction. Raises ValidationError if a concurrent change broke a constraint."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise ValidationError(CHANGED_MEANWHILE) from None


def add(rule: Rule, *, note: str = "") -> None:
    """Save a new rule. Raises ValidationError if the rule is not valid."""
    with all_or_none():
        rule.full_clean()
        rule.save()
        audit.record_difference(Act.RULE_ADDED, rule, {}, audit.values(rule), note=note)


def add_all(rules: Iterable[Rule]) -> None:
    """Save new rules in one query. The caller has validated them."""
    audit.record_added(Act.RULE_ADDED, Rule.objects.bulk_create(rules))


def switch(rules: QuerySet[Rule], *, on: bool) -> int:
    """Turn the rules on or off. Return how many changed.

    For the audit, turning a rule on undoes the change that turned it off, if that changed nothing
    else.
    """
    with transaction.atomic():
        chosen = list(rules.exclude(enabled=on))
        last = last_switches(rule.pk for rule in chosen) if on else {}
        Rule.objects.filter(pk__in=[rule.pk for rule in chosen]).update(enabled=on)
        audit.record_each(
            Act.RULE_CHANGED,
            chosen,
            before=lambda rule: {"enabled": not on},
            after=lambda rule: {"enabled": on},
            undoes={pk: off.pk for pk, off in last.items() if off.after == {"enabled": False}},
        )
    return len(chosen)


def _switches(rules: Iterable[int]) -> QuerySet[AuditEntry]:
    """Return all entries that say whether one of these rules is on, also those of adding it."""
    return AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number__in=map(str, rules), after__has_key="enabled"
    )


def on_since(rule: Rule) -> datetime | None:
    """Return when this enabled rule was last turned on, or None if the audit does not say."""
    last = _switches([rule.pk]).order_by("-pk").first()
    return last.at if last and last.after and last.after["enabled"] else None


def last_switches(rules: Iterable[int]) -> dict[int, AuditEntry]:
    """Return the newest entry by which each of these rules was turned on or off, by rule ID.

    A rule is left out if the audit has none. Takes one query.
    """
    entries = _switches(rules).filter(act=Act.RULE_CHANGED)
    newest = entries.order_by().values("number").annotate(newest=Max("pk")).values("newest")
    return {int(entry.number): entry for entry in AuditEntry.objects.filter(pk__in=newest)}


def off_times(rules: Collection[int]) -> dict[int, list[tuple[datetime, datetime | None]]]:
    """Return {rule ID: the times (from, to) at which it was off, as far as the audit says}.

    `to` is None if it is off now. A rule that was never off is left out. Takes one query, or none
    without rules.
    """
    found: dict[int, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    for entry in _switches(rules).order_by("pk") if rules else ():
        number, on = int(entry.number), (entry.after or {})["enabled"]
        is_off = number in found and found[number][-1][1] is None
        if on and is_off:
            found[number][-1] = (found[number][-1][0], entry.at)
        elif not on and not is_off:
            found[number].append((entry.at, None))
    return found


def point_to(rules: Iterable[Rule], destination: Destination, *, on: bool) -> None:
    """Point these rules to another course or bundle; with `on`, also turn them on.

    Changes all rules or none. Raises ValidationError if one would be invalid or a duplicate, or
    leads elsewhere or is gone since it was read.
    """
    locked = Rule.objects.select_for_update(of=("self",)).with_names()
    with all_or_none():
        for rule in rules:
            as_read = locked.filter(destination=rule.destination_id)
            try:
                rule.refresh_from_db(from_queryset=as_read)
            except Rule.DoesNotExist:
                raise ValidationError(CHANGED_MEANWHILE) from None
            before = audit.values(rule)
            rule.destination, rule.enabled = destination, rule.enabled or on
            rule.full_clean()
            rule.save()
            audit.record_change(Act.RULE_CHANGED, rule, before)


def note_deleted(rules: QuerySet[Rule], *, undoes: Mapping[int, int] | None = None) -> None:
    """Record the deletion of these rules, just before they or their owner are deleted.

    `undoes` maps the pk of a rule to the pk of the audit entry that its deletion undoes.
    """
    known = rules.select_related("marketplace", "product", "integration", "destination")
    audit.record_deleted(Act.RULE_DELETED, known, undoes=undoes)


def delete(rules: QuerySet[Rule], *, undoes: Mapping[int, int] | None = None) -> None:
    """Delete these rules and record that. `undoes` is as in `note_deleted`."""
    with transaction.atomic():
        note_deleted(rules, undoes=undoes)
        rules.delete()
