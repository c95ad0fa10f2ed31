"""Alerts: what is wrong now, and how the signed-in person is notified."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.http import require_POST

from config.admin.menu import allowed
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_in
from config.staff import people
from events.alerts import delivery, finding, rounds
from events.alerts.problems import KINDS, Problem, ProblemCode
from events.alerts.sent import NotSent
from events.alerts.sentences import sentence
from events.models import AlertChannel, AlertMessage
from integrations import audit, secrets
from integrations.audit import Act
from integrations.models import Marketplace
from integrations.notify_url import signature
from integrations.notify_url.address_check import check_url, how_it_begins
from integrations.sentences import joined, say, say_count

SEES = "events.view_rulerun"
MAY_SAY = "events.dismiss_eventlog"
# A person who may connect a receiver of events may also name one of alerts.
MAY_ADD = "integrations.add_integration"
ALERTS_SHOWN = 20
Kind = AlertChannel.Kind


class ChannelForm(forms.Form):
    """What a channel reports; for a new one also its kind and address."""

    required_css_class = "required"

    kind = forms.ChoiceField(
        label=_("Kind"),
        widget=forms.RadioSelect,
        choices=[
            (Kind.SLACK, _("Slack, or a service that accepts Slack's messages")),
            (Kind.JSON, _("JSON, signed")),
        ],
        initial=Kind.SLACK,
    )
    address = forms.CharField(
        label=_("Address"),
        max_length=500,
        widget=forms.URLInput(attrs={"autocomplete": "off"}),
    )
    enabled = forms.BooleanField(label=pgettext_lazy("switch", "On"), required=False, initial=True)
    codes = forms.MultipleChoiceField(
        label=_("Notify me about"),
        widget=forms.CheckboxSelectMultiple,
        choices=[(code.value, KINDS[code].title) for code in ProblemCode],
        initial=[code.value for code in ProblemCode],
        error_messages={"required": _("Select at least one, or turn the channel off.")},
    )
    digest = forms.BooleanField(
        label=_("Also send a summary each morning while something is wrong"),
        required=False,
        initial=True,
    )

    def __init__(self, *args: Any, channel: AlertChannel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.channel = channel
        begins = how_it_begins(allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS)
        self.fields["address"].help_text = joined(
            [say("The address of an incoming webhook."), begins]
        )
        if channel.pk:
            del self.fields["kind"], self.fields["address"]
            self.initial = {
                "enabled": channel.is_enabled,
                "digest": channel.digest,
                "codes": channel.codes or [code.value for code in ProblemCode],
            }

    def clean_address(self) -> str:
        try:
            return check_url(
                self.cleaned_data["address"], allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS
            )
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def save(self) -> str:
        """Save the channel. Returns the signing secret to show for a new JSON channel, else ""."""
        found, channel = self.cleaned_data, self.channel
        channel.enabled, channel.digest = found["enabled"], found["digest"]
        # A choice of all kinds is stored as none, so that it includes kinds of later versions.
        channel.codes = [] if len(found["codes"]) == len(ProblemCode) else found["codes"]
        secret = ""
        if not channel.pk:
            secret = signature.new_secret()
            channel.kind = found["kind"]
            channel.sealed_address = secrets.seal(found["address"])
            channel.sealed_secret = secrets.seal(secret)
        with transaction.atomic():
            channel.save()
            said = {name: found[name] for name in ("enabled", "digest", "codes")}
            audit.record(Act.ALERTS_CHANGED, channel, after=said)
        return secret if channel.kind == Kind.JSON else ""


def show(request: HttpRequest) -> HttpResponse:
    """What is wrong, how the person is notified, and what was sent to this person."""
    person = people.signed_in(request)
    AlertChannel.objects.get_or_create(person=person, kind=Kind.EMAIL)
    mine = AlertChannel.objects.filter(person=person).select_related("person").order_by("pk")
    told = AlertMessage.objects.filter(channel__person=person).select_related("channel")
    return render(
        request,
        "admin/alerts.html",
        title=say("Alerts"),
        problems=[_shown(request, problem) for problem in finding.lasting()],
        channels=[(channel, _where(channel), _of_what(channel)) for channel in mine],
        told=told.order_by("-created_at")[:ALERTS_SHOWN],
        no_mail_server=not settings.EMAIL_HOST,
        may_add=allowed(request, MAY_ADD),
        may_say=allowed(request, MAY_SAY),
    )


def edit(request: HttpRequest) -> HttpResponse:
    """Edit one of the person's own channels, or a new one."""
    asked = request.POST if request.method == "POST" else request.GET
    person = people.signed_in(request)
    channel = row_in(AlertChannel.objects.filter(person=person), asked.get("channel"))
    if channel is None:
        if not allowed(request, MAY_ADD):
            raise PermissionDenied
        channel = AlertChannel(person=person)
    title = say("New webhook for alerts")
    if channel.pk:
        title = say("Alerts by {kind}", kind=channel.get_kind_display())
    form = ChannelForm(request.POST or None, channel=channel)
    if request.method == "POST" and form.is_valid():
        secret = form.save()
        if secret:
            title = say("Signing secret")
            return render(request, "admin/alerts_secret.html", title=title, secret=secret)
        messages.success(request, say("Saved. Send a test to see that it arrives."))
        return _home()
    return render(request, "admin/alerts_channel.html", title=title, form=form, channel=channel)


