"""Entering a course or bundle that Thinkific does not list, by its number and a name.

If another one has the number, the form asks; it never assumes that this is the one.
"""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from config.admin.parts.badges import brief
from integrations.models import Destination, Integration
from integrations.sentences import say
from integrations.thinkific import catalog, pasted_number

Kind = Destination.Kind
# The field by which a person confirms that what has the entered number is the right one.
USE = "use"


class ByNumberForm(forms.Form):
    """The number, or the address that holds it; a name is needed if the number is new.

    `found` has the number already under another name: then the form is not valid, and its error
    asks whether that is the right one. One that is gone is only named in the error.
    """

    required_css_class = "required"

    number = forms.CharField(
        max_length=2000, label=_("Number, or its address in Thinkific's admin")
    )
    name = forms.CharField(max_length=255, label=_("Name"), required=False)

    def __init__(self, data: Any, *, integration: Integration, kind: Kind) -> None:
        super().__init__(data, auto_id="by-number-%s")
        self.integration, self.kind = integration, kind
        self.found: Destination | None = None
        self.fields["number"].error_messages["required"] = self._either(
            say("Enter the number of the course."), say("Enter the number of the bundle.")
        )
        self.fields["number"].widget.attrs |= {
            "placeholder": f"…/manage/{kind.value}s/12345",
            "autocomplete": "off",
        }
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        self.fields["name"].help_text = self._either(
            say("As Thinkific calls the course."), say("As Thinkific calls the bundle.")
        )

    def _either(self, course: str, bundle: str) -> str:
        return course if self.kind == Kind.COURSE else bundle

    def clean_number(self) -> int:
        try:
            return pasted_number.number(
                self.cleaned_data["number"], kind=self.kind, site=self.integration.site
            )
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> None:
        super().clean()
        if "number" not in self.cleaned_data:
            return
        number, name = self.cleaned_data["number"], self.cleaned_data.get("name", "")
        other = catalog.find_with_other_name(self.integration, self.kind, number, name)
        facts = {"number": str(number), "name": brief(other.name)} if other else {}
        if other is not None and other.gone_at:
            gone = say(
                "Number {number} is {name}, which no longer exists. Enter another number.",
                **facts,
            )
            self.add_error("number", gone)
        elif other is not None:
            self.found = other
            self.add_error("number", say("Number {number} is {name}. Is that the one?", **facts))
        elif not self.destination().name:
            text = self._either(
                say("Enter the name of the course too."), say("Enter the name of the bundle too.")
            )
            self.add_error("name", text)

    def destination(self) -> Destination:
        """Return the course or bundle that is entered, not saved; only with a right number."""
        found = self.cleaned_data
        return catalog.by_number(
            self.integration, self.kind, found["number"], found.get("name", "")
        )


def with_used(given: Any, *, alone: bool) -> Any:
    """Return the choice, with the entered number replaced by the course or bundle that has it.

    Only if a person confirmed that it is the right one. `alone`: at most one may be chosen.
    """
    if USE not in given:
        return given
    kept = given.copy()
    for entered in ("number", "name"):
        kept.pop(entered, None)
    others = [] if alone else given.getlist("destination")
    kept.setlist("destination", [*dict.fromkeys([*others, given.get(USE)])])
    return kept
