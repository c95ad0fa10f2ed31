"""The filters of the log: by result, trigger, product and site."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from config.admin.parts.changelist import COUNTED
from config.admin.parts.filters import CountedFilter, IntegrationFilter
from config.admin.parts.params import row_id, row_in
from events.models import EventLog, RuleRun
from events.reports import review
from events.reports.owed import promise
from integrations.finding.ordering import by_name
from integrations.models import Product
from integrations.sentences import say
from rules.triggers import Trigger

PAID_NOTHING = "paid_nothing"
# Events that a person made, which have no delivery of SamCart.
BY_HAND = "by_hand"
# All others.
SENT = "sent"
NOT_IN = "not_in"
# The acts by which persons ended what buyers of this week had.
ENDED = "ended"
# Leaves out what SamCart had sent before.
FIRST = "first"
# Filters that list buyers to enroll, for whom the page offers one button.
NOT_YET_IN = {NOT_IN, PAID_NOTHING}
# A part of a product's name, as typed into the chip.
PRODUCT_NAME = "product_name"


class ResultFilter(CountedFilter):
    title = _("result")
    parameter_name = "result"
    statuses = EventLog.Status

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (NOT_IN, say("Paid, no access")),
            (PAID_NOTHING, say("Paid, nothing given")),
            (ENDED, say("This week's buyers, ended by hand")),
            (FIRST, say("Without repeats")),
            *((each.value, str(each.label)) for each in EventLog.Status),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EventLog]) -> QuerySet[EventLog]:
        if self.value() == PAID_NOTHING:
            return promise.not_settled(queryset.filter(review.GAVE_NOTHING))
        if self.value() == NOT_IN:
            return queryset.filter(pk__in=promise.not_in())
        if self.value() == ENDED:
            return queryset.filter(pk__in=promise.ended_by_hand())
        if self.value() == FIRST:
            return queryset.exclude(status=EventLog.Status.REPEAT)
        return queryset.filter(status=self.value()) if self.value() else queryset


def sales_of(product: int) -> str:
    """Return the address of the log with a product's sales of 30 days, as pages count them."""
    asked = {
        ProductFilter.parameter_name: product,
        TriggerFilter.parameter_name: Trigger.PRODUCT_PURCHASED.value,
        ResultFilter.parameter_name: FIRST,
        "received": 30,
    }
    return f"{reverse('admin:events_eventlog_changelist')}?{urlencode(asked)}"


class TriggerFilter(admin.SimpleListFilter):
    title = _("trigger")
    parameter_name = "trigger__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        others = [(BY_HAND, say("By hand")), (SENT, say("Sent by SamCart"))]
        return [*((each.value, str(each.label)) for each in Trigger), *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EventLog]) -> QuerySet[EventLog]:
        if self.value() == SENT:
            return queryset.filter(by_hand="")
        if self.value() == BY_HAND:
            return queryset.filter(delivery=None)
        return queryset.filter(trigger=self.value()) if self.value() else queryset


class ProductFilter(admin.SimpleListFilter):
    """The filter by product, found by a part of its name: a shop may have hundreds."""

    title = _("product")
    parameter_name = "product"
    template = "admin/events/eventlog/product_chip.html"
    shown = 12

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        # Removed, because Django's list refuses parameters that it does not know.
        self.word = str((params.pop(PRODUCT_NAME, None) or [""])[-1]).strip()[:100]
        # The other filters stay as chosen while a person looks for a product.
        self.kept = [
            (name, value)
            for name, value in request.GET.items()
            if name not in {PRODUCT_NAME, PAGE_VAR, ERROR_FLAG}
        ]
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        named = Product.objects.filter(name__icontains=self.word).order_by(by_name(), "pk")
        found = [(str(pk), name) for pk, name in named.values_list("pk", "name")[: self.shown]]
        chosen = request.GET.get(self.parameter_name, "")
        if chosen not in dict(found) and (product := row_in(Product.objects.all(), chosen)):
            found.append((str(product.pk), product.name))
        return found or [("0", say("No product of that name"))]

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name, PRODUCT_NAME]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EventLog]) -> QuerySet[EventLog]:
        number = row_id(self.value())
        return queryset if number is None else queryset.filter(product=number)


class SiteFilter(IntegrationFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        number = row_id(self.value())
        if number is None:
            return queryset
        # If the site has few actions, take their events by number. Otherwise a page that never
        # fills up would be looked for through the whole log.
        done = RuleRun.objects.filter(integration=number).order_by()
        few = list(done.values_list("event", flat=True)[: COUNTED + 1])
        if len(few) <= COUNTED:
            return queryset.filter(pk__in=set(few))
        # If it has many, test each event, from the site's newest on, until the page is full. That
        # need not collect all events of the site.
        newest = done.order_by("-received_at", "-pk").values("received_at")[:1]
        # The sum keeps SQLite from using the index by site, which has far more rows than one event.
        runs = RuleRun.objects.alias(at=F("integration") + 0).order_by()
        there = runs.filter(event=OuterRef("pk"), at=number).values("pk")[:1]
        # Not EXISTS: PostgreSQL turns it into a join that begins with all of the actions.
        found: QuerySet[Any] = queryset.alias(there=Subquery(there))
        return found.filter(there__isnull=False, received_at__lte=Subquery(newest))