@require_POST
def send_test(request: HttpRequest) -> HttpResponse:
    """Send a test through one of the person's own channels, and say what came back."""
    channel = _own(request)
    if channel is not None:
        try:
            messages.success(request, delivery.send(delivery.test_for(channel)).sentence)
        except NotSent as error:
            messages.error(request, joined([say("The test was not sent."), error.sentence]))
    return _home()


@require_POST
def delete(request: HttpRequest) -> HttpResponse:
    """Delete one of the person's own webhooks."""
    channel = _own(request)
    if channel is not None and channel.kind != Kind.EMAIL:
        with transaction.atomic():
            audit.record(Act.ALERTS_CHANGED, channel, note=say("Deleted."))
            channel.delete()
        messages.success(request, say("The webhook was deleted. Nothing more is sent there."))
    return _home()


@require_POST
def silence_is_right(request: HttpRequest) -> HttpResponse:
    """Send no alert about an account's silence until its next sale."""
    account = row_in(Marketplace.objects.all(), request.POST.get("account"))
    if account is not None and rounds.silence_is_right(account):
        audit.record(Act.SILENCE_RIGHT, account)
        messages.success(
            request,
            say("Noted. Admit does not warn about missing sales again until after the next sale."),
        )
    else:
        messages.info(request, say("Sales are no longer missing, so there is nothing to confirm."))
    return _home()


def _own(request: HttpRequest) -> AlertChannel | None:
    mine = AlertChannel.objects.filter(person=people.signed_in(request))
    channel = row_in(mine, request.POST.get("channel"))
    if channel is None:
        messages.error(request, say("This notification channel no longer exists."))
    return channel


def _home() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:alerts"))


def _shown(request: HttpRequest, problem: Problem) -> dict[str, Any]:
    may_fix = problem.may_fix(request.user)
    return {
        "title": problem.kind.title,
        "sentence": sentence(problem),
        "grave": problem.kind.stops_sales,
        "since": problem.since,
        "where": problem.address,
        "button": problem.kind.button if may_fix else "",
        "may_fix": may_fix,
        "permission": problem.kind.permission,
        "silent": problem.subject if problem.code is ProblemCode.SILENCE else "",
    }


def _where(channel: AlertChannel) -> str:
    """Return where it leads. Of a webhook only the host: the rest may be a secret."""
    if channel.kind == Kind.EMAIL:
        return channel.person.email
    try:
        return urlsplit(secrets.reveal(channel.sealed_address)).hostname or ""
    except secrets.SecretUnreadable:
        return say("an address that cannot be opened")


def _of_what(channel: AlertChannel) -> str:
    """Return "Everything" or "2 of 12 kinds"."""
    if not channel.codes:
        return say("Everything")
    return say_count(
        len(channel.codes), "1 of {all} kinds", "{number} of {all} kinds", all=len(ProblemCode)
    )


PAGES = [
    Page("alerts/", "alerts", show, SEES),
    Page("alerts/channel/", "alerts-channel", edit, SEES),
    Page("alerts/test/", "alerts-test", send_test, SEES),
    Page("alerts/delete/", "alerts-delete", delete, SEES),
    Page("alerts/silence/", "alerts-silence", silence_is_right, MAY_SAY),
]
