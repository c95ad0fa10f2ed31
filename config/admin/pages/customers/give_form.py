"""The form that gives a course or bundle by hand, for a purchase or as a gift."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django import forms
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from config.admin.pages.customers.by_hand_forms import ByHandForm, LastDayField
from config.admin.parts import badges, params
from config.admin.parts.params import row_in
from config.admin.parts.suggested import suggested
from events.access import by_hand, going_on, sentences
from events.access.by_hand import Author
from events.models import EventLog, RuleRun
from events.models.runs import UNFINISHED
from events.reports.customers import purchase_sentences
from events.reports.earlier import paid_purchases
from events.reports.owed import promise
from integrations import app_registry
from integrations.finding.ordering import by_name
from integrations.models import Customer, Destination, Integration, Product
from integrations.sentences import Said, Text, format_day, say
from rules import actions
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

MAX_FOUND = 60
MAX_UNDER_WAY = 3
COURSES_NAMED = 3
# For at most this many products a rule that ends access on a refund is offered.
MAX_RULES_OFFERED = 3
# The choice of no purchase.
GIFT = "gift"


def _offered() -> QuerySet[Destination]:
    found = Destination.objects.filter(
        integration__app__in=app_registry.with_catalog(), gone_at=None
    )
    in_order = found.order_by(F("unlisted_at").asc(nulls_first=True), by_name(), "pk")
    return in_order.select_related("integration")


class GiveForm(ByHandForm):
    """A course or bundle for a purchase that is still paid for, or as a gift."""

    template = "admin/by_hand/give.html"
    title, name = _("Give access"), "give-access"
    starts = True
    lead: Text = _(
        "The customer gets this course or bundle in addition to what the purchases give. Refunds "
        "and cancellations do not end it. It ends on its last day, or when a person presses End "
        "access."
    )

    purchase = forms.ChoiceField(
        label=_("For which purchase"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose a purchase, or that it is a gift.")},
    )
    destination = forms.ModelChoiceField(
        _offered(),
        label=_("Course or bundle"),
        error_messages={"required": _("Choose a course or bundle.")},
    )
    until = LastDayField(_("Leave it empty to give it without an end."))
    field_order = ("purchase", "destination", "until", "reason")
    # The products whose refund ends no access by a rule; None stands for a product not known.
    never_ended: Sequence[Product | None] = ()

    def __init__(self, data: Any = None, *, customer: Customer, asked: Any = None) -> None:
        super().__init__(data, customer=customer, asked=asked)
        unfinished = list(_unfinished(customer))
        told = {run.integration_id for run in unfinished if going_on.needs_a_person(run)}
        self.notes = [*map(_under_way, unfinished), *going_on.given_by_hand_waits(told)]
        owed, paid = promise.owed(customer), paid_purchases.still_paid(customer)
        newest = sorted({*owed, *paid}, key=lambda each: (each.received_at, each.pk), reverse=True)
        self.purchases = {str(each.pk): each for each in newest}
        if not self.purchases:
            del self.fields["purchase"]
            return
        self._offer_purchases()
        self.fields["purchase"].initial = self._came_from(asked, owed)
        self.lead = say(
            "The customer gets this course or bundle in addition to what the purchases give."
        )

    def _offer_purchases(self) -> None:
        field = self.fields["purchase"]
        assert isinstance(field, forms.ChoiceField)
        gift = say("None, it is a gift: it ends only on its last day, or when a person ends it.")
        ending = _ending_on_refund(self.purchases.values())
        paid = ((pk, _paid(each, ending[each.pk])) for pk, each in self.purchases.items())
        field.choices = [*paid, (GIFT, gift)]
        never_ended = list(
            dict.fromkeys(each.product for each in self.purchases.values() if not ending[each.pk])
        )
        self.never_ended = never_ended[:MAX_RULES_OFFERED]

    def _came_from(self, asked: Any, owed: Sequence[EventLog]) -> str | None:
        """Return the choice to begin with; None if the person has to choose.

        That is the purchase that the person came from, or a gift if it is not paid for anymore.
        Else it is the newest that gave nothing, or the only one.
        """
        named = (asked or {}).get("purchase")
        if named is not None:
            self.initial.pop("purchase", None)
            return named if named in self.purchases else GIFT
        likely = [str(each.pk) for each in owed] or [*self.purchases]
        return likely[0] if owed or len(likely) == 1 else None

    def do(self, author: Author) -> str:
        return self._give(self.customer, author)

    def _give(self, customer: Customer, author: Author) -> str:
        found: Destination = self.cleaned_data["destination"]
        event = by_hand.give(
            customer,
            found,
            author,
            self.cleaned_data["until"],
            self.purchases.get(self.cleaned_data.get("purchase", "")),
        )
        return sentences.given_by_hand(event)

    def choices(self, asked: Any) -> dict[str, Any]:
        word = params.word(asked.get("q"), 100)
        chosen = row_in(_offered(), asked.get("destination"))
        found = list(_offered().filter(name__icontains=word)[: MAX_FOUND + 1])
        products = [each.product for each in self.purchases.values() if each.product]
        likely = suggested(_offered(), products, word)
        first = [chosen, *likely] if chosen else likely
        return {
            "q": word,
            "chosen": chosen,
            "suggested": likely,
            "shown": [*dict.fromkeys([*first, *found[:MAX_FOUND]])],
            "more": len(found) > MAX_FOUND,
            "most": MAX_FOUND,
            "any": bool(found) or _offered().exists(),
            "sites": Integration.objects.filter(app__in=app_registry.with_catalog()).count(),
        }


def _ending_on_refund(purchases: Collection[EventLog]) -> dict[int, list[Rule]]:
    """Return, by the purchase's ID, the rules that end access when it is refunded."""
    products = {each.product_id for each in purchases}
    accounts = {each.marketplace_id for each in purchases}
    rules = Rule.objects.filter(
        Q(product__in=products) | Q(product=None, marketplace__in=accounts),
        trigger=Trigger.PRODUCT_REFUNDED,
        enabled=True,
    ).with_names()
    ending = [rule for rule in rules if rule.spec.ends_access]
    return {
        event.pk: [
            rule
            for rule in ending
            if rule.product_id in {None, event.product_id}
            and rule.marketplace_id == event.marketplace_id
        ]
        for event in purchases
    }


