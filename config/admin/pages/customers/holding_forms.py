"""The forms that end or keep courses and bundles that a customer has."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from config.admin.pages.customers.by_hand_forms import NO_ACCESS, ByHandForm, LastDayField
from config.admin.parts import badges
from events.access import by_hand, holdings, sentences
from events.access.by_hand import Author
from events.execution import moving
from events.models import EventLog, Grant
from events.models.access import LONGEST_NOTE
from events.reports.sentences import refunded_access
from integrations.audit import Act
from integrations.models import Customer
from integrations.sentences import Said, joined, say
from rules.listing import listed
from rules.triggers import Trigger


class HoldingForm(ByHandForm):
    """What is done with courses or bundles that the customer has."""

    holding = forms.MultipleChoiceField(
        label=_("Course or bundle"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose a course or bundle.")},
    )

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        self._offered: list[str] = []
        if chosen := asked.getlist("holding") if asked else []:
            self.initial["holding"] = chosen

    def offer(self, found: Mapping[str, holdings.Holding]) -> None:
        """Offer these by their keys, ordered by name. One alone is chosen."""
        field = self.fields["holding"]
        assert isinstance(field, forms.MultipleChoiceField)
        self._offered = sorted(found, key=lambda key: found[key].grants[0].name)
        field.choices = [(key, _described(found[key])) for key in self._offered]
        if len(found) == 1:
            field.initial = [*found]

    @property
    def chosen(self) -> list[str]:
        """The keys of what was chosen, in the order of the page."""
        return [key for key in self._offered if key in self.cleaned_data["holding"]]


class EndForm(HoldingForm):
    title, name = _("End access"), "end-access"
    starts = True
    lead = _(
        "The access ends, no matter what gave it. A new purchase opens it again, and so does Give "
        "it back."
    )
    lead_of_purchases = _(
        "The access ends, no matter what gave it, and later payments for the same purchase do not "
        "open it again. A new purchase does, and so does Give it back."
    )

    on = LastDayField(_("Leave it empty to end it now."))
    field_order = ("holding", "on", "reason")

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        held = {each.key: each for each in holdings.of_customer(customer)}
        self.offer(held)
        self.none = "" if held else NO_ACCESS
        sources = {grant.source for each in held.values() for grant in each.grants}
        if Grant.Source.PURCHASE in sources:
            self.lead = self.lead_of_purchases

    def do(self, author: Author) -> str:
        on = self.cleaned_data["on"]
        with transaction.atomic():
            events = [by_hand.end(self.customer, key, author, on) for key in self.chosen]
        return joined(map(sentences.ended_by_hand, events))


class KeepForm(HoldingForm):
    """What a refunded or canceled buyer still has is kept on purpose."""

    title, name = _("Let the buyer keep it"), "keep-access"
    lead = _(
        "The purchase was refunded and the buyer keeps the access. Nobody is asked about it again, "
        "and no rule that is added later ends it. A later refund does."
    )
    lead_of_cancellations = _(
        "The purchase was canceled and the buyer keeps the access. Nobody is asked about it again, "
        "and no rule that is added later ends it. A later refund or cancellation does."
    )

    reason = forms.CharField(
        label=_("Reason (optional)"),
        required=False,
        max_length=LONGEST_NOTE,
        help_text=_("It is shown with the decision and your name."),
    )
    field_order = ("holding", "reason")

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        # Somebody who was never refunded, or about whom it was decided, has nothing to choose here.
        self.found = refunded_access.undecided(customer) if customer.pk else {}
        self.offer(
            {key: holdings.Holding(tuple(held)) for key, (_refund, held) in self.found.items()}
        )
        self.none = "" if self.found else by_hand.CHANGED_SINCE
        asked_for = self.found.keys() & {*self.initial.get("holding", self.found)}
        if not any(_is_refund(self.found[key][0]) for key in asked_for):
            self.lead = self.lead_of_cancellations

    def do(self, author: Author) -> str:
        kept = [self.found[key] for key in self.chosen]
        for act, of_refunds in ((Act.REFUNDED_KEPT, True), (Act.CANCELED_KEPT, False)):
            of_act = [each for each in kept if _is_refund(each[0]) == of_refunds]
            moving.keep(of_act, act, why=author.reason)
        names = dict.fromkeys(badges.brief(grants[0].name) for _, grants in kept)
        return say("The buyer keeps {courses}.", courses=listed([*names]))


def _is_refund(event: EventLog) -> bool:
    return event.trigger == Trigger.PRODUCT_REFUNDED


def _described(holding: holdings.Holding) -> Said:
    """Return "Course Two on Art Academy (order 1183, access given by hand)"."""
    first = holding.grants[0]
    held_by = ", ".join(map(sentences.holds, holding.grants))
    return say(
        "{name} on {site} ({held_by})",
        name=badges.brief(first.name),
        site=first.integration,
        held_by=badges.brief(held_by),
    )
