"""Courses and bundles: their list, and marking one as gone or back."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations import integration_links
from config.admin.pages.rules.courses import another_course
from config.admin.parts import badges
from config.admin.parts.buttons import Button
from config.admin.parts.changelist import ReadOnly
from config.admin.parts.filters import IntegrationFilter
from events.execution import gone_destinations
from events.reports import counting
from events.reports.access import active_access
from events.reports.counting import NumberOf
from integrations import app_registry
from integrations.finding.ordering import by_name
from integrations.models import Destination, Integration
from integrations.sentences import joined, say, say_count
from rules.models import Rule

SETS_UP = "integrations.change_integration"


def _is_removable(destination: Destination) -> bool:
    return destination.by_hand and not destination.rules.exists()


def _what_follows(destination: Destination) -> str:
    """Return what marking it as gone would do, in sentences."""
    rules = gone_destinations.rules_giving(destination).filter(enabled=True).count()
    runs = counting.count(gone_destinations.open_runs(destination))
    sentences = [
        say("Say this only if it was deleted in Thinkific."),
        say_count(
            rules,
            "1 rule that gives it is turned off.",
            "{number} rules that give it are turned off.",
        )
        if rules
        else say("No rule that is on gives it."),
    ]
    if runs:
        sentences.append(
            say_count(
                runs,
                "1 open action that would give it fails and says so.",
                "{number}{more} open actions that would give it fail and say so.",
                more="+" if runs >= counting.MAX_COUNT else "",
            )
        )
    if active_access.exists_for_destinations([destination]):
        sentences.append(
            say("Students keep the access they have, and rules that end it keep running.")
        )
    if destination.listed:
        sentences.append(
            say(
                "Thinkific listed it at the last refresh: a refresh that still finds it there "
                "takes this back, but leaves the rules off."
            )
        )
    return joined(sentences)


class SchoolFilter(IntegrationFilter):
    """The filter by integration, among those that have courses and bundles."""

    among = Integration.objects.filter(app__in=app_registry.with_catalog())


class RulesFilter(admin.SimpleListFilter):
    """The filter by whether a rule uses it."""

    title = _("rules")
    parameter_name = "rules"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("none", say("Without a rule")), ("some", say("With rules"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Destination]
    ) -> QuerySet[Destination]:
        used = Exists(Rule.objects.filter(destination=OuterRef("pk")))
        match self.value():
            case "none":
                return queryset.filter(~used)
            case "some":
                return queryset.filter(used)
        return queryset


class ListedFilter(admin.SimpleListFilter):
    """The filter by whether Thinkific still has it, as far as Admit knows."""

    title = _("in Thinkific")
    parameter_name = "listed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", say("In Thinkific")), ("no", say("Gone or not listed"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Destination]
    ) -> QuerySet[Destination]:
        match self.value():
            case "yes":
                return queryset.filter(Destination.STILL_THERE)
            case "no":
                return queryset.exclude(Destination.STILL_THERE)
        return queryset


@admin.register(Destination)
class DestinationAdmin(ReadOnly):
    list_title = _("Courses and bundles")
    list_display = ("shown_name", "kind", "external_id", "rules", "integration")
    list_select_related = ("integration",)
    list_filter = (SchoolFilter, "kind", RulesFilter, ListedFilter)
    search_fields = ("name", "=external_id")
    search_help_text = _("Name or number")
    nothing_fits = _("No courses or bundles match.")
    ordering = (by_name(), "pk")
    buttons = (
        Button(
            "mark_gone",
            _("Mark as gone"),
            SETS_UP,
            fits=lambda destination: destination.gone_at is None,
            in_row=False,
            confirm=_what_follows,
        ),
        Button(
            "mark_back",
            _("Mark as back"),
            SETS_UP,
            fits=lambda destination: destination.gone_at is not None,
            in_row=False,
        ),
        Button(
            "remove",
            _("Remove"),
            SETS_UP,
            fits=_is_removable,
            in_row=False,
            confirm=lambda destination: say(
                "Admit forgets its number and name. Nothing changes in Thinkific, and it can be "
                "entered again."
            ),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        found: QuerySet[Destination] = super().get_queryset(request)
        rules = Rule.objects.filter(destination=OuterRef("pk"))
        return found.annotate(rule_count=NumberOf(rules.values("pk")))

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        assert isinstance(thing, Destination)
        may = request.user.has_perm(another_course.EDITS)
        if not may or not thing.left_list or not thing.rules.exists():
            return []
        page = integration_links.another_course(thing)
        return [(page, "primary", another_course.choose_another(thing))]

    @admin.display(description=_("Name"))
    def shown_name(self, destination: Destination) -> str:
        return badges.destination(destination)

    @admin.display(description=_("Rules"))
    def rules(self, destination: Any) -> SafeString:
        if not destination.rule_count:
            return badges.badge(say("No rule"), badges.GREY)
        address = integration_links.rules_of(destination=destination.pk)
        return format_html('<a href="{}">{}</a>', address, destination.rule_count)

    # Buttons

    def mark_gone(self, request: HttpRequest, destination: Destination) -> None:
        rules, runs = gone_destinations.mark(destination, by=request.user.get_username())
        text = say(
            "{name}: marked as gone. {rules}, {actions}.",
            name=str(destination),
            rules=say_count(rules, "1 rule turned off", "{number} rules turned off"),
            actions=say_count(runs, "1 open action failed", "{number} open actions failed"),
        )
        self._say(request, destination, text)

    def mark_back(self, request: HttpRequest, destination: Destination) -> None:
        gone_destinations.unmark(destination)
        text = say("{name}: marked as back.", name=str(destination))
        off = gone_destinations.rules_giving(destination).filter(enabled=False).count()
        if off:
            are_off = say_count(
                off,
                "1 rule that would give it is off: turn on what you need.",
                "{number} rules that would give it are off: turn on what you need.",
            )
            text = joined([text, are_off])
        self._say(request, destination, text)

    def remove(self, request: HttpRequest, destination: Destination) -> HttpResponse | None:
        if not gone_destinations.remove(destination):
            text = say(
                "{name}: not removed, because a rule uses it or Thinkific lists it.",
                name=str(destination),
            )
            self.message_user(request, text, messages.WARNING)
            return None
        self.message_user(request, say("{name}: removed.", name=str(destination)))
        return HttpResponseRedirect(reverse("admin:integrations_destination_changelist"))

    def _say(self, request: HttpRequest, destination: Destination, text: str) -> None:
        """Add a message with a link to the rules that use it, if there are any."""
        link: SafeString | str = ""
        if destination.rules.exists():
            address = integration_links.rules_of(destination=destination.pk)
            link = format_html(' <a href="{}">{}</a>', address, say("See its rules"))
        self.message_user(request, format_html("{}{}", text, link))

    # A page of its own

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        destination: Destination = context["original"]
        told = {
            "inside": destination.integration.destinations.filter(
                kind=Destination.Kind.COURSE, external_id__in=destination.course_ids
            ).order_by(by_name(), "pk"),
            "rules": destination.rules.count(),
            "rules_url": integration_links.rules_of(destination=destination.pk),
        }
        return super().render_change_form(request, context | told, *args, **kwargs)
