"""What an audit entry changed, in words: the field, the value before, the value after."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext, pgettext_lazy

from config.admin.parts import badges
from config.staff import roles
from integrations.audit_values import LINKS, NOW, REPLACED, Values, entry_values
from integrations.models import AuditEntry
from integrations.sentences import FULL, YEAR, Text, format_day, say

# Names for fields that pages call differently, or that have no verbose name of their own.
LABELS: dict[str, Text] = {
    "action": _("Action"),
    "app": _("App"),
    "codes": _("Codes"),
    "digest": _("Digest"),
    "enabled": _("State"),
    "integration": _("Integration"),
    "kind": _("Kind"),
    "marketplace": _("SamCart account"),
    "name": _("Name"),
    "product": _("Product"),
    "scope": _("Scope"),
    "sealed_secret": _("Key"),
    "trigger": _("Trigger"),
    "type": _("Type"),
    "url": _("Address"),
}
# Names for values in entries that are no field of the row.
FACTS: dict[str, Text] = {
    "access": _("Access"),
    "actions": _("Actions"),
    "buyers": _("Buyers"),
    "changes": _("Changes"),
    "email": _("Email"),
    "ends": _("Ends"),
    "events": _("Events"),
    "filter": _("Filter"),
    "language": _("Language"),
    "may": pgettext_lazy("role", "May"),
    "numbers": _("Numbers"),
    "order": _("Order"),
    "payloads": _("Payloads"),
    "queued": _("Queued"),
    "role": _("Role"),
    "rows": _("Rows"),
    "site": _("Site"),
    "text": _("Text"),
    "time zone": _("Time zone"),
    "until": _("Until"),
}
NOTHING = "–"
# Values that are times, and how each is written.
MOMENTS = {"ends": YEAR, "until": FULL}


@dataclass(frozen=True, slots=True)
class Difference:
    """A line. `before` and `after` are "–" for no value, None if none was kept.

    The value of a secret is never kept.
    """

    label: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        sides = (badges.brief(side) for side in (self.before, self.after) if side is not None)
        return f"{self.label}: {' → '.join(dict.fromkeys(sides))}"


def differences(entry: AuditEntry) -> list[Difference]:
    """Return a line for each value that the entry knows."""
    model = model_of(entry)
    # Sorted, because PostgreSQL does not keep the order of keys. `access` comes first.
    kept = ((entry.before or {}) | (entry.after or {})).keys() - LINKS
    names = sorted(kept, key=lambda name: (name != "access", name))
    sides = (entry.before, entry.after)
    return [
        Difference(
            _label(model, name),
            *(
                None if side is None or _is_secret(name, side, sides) else _words(model, name, side)
                for side in _numbered(name, sides)
            ),
        )
        for name in names
    ]


def _is_secret(name: str, side: Values, sides: Sequence[Values | None]) -> bool:
    """Whether this side has no value because the field is a secret that was replaced."""
    return name not in side and any(each and each.get(name) == REPLACED for each in sides)


def is_of_row(entry: AuditEntry) -> bool:
    """Return whether it has all values of a new or deleted row, which a list does not repeat."""
    kept = (entry.before or {}) | (entry.after or {})
    one_sided = entry.before is None or entry.after is None
    return one_sided and kept.keys() <= {*getattr(model_of(entry), "audited", ()), "numbers"}


def compared(model: type[Model] | None, before: Values, after: Values) -> list[Difference]:
    """Return a line for each value that differs. Both sides are as `audit.values` returns them."""
    names = [name for name in before | after if before.get(name) != after.get(name)]
    old, new = (entry_values(found, names, old=False) or {} for found in (before, after))
    return [
        Difference(_label(model, name), _words(model, name, old), _words(model, name, new))
        for name in names
    ]


def model_of(entry: AuditEntry) -> type[Model] | None:
    """Return the model of the entry's subject, if this version has it."""
    return next((each for each in apps.get_models() if each._meta.model_name == entry.kind), None)


def kind_of(entry: AuditEntry) -> str:
    """Return "Rule" or "SamCart account"; "" for an act that is about nothing."""
    model = model_of(entry)
    return capfirst(str(model._meta.verbose_name)) if model else capfirst(entry.kind)


def page_of(entry: AuditEntry) -> str:
    """Return the address of the subject's page; "" if it has none, or is gone."""
    model = model_of(entry)
    if model is None or not entry.number.isdecimal():
        return ""
    if not model._default_manager.filter(pk=int(entry.number)).exists():
        return ""
    if entry.kind == "marketplace":
        return reverse("admin:samcart-account", args=[entry.number])
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    try:
        return reverse(name, args=[entry.number])
    except NoReverseMatch:
        return ""


def _field(model: type[Model] | None, name: str) -> Any:
    try:
        found = model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        return None
    return found if found and found.concrete else None  # not a reverse relation


def _label(model: type[Model] | None, name: str) -> str:
    field = _field(model, name)
    spoken = field.verbose_name if field else FACTS.get(name, name.replace("_", " "))
    return capfirst(str(LABELS.get(name, spoken)))


def _words(model: type[Model] | None, name: str, values: dict[str, Any]) -> str:
    value = values.get(name)
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool) and name == "enabled":
        return pgettext("switch", "On") if value else pgettext("switch", "Off")
    if isinstance(value, bool):
        return say("Yes") if value else say("No")
    if value == REPLACED:
        return say("replaced")
    if isinstance(value, dict) and name == "filter":
        return ", ".join(f"{asked}={chosen}" for asked, chosen in value.items()) or NOTHING
    if isinstance(value, dict):
        return str(value.get("name", NOTHING))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NOTHING
    if name in MOMENTS:
        return _moment(value, MOMENTS[name])
    if name == "role":
        return roles.display_name(value)
    if name == "language":
        return str(dict(settings.LANGUAGES).get(value, value))
    choices = dict(getattr(_field(model, name), "flatchoices", ()))
    return str(choices.get(value, value))


def _numbered(name: str, sides: Sequence[Values | None]) -> Sequence[Values | None]:
    """Return the same, with a course's number beside its name if either was entered by hand."""
    found = [(side or {}).get(name) for side in sides]
    named = [value for value in found if isinstance(value, dict) and "external_id" in value]
    if not any(value["by_hand"] for value in named):
        return sides
    return [
        {name: value | {"name": _with_number(value)}} if value in named else side
        for side, value in zip(sides, found, strict=True)
    ]


def _with_number(value: Values) -> str:
    return say("{name}, number {number}", name=value["name"], number=str(value["external_id"]))


def _moment(kept: str, pattern: str) -> str:
    if kept == NOW:
        return say("now")
    moment = parse_datetime(kept)
    return format_day(moment, pattern) if moment else kept
