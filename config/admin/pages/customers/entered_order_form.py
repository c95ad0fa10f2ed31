"""The form for an order that SamCart did not send."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from config.admin.pages.customers.by_hand_forms import ReasonForm
from config.admin.parts import badges
from events.access.by_hand import Author
from events.deciding import entered_order
from integrations.finding.ordering import by_name
from integrations.models import Customer, Product
from integrations.samcart.normalize import examine_email, normalize_id
from integrations.samcart.unreadable import Unreadable
from integrations.sentences import say, say_count


class ProductField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{badges.brief(obj.name)} ({badges.brief(obj.external_id)})"


class OrderForm(ReasonForm):
    template = "admin/by_hand/enter_order.html"
    title, name = _("Enter a missed order"), "enter-order"
    starts = True
    lead = _(
        "SamCart did not send this order, so you enter it. The rules for Product Purchased decide "
        "on it as if it came now. If SamCart sends it later after all, nothing is given twice."
    )

    product = ProductField(
        Product.objects.filter(kind=Product.Kind.PRODUCT).order_by(by_name(), "pk"),
        label=_("Product"),
        empty_label=_("Choose a product"),
    )
    order_id = forms.CharField(max_length=100, label=_("Order number"))
    subscription_id = forms.CharField(
        max_length=100,
        required=False,
        label=_("Subscription number"),
        help_text=_("Only of a product that is sold by subscription."),
    )
    email = forms.CharField(
        max_length=320, label=_("E-mail"), widget=forms.TextInput(attrs={"inputmode": "email"})
    )
    first_name = forms.CharField(label=_("First name"), max_length=255, required=False)
    last_name = forms.CharField(label=_("Last name"), max_length=255, required=False)
    field_order = (
        "product",
        "order_id",
        "subscription_id",
        "email",
        "first_name",
        "last_name",
        "reason",
    )

    def __init__(
        self, data: Any = None, *, customer: Customer | None, product: Product | None = None
    ) -> None:
        known: dict[str, Any] = {"product": product}
        if customer is not None:
            names = {"first_name": customer.first_name, "last_name": customer.last_name}
            known |= {"email": customer.readable_email, **names}
        super().__init__(data, initial=known)
        self.customer = customer

    def clean_email(self) -> str:
        typed: str = self.cleaned_data["email"]
        _, problem = examine_email(typed)
        if problem:
            raise forms.ValidationError(problem)
        return typed

    def clean_order_id(self) -> str:
        return self._id("order_id", say("order number"), say("0 is no order number."))

    def clean_subscription_id(self) -> str:
        return self._id(
            "subscription_id", say("subscription number"), say("0 is no subscription number.")
        )

    def _id(self, name: str, what: str, if_zero: str) -> str:
        typed = self.cleaned_data[name]
        try:
            number = normalize_id(typed, what=what)
        except Unreadable as error:
            raise forms.ValidationError(error.reason) from None
        if typed and not number:
            raise forms.ValidationError(if_zero)
        return number

    def do(self, author: Author) -> str:
        fields = {name: self.cleaned_data[name] for name in self.fields if name != "reason"}
        event = entered_order.enter(entered_order.Order(**fields), author)
        self.customer = event.customer
        actions = event.runs.count()
        if not actions:
            return say("The order is entered, but no rule that is turned on matches it.")
        return say_count(
            actions,
            "The order is entered: 1 action queued.",
            "The order is entered: {number} actions queued.",
        )
