"""Integrations: the list of Thinkific sites, and connecting, refreshing and deleting one."""

import copy
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from config.admin.pages import field_mapping, integration_messages
from config.admin.pages.integration_form import SECTIONS, IntegrationForm
from config.admin.parts import badges
from config.admin.parts.buttons import Button
from config.admin.parts.changelist import ListAdmin
from config.admin.parts.page import render
from events.reports import backlog
from events.retention import delete_integration
from integrations import catalog_refresh, connect
from integrations.models import ApiCall, CallBudget, Destination, Integration
from integrations.thinkific import catalog, pauses
from integrations.thinkific.explain import FAULTS, explain_plainly, trouble
from rules import broken_rules
from rules.models import Rule

ADD_ROW = "_add_mapping"
MAX_UNLISTED = 200
EMPTY = mark_safe(
    "<p><strong>Connect your Thinkific site.</strong></p>"
    "<p>You need a Thinkific plan of Grow or higher. In Thinkific open "
    "<strong>Settings &gt; Code &amp; Analytics &gt; API</strong>: there stand the "
    "<strong>Subdomain</strong> and the <strong>API Key</strong>, or you create an API access "
    "token. Then press New integration and paste both.</p>"
)


def _may_be_tried(integration: Integration) -> bool:
    """Whether it is paused; before the first connect Refresh is the one button for that."""
    calls: CallBudget | None = getattr(integration, "budget", None)
    paused = integration.enabled and calls is not None and bool(calls.blocked)
    return paused and not integration.refused_at_first()


