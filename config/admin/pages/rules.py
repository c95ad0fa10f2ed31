"""Rules: the list of global ones, and the page on which one rule is edited."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.pages.rule_form import BY_NUMBER, DestinationField, RuleForm
from config.admin.parts import badges, changed
from config.admin.parts.audited import Acts, Audited
from config.admin.parts.buttons import Button
from config.admin.parts.changelist import ListAdmin
from events.models import RuleRun
from integrations.audit import Act
from rules import changing
from rules.models import Rule, Scope
from rules.triggers import Trigger


class ScopeFilter(admin.SimpleListFilter):
    title = "for"
    parameter_name = "scope__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.value, each.label) for each in Scope]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> QuerySet[Rule]:
        return queryset.filter(scope=self.value()) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("on", "On"), ("off", "Off"), ("gone", "Course gone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> QuerySet[Rule]:
        match self.value():
            case "on" | "off" as state:
                return queryset.filter(enabled=state == "on")
            case "gone":
                return queryset.filter(destination__gone_at__isnull=False)
        return queryset


def with_last_run(rules: QuerySet[Rule]) -> QuerySet[Rule]:
    """Each rule with the time at which it last ran."""
    runs = RuleRun.objects.filter(rule=OuterRef("pk")).order_by("-received_at")
    return rules.annotate(last_run=Subquery(runs.values("received_at")[:1]))


@admin.register(Rule)
class RuleAdmin(Audited, ListAdmin):
    acts = Acts(Act.RULE_ADDED, Act.RULE_CHANGED, Act.RULE_DELETED)
    form = RuleForm
    list_title = "Rules"
    one, many = "rule", "rules"
    list_display = ("line", "about", "state", "last_run")
    list_display_links = ("line",)
    list_filter = (ScopeFilter, "integration", "trigger", "action", StateFilter)
    list_select_related = ("product", "destination", "integration")
    ordering = ("product__name", "pk")
    sortable_by = ()
    autocomplete_fields = ("product", "destination")
    fields = (*RuleForm.Meta.fields[:-3], *BY_NUMBER, *RuleForm.Meta.fields[-3:])
    row_menu = True
    add_label = "New rule"
    nothing_fits = "No rule fits. A global rule runs for every product."
    empty = "No rule yet. A rule says what Admit does when SamCart sells something."
    actions = ("turn_on", "turn_off")
    # A message links to the rules of a course that has gone.
    also_asked = ("destination__id__exact",)
    buttons = (
        Button("switch_off", "Turn off", "rules.change_rule", fits=lambda rule: rule.enabled),
        Button("switch_on", "Turn on", "rules.change_rule", fits=lambda rule: not rule.enabled),
    )

    class Media:
        js = ("admin/js/jquery.init.js", "admit/rules.js")

    @property
    def add_url(self) -> str:  # type: ignore[override]
        return reverse("admin:new-rule")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        return with_last_run(super().get_queryset(request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        only_global = request.GET.get("scope__exact") == Scope.GLOBAL
        title = {"title": "Global rules"} if only_global else {}
        return super().changelist_view(request, title | (extra_context or {}))

    def add_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        """Rules are made step by step, on a page of their own."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:new-rule") + "?scope=global")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        left_out: set[str] = set()
        if not self.has_change_permission(request, obj):
            left_out |= {*BY_NUMBER}
            if not (obj and obj.spec.ends_access):
                left_out |= {"ends_all", "delay_days"}
        if obj is not None and obj.spec.target is None:
            left_out |= {"destination", "ends_all", "delay_days", *BY_NUMBER}
        return [name for name in super().get_fields(request, obj) if name not in left_out]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "destination":
            kwargs["form_class"] = DestinationField
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and hasattr(field.widget, "can_add_related"):
            # One does not make courses, sites or accounts from here.
            for what in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{what}_related", False)
        return field

    def title_of(self, thing: Rule) -> str:
        # The whole sentence stands below it: as a heading it fills a phone.
        return f"Rule: {Trigger(thing.trigger).label}"

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        links = []
        if self.has_change_permission(request, thing):
            links.append((self._page_of(thing), "", "Edit"))
        if self.has_delete_permission(request, thing):
            links.append((reverse("admin:rules_rule_delete", args=[thing.pk]), "danger", "Delete"))
        return links

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = super().get_list_display(request)
        if request.GET.get("scope__exact") == Scope.GLOBAL:
            columns.remove("about")  # it would say the same in each row
        return columns

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        """Says besides where the deletion can be undone."""
        answer = super().response_delete(request, obj_display, obj_id)
        change = changed.deletion(self.model, obj_id)
        if change and request.user.has_perm("integrations.view_auditentry"):
            page = reverse("admin:integrations_auditentry_change", args=[change.pk])
            text = format_html('<a href="{}">Undo</a> is on the page of this change.', page)
            self.message_user(request, text)
        return answer

    # Columns

    @admin.display(description="Rule")
    def line(self, rule: Rule) -> SafeString:
        return badges.rule_line(rule)

    @admin.display(description="Product")
    def about(self, rule: Rule) -> SafeString | str:
        if rule.product is None:
            return "Every product"
        address = reverse("admin:integrations_product_change", args=[rule.product.pk])
        return format_html('<a href="{}">{}</a>', address, badges.brief(rule.product.name))

    @admin.display(description="State")
    def state(self, rule: Rule) -> SafeString:
        if rule.is_gone:
            return badges.badge("Course gone", badges.RED)
        return badges.switch_badge(rule.enabled)

    @admin.display(description="Last run")
    def last_run(self, rule: Any) -> SafeString:
        return badges.ago(rule.last_run, "Never")

    # Buttons and bulk

    def switch_on(self, request: HttpRequest, rule: Rule) -> None:
        self._switch(request, Rule.objects.filter(pk=rule.pk), on=True)

    def switch_off(self, request: HttpRequest, rule: Rule) -> None:
        self._switch(request, Rule.objects.filter(pk=rule.pk), on=False)

    @admin.action(description="Turn on", permissions=["change"])
    def turn_on(self, request: HttpRequest, chosen: QuerySet[Rule]) -> None:
        self._switch(request, chosen, on=True)

    @admin.action(description="Turn off", permissions=["change"])
    def turn_off(self, request: HttpRequest, chosen: QuerySet[Rule]) -> None:
        self._switch(request, chosen, on=False)

    def _switch(self, request: HttpRequest, chosen: QuerySet[Rule], *, on: bool) -> None:
        numbers = list(chosen.order_by().values_list("pk", flat=True))
        rules = Rule.objects.filter(pk__in=numbers)
        known = rules.select_related("product", "integration", "destination")
        number = changing.switch(known, on=on)
        what = "1 rule" if number == 1 else f"{number} rules"
        text = f"{what} turned {'on' if on else 'off'}, from the next event on."
        if on and number:
            text += " For an earlier event open it in the Log and press Run the rules again."
        self.message_user(request, text, messages.SUCCESS if number else messages.WARNING)
