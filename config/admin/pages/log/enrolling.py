"""What the log offers for buyers who paid and are not in: enroll them, or make rules first."""

from django.http import HttpResponse
from django.template.response import TemplateResponse

from events.models import EventLog
from events.reports import dashboard, review
from events.reports.system import backlog


def add_to(page: HttpResponse, *, may_run: bool) -> None:
    """Add to the list's page what keeps its buyers out, and whether it offers to enroll buyers.

    That is products without a rule, and integrations that are off or whose key is refused. Only
    rules that are on and give something count. The button to enroll is offered if there is such a
    rule for one of the listed products, or something to do that does not wait for an integration.
    """
    shown = getattr(page, "context_data", None) or {}
    if not isinstance(page, TemplateResponse) or "cl" not in shown:
        return
    listed = EventLog.objects.filter(pk__in=shown["cl"].queryset.order_by().values("pk"))
    products = dashboard.unfulfilled_products(listed.filter(review.GAVE_NOTHING))
    to_set_up = [each for each in products if each.product and not each.rule]
    kept_out = backlog.kept_out(listed)
    others = listed.exclude(gave_nothing=True).exclude(pk__in=kept_out.waiting.values("event"))
    can_run = any(each.rule for each in products) or others.exists()
    # At this limit there may be further products, which were not looked at.
    can_run = can_run or len(products) == dashboard.MOST_PRODUCTS
    shown |= {
        "offers_enrolling": may_run and can_run,
        "to_set_up": to_set_up,
        "kept_out": kept_out,
    }
