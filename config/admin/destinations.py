"""Courses and bundles: only looked up by others, as one types."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from config.admin import look
from config.admin.asked import row_id
from config.admin.lists import ReadOnly
from integrations.models import Destination
from rules.models import Action


@admin.register(Destination)
class DestinationAdmin(ReadOnly):
    list_title = "Courses and bundles"
    list_display = ("shown_name", "kind", "external_id", "integration")
    list_select_related = ("integration",)
    list_filter = ("integration", "kind")
    search_fields = ("name",)
    ordering = ("name", "pk")
    sortable_by = ()

    @admin.display(description="Name")
    def shown_name(self, destination: Destination) -> str:
        return look.destination(destination)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Destination], search_term: str
    ) -> tuple[QuerySet[Destination], bool]:
        """For a type-ahead: only of the site and kind that the form is set to, nothing gone."""
        found, doubled = super().get_search_results(request, queryset, search_term)
        if "app_label" not in request.GET:
            return found, doubled
        found = found.filter(gone_at=None)
        site, action = row_id(request.GET.get("integration")), request.GET.get("action_chosen", "")
        if site is not None:
            found = found.filter(integration=site)
        if action in Action.values:
            found = found.filter(kind=Action(action).destination_kind)
        return found, doubled
