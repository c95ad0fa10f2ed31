"""The forms that change a customer's access by hand. Each asks for a reason."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from config.admin.parts import badges
from config.admin.parts.params import row_in
from events.access import by_hand, ended_by_hand, holdings, sentences
from events.access.by_hand import Author
from events.execution import moving
from events.models import Grant, RuleRun
from events.models.access import LONGEST_NOTE
from events.reports import ended_access, refunded_access
from integrations.audit import Act
from integrations.models import Customer
from integrations.sentences import YEAR, Said, Text, format_day, say
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


class HoldingForm(ByHandForm):
    """What is done with one course or bundle that the customer has."""

    holding = forms.ChoiceField(
        label=_("Course or bundle"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose a course or bundle.")},
    )

    def offer(self, found: Mapping[str, holdings.Holding]) -> None:
        """Offer these by their keys. One alone is chosen."""
        field = self.fields["holding"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(key, _described(each)) for key, each in found.items()]
        if len(found) == 1:
            field.initial = field.choices[0][0]


class EndForm(HoldingForm):
    title, name = _("End access"), "end-access"
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
        chosen, on = self.cleaned_data["holding"], self.cleaned_data["on"]
        event = by_hand.end(self.customer, chosen, author, on)
        return sentences.ended_by_hand(event)


class KeepForm(HoldingForm):
    """What a refunded buyer still has is kept on purpose."""

    title, name = _("Let the buyer keep it"), "keep-access"
    lead = _(
        "The purchase was refunded and the buyer keeps the access. Nobody is asked about it again, "
        "and no rule that is added later ends it. A later refund does."
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

    def do(self, author: Author) -> str:
        refund, grants = self.found[self.cleaned_data["holding"]]
        moving.keep([(refund, grants)], Act.REFUNDED_KEPT, why=author.reason)
        return say("The buyer keeps {courses}.", courses=grants[0].name)


class GiveBackForm(ByHandForm):
    """What a person ended is given back; `run` is the action that ended it."""

    title, name = _("Give it back"), "give-back"

    run = forms.CharField(widget=forms.HiddenInput)
    field_order = ("reason",)

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        endings = RuleRun.objects.filter(customer=customer, action__in=actions.ending_access())
        self.ending = row_in(
            endings.select_related("integration"), (data or asked or {}).get("run")
        )
        left = ended_by_hand.as_left([self.ending]).get(self.ending.pk) if self.ending else None
        if self.ending is None or not left:
            self.none = by_hand.CHANGED_SINCE
            return
        course = badges.brief(self.ending.destination_name)
        self.lead = ended_access.opens_again(course, left)

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
