"""What a person reads of integrations: before the first, and after one was saved or refreshed."""

import math

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from config.admin.parts import badges
from events.reports import backlog
from integrations import app_registry, rate_limit
from integrations.catalog_refresh import RefreshOutcome
from integrations.models import CallBudget, Integration, SiteAnswer
from integrations.thinkific import catalog
from integrations.thinkific.explain import trouble
from rules import broken_rules
from rules.broken_rules import BrokenRules

Connection = Integration.Connection
EMPTY = mark_safe(
    "<p><strong>Connect your Thinkific site.</strong></p>"
    "<p>You need a Thinkific plan of Grow or higher. In Thinkific open "
    "<strong>Settings &gt; Code &amp; Analytics &gt; API</strong>. There you find the "
    "<strong>Subdomain</strong> and the <strong>API Key</strong>, or can create an API access "
    "token. Then press New integration, choose Thinkific and paste both.</p>"
)
OLD_ONE_ENDS = (
    "The old secret ends at once. A receiver that checks signatures refuses messages until it has "
    "the new one; Admit sends them again by itself."
)


def refreshed(request: HttpRequest, integration: Integration, outcome: RefreshOutcome) -> None:
    """How a refresh ended, or that it goes on, and what Thinkific does not list."""
    say = messages.error if outcome.fault else messages.success
    say = messages.info if outcome.goes_on else say
    none_listed = outcome.changes is not None and outcome.changes.none_listed
    more = _none_listed(integration) if none_listed else _key_field(integration, outcome)
    say(request, format_html("{}: {}{}", integration, outcome.sentence(), more))
    if outcome.changes is None:
        return
    if gone := broken_rules.gone(integration):
        messages.warning(request, lost_sentence(gone))
    if unlisted := broken_rules.unlisted(integration):
        messages.info(request, format_html("{} Their rules go on.", lost_sentence(unlisted)))


def tried(request: HttpRequest, integration: Integration, answer: SiteAnswer, waiting: int) -> None:
    """What a paused site answered to the person who pressed Try now."""
    match answer:
        case SiteAnswer.OPEN:
            then = backlog.go_on(waiting, integration)
            messages.success(request, f"{integration}: the pause is over. {then}".rstrip())
        case SiteAnswer.REFUSED:
            why = trouble(integration)
            messages.error(request, f"{integration}: still refused. {why}")
        case SiteAnswer.LIMITED:
            text = "Thinkific asks for a longer pause. It goes on by itself when that is over."
            messages.warning(request, f"{integration}: {text}")
        case _:
            text = "Thinkific did not answer. Admit asks again by itself; nothing is lost."
            messages.warning(request, f"{integration}: {text}")


def connected(
    request: HttpRequest, integration: Integration, outcome: RefreshOutcome, waiting: int
) -> None:
    """After a new key: whether it works, and what that means for the actions that wait."""
    if integration.connection == Connection.CONNECTED:
        then = (
            backlog.go_on(waiting, integration)
            if integration.enabled
            else _off(integration, waiting)
        )
        messages.success(request, f"{integration}: saved. Connected. {then}".rstrip())
        refreshed(request, integration, outcome)
    elif integration.connection == Connection.REFUSED:
        messages.error(request, f"{integration}: saved, but not connected. {outcome.fault}")
    else:
        fault = outcome.fault or f"It is {outcome.sentence()}"
        messages.warning(request, f"{integration}: saved, not checked. {fault}")


def saved(request: HttpRequest, form: forms.ModelForm, waiting: int) -> None:
    """After any other change, and what turning on or off means."""
    integration, then = form.instance, ""
    if "enabled" in form.changed_data and not integration.enabled:
        then = _off(integration, waiting)
    elif "enabled" in form.changed_data:
        # With a rejected key nothing goes on; the refresh says why.
        works = integration.connection != Connection.REFUSED
        then = f"It is on. {backlog.go_on(waiting, integration) if works else ''}"
    messages.success(request, f"{integration}: saved. {then}".rstrip())


def pause_sentence(integration: Integration) -> str:
    """Why and for how long yet nothing is sent to a receiver; "" when it is not paused."""
    why, seconds = rate_limit.blocked_for(integration.pk)
    if not why or why == CallBudget.Blocked.KEY or seconds <= 0 or not integration.enabled:
        return ""
    left = f"{math.ceil(seconds)} seconds" if seconds < 100 else f"{round(seconds / 60)} minutes"
    away = why == CallBudget.Blocked.AWAY
    what = "could not be reached" if away else "asked for a pause"
    return f"Paused: {integration} {what}. Messages wait, and go out by themselves in {left}."


def _key_field(integration: Integration, outcome: RefreshOutcome) -> SafeString | str:
    """Behind a refusal: where another key is entered."""
    refused = Integration.objects.filter(pk=integration.pk, connection=Connection.REFUSED)
    if not outcome.fault or not refused.exists():
        return ""
    page = reverse("admin:integrations_integration_change", args=[integration.pk])
    return format_html(' <a href="{}#id_secret">Enter the key</a>', page)


def _none_listed(integration: Integration) -> SafeString:
    """Behind the result: Thinkific lists no courses, and where to enter those that it has."""
    address = f"{reverse('admin:new-rule')}?integration={integration.pk}"
    return format_html(' {} <a href="{}">New rule</a>', catalog.NONE_LISTED, address)


def lost_sentence(found: list[BrokenRules]) -> SafeString | str:
    """ "1 course used by 2 rules is gone from Thinkific: see them."; of several, each is a link."""
    if not found:
        return ""
    links = [(rules_of(destination=each.destination.pk), each.destination.name) for each in found]
    if len(links) == 1:
        links = [(links[0][0], "see them")]
    shown = ((url, badges.brief(name)) for url, name in links)
    link = format_html_join(", ", '<a href="{}">{}</a>', shown)
    return format_html("{}: {}.", broken_rules.sentence(found), link)


def rules_of(**what: int) -> str:
    """The list of rules, of an integration or of a destination, as in rules_of(destination=7)."""
    query = "&".join(f"{name}__id__exact={pk}" for name, pk in what.items())
    return f"{reverse('admin:rules_rule_changelist')}?{query}"


def _off(integration: Integration, waiting: int) -> str:
    held = f" {backlog.spoken(waiting)} until then." if waiting else ""
    outside = app_registry.of(integration).outside
    return (
        f"It is off: its actions wait, and nothing is sent to {outside} until you turn it on "
        f"again. Nothing is lost.{held}"
    )
