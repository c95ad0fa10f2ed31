"""Buyers from before a rule: who they are and what each would get, before anything runs."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from config.admin.parts.badges import brief
from config.admin.parts.buttons import BACK, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_in
from events.execution.rerun import rerun
from events.reports import backfill
from integrations import audit
from integrations.audit import Act
from integrations.models import Product
from rules.models import Rule


def show(request: HttpRequest) -> HttpResponse:
    """The list by GET, of a `rule` and maybe of one `product`; by POST it is carried out."""
    asked = request.POST if request.method == "POST" else request.GET
    found = Rule.objects.select_related("product", "integration", "destination")
    rule = row_in(found, asked.get("rule"))
    if rule is None:
        messages.error(request, "This rule is not there any more.")
        return HttpResponseRedirect(way_back(request) or reverse("admin:index"))
    product = row_in(Product.objects.all(), asked.get("product"))
    preview = backfill.preview(rule, product=product)
    if request.method == "POST":
        _run(request, rule, preview)
        return HttpResponseRedirect(_address(request, rule, product))
    gives = backfill.gives_on_purchase(rule)
    return render(
        request,
        "admin/earlier.html",
        title=f"{'Buyers' if gives else 'Customers'} from before the rule",
        rule=rule,
        product=product,
        gives=gives,
        preview=preview,
        most=backfill.MAX_EVENTS,
        back=way_back(request),
        origin=_origin(request, product or rule.product),
    )


def _run(request: HttpRequest, rule: Rule, preview: backfill.Preview) -> None:
    done = rerun([each.event for each in preview.run])
    if done.queued:
        audit.record(Act.BUYERS_ENROLLED, rule, after={"queued": done.queued})
    if not done.queued and not done.left:
        messages.warning(request, "Nothing was queued: nobody is left.")
        return
    actions = reverse("admin:events_rulerun_changelist")
    link = format_html('<a href="{}">See the actions</a>', actions) if done.queued else ""
    level = messages.SUCCESS if done.queued else messages.WARNING
    messages.add_message(request, level, format_html("{} {}", done.sentence(), link))


def _address(request: HttpRequest, rule: Rule, product: Product | None) -> str:
    """This page once more, which then says who is left."""
    asked = {"rule": rule.pk, "product": product and product.pk, BACK: way_back(request)}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{reverse('admin:earlier')}?{query}"


def _origin(request: HttpRequest, product: Product | None) -> tuple[str, str]:
    """Where the person came from, as (address, name): else the product's page, else the rules."""
    back = way_back(request)
    if back == reverse("admin:index"):
        return back, "Overview"
    if back:
        return back, "Back"
    if product is not None:
        page = reverse("admin:integrations_product_change", args=[product.pk])
        return page, brief(product.name) or product.external_id
    return f"{reverse('admin:rules_rule_changelist')}?scope__exact=global", "Global rules"


PAGES = [Page("earlier/", "earlier", show, "events.rerun_eventlog")]
