"""Integrations: the list, their buttons, and deleting one."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations import integration_links, integration_messages, notify_page
from config.admin.pages.integrations.app_pages import APP_PAGES, offers
from config.admin.pages.integrations.integration_buttons import BUTTONS
from config.admin.parts import badges, times
from config.admin.parts.buttons import page_of
from config.admin.parts.changelist import ListAdmin
from config.admin.parts.confirm import ask
from config.admin.parts.page import render
from events.reports.access import active_access
from events.reports.counting import NumberOf
from events.reports.system import backlog
from events.retention import delete_integration
from integrations import app_registry, credentials
from integrations.finding.ordering import by_name
from integrations.models import CallBudget, Destination, Integration
from integrations.sentences import say
from integrations.thinkific.explain import FAULTS, explain_plainly
from rules.models import Rule

NONE = "–"


def _is_paused(integration: Integration) -> bool:
    """Return whether it is paused for a while.

    A refused key does not count: its badge says that.
    """
    calls: CallBudget | None = getattr(integration, "budget", None)
    if calls is None or not integration.enabled or calls.blocked == CallBudget.Blocked.KEY:
        return False
    return bool(calls.blocked) and calls.blocked_until > timezone.now().timestamp()


def _has_catalog(integration: Integration) -> bool:
    return app_registry.of(integration).has_catalog


def _counted(integration: Integration, kind: Destination.Kind, number: int) -> SafeString | str:
    """Return how many it has, as a link to their list."""
    if not _has_catalog(integration):
        return NONE
    page = integration_links.courses_of(integration, kind)
    return format_html('<a href="{}">{}</a>', page, number)


@admin.register(Integration)
class IntegrationAdmin(ListAdmin):
    list_title = _("Integrations")
    add_label = _("New integration")
    empty = integration_messages.EMPTY
    list_display = (
        "name",
        "app",
        "place",
        "shown_connection",
        "courses",
        "bundles",
        "rules",
        "last_refreshed",
    )
    ordering = (by_name(), "pk")
    actions = ("refresh_ticked",)
    buttons = BUTTONS
    row_menu = True

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Integration]:
        here = {"integration": OuterRef("pk")}
        offered = Destination.objects.filter(Destination.STILL_THERE, **here)
        found: QuerySet[Integration] = super().get_queryset(request).select_related("budget")
        return found.annotate(
            courses=NumberOf(offered.filter(kind=Destination.Kind.COURSE).values("pk")),
            bundles=NumberOf(offered.filter(kind=Destination.Kind.BUNDLE).values("pk")),
            rule_count=NumberOf(Rule.objects.filter(**here).values("pk")),
        )

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        # Deleting has a page that counts what stops.
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description=_("Site"))
    def place(self, integration: Integration) -> SafeString:
        return badges.breakable(badges.brief(integration.site))

    @admin.display(description=_("Connection"))
    def shown_connection(self, integration: Integration) -> SafeString:
        warning = credentials.expiry_warning(integration, timezone.localdate())
        end = badges.badge(say("Token expires"), badges.AMBER) if warning else ""
        pause = badges.badge(say("Paused"), badges.AMBER) if _is_paused(integration) else ""
        return format_html(
            "<span>{} {} {}</span>", badges.connection_badge(integration), pause, end
        )

    @admin.display(description=_("Courses"))
    def courses(self, integration: Any) -> SafeString | str:
        return _counted(integration, Destination.Kind.COURSE, integration.courses)

    @admin.display(description=_("Bundles"))
    def bundles(self, integration: Any) -> SafeString | str:
        return _counted(integration, Destination.Kind.BUNDLE, integration.bundles)

    @admin.display(description=_("Rules"))
    def rules(self, integration: Any) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>',
            integration_links.rules_of(integration=integration.pk),
            integration.rule_count,
        )

    @admin.display(description=_("Last refreshed"))
    def last_refreshed(self, integration: Integration) -> SafeString:
        never = say("Never") if _has_catalog(integration) else NONE
        return times.ago(integration.refreshed_at, never)

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        assert isinstance(thing, Integration)
        links: list[tuple[str, str, str]] = []
        if self.has_change_permission(request, thing):
            links.append((page_of(thing), "", say("Edit")))
        if _has_catalog(thing):
            links.append((f"{page_of(thing)}#mapping", "", say("Mapping")))
        if self.has_delete_permission(request, thing):
            page = reverse("admin:integrations_integration_delete", args=[thing.pk])
            links.append((page, "danger", say("Delete")))
        return links

    # Refreshing

    def refresh(self, request: HttpRequest, integration: Integration) -> None:
        self._refresh(request, [integration])

    @admin.action(description=_("Refresh"), permissions=["change"])
    def refresh_ticked(self, request: HttpRequest, chosen: QuerySet[Integration]) -> None:
        self._refresh(request, list(chosen))

    def _refresh(self, request: HttpRequest, chosen: list[Integration]) -> None:
        sites = [each for each in chosen if _has_catalog(each)]
        integration_messages.read_again(request, sites)
        for other in chosen:
            if other not in sites:
                text = say("{name}: nothing to refresh. It has no courses or bundles.", name=other)
                self.message_user(request, text, messages.WARNING)

    def try_now(self, request: HttpRequest, integration: Integration) -> None:
        """Ask a paused site whether it is open again, before its pause is over."""
        waiting = backlog.waiting(integration)
        try:
            answer = app_registry.of(integration).try_now(integration)
        except FAULTS as error:
            text = say("{name}: not asked. {why}", name=integration, why=explain_plainly(error))
            self.message_user(request, text, messages.WARNING)
            return
        integration.refresh_from_db()
        integration_messages.say_tried(request, integration, answer, waiting)

    def turn_on(self, request: HttpRequest, integration: Integration) -> None:
        """Turn it on, so that its waiting actions go on."""
        if integration.enabled:
            return
        waiting = backlog.waiting(integration)
        _switch(integration, enabled=True)
        integration_messages.say_turned_on(request, integration, waiting)

    def turn_off(self, request: HttpRequest, integration: Integration) -> None:
        """Turn it off: until it is on again nothing is sent, and its actions wait."""
        if not integration.enabled:
            return
        _switch(integration, enabled=False)
        integration_messages.say_turned_off(request, integration, backlog.waiting(integration))

    def note_welcome_emails(self, request: HttpRequest, integration: Integration) -> None:
        """Note that they are on in Thinkific, which Admit cannot see."""
        _switch(integration, welcome_emails_on=True)
        text = say("Noted: the Welcome Emails of {name} are on in Thinkific.", name=integration)
        self.message_user(request, text)

    def need_not_be_private(self, request: HttpRequest, integration: Integration) -> None:
        """Note that its courses need not be Private: customers may cancel them inside Thinkific."""
        _switch(integration, private_not_wanted=True)
        text = say(
            "Noted: the courses of {name} need not be Private. You can change that under "
            "Integrations.",
            name=integration,
        )
        self.message_user(request, text)

    # Notify URLs

    def send_test(self, request: HttpRequest, integration: Integration) -> None:
        if offers("send_test")(integration):
            notify_page.send_test(request, integration)

    def new_secret(self, request: HttpRequest, integration: Integration) -> HttpResponse | None:
        if not offers("new_secret")(integration):
            return None
        return ask(request) or notify_page.new_secret(request, integration)

    # The page of one. Not Django's view: it saves in a transaction, in which nothing may be sent.

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        integration = self._opened(request, object_id)
        may_save = self._may_save(request, integration)
        if not may_save and (request.method == "POST" or integration is None or not integration.pk):
            raise PermissionDenied
        if integration is None:
            return render(
                request,
                "admin/integrations/integration/choose_app.html",
                title=say("New integration"),
                cards=[(app_registry.APPS[key], page.meaning) for key, page in APP_PAGES.items()],
            )
        return APP_PAGES[integration.app].show(
            request,
            integration,
            may_save=may_save,
            may_delete=self.has_delete_permission(request, integration),
        )

    def _opened(self, request: HttpRequest, object_id: str | None) -> Integration | None:
        """Return the integration of the address, or a new one; None if no app is chosen yet."""
        if object_id is None:
            app = request.POST.get("app") or request.GET.get("app", "")
            return Integration(app=app) if app in APP_PAGES else None
        found: Integration = self.existing(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, found):
            raise PermissionDenied
        return found

    def _may_save(self, request: HttpRequest, integration: Integration | None) -> bool:
        if integration is not None and integration.pk:
            return self.has_change_permission(request, integration)
        return self.has_add_permission(request)

    # Deleting

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what stops with the integration; the button deletes it, if needed in steps."""
        integration: Integration = self.existing(request, unquote(object_id))
        if not self.has_delete_permission(request, integration):
            raise PermissionDenied
        if request.method != "POST":
            return render(
                request,
                "admin/integrations/integration/delete_confirmation.html",
                title=say("Delete {name}?", name=badges.brief(integration)),
                opts=self.opts,
                object=integration,
                anybody_has=active_access.exists_at(integration),
                lines=delete_integration.summarize(integration).lines(),
            )
        if page := ask(request):
            return page
        name = str(integration)
        if not delete_integration.delete(integration):
            text = say(
                "{name}: turned off, and many of its actions are detached from it. Press Delete "
                "once more for the rest.",
                name=name,
            )
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(page_of(integration))
        text = say(
            "{name}: deleted with its rules and mappings. What it did stays in the log.", name=name
        )
        self.message_user(request, text)
        return HttpResponseRedirect(reverse("admin:integrations_integration_changelist"))


def _switch(integration: Integration, **values: bool) -> None:
    try:
        credentials.switch(integration, **values)
    except Integration.DoesNotExist:
        raise Http404 from None  # deleted meanwhile
