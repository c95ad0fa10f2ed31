"""Filter chips that several lists share."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.admin.parts.params import row_id
from integrations.models import Integration
from integrations.sentences import say

PERIODS = ("1", "7", "30")  # days


class ReceivedFilter(admin.SimpleListFilter):
    """Of which days; by the time of receipt, for which each log has an index."""

    title = _("received")
    parameter_name = "received"
    moment = "received_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = say("Last 24 hours"), say("Last 7 days"), say("Last 30 days")
        return list(zip(PERIODS, names, strict=True))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in PERIODS:
            return queryset
        since = timezone.now() - timedelta(days=int(str(self.value())))
        return queryset.filter(**{f"{self.moment}__gte": since})


class IntegrationFilter(admin.SimpleListFilter):
    """At which of `among`; `of` is the path to it from a row."""

    title = _("integration")
    parameter_name = "integration"
    of = "integration"
    among = Integration.objects.all()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in self.among.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        number = row_id(self.value())
        return queryset if number is None else queryset.filter(**{self.of: number})
