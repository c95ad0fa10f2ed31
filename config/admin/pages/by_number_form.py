"""A course or bundle that Thinkific does not list, entered by its number and a name."""

from typing import Any

from django import forms

from integrations.models import Destination, Integration
from integrations.thinkific import catalog, pasted_number

Kind = Destination.Kind


class ByNumberForm(forms.Form):
    """The number, or the address that holds it; a name is needed for one that is not known yet."""

    number = forms.CharField(max_length=2000, label="Number, or its address in Thinkific's admin")
    name = forms.CharField(max_length=255, label="Name", required=False)

    def __init__(self, data: Any, *, integration: Integration, kind: Kind) -> None:
        super().__init__(data, auto_id="by-number-%s")
        self.integration, self.kind = integration, kind
        self.fields["number"].widget.attrs |= {
            "placeholder": f"…/manage/{kind.value}s/12345",
            "autocomplete": "off",
        }
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        self.fields["name"].help_text = f"As Thinkific calls the {kind.value}."

    def clean_number(self) -> int:
        try:
            return pasted_number.number(
                self.cleaned_data["number"], kind=self.kind, site=self.integration.site
            )
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> None:
        super().clean()
        if "number" in self.cleaned_data and not self.destination().name:
            self.add_error("name", f"Enter the name of the {self.kind.value} too.")

    def destination(self) -> Destination:
        """The course or bundle as it is once it is entered, not saved; only with a right number."""
        found = self.cleaned_data
        return catalog.by_number(
            self.integration, self.kind, found["number"], found.get("name", "")
        )
