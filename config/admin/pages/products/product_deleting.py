"""Deleting a product. One with a history stays, and a page offers what can be done instead."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from config.admin.menu import allowed
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts.badges import brief
from config.admin.parts.buttons import page_of
from config.admin.parts.page import render
from events.reports.products.product_use import Use
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import say, say_count
from rules.models import Rule


def refused(request: HttpRequest, product: Product, use: Use) -> HttpResponse:
    """Return the page shown instead of the question: why it stays, what to do with its rules."""
    rules = list(Rule.objects.filter(product=product).with_names().order_by("pk"))
    on = [rule for rule in rules if rule.enabled]
    number, are_on = len(rules), len(on)
    return render(
        request,
        "admin/integrations/product/refused.html",
        title=say("{name} cannot be deleted", name=brief(product.name)),
        product=product,
        use=use,
        rules=rules,
        on=on,
        ends=use.buyers and any(rule.spec.ends_access for rule in on),
        delete=say_count(number, "Delete its rule", "Delete its {number} rules"),
        turn_off=say_count(are_on, "Turn its rule off", "Turn its {number} rules off"),
        back=page_of(product),
    )


def say_deleted(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Go to the list of products and say that the product of this number is deleted.

    The list itself says so to a person who may undo it. To others who may see Changes, the message
    links to the entry.
    """
    page = HttpResponseRedirect(reverse("admin:integrations_product_changelist"))
    if undo_offers.latest_deleted_product(request):
        return page
    text = say("{name} is deleted.", name=brief(name))
    kind = Product._meta.model_name
    entries = AuditEntry.objects.filter(kind=kind, number=str(number), act=Act.PRODUCT_DELETED)
    entry = entries.order_by("-pk").first()
    if entry is None or not allowed(request, "integrations.view_auditentry"):
        messages.success(request, text)
    else:
        shown = format_html('{} <a href="{}">{}</a>', text, page_of(entry), say("See the change"))
        messages.success(request, shown)
    return page
