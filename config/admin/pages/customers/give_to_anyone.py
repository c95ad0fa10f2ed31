"""The form that gives access to somebody who may never have bought anything."""

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from config.admin.pages.customers.give_form import GiveForm
from events.access.by_hand import Author
from integrations.models import Customer
from integrations.samcart.normalize import examine_email, strip_invisible


class GiveToAnyoneForm(GiveForm):
    """Give access by e-mail address. The customer is added if Admit does not know the address."""

    name = "give-to-anyone"
    lead = _(
        "The person gets this course or bundle without a purchase. Refunds and cancellations do "
        "not end it. It ends on its last day, or when a person presses End access."
    )

    email = forms.CharField(
        max_length=320,
        label=_("E-mail"),
        widget=forms.TextInput(attrs={"inputmode": "email", "autocomplete": "off"}),
    )
    first_name = forms.CharField(label=_("First name"), max_length=255, required=False)
    last_name = forms.CharField(label=_("Last name"), max_length=255, required=False)

    def __init__(self, data: Any = None, *, asked: Any = None) -> None:
        """`asked` holds what was chosen or entered before, perhaps on another page."""
        super().__init__(data, customer=Customer(), asked=asked)
        self.order_fields(("email", "first_name", "last_name"))

    def clean_email(self) -> str:
        """Return the address in the form in which Admit stores it."""
        address, problem = examine_email(self.cleaned_data["email"])
        if problem:
            raise forms.ValidationError(problem)
        return address

    def do(self, author: Author) -> str:
        names = {name: self.cleaned_data[name] for name in ("first_name", "last_name")}
        as_sent = strip_invisible(self.data["email"])
        known = {"email_as_sent": as_sent, **names}
        with transaction.atomic():
            customer, _ = Customer.objects.get_or_create(
                email=self.cleaned_data["email"], defaults=known
            )
            done = self._give(customer, author)
        # Not before the commit: the page of a form that failed must not link to a customer who was
        # rolled back.
        self.customer = customer
        return done
