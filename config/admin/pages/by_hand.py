"""What a person does by hand with a customer's access: a page for each, and each asks why."""

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.parts import badges
from config.admin.parts.page import Page, View, render
from config.admin.parts.params import row_in
from events.access import by_hand, sentences
from events.access.by_hand import Author
from integrations import app_registry
from integrations.models import Customer, Destination, Integration

NO_ACCESS = "Admit knows of no access that this customer has now."
PERMISSION = "events.by_hand_grant"
MANY = 60


class ByHandForm(forms.Form):
    """What is done for a customer, and why."""

    template: ClassVar[str] = "admin/by_hand/form.html"
    title: ClassVar[str]
    name: ClassVar[str]
    lead: ClassVar[str] = ""
    # Why there is nothing to fill in, "" where there is.
    none = ""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="It is kept in the log with your name.",
    )

    def __init__(self, data: Any = None, *, customer: Customer) -> None:
        super().__init__(data)
        self.customer = customer

    def do(self, author: Author) -> str:
        """Do it; a sentence that says so. Raises ValueError with one that says why not."""
        raise NotImplementedError

    def choices(self, asked: Any) -> dict[str, Any]:
        """What the page offers besides the form's fields."""
        return {}


class GiveForm(ByHandForm):
    template = "admin/by_hand/give.html"
    title, name = "Give access", "give-access"
    lead = (
        "The customer gets this course or bundle beside what the purchases give. No refund or "
        "cancellation ends it: a person does, with End access."
    )

    destination = forms.ModelChoiceField(
        Destination.objects.none(),
        label="Course or bundle",
        error_messages={"required": "Choose a course or bundle."},
    )
    field_order = ("destination", "reason")

    def __init__(self, data: Any = None, *, customer: Customer) -> None:
        super().__init__(data, customer=customer)
        field = self.fields["destination"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = _offered()

    def do(self, author: Author) -> str:
        found: Destination = self.cleaned_data["destination"]
        by_hand.give(self.customer, found, author)
        return f"{found.name} is given to {self.customer.readable_email} now."

    def choices(self, asked: Any) -> dict[str, Any]:
        word = asked.get("q", "").replace("\x00", "").strip()[:100]
        chosen = row_in(_offered(), asked.get("destination"))
        found = list(_offered().filter(name__icontains=word)[: MANY + 1])
        shown = [each for each in found[:MANY] if each != chosen]
        return {
            "q": word,
            "chosen": chosen,
            "shown": [chosen, *shown] if chosen else shown,
            "more": len(found) > MANY,
            "most": MANY,
            "any": bool(found) or _offered().exists(),
            "sites": Integration.objects.filter(app__in=app_registry.with_catalog()).count(),
        }


class EndForm(ByHandForm):
    title, name = "End access", "end-access"
    lead = (
        "It ends now, whatever gave it, and stays ended: no later payment for the same purchase "
        "opens it again. A new purchase does, and so does Give access."
    )

    holding = forms.ChoiceField(
        label="Course or bundle",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose a course or bundle."},
    )
    field_order = ("holding", "reason")

    def __init__(self, data: Any = None, *, customer: Customer) -> None:
        super().__init__(data, customer=customer)
        field = self.fields["holding"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(each.key, _described(each)) for each in by_hand.holdings(customer)]
        self.none = "" if field.choices else NO_ACCESS

    def do(self, author: Author) -> str:
        event = by_hand.end(self.customer, self.cleaned_data["holding"], author)
        run = event.runs.get()
        return f"The access to {run.destination_name} is ended now."


class MoveForm(ByHandForm):
    title, name = "Move to another e-mail", "move-access"
    lead = (
        "All access goes to the account of the other address, and ends on this one. Later events "
        "of these purchases, such as a renewal or a refund, go to the other address too."
    )

    email = forms.CharField(
        max_length=320,
        label="The other e-mail address",
        widget=forms.TextInput(attrs={"inputmode": "email", "autocomplete": "off"}),
    )
    field_order = ("email", "reason")

    def __init__(self, data: Any = None, *, customer: Customer) -> None:
        super().__init__(data, customer=customer)
        self.none = "" if by_hand.holdings(customer) else NO_ACCESS

    def do(self, author: Author) -> str:
        other = by_hand.move(self.customer, self.cleaned_data["email"], author)
        return f"The access is moved to {other.readable_email} now."


def _described(holding: by_hand.Holding) -> str:
    """ "Course Two on Art Academy (order 1183, access given by hand)" """
    first = holding.grants[0]
    held_by = ", ".join(map(sentences.holds, holding.grants))
    return f"{badges.brief(first.name)} on {first.integration} ({badges.brief(held_by)})"


def _offered() -> QuerySet[Destination]:
    found = Destination.objects.filter(
        integration__app__in=app_registry.with_catalog(), gone_at=None
    )
    in_order = found.order_by(F("unlisted_at").asc(nulls_first=True), "name", "pk")
    return in_order.select_related("integration")


def _page(form: type[ByHandForm]) -> Page:
    """The page that shows this form for the customer of the address, and by POST does it."""

    def show(request: HttpRequest) -> HttpResponse:
        asked = request.POST if request.method == "POST" else request.GET
        customer = row_in(Customer.objects.all(), asked.get("customer"))
        if customer is None:
            messages.error(request, "This customer is not there any more.")
            return HttpResponseRedirect(reverse("admin:integrations_customer_changelist"))
        filled = form(request.POST if request.method == "POST" else None, customer=customer)
        if request.method == "POST" and filled.is_valid() and _is_done(request, filled):
            return HttpResponseRedirect(page_of(customer))
        return render(
            request,
            form.template,
            title=form.title,
            form=filled,
            customer=customer,
            back=page_of(customer),
            **filled.choices(asked),
        )

    view: View = show
    return Page(f"{form.name}/", form.name, view, PERMISSION)


def _is_done(request: HttpRequest, form: ByHandForm) -> bool:
    author = Author(request.user.get_username(), form.cleaned_data["reason"])
    try:
        messages.success(request, form.do(author))
    except ValueError as error:
        form.add_error(None, str(error))
        return False
    return True


def page_of(customer: Customer) -> str:
    return reverse("admin:integrations_customer_change", args=[customer.pk])


FORMS: tuple[type[ByHandForm], ...] = (GiveForm, EndForm, MoveForm)
PAGES = [_page(form) for form in FORMS]


def links(request: HttpRequest, customer: Customer) -> list[tuple[str, str, str]]:
    """The way to each of these pages, for the customer's own."""
    if not allowed(request, PERMISSION):
        return []
    return [
        (f"{reverse(f'admin:{form.name}')}?customer={customer.pk}", "", form.title)
        for form in FORMS
    ]
