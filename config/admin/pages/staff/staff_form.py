"""The form for a person who may sign in."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from config.staff import people, roles

ROLE = '<strong>{}</strong><span class="meaning">{}.</span>'


def _choices() -> list[tuple[str, SafeString]]:
    """Return the roles to choose from, each with its meaning."""
    return [
        (role, format_html(ROLE, roles.display_name(role), capfirst(str(meaning))))
        for role, meaning in people.MEANINGS.items()
    ]


class PersonForm(forms.ModelForm):
    """A name, an e-mail and a role; `by` is the owner who fills it in."""

    by: User
    name = forms.CharField(label=_("Name"), max_length=150)
    email = forms.EmailField(
        label=_("E-mail"), max_length=150, help_text=_("The person signs in with this address.")
    )
    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect, choices=_choices)

    class Meta:
        model = User
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial = {
                **self.initial,
                "name": self.instance.get_full_name(),
                "role": people.role_of(self.instance),
            }

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()

    def clean(self) -> None:
        found = self.cleaned_data
        if "email" not in found or "role" not in found:
            return
        try:
            people.check(self.instance, email=found["email"], role=found["role"], by=self.by)
        except ValueError as error:
            self.add_error(None, str(error))
