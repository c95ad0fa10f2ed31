"""Rules: the list of all or of the global ones, and the page to edit one."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.menu import allowed
from config.admin.pages.rules import (
    backfill,
    earlier_offer,
    edited_rule,
    former_days_notices,
    rule_deleting,
    rule_parts,
)
from config.admin.pages.rules.given import given_by_rule
from config.admin.pages.rules.rule_draft import Draft, answers_of
from config.admin.pages.rules.rule_form import BY_NUMBER, RuleForm
from config.admin.pages.rules.rule_list import ScopeFilter, StateFilter, of_products
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts import badges, batch_links
from config.admin.parts.audited import Acts, Audited
from config.admin.parts.buttons import BACK, Button, page_of, way_back
from config.admin.parts.changelist import ListAdmin
from events.reports.system.last_run import with_last_run
from integrations.audit import Act
from integrations.finding.ordering import by_name
from integrations.sentences import say, say_count
from rules import changing, stopping
from rules.every_product import means_every_product
from rules.models import Rule, Scope
from rules.triggers import Trigger


@admin.register(Rule)
class RuleAdmin(Audited, ListAdmin):
    acts = Acts(Act.RULE_ADDED, Act.RULE_CHANGED, Act.RULE_DELETED)
    form = RuleForm
    list_title = _("Rules")
    one, many = _("rule"), _("rules")
    list_display = ("line", "state", "last_run")
    list_display_links = ("line",)
    list_filter = (ScopeFilter, "integration", "trigger", "action", StateFilter)
    list_select_related = ("product", "destination", "integration")
    # Global rules first, then the rules of each product together.
    ordering = (by_name("product__name", nulls_first=True), "product_id", "pk")
    search_fields = ("product__name", "destination__name", "integration__name")
    search_help_text = _("Product or course")
    fields = (*RuleForm.Meta.fields[:-3], *BY_NUMBER, *RuleForm.Meta.fields[-3:])
    row_menu = True
    nothing_fits = _("No rules match. A global rule runs for every product.")
    empty = _("No rule yet. A rule says what Admit does when SamCart sells something.")
    actions = ("turn_on", "turn_off", "delete_selected")
    # A message links to the rules of a course that has gone.
    also_asked = ("destination__id__exact",)
    buttons = (
        Button("switch_off", _("Turn off"), "rules.change_rule", fits=lambda rule: rule.enabled),
        Button("switch_on", _("Turn on"), "rules.change_rule", fits=lambda rule: not rule.enabled),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        return with_last_run(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Rule], search_term: str
    ) -> tuple[QuerySet[Rule], bool]:
        """Find global rules also by words for every product."""
        found, twice = super().get_search_results(request, queryset, search_term)
        if not means_every_product(search_term):
            return found, twice
        return queryset.filter(Q(product=None) | Q(pk__in=found.order_by().values("pk"))), twice

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        only_global = request.GET.get("scope__exact") == Scope.GLOBAL
        told = {
            "title": say("Global rules") if only_global else say("All rules"),
            "only_global": only_global,
            "undoable": undo_offers.latest_deletion(request),
        }
        page = super().changelist_view(request, told | (extra_context or {}))
        if isinstance(page, TemplateResponse) and (shown := (page.context_data or {}).get("cl")):
            counts = of_products(shown.queryset, shown.result_list)
            if only_global and len(request.GET) == 1:
                shown.nothing_yet = say("No global rule yet. A global rule runs for every product.")
            for rule in shown.result_list:
                rule.of_product = counts.get(rule.product_id, "")
        return page

    def add_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        """Redirect to New rule, the page on which rules are made."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:new-rule") + "?scope=global")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_change_permission(request, obj):
            return self.fields
        left_out: set[str] = {*BY_NUMBER}
        if not (obj and obj.spec.ends_access):
            left_out |= {"ends_all", "delay_days"}
        if obj is not None and obj.spec.target is None:
            left_out.add("destination")
        return [name for name in self.fields if name not in left_out]

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Return the filters. The page of global rules is of nothing else, so that is no filter."""
        if request.GET.get(ScopeFilter.parameter_name) != Scope.GLOBAL:
            return self.list_filter
        return [each for each in self.list_filter if each is not ScopeFilter]

    # A page of its own

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and rule_parts.is_choice(request.POST):
            return HttpResponseRedirect(self._again(request))
        try:
            return super().change_view(request, object_id, *args, **kwargs)
        except IntegrityError:  # although the form found nothing wrong
            self.message_user(request, changing.CHANGED_MEANWHILE, messages.WARNING)
            return HttpResponseRedirect(self._again(request))

    def _again(self, request: HttpRequest) -> str:
        """Return the address of the rule's page, with the choices of its form and the way back."""
        chosen = rule_parts.choices(request.POST, alone=True) + rule_parts.with_back(request)
        filters = self.get_preserved_filters(request)
        return f"{request.path}?{chosen}{f'&{filters}' if filters else ''}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        rule: Rule = context["original"]
        before = batch_links.of_rules(request, [rule])
        context |= {"beside": edited_rule.beside(rule), "ran_before": before}
        deleted_for = [rule.product_id] if rule.product_id and rule.gives_on_purchase else []
        _, moved = given_by_rule.told_of_deleted(request, deleted_for)
        here = request.get_full_path()
        context |= {"earlier": earlier_offer.sentence(request, [rule], here, moved)}
        context |= {"former_days": former_days_notices.sentence(request, [rule])}
        if self.has_change_permission(request, rule):
            given: Any = request.POST if request.method == "POST" else request.GET
            given = given if "trigger" in given else answers_of(rule)
            draft = Draft.read(given, rule)
            context |= rule_parts.context(request, draft, given)
            context |= {"on": given.get("enabled"), "back": way_back(request)}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        obj.left_to_do = edited_rule.to_tell(request, obj, form)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Say that it was changed, with Undo, then what is left to do."""
        answer = self.response_post_save_change(request, obj)
        saved = say("Saved: {rule}.", rule=badges.rule_text(obj.sentence()))
        text = undo_offers.with_undo(request, saved, Act.RULE_CHANGED, [obj], answer.url)
        self.message_user(request, text, messages.SUCCESS)
        for level, text in obj.left_to_do:
            self.message_user(request, text, level)
        return answer

    def response_post_save_change(self, request: HttpRequest, obj: Rule) -> HttpResponseRedirect:
        """Redirect to the page from which it was opened."""
        if back := way_back(request):
            return HttpResponseRedirect(back)
        return super().response_post_save_change(request, obj)

    def title_of(self, thing: Rule) -> str:
        # The whole sentence is below it: as a heading it would fill a phone.
        return say("Rule: {trigger}", trigger=Trigger(thing.trigger).label)

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        assert isinstance(thing, Rule)
        if not (thing.spec.gives_access and allowed(request, given_by_rule.PERMISSION)):
            return []
        return [(given_by_rule.address(thing.pk), "", say("Who has it through this rule"))]

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        links: list[tuple[str, str, str]] = []
        if self.has_change_permission(request, thing):
            page = f"{page_of(thing)}?{urlencode({BACK: request.get_full_path()})}"
            links.append((page, "", say("Edit")))
        if self.has_delete_permission(request, thing):
            links.append((rule_deleting.address(request, thing.pk), "danger", say("Delete")))
        return links

    # Deleting

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        rule_deleting.delete(request, [obj.pk])

    def response_delete(self, request: HttpRequest, name: str, number: int) -> HttpResponse:
        back = rule_deleting.back_from(request, number)
        page = back or HttpResponseRedirect(reverse("admin:rules_rule_changelist"))
        if rule_deleting.is_told(request, page.url):
            return page
        answer = super().response_delete(request, name, number)
        return back or answer

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        rule_deleting.delete(request, list(queryset.values_list("pk", flat=True)))

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        rule: Rule = context["object"]
        told: dict[str, Any] = {"stops": stopping.what_stops(rule)}
        told |= {"called": badges.rule_text(rule.sentence())}
        told |= {"left_behind": given_by_rule.left_by_deleting(request, rule)}
        told |= rule_deleting.context([rule.pk]) | {"back": way_back(request)}
        told |= {"from_changes": undo_offers.requested_entry(request, Act.RULE_ADDED) is not None}
        return super().render_delete_form(request, context | told)

    @admin.action(description=_("Delete"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, chosen: QuerySet[Rule]) -> Any:
        return rule_deleting.ask(request, delete_selected(self, request, chosen), chosen)

    # Columns

    @admin.display(description=_("Rule"))
    def line(self, rule: Rule) -> SafeString:
        return badges.rule_line(rule)

    @admin.display(description=_("State"))
    def state(self, rule: Rule) -> SafeString:
        if rule.is_gone:
            return badges.badge(rule.gone_label, badges.RED)
        return badges.switch_badge(rule.enabled)

    @admin.display(description=_("Last run"))
    def last_run(self, rule: Any) -> SafeString:
        return badges.last_run(rule)

    # Buttons and bulk

    def switch_on(self, request: HttpRequest, rule: Rule) -> None:
        back = way_back(request) or page_of(rule)
        self._switch(request, Rule.objects.filter(pk=rule.pk), on=True, back=back)

    def switch_off(self, request: HttpRequest, rule: Rule) -> None:
        # Without the first sentence, which says what the button does; the rest may be unexpected.
        stops = stopping.what_stops(rule)[1:]
        self._switch(request, Rule.objects.filter(pk=rule.pk), on=False)
        for sentence in stops:
            self.message_user(request, sentence, messages.WARNING)

    @admin.action(description=_("Turn on"), permissions=["change"])
    def turn_on(self, request: HttpRequest, chosen: QuerySet[Rule]) -> HttpResponse:
        back = way_back(request) or request.get_full_path()
        self._switch(request, chosen, on=True, back=back)
        return HttpResponseRedirect(back)

    @admin.action(description=_("Turn off"), permissions=["change"])
    def turn_off(self, request: HttpRequest, chosen: QuerySet[Rule]) -> None:
        self._switch(request, chosen, on=False)

    def _switch(
        self, request: HttpRequest, chosen: QuerySet[Rule], *, on: bool, back: str = ""
    ) -> None:
        numbers = list(chosen.order_by().values_list("pk", flat=True))
        rules = Rule.objects.filter(pk__in=numbers)
        known = rules.select_related("product", "integration", "destination")
        number = changing.switch(known, on=on)
        if on:
            text = say_count(
                number,
                "1 rule turned on, from the next event on.",
                "{number} rules turned on, from the next event on.",
            )
        else:
            text = say_count(
                number,
                "1 rule turned off, from the next event on.",
                "{number} rules turned off, from the next event on.",
            )
        self.message_user(request, text, messages.SUCCESS if number else messages.WARNING)
        if not on and number and (left := rule_deleting.stay_on(numbers)):
            self.message_user(request, left, messages.WARNING)
        if on and number:
            backfill.offer(request, known.all(), back)
