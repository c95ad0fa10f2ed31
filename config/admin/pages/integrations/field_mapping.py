"""The mapping of custom fields, as a table in the page of an integration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from config.admin.parts.badges import brief
from events.reports.products.custom_fields import DAYS, never_carried, seen_lately
from integrations import field_mapping
from integrations.models import FieldMapping, Integration, ProfileField
from integrations.sentences import joined, say

PREFIX = "field_mappings"
SEEN = "custom-fields-seen"  # id of the list of suggestions
EMPTY_ROWS = 2


class MappingForm(forms.Form):
    """One row. An empty row is no mapping."""

    samcart_field = forms.CharField(
        label=_("SamCart custom field"),
        max_length=255,
        required=False,
        widget=forms.TextInput(attrs={"list": SEEN, "autocomplete": "off"}),
    )
    profile_field = forms.TypedChoiceField(
        label=_("Thinkific signup field"), coerce=int, empty_value=None, required=False
    )

    def __init__(self, *args: Any, choices: list[tuple[Any, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["profile_field"]
        assert isinstance(field, forms.TypedChoiceField)
        field.choices = [("", say("Choose…")), *choices]

    def clean(self) -> None:
        """Refuse a half-filled row. A row that was emptied is removed."""
        name, target = (
            self.cleaned_data.get("samcart_field"),
            self.cleaned_data.get("profile_field"),
        )
        if target and not name and "samcart_field" not in self.errors:
            self.add_error("samcart_field", say("Enter the name of the SamCart custom field."))
        if name and not target and "profile_field" not in self.errors:
            self.add_error("profile_field", say("Choose the signup field that it fills."))


class MappingRows(forms.BaseFormSet):
    """All rows. Each signup field may be filled only once."""

    def clean(self) -> None:
        filled: set[int] = set()
        for row in self._kept():
            target = row.cleaned_data["profile_field"]
            if target in filled:
                text = say("Another row fills this field already. Choose one of them.")
                row.add_error("profile_field", text)
            filled.add(target)

    def wanted(self) -> dict[int, str]:
        """Return {signup field's pk: SamCart name or slug}. Call it only after is_valid()."""
        return {
            row.cleaned_data["profile_field"]: row.cleaned_data["samcart_field"]
            for row in self._kept()
        }

    def _kept(self) -> list[Any]:
        return [
            row
            for row in self.forms
            if not row.errors
            and not row.cleaned_data.get("DELETE")
            and row.cleaned_data.get("profile_field")
        ]


RowSet = forms.formset_factory(
    MappingForm,
    formset=MappingRows,
    extra=EMPTY_ROWS,
    can_delete=True,
    can_delete_extra=False,
)


@dataclass(frozen=True)
class Section:
    """The section of the page: its rows, fields to choose, other fields, and suggestions."""

    integration: Integration
    rows: Any
    known: list[FieldMapping]
    mappable: list[ProfileField]
    others: list[ProfileField]
    seen: list[str]
    unseen: str

    def typed(self) -> dict[str, str]:
        """Return {label of a signup field: SamCart name}; only after the rows were found valid."""
        labels = {field.pk: str(field) for field in self.integration.profile_fields.all()}
        return {labels[pk]: name for pk, name in self.rows.wanted().items()}

    def save(self) -> int:
        """Save, and return how many mappings changed; only after the rows were found valid."""
        return field_mapping.fill(self.integration, self.rows.wanted())


def section(integration: Integration, data: Mapping[str, Any] | None = None) -> Section:
    """Return the section with the mappings of a saved site, or with what was posted."""
    known = list(integration.field_mappings.select_related("profile_field").order_by("pk"))
    fields = list(integration.profile_fields.order_by("label", "pk"))
    mappable = [field for field in fields if field.mappable]
    lost = [row.profile_field for row in known if not row.profile_field.mappable]
    rows = RowSet(
        data,
        prefix=PREFIX,
        initial=[
            {"samcart_field": row.samcart_field, "profile_field": row.profile_field_id}
            for row in known
        ],
        form_kwargs={
            "choices": [(field.pk, brief(field.label)) for field in mappable]
            + [(field.pk, f"{brief(field.label)} ({why_not(field)})") for field in lost]
        },
    )
    others = [field for field in fields if not field.mappable and field.gone_at is None]
    seen = seen_lately()
    names = [row.samcart_field for row in known] + [integration.student_field]
    return Section(integration, rows, known, mappable, others, seen, _unseen(names, seen))


def _unseen(names: list[str], seen: list[str]) -> str:
    """Return a warning if no recent order has one of these names, which may be mistyped."""
    missing = never_carried(names)
    if not missing:
        return ""
    return say(
        "No order of the last {number} days carried {missing}. Orders carried: {carried}. "
        "Correct the name, or see in SamCart that the checkout has this field.",
        number=DAYS,
        missing=_quoted(missing),
        carried=_quoted(seen) or say("no custom field"),
    )


def _quoted(names: list[str]) -> str:
    return joined((say("“{name}”", name=brief(name)) for name in names), by=", ")


def why_not(field: ProfileField) -> str:
    """Return why a signup field cannot be filled."""
    if field.gone_at is not None:
        return say("gone from Thinkific")
    if field.field_type:
        return say("type {type}, not Text", type=brief(field.field_type))
    return say("not Text")
