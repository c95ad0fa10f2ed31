"""The page of a Notify URL: where messages are posted, their signing secret, and a test."""

import copy
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations import integration_links, integration_messages
from config.admin.pages.integrations.integration_form import Sections, conflict_page, render_form
from config.admin.parts import badges
from config.admin.parts.buttons import page_of
from config.admin.parts.page import render
from events.receiving import samples
from events.reports.system import backlog
from integrations import credentials
from integrations.errors import OutsideError
from integrations.models import ApiCall, Integration
from integrations.notify_url import address_check, signature, trial
from integrations.secrets import SecretUnreadable
from integrations.sentences import Text, joined, say
from rules.triggers import Trigger

SECTIONS: Sections = (
    (_("Receiver"), ("name", "url")),
    (_("On or off"), ("enabled",)),
)
LONGEST_ADDRESS = 2000  # what may be pasted; check_url enforces the real limit


class NotifyForm(forms.ModelForm):
    """A name and an address. The secret is not one of its fields, because Admit makes it."""

    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST_ADDRESS,
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off"}),
        error_messages={"required": _("Enter the address of the receiver.")},
    )

    class Meta:
        model = Integration
        fields = ("name", "url", "enabled")
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "off"})}
        error_messages = {"name": {"unique": _("There is an integration with this name already.")}}
        help_texts = {
            "name": _("Any name you like."),
            "enabled": _(
                "While it is off, its messages wait and nothing is sent. "
                "Nothing is lost: they go out when you turn it on again."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        begins = address_check.how_it_begins(allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS)
        where = say("Where Admit posts what SamCart sends.")
        self.fields["url"].help_text = joined([where, begins])

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"].strip()
        if url == self.instance.url:
            return url  # a receiver whose name cannot be looked up now can still be renamed
        try:
            url = address_check.check_url(url, allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        self.instance.site = urlsplit(url).hostname
        return url


def show(
    request: HttpRequest, integration: Integration, *, may_save: bool, may_delete: bool
) -> HttpResponse:
    """The page of a new or stored Notify URL, or the answer to its posted form."""
    if not may_save:
        return _page(request, integration)
    data = request.POST if request.method == "POST" else None
    # A copy: the form writes into it, and the page shows what is stored.
    form = NotifyForm(data, instance=copy.copy(integration))
    if data is not None and form.is_valid():
        return _save(request, form)
    return _page(request, integration, form=form, may_delete=may_delete)


def _page(
    request: HttpRequest,
    integration: Integration,
    *,
    form: NotifyForm | None = None,
    may_delete: bool = False,
) -> HttpResponse:
    return render_form(
        request,
        "notify.html",
        integration,
        form,
        SECTIONS,
        new=say("New Notify URL"),
        errors=bool(form and form.errors),
        may_delete=may_delete,
        **(_context(integration) if integration.pk else {}),
    )


def _context(integration: Integration) -> dict[str, Any]:
    calls = ApiCall.objects.filter(integration=integration).order_by("-pk")
    actions = reverse("admin:events_rulerun_changelist")
    return {
        "rules_url": integration_links.rules_of(integration=integration.pk),
        "actions_url": f"{actions}?integration={integration.pk}",
        "waiting": backlog.waiting(integration),
        "paused": integration_messages.pause_sentence(integration),
        "last_call": calls.first(),
        "seconds": settings.CALL_DEADLINE_SECONDS,
    }


def _save(request: HttpRequest, form: NotifyForm) -> HttpResponse:
    integration: Integration = form.instance
    if not integration.pk:
        return _with_secret(
            request,
            integration,
            say(
                "{name} is saved. When the receiver has the secret, press Done and then Send a "
                "test.",
                name=badges.brief(integration.name),
            ),
        )
    waiting = backlog.waiting(integration)
    with transaction.atomic():
        if page := conflict_page(request, form):
            return page
        credentials.save(integration)
    integration_messages.say_saved(request, form, waiting)
    return HttpResponseRedirect(page_of(integration))


def new_secret(request: HttpRequest, integration: Integration) -> HttpResponse:
    """Sign with another secret from now on."""
    text = say(
        "{name} has a new signing secret. The old one no longer works.",
        name=badges.brief(integration.name),
    )
    return _with_secret(request, integration, text)


def _with_secret(request: HttpRequest, integration: Integration, text: Text) -> HttpResponse:
    """Save it with a fresh secret, and show the secret this once, under `text`.

    Showing it in a message or on a later page would mean storing it for that.
    """
    secret = signature.new_secret()
    with transaction.atomic():
        if integration.pk:
            credentials.lock(integration)
        credentials.save(integration, secret)
    return render(
        request,
        "admin/integrations/integration/secret.html",
        title=say("Signing secret of {name}", name=badges.brief(integration)),
        original=integration,
        text=text,
        secret=secret,
        seconds=settings.CALL_DEADLINE_SECONDS,
    )


def send_test(request: HttpRequest, integration: Integration) -> None:
    """Post a sample purchase, and say what the receiver answered."""
    waiting = backlog.waiting(integration)
    body = samples.body(
        Trigger.PRODUCT_PURCHASED,
        product="1",
        product_name="Test product",
        email="test@example.com",
        order=1,
    )
    try:
        answer = trial.send(integration, body, trigger=Trigger.PRODUCT_PURCHASED.value)
    except OutsideError as error:
        text = say("{name}: the test failed. {why}", name=integration, why=error.message)
        messages.error(request, text)
        return
    except SecretUnreadable:
        text = say(
            "{name}: not sent. Its signing secret cannot be opened with FIELD_ENCRYPTION_KEYS of "
            "this server. Put the key that sealed it back into .env, or press New secret.",
            name=integration,
        )
        messages.error(request, text)
        return
    taken = say(
        "{name}: the receiver accepted the test. It answered {status}.",
        name=integration,
        status=str(answer.status),
    )
    on = integration.enabled
    go_on = integration_messages.with_what_goes_on
    messages.success(request, go_on(request, taken, integration, waiting) if on else taken)
