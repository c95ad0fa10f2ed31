"""The page of a Thinkific site: connecting it, and its field mapping."""

import copy
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations import field_mapping, integration_links, integration_messages
from config.admin.pages.integrations.integration_form import conflict_page, render_form
from config.admin.pages.integrations.thinkific_form import SECTIONS, ThinkificForm
from events.reports.system import backlog
from integrations import catalog_refresh, credentials
from integrations.calls import rate_limit
from integrations.finding.ordering import by_name
from integrations.models import ApiCall, Destination, Integration
from integrations.sentences import say
from integrations.thinkific import catalog, key_check
from integrations.thinkific.explain import trouble
from rules import broken_rules

ADD_ROW = "_add_mapping"
MAX_UNLISTED = 200
# How many seconds a person waits for a site that just did not answer the check of its key.
AFTER_TRYING = 2.0
UNTRIED = _(
    "The new key was saved before Thinkific said whether it accepts it. Admit is trying the key "
    "now: open this page again in a minute. If Thinkific rejects the key, this page says so, and "
    "you can enter another one here."
)


def show(
    request: HttpRequest, integration: Integration, *, may_save: bool, may_delete: bool
) -> HttpResponse:
    """The page of a new or stored site, or the answer to its posted form."""
    if not may_save:
        return _page(request, integration)
    data = request.POST if request.method == "POST" else None
    # A copy: the form writes into it, and the page shows what is stored.
    form = ThinkificForm(data, instance=copy.copy(integration))
    fields = field_mapping.section(integration, data) if integration.pk else None
    valid = [form.is_valid(), fields is None or fields.rows.is_valid()]
    if data is not None and all(valid):
        works = _try_key(form)
        if works is not False:
            return _save(request, form, fields, untried=works is None)
    return _page(request, integration, form=form, fields=fields, may_delete=may_delete)


def _try_key(form: ThinkificForm) -> bool | None:
    """Return whether a key that would replace a working one works; None if Thinkific does not say.

    If it is refused, the form says so. True if no working key would be replaced.
    """
    secret = form.cleaned_data["secret"]
    if not secret or not form.key_works:
        return True
    works = key_check.works(form.instance, secret)
    if works is False:
        text = say(
            "Thinkific rejects this key: it is wrong or lacks a permission, or the school's plan "
            "has no API access (Grow or higher is required). Admit still uses the previous key."
        )
        form.add_error("secret", text)
    return works


def _page(
    request: HttpRequest,
    integration: Integration,
    *,
    form: ThinkificForm | None = None,
    fields: field_mapping.Section | None = None,
    may_delete: bool = False,
) -> HttpResponse:
    is_new = not integration.pk
    wrong = bool(form and form.errors) or bool(fields and fields.rows.total_error_count())
    if form:
        form.mark_refusal()
    if form and wrong:
        form.ask_for_key_again()
    why = trouble(integration, advise=form is not None)
    return render_form(
        request,
        "thinkific.html",
        integration,
        form,
        SECTIONS,
        new=say("New Thinkific school"),
        mapping=fields or (None if is_new else field_mapping.section(integration)),
        errors=wrong,
        may_delete=may_delete,
        warning=credentials.expiry_warning(
            integration, timezone.localdate(), advise=form is not None
        ),
        trouble=why,
        asks_again=_minutes_to_next_question(integration),
        last_call=_last_call(integration) if why else None,
        rules_url="" if is_new else integration_links.rules_of(integration=integration.pk),
        **({} if is_new else _courses(request, integration)),
    )


def _minutes_to_next_question(integration: Integration) -> int:
    """Return how often Admit asks whether a key that worked once works again; 0 if it does not."""
    refused = integration.connection == Integration.Connection.REFUSED
    if not integration.enabled or not refused or integration.never_connected():
        return 0
    return round(rate_limit.KEY_PAUSE_SECONDS / 60)


def _save(
    request: HttpRequest,
    form: ThinkificForm,
    fields: field_mapping.Section | None,
    *,
    untried: bool,
) -> HttpResponse:
    integration: Integration = form.instance
    waiting = backlog.waiting(integration) if integration.pk else 0
    moved = integration.site != form.initial.get("site")
    with transaction.atomic():
        typed = fields.typed() if fields else {}
        if page_of_both := conflict_page(request, form, typed, form.cleaned_data["secret"]):
            return page_of_both
        credentials.save(integration, form.cleaned_data["secret"])
        if fields is not None:
            fields.save()
    page = reverse("admin:integrations_integration_change", args=[integration.pk])
    if ADD_ROW in request.POST:
        text = say("{name}: saved. Add the next mapping below.", name=integration)
        messages.info(request, text)
        return HttpResponseRedirect(f"{page}#mapping")
    replaced = bool(form.cleaned_data["secret"] or moved)
    if not replaced and not integration.enabled:
        integration_messages.say_saved(request, form, waiting)
        return HttpResponseRedirect(page)
    # After the transaction: nothing may be sent within one.
    wait = {"wait": AFTER_TRYING} if untried else {}
    outcome = catalog_refresh.refresh(integration, **wait)
    integration.refresh_from_db()
    if replaced:
        integration_messages.say_connected(request, integration, outcome, waiting)
        if untried and outcome.goes_on:
            messages.warning(request, UNTRIED)
        # Otherwise a browser that came by the link to the key would stay there, below the messages.
        page = f"{page}#content-start"
    else:
        done = integration_messages.saved(request, form, waiting)
        integration_messages.say_refreshed(request, integration, outcome, done=done)
    return HttpResponseRedirect(page)


def _last_call(integration: Integration) -> ApiCall | None:
    """Return the site's last call that belongs to no action, if it is still kept."""
    return ApiCall.objects.filter(integration=integration, run_id=None).order_by("-pk").first()


def _courses(request: HttpRequest, integration: Integration) -> dict[str, Any]:
    """Return where courses and bundles are listed, and those that Thinkific does not list."""
    courses = integration.destinations.filter(kind=Destination.Kind.COURSE)
    listed = courses.filter(by_hand=False, unlisted_at=None)
    read = integration.refreshed_at is not None
    there = integration.destinations.order_by(by_name(), "pk").annotate(used=Count("rules"))
    return {
        "courses_url": integration_links.courses_of(integration, Destination.Kind.COURSE),
        "bundles_url": integration_links.courses_of(integration, Destination.Kind.BUNDLE),
        "lost": integration_links.gone_sentence(request, broken_rules.gone(integration)),
        "none_listed": catalog.NONE_LISTED if read and not listed.exists() else "",
        "unlisted": there.exclude(Destination.STILL_THERE, by_hand=False)[:MAX_UNLISTED],
    }
