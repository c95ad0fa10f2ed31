"""The values of a row that the audit keeps and compares before and after a change."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Model

REPLACED = "replaced"
# The key for the number of a batch, in entries of what was done for several at once.
BATCH = "batch"
# The key for the number of a run of the act, in entries of what a person ended, gave or moved.
RUN = "run"
# The keys of numbers by which pages link, and which are no values of the row.
LINKS = {BATCH, RUN}
# The value in place of the last day, if a person ended the access before that day.
NOW = "now"
LONGEST_NAME = 500
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is compared but never stored."""

    value: Any


def values(row: Model) -> Values:
    """Return the values of this row that the audit compares, {field: value}.

    The model lists the fields in `audited`. For fields in `audited_secrets` only the fact that
    they were replaced is kept. A related row is kept as its number and name, with what its
    `audited_besides` adds.
    """
    model: Any = type(row)
    found = {name: _value(row, name) for name in model.audited}
    secrets = getattr(model, "audited_secrets", ())
    return found | {name: Secret(getattr(row, name)) for name in secrets}


def stored(row: Model) -> Values:
    """Return the same values as the database has them now, or {} for a new row."""
    found = type(row)._default_manager.filter(pk=row.pk).first() if row.pk else None
    return values(found) if found else {}


def name_of(row: Model) -> str:
    """Return the row's name for an entry that outlives it. A sentence stays a sentence."""
    name = str(row)
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME]


def _value(row: Model, name: str) -> Any:
    field: Any = row._meta.get_field(name)
    if not field.is_relation:
        return getattr(row, name)
    other = getattr(row, name)
    if other is None:
        return None
    return {"number": other.pk, "name": name_of(other)} | getattr(other, "audited_besides", {})


def entry_values(found: Values, names: list[str], *, old: bool) -> Values | None:
    """Return what an entry stores of the named values. A secret only shows that it was replaced.

    `old` means the values before the change; those leave secrets out.
    """
    if not found:
        return None
    kept = {}
    for name in names:
        value = found.get(name)
        if isinstance(value, Secret):
            if old:
                continue
            value = REPLACED
        kept[name] = value
    return kept


def all_values(found: Values) -> Values:
    """Return all values of a row without the secrets."""
    return {name: value for name, value in found.items() if not isinstance(value, Secret)}
