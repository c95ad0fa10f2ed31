"""The form posted by a rule's own page, which looks like a filled-in page of a new rule."""

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from config.admin.pages.rules.by_number_form import ByNumberForm
from integrations.models import Destination
from integrations.thinkific import catalog
from rules.actions import ACTIONS
from rules.models import Rule, Scope

BY_NUMBER = ("number", "name")


class RuleForm(forms.ModelForm):
    """A rule. Its course or bundle is chosen, or entered by its number and a name."""

    number = forms.CharField(max_length=2000, required=False)
    name = forms.CharField(max_length=255, required=False)

    class Meta:
        model = Rule
        fields = Rule.audited  # all that a person sets
        labels = {"marketplace": _("SamCart account"), "scope": _("For")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("marketplace", "delay_days"):
            if name in self.fields:  # absent if the person may only look
                self.fields[name].required = False

    def clean(self) -> None:
        super().clean()
        self._entered: Destination | None = None
        found = self.cleaned_data
        if found.get("scope") == Scope.GLOBAL:
            found["product"] = None
        product = found.get("product")
        found["marketplace"] = product.marketplace if product else self.instance.marketplace
        found["delay_days"] = found.get("delay_days") or 0
        spec = ACTIONS.get(found.get("action", ""))
        if spec is None:
            return
        if not spec.ends_access:
            found["ends_all"], found["delay_days"] = False, 0
        if spec.target is None:
            found["destination"] = None
        elif found.get("number") and found.get("integration"):
            self._read_number(found, spec.target)

    def _read_number(self, found: dict[str, Any], kind: Destination.Kind) -> None:
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
            # If the rule is not saved, its course must not be entered either.
            transaction.set_rollback(bool(self.errors))
