"""Products: what is sold in SamCart, and the rules of each."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.pages.log.log_filters import sales_of
from config.admin.pages.products import product_deleting
from config.admin.pages.products.coverage_said import said_added
from config.admin.pages.products.product_form import ProductForm
from config.admin.pages.rules import earlier_offer as offer
from config.admin.pages.rules import edited_rule, left_over, leftover_groups
from config.admin.pages.rules.given import given_by_rule
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts import badges, batch_links, event_result, times
from config.admin.parts.audited import Acts, Audited
from config.admin.parts.buttons import BACK, Button, page_of, way_back
from config.admin.parts.changelist import ListAdmin
from config.admin.parts.page import render
from config.admin.parts.params import row_ids, row_in
from events.models import EventLog
from events.reports.counting import NumberOf
from events.reports.products import product_use, subscriptions
from events.reports.system.last_run import with_last_run
from integrations.audit import Act
from integrations.finding.ordering import by_name
from integrations.models import Product
from integrations.sentences import format_number, joined, say, say_count
from rules import changing, copying, leftovers, pairing
from rules.models import Rule
from rules.triggers import Trigger

COUNTED = 1000
# The highest number of sales that is counted, because the list can be sorted by them.
MOST_SALES = 10_000
SHOWN_EVENTS = 10


@admin.register(Product)
class ProductAdmin(Audited, ListAdmin):
    acts = Acts(Act.PRODUCT_ADDED, Act.PRODUCT_CHANGED, Act.PRODUCT_DELETED)
    form = ProductForm
    list_title = _("Products")
    one, many = _("product"), _("products")
    list_display = ("called", "external_id", "rule_count", "last_event", "sales")
    sortable_by = ("sales",)
    search_fields = ("name", "external_id")
    search_help_text = _("Name or SamCart ID")
    ordering = (by_name(), "pk")
    actions = None
    add_label = _("Add product")
    add_another = True
    nothing_fits = _("No products match.")
    empty = _(
        "No product yet. Each appears with its first event; you can add one by its ID before."
    )
    change_form_template = "admin/integrations/product/product.html"
    buttons = (
        Button(
            "end_access",
            _("Add the rules that end access and give it back"),
            "rules.add_rule",
            on_page=False,
            in_row=False,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        since = timezone.now() - timedelta(days=30)
        events = EventLog.objects.filter(product=OuterRef("pk")).order_by("-received_at")
        sales = events.of_triggers(Trigger.PRODUCT_PURCHASED).filter(received_at__gte=since)
        sales = sales.exclude(status=EventLog.Status.REPEAT)
        rules = Rule.objects.filter(product=OuterRef("pk")).order_by().values("pk")
        found = super().get_queryset(request).select_related("marketplace")
        counted: QuerySet[Any] = found.annotate(
            seen=Subquery(events.values("received_at")[:1]),
            sold_lately=NumberOf(sales.values("pk")[: MOST_SALES + 1]),
            rules_made=NumberOf(rules),
        )
        return counted

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        told = {"undoable": undo_offers.latest_deleted_product(request)}
        return super().changelist_view(request, told | (extra_context or {}))

    # Adding

    def response_add(
        self, request: HttpRequest, obj: Product, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Lead back to where adding began, else to the product. A new rule then has it chosen."""
        self.message_user(request, say("Product added: {name}.", name=badges.brief(obj.name)))
        if "_addanother" in request.POST:
            asked = {"marketplace": obj.marketplace_id, BACK: way_back(request)}
            return HttpResponseRedirect(f"{request.path}?{urlencode(asked)}")
        back = way_back(request) or page_of(obj)
        if back.startswith(reverse("admin:new-rule")):
            back += f"{'&' if '?' in back else '?'}product={obj.pk}"
        return HttpResponseRedirect(back)

    # Columns

    @admin.display(description=_("Name"))
    def called(self, product: Product) -> str:
        return badges.brief(product.name) or product.external_id

    @admin.display(description=_("Rules"))
    def rule_count(self, product: Any) -> SafeString | str:
        if product.rules_made:
            return str(product.rules_made)
        return badges.badge(say("No rules"), badges.GREY)

    @admin.display(description=_("Last event"))
    def last_event(self, product: Any) -> SafeString:
        return times.ago(product.seen, say("Never"))

    @admin.display(description=_("Sales in 30 days"), ordering="sold_lately")
    def sales(self, product: Any) -> SafeString | str:
        if not product.sold_lately:
            return "0"
        capped = format_number(MOST_SALES) + "+"
        shown = capped if product.sold_lately > MOST_SALES else format_number(product.sold_lately)
        return format_html('<a href="{}">{}</a>', sales_of(product.pk), shown)

    # Deleting

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Delete the product if it has no history, else show why it stays.

        A POST locks the product, so that a sale that comes in meanwhile waits.
        """
        with transaction.atomic():
            product = self.get_object(request, object_id)
            if product is not None and self.has_delete_permission(request, product):
                if request.method == "POST":
                    Product.objects.select_for_update().filter(pk=product.pk).first()
                use = product_use.of_product(product)
                if use is not None:
                    return product_deleting.refused(request, product, use)
            return super().delete_view(request, object_id, *args, **kwargs)

    def delete_model(self, request: HttpRequest, obj: Product) -> None:
        """Delete the product, and its rules with it."""
        changing.note_deleted(Rule.objects.filter(product=obj))
        super().delete_model(request, obj)

    def response_delete(self, request: HttpRequest, name: str, number: int) -> HttpResponse:
        return product_deleting.say_deleted(request, name, number)

    # The page of one product

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        product = context.get("original")
        told = self._context(request, product) if product is not None else {}
        return super().render_change_form(request, context | told, *args, **kwargs)

    def _context(self, request: HttpRequest, product: Product) -> dict[str, Any]:
        concerning = Rule.objects.concerning(product).select_related("marketplace")
        every = list(with_last_run(concerning))
        rules = [rule for rule in every if rule.product_id]
        everywhere = [rule for rule in every if not rule.product_id]
        sold = subscriptions.how_each_is_sold([product.pk]).of(product.pk)
        holes = pairing.holes(product, rules + everywhere, **sold)
        left = leftovers.of_product(product, rules + everywhere)
        to_change = {each.rule.trigger for each in left if each.instead}
        open_ = [each for each in holes if each not in to_change]
        given = pairing.given(product, every)
        off = [rule for each in open_ for rule in pairing.turned_off(given, each, every)]
        pairs = pairing.by_trigger(_companions(rules, every))
        events = EventLog.objects.filter(product=product).select_related("customer")
        newest = list(events.order_by("-received_at", "-pk")[:SHOWN_EVENTS])
        event_result.note(newest)
        return {
            "other_primary": request.user.has_perm("rules.add_rule"),
            "rules": rules,
            "everywhere": everywhere,
            "holes": holes,
            "not_ended": [trigger.label for trigger in open_ if trigger in pairing.ENDS],
            "not_given_back": [trigger.label for trigger in open_ if trigger in pairing.GIVES_BACK],
            "open": open_,
            "off": [rule for rule in off if rule.product_id],
            "off_everywhere": [rule for rule in off if not rule.product_id],
            **left_over.context(request, leftover_groups.of_product(product, left)),
            "undoable": undo_offers.latest_deletion(request, product),
            **edited_rule.left_behind_context(request, rules, back=request.get_full_path()),
            "pairs": pairs,
            "needed": [trigger for trigger, _ in pairs if trigger in open_],
            **_of_buyers(request, product, rules + everywhere),
            "ran_before": batch_links.of_rules(request, rules),
            "events": newest,
        }

    def end_access(self, request: HttpRequest, product: Product) -> None:
        """Add the ticked ones of the rules that end what purchases give, and give it back."""
        rules = list(Rule.objects.concerning(product).select_related("marketplace"))
        ticked = request.POST.getlist("pair")
        own = [rule for rule in rules if rule.product_id]
        found = _companions(own, rules)
        added = [rule for rule in found if rule.trigger in ticked]
        try:
            pairing.add(added)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.WARNING)
            return
        if added:
            self.message_user(request, said_added(product.name, added))
            if meanwhile := offer.sentence(request, added, page_of(product)):
                self.message_user(request, meanwhile, messages.WARNING)
        if found and not added:
            nothing = say("Nothing was selected, so nothing is added.")
            self.message_user(request, nothing, messages.WARNING)
        elif not found:
            off = any(not rule.enabled for rule in own)
            more = off and say("Turn on those that are off.")
            text = joined([say("They are all there already."), more])
            self.message_user(request, text, messages.WARNING)

    # Copying rules

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.copy_rules)
        mine = path("<path:object_id>/copy/", view, name="integrations_product_copy")
        return [mine, *super().get_urls()]

    def copy_rules(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose a product, then which of its rules this one gets too."""
        if not request.user.has_perm("rules.add_rule"):
            raise PermissionDenied
        product: Product = self.existing(request, object_id)
        with_rules = Product.objects.filter(rules__isnull=False).exclude(pk=product.pk).distinct()
        source = row_in(with_rules, request.GET.get("from"))
        rules = source.rules.with_names() if source else []
        if request.method == "POST" and source is not None:
            wanted = row_ids(request.POST.getlist("rule"))
            self._copy(request, [rule for rule in rules if rule.pk in wanted], product)
            return HttpResponseRedirect(
                reverse("admin:integrations_product_change", args=[product.pk])
            )
        return render(
            request,
            "admin/integrations/product/copy.html",
            title=say("Copy rules to {name}", name=badges.brief(product.name)),
            original=product,
            products=with_rules.order_by(by_name(), "pk")[:COUNTED],
            source=source,
            rules=rules,
        )

    def _copy(self, request: HttpRequest, rules: list[Rule], product: Product) -> None:
        made, left = copying.copy(rules, product)
        text = say_count(
            made,
            "1 rule copied to {name}.",
            "{number} rules copied to {name}.",
            name=badges.brief(product.name),
        )
        self.message_user(request, text, messages.SUCCESS if made else messages.WARNING)
        for sentence in left:
            self.message_user(request, say("Not copied: {rule}", rule=sentence), messages.WARNING)


def _of_buyers(request: HttpRequest, product: Product, rules: list[Rule]) -> dict[str, Any]:
    """Return what the page says of buyers left by deleted rules, and from before these rules."""
    left_by_deleted, moved = given_by_rule.told_of_deleted(request, [product.pk])
    giving = [*filter(pairing.is_to_give, rules)]
    return {"left_by_deleted": left_by_deleted} | offer.of_product(giving, product, moved)


def _companions(rules: list[Rule], known: list[Rule]) -> list[Rule]:
    """Return the rules that belong to a product's working rules.

    Rules that are there but turned off are left out, also global ones. `known` are all that run for
    it.
    """
    found = pairing.companions(rule for rule in rules if rule.enabled and not rule.is_gone)
    off = [rule for rule in known if not rule.enabled]
    return [rule for rule in found if not pairing.is_there(rule, Trigger(rule.trigger), off)]
