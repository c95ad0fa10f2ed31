"""Simulate: what an event would do. Nothing is sent; by GET, so that it can be linked."""

from django.http import HttpRequest, HttpResponse

from config.admin.parts import params
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_in
from events.models import EventLog
from events.reports.simulation import simulate
from integrations.finding.ordering import by_name
from integrations.models import Marketplace, Product
from integrations.sentences import say
from rules.triggers import Category, Trigger

MAX_PRODUCTS = 500


def show(request: HttpRequest) -> HttpResponse:
    """Show the form, and below it what would happen, once a trigger is chosen."""
    event = row_in(EventLog.objects.select_related("product", "customer"), request.GET.get("event"))
    product = row_in(Product.objects.all(), request.GET.get("product"))
    word = request.GET.get("trigger", "")
    trigger = Trigger(word) if word in Trigger.values else None
    email = params.word(request.GET.get("email"), 320)
    if event is not None:
        trigger = Trigger(event.trigger) if event.trigger else None
        product = event.product
        email = event.customer.readable_email if event.customer else ""
    account = event.marketplace if event else product.marketplace if product else None
    account = account or row_in(Marketplace.objects.all(), request.GET.get("account"))
    account = account or Marketplace.objects.order_by("pk").first()
    outcome = None
    if trigger is not None and account is not None:
        outcome = simulate(account, trigger, product=product, email=email, event=event)
    return render(
        request,
        "admin/simulate.html",
        title=say("Simulate"),
        outcome=outcome,
        event=event,
        trigger=trigger,
        product=product,
        email=email,
        account=account,
        accounts=Marketplace.objects.order_by(by_name()),
        groups=[(each.label, [t for t in Trigger if t.category is each]) for each in Category],
        products=Product.objects.order_by(by_name(), "pk")[:MAX_PRODUCTS],
    )


PAGES = [Page("simulate/", "simulate", show, "events.simulate_eventlog")]
