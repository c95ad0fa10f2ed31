"""The forms that change a customer's access by hand. Each asks for a reason."""

from collections.abc import Sequence
from datetime import date
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from config.admin.parts import badges
from config.admin.parts.params import row_in
from events.access import by_hand, ended_by_hand, going_on, holdings, sentences
from events.access.by_hand import Author
from events.models import RuleRun
from events.reports.sentences import ended_access
from integrations.models import Customer
from integrations.sentences import YEAR, Text, format_day, say
from rules import actions

NO_ACCESS = _("Admit knows of no access that this customer has now.")


class LastDayField(forms.DateField):
    """A day. It may be empty if `otherwise`, which says what an empty day means, is given."""

    def __init__(self, otherwise: Text = "") -> None:
        super().__init__(
            required=not otherwise,
            label=_("Last day"),
            widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
            help_text=format_lazy(
                "{} {}",
                format_lazy(
                    _("The access ends at the end of that day ({zone})."), zone=settings.TIME_ZONE
                ),
                otherwise,
            ),
        )


class ReasonForm(forms.Form):
    """The reason for what is done. `none` says why there is nothing to fill in, "" if there is."""

    template: ClassVar[str] = "admin/by_hand/form.html"
    title: ClassVar[Text]
    name: ClassVar[str]
    lead: Text = ""
    # The label of its button, if it is not the title.
    button: ClassVar[Text] = ""
    none: Text = ""
    # Whether what `do` returns says only what has started.
    starts: ClassVar[bool] = False
    # What a person should know before filling it in.
    notes: Sequence[Text] = ()
    required_css_class = "required"

    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("It is kept in the log with your name."),
    )

    def do(self, author: Author) -> str:
        """Do it, and return a sentence that says so.

        Raises ValueError with one that says why not.
        """
        raise NotImplementedError

    def choices(self, asked: Any) -> dict[str, Any]:
        """Return what the page offers beside the form's fields."""
        return {}


class ByHandForm(ReasonForm):
    """What is done for a customer, and why."""

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        """`asked` holds what was chosen or entered before."""
        super().__init__(data, initial={name: asked.get(name) for name in asked or ()})
        self.customer = customer


class GiveBackForm(ByHandForm):
    """What a person or a rule ended is given back; `run` is the action that ended it."""

    title, name = _("Give it back"), "give-back"
    starts = True
    template = "admin/by_hand/give_back.html"
    # The ID of the product whose refund or cancellation ended it; None if something else did.
    bought_again: int | None = None

    run = forms.CharField(widget=forms.HiddenInput)
    field_order = ("reason",)

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        endings = RuleRun.objects.filter(customer=customer, action__in=actions.ending_access())
        self.ending = row_in(
            endings.select_related("integration"), (data or asked or {}).get("run")
        )
        left = (
            ended_by_hand.can_be_given_back([self.ending]).get(self.ending.pk)
            if self.ending
            else None
        )
        if self.ending is None or not left:
            self.none = by_hand.CHANGED_SINCE
            return
        if closed := going_on.waits_for(self.ending.integration):
            self.notes = [closed]
        course = badges.brief(self.ending.destination_name)
        self.lead = ended_access.opens_again(course, left)
        self.bought_again = left[0].product_id if ended_by_hand.taken_back(left) else None

    def do(self, author: Author) -> str:
        assert self.ending is not None
        return sentences.given_by_hand(by_hand.give_back(self.ending, author))


class LastDayForm(ByHandForm):
    """Another last day for access that a person gave until a day, or ends on one.

    `run` is the ending that waits for that day.
    """

    title, name = _("Change the last day"), "change-last-day"
    button = _("Change the day")

    run = forms.CharField(widget=forms.HiddenInput)
    until = LastDayField()
    field_order = ("until", "reason")

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        by_persons = RuleRun.objects.delayed().filter(customer=customer, event__trigger=None)
        number = (data or asked or {}).get("run")
        self.ending = row_in(by_persons.select_related("event", "integration"), number)
        if self.ending is None:
            self.none = say(
                "Its last day was changed since, or is over. Open the customer's page again, then "
                "decide."
            )
            return
        self.old = timezone.localtime(self.ending.next_attempt_at).date()
        self.initial.update(until=self.old, reason=self.ending.event.author_note)
        self.lead = say(
            "{course} on {site} ends on {day}. Only this day changes.",
            course=badges.brief(self.ending.destination_name),
            site=self.ending.integration,
            day=format_day(self.old, YEAR),
        )

    def clean_until(self) -> date:
        chosen: date = self.cleaned_data["until"]
        if chosen == self.old:
            raise forms.ValidationError(say("This is its last day already. Choose another."))
        return chosen

    def do(self, author: Author) -> str:
        assert self.ending is not None
        event = by_hand.change_day(self.ending, author, self.cleaned_data["until"])
        return sentences.last_day_changed(event)


def other_email(customer: Customer, typed: str | None) -> str:
    """Return what was typed if access of the customer can be moved to this address, else ""."""
    try:
        by_hand.other_address(customer, typed or "")
    except ValueError:
        return ""
    return typed or ""


class MoveForm(ByHandForm):
    title, name = _("Move to another e-mail"), "move-access"
    starts = True
    lead = _(
        "All access goes to the account of the other address, and ends on this one. Later events "
        "of these purchases, such as a renewal or a refund, go to the other address too."
    )

    email = forms.CharField(
        max_length=320,
        label=_("The other e-mail address"),
        widget=forms.TextInput(attrs={"inputmode": "email", "autocomplete": "off"}),
    )
    field_order = ("email", "reason")

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        self.none = "" if holdings.of_customer(customer) else NO_ACCESS
        # A search may lead here with the address that was typed.
        self.initial["email"] = other_email(customer, self.initial.get("email"))

    def do(self, author: Author) -> str:
        # The page that follows is the new student's: the letter with the right answer is there.
        self.customer = by_hand.move(self.customer, self.cleaned_data["email"], author)
        return say("The access is being moved to {email}.", email=self.customer.readable_email)


class NoteForm(ByHandForm):
    title, name = _("Add a note"), "add-note"
    lead = _("The note appears on the customer's page and in the log. Nothing else happens.")

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        self.fields["reason"].label = say("Note")
        self.fields["reason"].help_text = say("It is kept with your name.")

    def do(self, author: Author) -> str:
        by_hand.note(self.customer, author)
        return say("The note is added.")
