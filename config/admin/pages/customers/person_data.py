"""One person's data on the customer's page: downloading all of it, and erasing it for good."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages.customers.by_hand import PERMISSION as BY_HAND
from config.admin.pages.customers.by_hand import asked_customer, page_of
from config.admin.parts.confirm import ask
from config.admin.parts.page import Page, render
from events.reports.personal_data import person, person_data
from events.retention import erase_person, erasure_plan
from integrations import audit
from integrations.audit import Act
from integrations.models import Customer
from integrations.sentences import say

EXPORT, ERASE = "events.export_eventlog", "events.erase_eventlog"


def download(customer: Customer) -> HttpResponse:
    """All that Admit holds of the customer, as a file."""
    audit.record(Act.EXPORTED, customer)
    return HttpResponse(
        person_data.as_json(person.of([customer])),
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Content-Disposition": f'attachment; filename="customer-{customer.pk}.json"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def erase(request: HttpRequest) -> HttpResponse:
    """A page that says what goes and what stays; its button erases."""
    customer = asked_customer(request)
    if customer is None:
        return HttpResponseRedirect(page_of(None))
    somebody = person.of([customer])
    if request.method == "POST":
        return ask(request) or _erased(request, customer, somebody)
    return render(
        request,
        "admin/integrations/customer/erase.html",
        title=say("Erase this person?"),
        customer=customer,
        plan=erasure_plan.plan(somebody),
        back=page_of(customer),
        may_end=allowed(request, BY_HAND),
    )


def _erased(request: HttpRequest, customer: Customer, somebody: person.Person) -> HttpResponse:
    try:
        done = erase_person.erase(somebody)
    except ValueError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(f"{reverse('admin:erase-person')}?customer={customer.pk}")
    # They must not say who it was: messages are stored until they are read.
    for line in done.lines():
        messages.success(request, line)
    for line in done.left:
        messages.warning(request, line)
    return HttpResponseRedirect(page_of(None))


PAGES = [Page("erase-person/", "erase-person", erase, ERASE)]


def links(request: HttpRequest, customer: Customer) -> list[tuple[str, str, str]]:
    """Return the link to the page that erases, for the customer's page."""
    if not allowed(request, ERASE):
        return []
    address = f"{reverse('admin:erase-person')}?customer={customer.pk}"
    return [(address, "danger", say("Erase this person"))]
