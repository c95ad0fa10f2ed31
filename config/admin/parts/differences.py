"""What an audit entry changed, as people read it: the field, the value before, the value after."""

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst

from config.admin.parts import badges
from integrations.models import AuditEntry

# Fields that pages call by another name.
LABELS = {"sealed_secret": "Key", "url": "Address"}
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Difference:
    """A line; `before` or `after` is "–" where there was no value."""

    label: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.label}: {badges.brief(self.before)} → {badges.brief(self.after)}"


def differences(entry: AuditEntry) -> list[Difference]:
    """A line for each value that the entry knows."""
    before, after, model = entry.before or {}, entry.after or {}, model_of(entry)
    return [
        Difference(_label(model, name), _words(model, name, before), _words(model, name, after))
        for name in before | after
    ]


def model_of(entry: AuditEntry) -> type[Model] | None:
    """The model of the entry's subject, if this version has it."""
    return next((each for each in apps.get_models() if each._meta.model_name == entry.kind), None)


def kind_of(entry: AuditEntry) -> str:
    """ "Rule", "SamCart account"; "" where an act is about nothing."""
    model = model_of(entry)
    return capfirst(str(model._meta.verbose_name)) if model else capfirst(entry.kind)


def page_of(entry: AuditEntry) -> str:
    """The address of the subject's page; "" of what has none, or is gone."""
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
        return model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        return None


def _label(model: type[Model] | None, name: str) -> str:
    if name in LABELS:
        return LABELS[name]
    field = _field(model, name)
    return capfirst(str(field.verbose_name) if field else name.replace("_", " "))


def _words(model: type[Model] | None, name: str, values: dict[str, Any]) -> str:
    value = values.get(name)
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, dict):
        return str(value.get("name", NOTHING))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NOTHING
    choices = dict(getattr(_field(model, name), "flatchoices", ()))
    return str(choices.get(value, value))