@admin.register(Integration)
class IntegrationAdmin(ListAdmin):
    list_title = "Integrations"
    add_label = "New integration"
    empty = EMPTY
    list_display = (
        "name",
        "app",
        "site",
        "shown_connection",
        "courses",
        "bundles",
        "rules",
        "last_refreshed",
    )
    ordering = ("name",)
    sortable_by = ()
    actions = ("refresh_ticked",)
    buttons = (
        Button("refresh", "Refresh", "integrations.change_integration"),
        # Not in the row, which has no room for a fourth button.
        Button(
            "try_now",
            "Try now",
            "integrations.change_integration",
            fits=_may_be_tried,
            in_row=False,
        ),
    )

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Integration]:
        offered = Destination.objects.filter(unlisted_at=None, gone_at=None)
        found: QuerySet[Integration] = super().get_queryset(request).select_related("budget")
        return found.annotate(
            courses=_number_of(offered.filter(kind=Destination.Kind.COURSE)),
            bundles=_number_of(offered.filter(kind=Destination.Kind.BUNDLE)),
            rule_count=_number_of(Rule.objects.all()),
        )

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        # Deleting has a page that counts what stops.
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description="Connection")
    def shown_connection(self, integration: Integration) -> SafeString:
        warning = connect.expiry_warning(integration, timezone.localdate())
        end = badges.badge("Token expires", badges.AMBER) if warning else ""
        return format_html("<span>{} {}</span>", badges.connection_badge(integration), end)

    def courses(self, integration: Any) -> int:
        return int(integration.courses)

    def bundles(self, integration: Any) -> int:
        return int(integration.bundles)

    def rules(self, integration: Any) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>',
            integration_messages.rules_of(integration=integration.pk),
            integration.rule_count,
        )

    def last_refreshed(self, integration: Integration) -> SafeString:
        return badges.when(integration.refreshed_at, "Never")

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        links = [(f"{self._page_of(thing)}#mapping", "", "Mapping")]
        if self.has_delete_permission(request, thing):
            links.append((_delete_page(thing), "danger", "Delete"))
        return links

    # Refreshing

    def refresh(self, request: HttpRequest, integration: Integration) -> None:
        integration_messages.refreshed(request, integration, catalog_refresh.refresh(integration))

    @admin.action(description="Refresh", permissions=["change"])
    def refresh_ticked(self, request: HttpRequest, chosen: QuerySet[Integration]) -> None:
        ticked = list(chosen)
        for integration, outcome in zip(ticked, catalog_refresh.refresh_all(ticked), strict=True):
            integration_messages.refreshed(request, integration, outcome)

    def try_now(self, request: HttpRequest, integration: Integration) -> None:
        """Ask a paused site whether it is open again, before its pause is over."""
        waiting = backlog.waiting(integration)
        try:
            answer = pauses.try_now(integration)
        except FAULTS as error:
            text = f"{integration}: not asked. {explain_plainly(error)}"
            self.message_user(request, text, messages.WARNING)
            return
        integration.refresh_from_db()
        integration_messages.tried(request, integration, answer, waiting)

    # One of them: not Django's view, for that saves in a transaction, and in none of them may
    # Thinkific be called.

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        integration = self._opened(request, object_id)
        data = request.POST if request.method == "POST" else None
        if not self._may_save(request, integration):
            if data is not None or not integration.pk:
                raise PermissionDenied
            return self._page(request, integration)
        # A copy: the form writes into it, and the page shows what is stored.
        form = IntegrationForm(data, instance=copy.copy(integration))
        fields = field_mapping.section(integration, data) if integration.pk else None
        valid = [form.is_valid(), fields is None or fields.rows.is_valid()]
        if data is not None and all(valid):
            return self._save(request, form, fields)
        return self._page(request, integration, form=form, fields=fields)

    def _opened(self, request: HttpRequest, object_id: str | None) -> Integration:
        if object_id is None:
            return Integration()
        found: Integration | None = self.get_object(request, unquote(object_id))
        if found is None:
            raise Http404
        if not self.has_view_or_change_permission(request, found):
            raise PermissionDenied
        return found

    def _may_save(self, request: HttpRequest, integration: Integration) -> bool:
        if integration.pk:
            return self.has_change_permission(request, integration)
        return self.has_add_permission(request)

    def _page(
        self,
        request: HttpRequest,
        integration: Integration,
        *,
        form: IntegrationForm | None = None,
        fields: field_mapping.Section | None = None,
    ) -> HttpResponse:
        is_new = not integration.pk
        wrong = bool(form and form.errors) or bool(fields and fields.rows.total_error_count())
        if form:
            form.mark_refusal()
        why = trouble(integration)
        sections = [(title, {"fields": list(names)}) for title, names in SECTIONS]
        return render(
            request,
            "admin/integrations/integration/edit.html",
            title="New integration" if is_new else badges.brief(integration),
            opts=self.opts,
            original=None if is_new else integration,
            form=form,
            sections=AdminForm(form, sections, {}, (), self) if form else None,
            mapping=fields or (None if is_new else field_mapping.section(integration)),
            errors=wrong,
            may_delete=not is_new and self.has_delete_permission(request, integration),
            warning=connect.expiry_warning(integration, timezone.localdate()),
            trouble=why,
            last_call=_last_call(integration) if why else None,
            rules_url="" if is_new else integration_messages.rules_of(integration=integration.pk),
            **({} if is_new else _not_listed(integration)),
        )

    def _save(
        self, request: HttpRequest, form: IntegrationForm, fields: field_mapping.Section | None
    ) -> HttpResponse:
        integration: Integration = form.instance
        waiting = backlog.waiting(integration) if integration.pk else 0
        moved = integration.site != form.initial.get("site")
        with transaction.atomic():
            connect.save(integration, form.cleaned_data["secret"])
            if fields is not None:
                fields.save()
        page = self._page_of(integration)
        if ADD_ROW in request.POST:
            self.message_user(request, f"{integration}: saved. Add the next mapping below.")
            return HttpResponseRedirect(f"{page}#mapping")
        # Only now is the transaction over.
        outcome = catalog_refresh.refresh(integration)
        integration.refresh_from_db()
        if form.cleaned_data["secret"] or moved:
            integration_messages.connected(request, integration, outcome, waiting)
        else:
            integration_messages.saved(request, form, waiting)
            integration_messages.refreshed(request, integration, outcome)
        return HttpResponseRedirect(page)

    # Deleting

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A page that counts what stops; its button deletes, little by little."""
        integration: Integration | None = self.get_object(request, unquote(object_id))
        if integration is None:
            raise Http404
        if not self.has_delete_permission(request, integration):
            raise PermissionDenied
        if request.method != "POST":
            return render(
                request,
                "admin/integrations/integration/delete_confirmation.html",
                title=f"Delete {badges.brief(integration)}?",
                opts=self.opts,
                object=integration,
                lines=delete_integration.summarize(integration).lines(),
            )
        name = str(integration)
        if not delete_integration.delete(integration):
            text = "it is off, and many of its actions were let go. Delete it once more."
            self.message_user(request, f"{name}: {text}", messages.WARNING)
            return HttpResponseRedirect(self._page_of(integration))
        text = "deleted with its rules and mappings. What it did stays in the log."
        self.message_user(request, f"{name}: {text}")
        return HttpResponseRedirect(reverse("admin:integrations_integration_changelist"))


def _last_call(integration: Integration) -> ApiCall | None:
    """The last call that was made for no action; kept for as long as any other."""
    return ApiCall.objects.filter(integration=integration, run_id=None).order_by("-pk").first()


def _not_listed(integration: Integration) -> dict[str, Any]:
    """What Thinkific does not list of the site, and whether it lists anything at all."""
    courses = integration.destinations.filter(kind=Destination.Kind.COURSE)
    listed = courses.filter(by_hand=False, unlisted_at=None)
    read = integration.refreshed_at is not None
    there = integration.destinations.order_by("name", "pk").annotate(used=Count("rules"))
    return {
        "lost": integration_messages.lost_sentence(broken_rules.gone(integration)),
        "none_listed": catalog.NONE_LISTED if read and not listed.exists() else "",
        "unlisted": there.exclude(by_hand=False, unlisted_at=None, gone_at=None)[:MAX_UNLISTED],
    }


def _delete_page(thing: Model) -> str:
    return reverse("admin:integrations_integration_delete", args=[thing.pk])


def _number_of(rows: QuerySet[Any]) -> Coalesce:
    """How many of these rows each integration has."""
    here = rows.filter(integration=OuterRef("pk")).order_by().values("integration")
    return Coalesce(Subquery(here.annotate(number=Count("pk")).values("number")), 0)
