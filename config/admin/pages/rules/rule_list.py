"""The list of rules: its filters, and how many rules each product has."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from integrations.sentences import Said, joined, say, say_count
from rules.models import Rule, Scope


class ScopeFilter(admin.SimpleListFilter):
    title = _("product")
    parameter_name = "scope__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.value, str(each.label)) for each in Scope]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> QuerySet[Rule]:
        return queryset.filter(scope=self.value()) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        on, off = pgettext("switch", "On"), pgettext("switch", "Off")
        return [("on", on), ("off", off), ("gone", say("Course gone"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> QuerySet[Rule]:
        match self.value():
            case "on" | "off" as state:
                return queryset.filter(enabled=state == "on")
            case "gone":
                return queryset.filter(destination__gone_at__isnull=False)
        return queryset


def of_products(listed: QuerySet[Rule], shown: Iterable[Rule]) -> dict[int | None, Said]:
    """Return {product: "4 rules · 1 off"} for the rules of a list, counted on all of its pages.

    If not all of a product are `shown`, it says how many are.
    """
    here = Counter(rule.product_id for rule in shown)
    products = {*here}
    found = listed.filter(Q(product__in=products - {None}) | Q(product=None)).order_by()
    rules = Rule.objects.filter(pk__in=found.values("pk")).order_by()
    are_off = Count("pk", filter=Q(enabled=False))
    counts = rules.values_list("product").annotate(every=Count("pk"), off=are_off)
    return {
        product: joined(
            [
                say_count(every, "1 rule", "{number} rules"),
                off and say_count(off, "1 off", "{number} off"),
                every > here[product]
                and say_count(here[product], "1 on this page", "{number} on this page"),
            ],
            " · ",
        )
        for product, every, off in counts
    }
