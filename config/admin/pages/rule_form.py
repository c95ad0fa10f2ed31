"""The form of a rule's own page."""

from typing import Any

from django import forms
from django.db import transaction

from config.admin.pages.by_number_form import ByNumberForm
from config.admin.pages.rule_draft import DELAY_DAYS, ends_all_help
from config.admin.parts import badges
from integrations.models import Destination, Integration
from integrations.thinkific import catalog
from rules.actions import ACTIONS
from rules.models import Rule

BY_NUMBER = ("number", "name")


class DestinationField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return badges.destination(obj)


class RuleForm(forms.ModelForm):
    """A rule; its course or bundle is chosen, or entered by its number and a name."""

    number = forms.CharField(
        max_length=2000,
        required=False,
        label="Or by its number",
        help_text="For a course or bundle that Thinkific does not list: the number, or the address "
        "of its page in Thinkific's admin. Leave it empty to keep the one above.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    name = forms.CharField(
        max_length=255,
        required=False,
        label="Its name",
        help_text="Only for one entered by its number.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    class Meta:
        model = Rule
        fields = (
            "marketplace",
            "scope",
            "product",
            "trigger",
            "integration",
            "action",
            "destination",
            "ends_all",
            "delay_days",
            "enabled",
        )
        labels = {"marketplace": "SamCart account", "scope": "For"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "action" not in self.fields:
            return  # only looked at
        # For another app, a new rule is made.
        mine = self.instance.spec
        same = [spec for spec in ACTIONS.values() if spec.app == mine.app]
        integration, action = self.fields["integration"], self.fields["action"]
        assert isinstance(integration, forms.ModelChoiceField)
        assert isinstance(action, forms.ChoiceField)
        integration.queryset = Integration.objects.filter(app=mine.app)
        action.choices = [
            (spec.key, spec.label) for spec in same if bool(spec.target) is bool(mine.target)
        ]
        if ends_all := self.fields.get("ends_all"):
            ends_all.help_text = ends_all_help(self.instance)
            ending = " ".join(spec.key for spec in same if spec.ends_access)
            ends_all.widget.attrs["data-actions"] = ending
        if delay_days := self.fields.get("delay_days"):
            delay_days.help_text = DELAY_DAYS
            delay_days.required = False

    def clean(self) -> None:
        super().clean()
        self._entered: Destination | None = None
        found = self.cleaned_data
        if found.get("action") and not ACTIONS[found["action"]].ends_access:
            found["ends_all"] = False
            found["delay_days"] = 0
        found["delay_days"] = found.get("delay_days") or 0
        if not found.get("number") or not found.get("integration") or not found.get("action"):
            return
        kind = ACTIONS[found["action"]].target
        if kind is None:
            return
        entry = ByNumberForm(found, integration=found["integration"], kind=kind)
        if entry.is_valid():
            self._entered = entry.destination()
        else:
            self.add_error(None, forms.ValidationError(entry.errors.as_data()))

    def _post_clean(self) -> None:
        # The model compares the fields with each other, so it needs all of them.
        if self.errors:
            return
        with transaction.atomic():
            if self._entered is not None:
                catalog.enter(self._entered)
                self.cleaned_data["destination"] = self._entered
            super()._post_clean()  # type: ignore[misc]
            # Nothing is entered for a rule that is not saved.
            transaction.set_rollback(bool(self.errors))