def _paid(event: EventLog, ending: Sequence[Rule]) -> Said:
    """Say "Course One (order 1183) of 29 Nov: a refund ends access to Ink, by a rule. […]"."""
    facts = {"day": format_day(event.received_at), **purchase_sentences.facts_of(event)}
    if not ending:
        return say("{product}{order} of {day}: no rule ends access on a refund yet.", **facts)
    names = dict.fromkeys(badges.brief(rule.destination) for rule in ending)
    return say(
        "{product}{order} of {day}: a refund ends access to {courses}, by a rule. Any other "
        "course that you give for it stays open.",
        courses=listed([*names], COURSES_NAMED),
        **facts,
    )


def _unfinished(customer: Customer) -> Iterable[RuleRun]:
    """Return the newest actions that are still to give what the customer paid for."""
    if customer.pk is None:
        return ()
    runs = RuleRun.objects.filter(
        customer=customer,
        status__in=UNFINISHED,
        action__in=actions.giving_access(),
        event__trigger__isnull=False,
    )
    return runs.select_related("event__product", "integration").order_by("-pk")[:MAX_UNDER_WAY]


def _under_way(run: RuleRun) -> Said:
    return say(
        "{product}{order} of {day} gives {course} already: its action {goes_on}. Giving it by "
        "hand does not help: it would wait for the same thing.",
        day=format_day(run.event.received_at),
        course=run.destination_name,
        goes_on=going_on.goes_on(run),
        **purchase_sentences.facts_of(run.event),
    )
