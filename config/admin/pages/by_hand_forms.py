"""The forms for what a person does by hand with a customer's access; each asks why."""

from typing import Any, ClassVar

from django import forms
from django.db.models import F, QuerySet

from config.admin.parts import badges
from config.admin.parts.params import row_in
from events.access import by_hand, sentences
from events.access.by_hand import Author
from events.deciding import entered_order
from integrations import app_registry
from integrations.models import Customer, Destination, Integration, Product
from integrations.samcart.normalize import normalize_id
from integrations.samcart.unreadable import Unreadable

NO_ACCESS = "Admit knows of no access that this customer has now."
MANY = 60


class ReasonForm(forms.Form):
    """Why it is done. `none` says why there is nothing to fill in, "" where there is."""

    template: ClassVar[str] = "admin/by_hand/form.html"
    title: ClassVar[str]
    name: ClassVar[str]
    lead: ClassVar[str] = ""
    none = ""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="It is kept in the log with your name.",
    )

    def do(self, author: Author) -> str:
        """Do it; a sentence that says so. Raises ValueError with one that says why not."""
        raise NotImplementedError

    def choices(self, asked: Any) -> dict[str, Any]:
        """What the page offers besides the form's fields."""
        return {}


class ByHandForm(ReasonForm):
    """What is done for a customer, and why."""

    def __init__(self, data: Any = None, *, customer: Customer) -> None:
        super().__init__(data)
        self.customer = customer


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


class NoteForm(ByHandForm):
    title, name = "Add a note", "add-note"
    lead = "It stands on the customer's page and in the log. Nothing else happens."

    def __init__(self, data: Any = None, *, customer: Customer) -> None:
        super().__init__(data, customer=customer)
        self.fields["reason"].label = "Note"
        self.fields["reason"].help_text = "It is kept with your name."

    def do(self, author: Author) -> str:
        by_hand.note(self.customer, author)
        return "The note is added."


class ProductField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{badges.brief(obj.name)} ({badges.brief(obj.external_id)})"


class OrderForm(ReasonForm):
    title, name = "Enter a missed order", "enter-order"
    lead = (
        "SamCart did not send this order, so you enter it. The rules for Product Purchased decide "
        "on it as if it came now. If SamCart sends it later after all, nothing is given twice."
    )

    product = ProductField(
        Product.objects.filter(kind=Product.Kind.PRODUCT).order_by("name", "pk"),
        empty_label="Choose a product",
        help_text="Not there? Add it under Products, by its SamCart ID.",
    )
    order_id = forms.CharField(max_length=100, label="Order number")
    subscription_id = forms.CharField(
        max_length=100,
        required=False,
        label="Subscription number",
        help_text="Only of a product that is sold by subscription.",
    )
    email = forms.CharField(
        max_length=320, label="E-mail", widget=forms.TextInput(attrs={"inputmode": "email"})
    )
    first_name = forms.CharField(max_length=255, required=False)
    last_name = forms.CharField(max_length=255, required=False)
    field_order = (
        "product",
        "order_id",
        "subscription_id",
        "email",
        "first_name",
        "last_name",
        "reason",
    )

    def __init__(self, data: Any = None, *, customer: Customer | None) -> None:
        known = ("email", "first_name", "last_name")
        super().__init__(data, initial={name: getattr(customer, name, "") for name in known})
        self.customer = customer

    def clean_order_id(self) -> str:
        return self._id("order_id", "order number")

    def clean_subscription_id(self) -> str:
        return self._id("subscription_id", "subscription number")

    def _id(self, name: str, what: str) -> str:
        typed = self.cleaned_data[name]
        try:
            number = normalize_id(typed, what=what)
        except Unreadable as error:
            raise forms.ValidationError(error.reason) from None
        if typed and not number:
            raise forms.ValidationError(f"0 is no {what}.")
        return number

    def do(self, author: Author) -> str:
        fields = {name: self.cleaned_data[name] for name in self.fields if name != "reason"}
        event = entered_order.enter(entered_order.Order(**fields), author)
        self.customer = event.customer
        actions = event.runs.count()
        if not actions:
            return "The order is entered, but no rule that is on fits it."
        return f"The order is entered: {actions} action{'' if actions == 1 else 's'} queued."


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


FORMS: tuple[type[ByHandForm], ...] = (GiveForm, EndForm, MoveForm, NoteForm)
