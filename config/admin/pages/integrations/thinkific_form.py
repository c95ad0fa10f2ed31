"""The form of a Thinkific site: its key, and how it is used."""

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations.field_mapping import SEEN
from config.admin.pages.integrations.integration_form import Sections
from integrations import credentials
from integrations.models import Integration
from integrations.secrets import SecretUnreadable
from integrations.sentences import say
from integrations.thinkific.explain import DENIED, WHERE
from integrations.thinkific.site_address import subdomain

SECTIONS: Sections = (
    (_("Connection"), ("name", "site", "secret", "secret_expires_on")),
    (_("E-mails to new students"), ("welcome_emails_on", "send_welcome_email")),
    (_("Private courses"), ("private_not_wanted",)),
    (_("If the buyer is not the student"), ("student_field",)),
    (_("On or off"), ("enabled",)),
)


class ThinkificForm(forms.ModelForm):
    """The form. Its key is write-only: never sent back, and kept if the field stays empty."""

    # Longer than the model's limit, which is for a subdomain: people paste the whole address.
    site = forms.CharField(
        label=_("Site URL"), max_length=500, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    secret = forms.CharField(
        label=_("API key or access token"),
        required=False,
        max_length=4000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    secret_expires_on = forms.DateField(
        label=_("Token expires on"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_(
            "Only for an access token: Thinkific shows the date when it creates one. "
            "Admit warns you 14 days before. API keys do not expire."
        ),
    )

    class Meta:
        model = Integration
        fields = (
            "name",
            "site",
            "secret_expires_on",
            "welcome_emails_on",
            "send_welcome_email",
            "private_not_wanted",
            "student_field",
            "enabled",
        )
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "student_field": forms.TextInput(attrs={"list": SEEN, "autocomplete": "off"}),
        }
        error_messages = {"name": {"unique": _("There is an integration with this name already.")}}
        help_texts = {
            "name": _("Any name you like. Your letters to customers are signed with it."),
            "welcome_emails_on": mark_safe(  # noqa: S308 - a text of ours
                _(
                    "In Thinkific open <strong>Support Your Students &gt; Notifications</strong> "
                    "and turn on the Welcome Emails of every course and bundle that you sell: they "
                    "tell a new student how to sign in. Admit cannot see it, so check this when it "
                    "is done."
                )
            ),
            "send_welcome_email": _(
                "One more e-mail, for the whole site, to each student who is new to Thinkific. "
                "With Welcome Emails on, new students get both."
            ),
            "private_not_wanted": _(
                "In Thinkific, students can cancel a course that is not Private. Check this if "
                "that is all right with you; then the Overview stops asking for it."
            ),
            "student_field": _(
                "The name or slug of a SamCart custom field in which buyers enter the e-mail of "
                "the person to enroll; where it is blank, the buyer is enrolled."
            ),
            "enabled": _(
                "While it is off, its actions wait and nothing is sent to Thinkific. Nothing is "
                "lost: they continue when you turn it on again."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        here = self.instance
        self.fields["secret"].required = not here.pk
        self.fields["secret"].error_messages["required"] = say(
            "Copy it from Thinkific, {where}.", where=WHERE
        )
        self.fields["secret"].help_text = _about_key(here)
        self.site_is_settled = bool(here.pk) and not here.never_connected()
        refused = here.connection == Integration.Connection.REFUSED
        self.key_works = self.site_is_settled and not refused
        self.fields["site"].help_text = (
            say("The school stays the same. For another one make a new integration.")
            if self.site_is_settled
            else say("The Subdomain, or the whole address: school, or school.thinkific.com.")
        )

    def ask_for_key_again(self) -> None:
        """Say that the field of the key is empty again, because a key is never sent back."""
        if self.is_bound and self.data.get("secret") and "secret" not in self.errors:
            text = say("Enter the key again: Admit never sends one back to a page.")
            self.errors["secret"] = self.error_class([text])

    def mark_refusal(self) -> None:
        """Mark the refused field. If the site was read before, only its key can be wrong."""
        here = self.instance
        if self.is_bound or not here.pk:
            return
        if self.site_is_settled:
            if here.connection == Integration.Connection.REFUSED:
                refused = say(
                    "Thinkific rejects this key. Enter the one that Thinkific shows, {where}. A "
                    "plan without API access (below Grow) gets the same answer.",
                    where=WHERE,
                )
                self.errors["secret"] = self.error_class([say(DENIED) if here.denied else refused])
            return
        for name, text in _first_refusal(here.last_status()).items():
            self.errors[name] = self.error_class([text])

    def clean_site(self) -> str:
        try:
            site = subdomain(self.cleaned_data["site"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        if self.site_is_settled and site != self.instance.site:
            raise forms.ValidationError(
                say(
                    "Another school: make a new integration for it. Its rules would not fit this "
                    "one."
                )
            )
        sites = Integration.objects.filter(app=self.instance.app, site=site)
        other = sites.exclude(pk=self.instance.pk).first()
        if other is not None:
            raise forms.ValidationError(_known_already(other))
        return site

    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"]
        if secret and not re.fullmatch(r"[!-~]+", secret):
            raise forms.ValidationError(
                say("A key has no spaces or special characters. Copy it from Thinkific once more.")
            )
        return secret

    def clean(self) -> None:
        super().clean()
        found = self.cleaned_data
        secret, end = found.get("secret", ""), found.get("secret_expires_on")
        if end is None or "secret" not in found:
            return
        if not self._expires(secret):
            # The date of an earlier token is removed together with the token.
            if "secret_expires_on" in self.changed_data:
                text = say("An API key does not expire: leave it empty.")
                self.add_error("secret_expires_on", text)
            found["secret_expires_on"] = None
        elif secret and end < timezone.localdate():
            text = say("This day has passed. Enter the day on which the new token expires.")
            self.add_error("secret_expires_on", text)

    def _expires(self, secret: str) -> bool:
        """Return whether the key in use after saving is a token; True if its kind is unknown."""
        try:
            return credentials.expires(secret or self.instance.secret())
        except SecretUnreadable:
            return True


def _about_key(integration: Integration) -> str:
    if not integration.pk:
        return say(
            "In Thinkific open {where}. It is kept encrypted and never shown again.", where=WHERE
        )
    ending = integration.secret_ending
    if ending:
        return say("Leave empty to keep the key that ends in …{ending}.", ending=ending)
    return say("Leave empty to keep the key.")


def _known_already(other: Integration) -> SafeString:
    page = reverse("admin:integrations_integration_change", args=[other.pk])
    return format_html(
        say("{name} is this school already. {link}"),
        name=other,
        link=format_html('<a href="{}">{}</a>', page, say("Edit that integration.")),
    )


def _first_refusal(status: int | None) -> Mapping[str, str]:
    """Return what the status of the first connection says about each field."""
    return {
        401: {
            "site": say("Either this site or the key below is wrong."),
            "secret": say("Either this key or the site above is wrong."),
        },
        403: {
            "secret": say(DENIED),
        },
        404: {
            "site": say(
                "Thinkific has no school here. Copy the Subdomain once more from Thinkific, "
                "{where}.",
                where=WHERE,
            ),
        },
    }.get(status or 0, {})
