"""Courses and bundles: looked up by others as one types, and marked as gone by a person."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import name_of
from config.admin.pages import another_course, integration_messages
from config.admin.parts import badges
from config.admin.parts.buttons import Button
from config.admin.parts.changelist import ReadOnly
from config.admin.parts.filters import IntegrationFilter
from events.execution import gone_destinations
from events.reports import backlog
from integrations import app_registry
from integrations.models import Destination, Integration

SETS_UP = "integrations.change_integration"


def _is_removable(destination: Destination) -> bool:
    return destination.by_hand and not destination.rules.exists()


def _what_follows(destination: Destination) -> str:
    """What marking it as gone would do, in sentences."""
    rules = gone_destinations.rules_giving(destination).filter(enabled=True).count()
    runs = gone_destinations.open_runs(destination).order_by()[: backlog.MAX_COUNT].count()
    sentences = [
        "Say this only if it was deleted in Thinkific.",
        f"{backlog.spoken(rules, 'rule')} that {'gives' if rules == 1 else 'give'} it "
        f"{'is' if rules == 1 else 'are'} turned off."
        if rules
        else "No rule that is on gives it.",
    ]
    if runs:
        fail = "fails and says" if runs == 1 else "fail and say"
        sentences.append(f"{backlog.spoken(runs, 'open action')} that would give it {fail} so.")
    sentences.append("Students keep the access they have, and rules that end it go on.")
    if destination.listed:
        sentences.append(
            "Thinkific listed it at the last refresh: a refresh that still finds it there takes "
            "this back, but leaves the rules off."
        )
    return " ".join(sentences)


class SchoolFilter(IntegrationFilter):
    """By integration, of those that have courses and bundles."""

    among = Integration.objects.filter(app__in=app_registry.with_catalog())


@admin.register(Destination)
class DestinationAdmin(ReadOnly):
    list_title = "Courses and bundles"
    list_display = ("shown_name", "kind", "external_id", "integration")
    list_select_related = ("integration",)
    list_filter = (SchoolFilter, "kind")
    search_fields = ("name",)
    ordering = ("name", "pk")
    sortable_by = ()
    buttons = (
        Button(
            "mark_gone",
            "It is gone",
            SETS_UP,
            fits=lambda destination: destination.gone_at is None,
            in_row=False,
            confirm=_what_follows,
        ),
        Button(
            "mark_back",
            "It is back",
            SETS_UP,
            fits=lambda destination: destination.gone_at is not None,
            in_row=False,
        ),
        Button(
            "remove",
            "Remove",
            SETS_UP,
            fits=_is_removable,
            in_row=False,
            confirm=lambda destination: (
                "Admit forgets its number and name. Nothing changes in Thinkific, and it can be "
                "entered again."
            ),
        ),
    )

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        assert isinstance(thing, Destination)
        may = request.user.has_perm(another_course.EDITS)
        if not may or thing.gone_at is None or not thing.rules.exists():
            return []
        page = f"{reverse('admin:another-course')}?course={thing.pk}"
        return [(page, "primary", f"Choose another {thing.kind}")]

    @admin.display(description="Name")
    def shown_name(self, destination: Destination) -> str:
        return badges.destination(destination)

    # Buttons

    def mark_gone(self, request: HttpRequest, destination: Destination) -> None:
        rules, runs = gone_destinations.mark(destination, by=name_of(request))
        text = (
            f"{destination}: marked as gone. {backlog.spoken(rules, 'rule')} turned off, "
            f"{backlog.spoken(runs, 'open action')} failed."
        )
        self._say(request, destination, text)

    def mark_back(self, request: HttpRequest, destination: Destination) -> None:
        gone_destinations.unmark(destination)
        text = f"{destination}: it counts as there again."
        off = gone_destinations.rules_giving(destination).filter(enabled=False).count()
        if off:
            are_off = "is off" if off == 1 else "are off"
            text += (
                f" {backlog.spoken(off, 'rule')} that would give it {are_off}: turn on what you "
                "need."
            )
        self._say(request, destination, text)

    def remove(self, request: HttpRequest, destination: Destination) -> HttpResponse | None:
        if not gone_destinations.remove(destination):
            text = f"{destination}: not removed, because a rule uses it or Thinkific lists it."
            self.message_user(request, text, messages.WARNING)
            return None
        self.message_user(request, f"{destination}: removed.")
        return HttpResponseRedirect(reverse("admin:integrations_destination_changelist"))

    def _say(self, request: HttpRequest, destination: Destination, text: str) -> None:
        """A message with the way to the rules that use it, if there are any."""
        link: SafeString | str = ""
        if destination.rules.exists():
            address = integration_messages.rules_of(destination=destination.pk)
            link = format_html(' <a href="{}">See its rules</a>', address)
        self.message_user(request, format_html("{}{}", text, link))

    # A page of its own

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        destination: Destination = context["original"]
        told = {
            "inside": destination.integration.destinations.filter(
                kind=Destination.Kind.COURSE, external_id__in=destination.course_ids
            ).order_by("name", "pk"),
            "rules": destination.rules.count(),
            "rules_url": integration_messages.rules_of(destination=destination.pk),
        }
        return super().render_change_form(request, context | told, *args, **kwargs)
