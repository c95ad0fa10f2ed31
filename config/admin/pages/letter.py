"""The letter to customers: its template, with the fields that it may have and a preview."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.parts import meanwhile
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_in
from events.reports import letter
from integrations import audit
from integrations.models import Customer
from integrations.sentences import say

PERMISSION = "integrations.change_integration"
# The buttons beside Save.
PREVIEW, OURS = "preview", "ours"


def show(request: HttpRequest) -> HttpResponse:
    """The template and how a letter looks by it; saved, shown or reset by POST."""
    customer = row_in(Customer.objects.all(), request.GET.get("customer"))
    stored = letter.current()
    text, fault = stored, ""
    if request.method == "POST":
        text = letter.ours() if OURS in request.POST else request.POST.get("text", "")
        if PREVIEW not in request.POST and (page := _overtaken(request, stored, text)):
            return page
        try:
            letter.check(text) if PREVIEW in request.POST else letter.save(text)
        except ValueError as error:
            fault = str(error)
        else:
            if PREVIEW not in request.POST:
                done = say("Saved. The letter on each customer's page follows it.")
                messages.success(request, done)
                return HttpResponseRedirect(_back(customer))
    return render(
        request,
        "admin/letter.html",
        title=say("The letter to customers"),
        text=text,
        fault=fault,
        opened=meanwhile.opened(request, {"text": stored}),
        fields=letter.fields(),
        sample="" if fault else letter.fill(text, letter.example()),
        is_ours=text == letter.ours(),
        customer=customer,
    )


def _overtaken(request: HttpRequest, stored: str, text: str) -> HttpResponse | None:
    mine = text.replace("\r\n", "\n").strip()
    return meanwhile.overtaken(request, audit.Subject(), {"text": stored}, {"text": mine})


def _back(customer: Customer | None) -> str:
    """To the customer from whose page the person came, or to this page."""
    page = reverse("admin:letter")
    return f"{page}?{urlencode({'customer': customer.pk})}" if customer else page


PAGES = [Page("letter/", "letter", show, PERMISSION)]
