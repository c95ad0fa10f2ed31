"""Messages about integrations: before there is one, and after one was saved or refreshed."""

import math
from collections.abc import Iterable
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from config.admin.menu import allowed
from config.admin.pages.integrations import integration_links
from config.admin.parts import badges
from events.models import RuleRun
from events.queue.wake import wake
from events.reports import counting
from events.reports.system import backlog
from integrations import app_registry, catalog_refresh
from integrations.calls import rate_limit
from integrations.catalog_refresh import RefreshOutcome
from integrations.models import CallBudget, Integration, SiteAnswer
from integrations.sentences import Said, joined, say, say_count
from integrations.thinkific import catalog
from integrations.thinkific.explain import trouble
from rules import actions, broken_rules
from rules.models import Rule

Connection = Integration.Connection
# The permission to see the list of actions.
SEES_ACTIONS = "events.view_rulerun"
EMPTY = mark_safe(  # noqa: S308 - a text of ours
    _(
        "<p><strong>Connect your Thinkific school.</strong></p>"
        "<p>You need a Thinkific plan of Grow or higher. In Thinkific open "
        "<strong>Settings &gt; Code &amp; Analytics &gt; API</strong>. There you find the "
        "<strong>Subdomain</strong> and the <strong>API Key</strong>, or can create an API access "
        "token. Then press New integration, choose Thinkific and paste both.</p>"
    )
)
# How long the sentence about a refresh may be: it names courses as Thinkific does.
LONGEST_TOLD = 1000
OLD_ONE_ENDS = _(
    "The old secret stops working at once. A receiver that checks signatures refuses messages "
    "until it has the new one; Admit sends them again by itself."
)


def read_again(request: HttpRequest, sites: Iterable[Integration]) -> None:
    """Read the catalogs of these sites now, and say how that ended. Raises PermissionDenied."""
    if not request.user.has_perm("integrations.change_integration"):
        raise PermissionDenied
    waiting = {site: _held_up(site) for site in sites}
    for site, outcome in zip(waiting, catalog_refresh.refresh_all(waiting), strict=True):
        say_refreshed(request, site, outcome, waiting=waiting[site])


def _held_up(site: Integration) -> int:
    """Return how many actions wait because the site is paused or rejects its key."""
    _, seconds = rate_limit.blocked_for(site.pk)
    is_closed = seconds > 0 or site.connection == Connection.REFUSED
    return backlog.waiting(site) if site.enabled and is_closed else 0


def say_refreshed(
    request: HttpRequest,
    integration: Integration,
    outcome: RefreshOutcome,
    *,
    done: SafeString | str = "",
    link: SafeString | str = "",
    waiting: int = 0,
) -> None:
    """Say how a refresh ended, or that it goes on, and what Thinkific does not list.

    `done` says what was saved before it, and `link` leads to what comes next. If the refresh
    succeeded too, all of that is one message. `waiting` actions continue if it succeeded.
    """
    if done and outcome.changes is None:
        messages.success(request, format_html("{}{}", done, link))
        done = link = ""
    show = messages.error if outcome.fault else messages.success
    show = messages.info if outcome.goes_on else show
    none_listed = outcome.changes is not None and outcome.changes.none_listed
    more = _none_listed(integration) if none_listed else _key_field(integration, outcome)
    if outcome.changes and done:
        found = say("Refreshed: {changes}", changes=outcome.changes.sentence())
        told = badges.legible(found, LONGEST_TOLD)
        stop = "." if done.endswith("</a>") else ""
        show(request, format_html("{}{} {}{}{}", done, stop, told, more, link))
    else:
        told = badges.legible(outcome.sentence(), LONGEST_TOLD)
        told = with_what_goes_on(request, told, integration, waiting if outcome.changes else 0)
        show(request, format_html("{}: {}{}", integration, told, more))
    if outcome.changes is None:
        return
    if gone := broken_rules.gone(integration):
        messages.warning(request, integration_links.gone_sentence(request, gone))
    if unlisted := broken_rules.unlisted(integration):
        text = integration_links.broken_sentence(unlisted)
        text = format_html("{} {}", text, say("The rules that use them keep running."))
        messages.info(request, text)


def say_tried(
    request: HttpRequest, integration: Integration, answer: SiteAnswer, waiting: int
) -> None:
    """Say what a paused site answered after Try now was pressed."""
    match answer:
        case SiteAnswer.OPEN:
            over = say("{name}: the pause is over.", name=integration)
            messages.success(request, with_what_goes_on(request, over, integration, waiting))
        case SiteAnswer.REFUSED:
            why = trouble(integration)
            text = say("{name}: still rejected. {why}", name=integration, why=why)
            messages.error(request, text)
        case SiteAnswer.LIMITED:
            text = say(
                "{name}: Thinkific asks for a longer pause. It continues by itself when that is "
                "over.",
                name=integration,
            )
            messages.warning(request, text)
        case SiteAnswer.NONE | SiteAnswer.UNKNOWN:
            text = say(
                "{name}: Thinkific did not answer. Admit asks again by itself; nothing is lost.",
                name=integration,
            )
            messages.warning(request, text)


