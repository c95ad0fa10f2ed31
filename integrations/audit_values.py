"""What the audit keeps of a row, to be compared before and after a change."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Model

REPLACED = "replaced"
# Of what was done for several at once: the number of what came of it.
BATCH = "batch"
# Of an access that a person ended before its day, where the day stood.
NOW = "now"
LONGEST_NAME = 500
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is compared and never written down."""

    value: Any


def values(row: Model) -> Values:
    """{field: value} of what the audit keeps of this row, to be compared later.

    The model names these fields in `audited`, and in `audited_secrets` those of which it keeps
    only that they were replaced. A row that is referred to is kept as its number and its name,
    and what its model names in `audited_besides`.
    """
    model: Any = type(row)
    found = {name: _value(row, name) for name in model.audited}
    secrets = getattr(model, "audited_secrets", ())
    return found | {name: Secret(getattr(row, name)) for name in secrets}


def stored(row: Model) -> Values:
    """The same as the database has it; nothing for a row that is new."""
    found = type(row)._default_manager.filter(pk=row.pk).first() if row.pk else None
    return values(found) if found else {}


def name_of(row: Model) -> str:
    """What the row is called, for an entry that outlives it; a sentence is kept as one."""
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


def shown(found: Values, names: list[str], *, old: bool) -> Values | None:
    """What is written of these values; a secret shows only that it was replaced."""
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


def whole(found: Values) -> Values:
    """All values of a row as they are written, without the secrets."""
    return {name: value for name, value in found.items() if not isinstance(value, Secret)}
