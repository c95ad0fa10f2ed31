"""Buyers from before a rule: who they are and what each would get, before anything runs."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.asked import row_in
from config.admin.pages import Page, render
from events import earlier
from events.rerun import rerun
from integrations.models import Product
from rules.models import Action, Rule


def show(request: HttpRequest) -> HttpResponse:
    """The list by GET, of a `rule` and maybe of one `product`; by POST it is carried out."""
    asked = request.POST if request.method == "POST" else request.GET
    found = Rule.objects.select_related("product", "integration", "destination")
    rule = row_in(found, asked.get("rule"))
    if rule is None:
        messages.error(request, "This rule is not there any more.")
        return HttpResponseRedirect(reverse("admin:index"))
    product = row_in(Product.objects.all(), asked.get("product"))
    preview = earlier.preview(rule, product)
    if request.method == "POST":
        done = rerun([each.event for each in preview.run])
        level = messages.SUCCESS if done.queued else messages.WARNING
        messages.add_message(request, level, done.sentence())
        return HttpResponseRedirect(reverse("admin:events_rulerun_changelist"))
    return render(
        request,
        "admin/earlier.html",
        title="From before the rule",
        rule=rule,
        product=product,
        gives=Action(rule.action).gives_access,
        preview=preview,
        most=earlier.MOST,
    )


PAGES = [Page("earlier/", "earlier", show, "events.rerun_eventlog")]