def say_connected(
    request: HttpRequest, integration: Integration, outcome: RefreshOutcome, waiting: int
) -> None:
    """Say whether a new key works, and what that means for the actions that wait."""
    if integration.connection == Connection.CONNECTED:
        done = say("{name}: saved. Connected.", name=integration)
        text = (
            with_what_goes_on(request, done, integration, waiting)
            if integration.enabled
            else joined([done, _off(integration, waiting)])
        )
        link = format_html(' <a href="{}">{}</a>', reverse("admin:index"), say("Next step"))
        # Without a rule that gives access, Admit is not set up yet.
        more = "" if Rule.objects.filter(action__in=actions.giving_access()).exists() else link
        say_refreshed(request, integration, outcome, done=text, link=more)
    elif integration.connection == Connection.REFUSED:
        # Its page says why, and has the buttons.
        text = say("{name}: saved, but not connected. See below what to do.", name=integration)
        messages.error(request, text)
    else:
        why = outcome.fault or say(
            "It is still being read, in the background. In a minute, check under Last refreshed "
            "whether it is done."
        )
        text = say("{name}: saved, not checked. {why}", name=integration, why=why)
        messages.warning(request, text)


def say_saved(request: HttpRequest, form: forms.ModelForm, waiting: int) -> None:
    """Say what was saved if the key did not change, and what turning on or off means."""
    messages.success(request, saved(request, form, waiting))


def saved(request: HttpRequest, form: forms.ModelForm, waiting: int) -> SafeString | str:
    """Return what `say_saved` says. Wakes a worker for what goes on."""
    integration = form.instance
    done = say("{name}: saved.", name=integration)
    if not integration.enabled:
        return joined([done, _off(integration, waiting)])
    if "enabled" not in form.changed_data:
        return done
    on = joined([done, say("It is on.")])
    # Then nothing goes on, and the message about the refresh says why.
    refused = integration.connection == Connection.REFUSED
    return on if refused else with_what_goes_on(request, on, integration, waiting)


def say_turned_on(request: HttpRequest, integration: Integration, waiting: int) -> None:
    """Say what happens now that the button turned it on."""
    on = say("{name} is on.", name=integration)
    if integration.connection == Connection.REFUSED:
        secret = app_registry.of(integration).secret
        why = (
            joined([say("Nothing is sent yet."), trouble(integration)])
            if integration.denied
            else say("Nothing is sent yet: its {secret} does not work.", secret=secret)
        )
        messages.warning(request, joined([on, why]))
    else:
        messages.success(request, with_what_goes_on(request, on, integration, waiting))


def say_turned_off(request: HttpRequest, integration: Integration, waiting: int) -> None:
    """Say that its button turned the integration off, and that `waiting` actions wait for it."""
    done = say("{name}: saved.", name=integration)
    messages.success(request, joined([done, _off(integration, waiting)]))


def with_what_goes_on(
    request: HttpRequest, text: str, integration: Integration, waiting: int
) -> SafeString | str:
    """Wake a worker for `waiting` actions. Return the text, then how many go on, with a link."""
    if not waiting:
        return text
    wake()
    text = joined([text, backlog.goes_on_sentence(waiting, integration)])
    if not allowed(request, SEES_ACTIONS):
        return text
    page = reverse("admin:events_rulerun_changelist")
    asked = urlencode({"integration": integration.pk, "status__exact": RuleRun.Status.WAITING})
    return format_html('{} <a href="{}?{}">{}</a>', text, page, asked, say("See the actions"))


def pause_sentence(integration: Integration) -> str:
    """Return why, and for how much longer, nothing is sent to a receiver; "" if not paused."""
    why, seconds = rate_limit.blocked_for(integration.pk)
    if not why or why == CallBudget.Blocked.KEY or seconds <= 0 or not integration.enabled:
        return ""
    paused = (
        say("Paused: {name} could not be reached.", name=integration)
        if why == CallBudget.Blocked.AWAY
        else say("Paused: {name} asked for a pause.", name=integration)
    )
    return joined([paused, _go_out_in(seconds)])


def _go_out_in(seconds: float) -> Said:
    if seconds < 100:
        return say_count(
            math.ceil(seconds),
            "Messages wait, and go out by themselves in 1 second.",
            "Messages wait, and go out by themselves in {number} seconds.",
        )
    return say_count(
        round(seconds / 60),
        "Messages wait, and go out by themselves in 1 minute.",
        "Messages wait, and go out by themselves in {number} minutes.",
    )


def _key_field(integration: Integration, outcome: RefreshOutcome) -> SafeString | str:
    """Return a link to enter another key if the site does not accept this one, else ""."""
    refused = Integration.objects.filter(pk=integration.pk, connection=Connection.REFUSED).first()
    if not outcome.fault or refused is None or refused.denied:
        return ""
    page = reverse("admin:integrations_integration_change", args=[integration.pk])
    return format_html(' <a href="{}#id_secret">{}</a>', page, say("Enter the key"))


def _none_listed(integration: Integration) -> SafeString:
    """Return that Thinkific lists no courses, and a link to enter those that it has."""
    address = f"{reverse('admin:new-rule')}?integration={integration.pk}"
    return format_html(' {} <a href="{}">{}</a>', catalog.NONE_LISTED, address, say("New rule"))


def _off(integration: Integration, waiting: int) -> str:
    off = say(
        "It is off: nothing is sent to {outside}, and nothing is lost.",
        outside=app_registry.of(integration).outside,
    )
    held = say_count(
        waiting,
        "1 action waits until you turn it on.",
        "{number} actions wait until you turn it on.",
        number=counting.format_count(waiting),
    )
    return joined([off, held if waiting else say("Its actions wait until you turn it on.")])
