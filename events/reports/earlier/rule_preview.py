"""What a rule that is not saved yet would have done with the events of the last 90 days."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.access import ledger, revocations
from events.access.ledger import Change, Judgment
from events.access.sale import BySale, Sale
from events.models import EventLog, Grant
from events.reports.earlier.nothing_to_end import parts_of
from integrations.models import Customer, Destination
from integrations.sentences import Said, Text, say, say_count
from rules.fired import firing
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

LATELY = timedelta(days=90)
# At most this many events are looked at, the newest; a preview need not be complete.
MAX_EVENTS = 100
PEOPLE_NAMED = 10
# The fields of a grant that `ledger` reads.
_GRANT = (
    "source",
    "marketplace",
    "product",
    "order_id",
    "subscription_id",
    "customer",
    "integration",
    "target",
    "course_ids",
    "state",
    "decided_at",
    "because",
    "opened_at",
    "kept_at",
)


class PreviewEffect(StrEnum):
    """What the rule would have done for one customer, the most important first."""

    GIVEN = "given"
    HAD_IT = "had_it"
    TAKEN_BACK = "taken_back"  # the purchase was refunded or canceled since
    ENDED = "ended"
    STILL_GIVEN = "kept"  # its purchase ended, and another one gives the same
    LET_KEEP = "let_keep"  # a person let the buyer keep it since
    DEALT_WITH = "dealt_with"  # a person marked the purchase as dealt with, and gave nothing for it
    NOTHING = "nothing"
    SENT = "sent"


WORDS: dict[PreviewEffect, Text] = {
    PreviewEffect.GIVEN: _("It would have enrolled {people}."),
    PreviewEffect.TAKEN_BACK: _("Refunded or canceled since, so not counted: {people}."),
    PreviewEffect.HAD_IT: _("These had it already: {people}."),
    PreviewEffect.ENDED: _("It would have ended the access of {people}."),
    PreviewEffect.STILL_GIVEN: _("Would have kept access through another purchase: {people}."),
    PreviewEffect.LET_KEEP: _("Kept on purpose, so not counted: {people}."),
    PreviewEffect.DEALT_WITH: _("Marked as dealt with, so not counted: {people}."),
    PreviewEffect.NOTHING: _("Nothing would have changed for {people}."),
    PreviewEffect.SENT: _("It would have sent what SamCart said about {people}."),
}


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What a rule would have done. `people` are customer IDs by effect, newest event first.

    `names` are the names of the first PEOPLE_NAMED of each effect. `events` is how many events were
    looked at; `more` says whether there are older ones.
    """

    rule: Rule
    events: int
    more: bool
    people: dict[PreviewEffect, list[int]]
    names: Mapping[int, str]

    def sentences(self) -> list[str]:
        """Return one for each effect, with up to PEOPLE_NAMED names and how many more there are."""
        if not self.events:
            return [say("No event matches it.")]
        said: list[str] = [
            say(WORDS[effect], people=self._listed(people))
            for effect in PreviewEffect
            if (people := self.people.get(effect))
        ]
        if self.more:
            said.append(
                say_count(
                    self.events,
                    "There are older events too: only the newest one was looked at.",
                    "There are older events too: only the newest {number} were looked at.",
                )
            )
        return said

    def _listed(self, people: Sequence[int]) -> Said:
        """Return up to PEOPLE_NAMED names, and how many more people there are."""
        names = [self.names[each] for each in people[:PEOPLE_NAMED] if each in self.names]
        return listed([*names, *[""] * (len(people) - len(names))], len(names))


def previews(rules: Iterable[Rule]) -> list[RulePreview]:
    """Return what each of these rules would have done, by the ledger as it is now.

    Writes nothing. Takes two queries for each rule, and a handful for all of them.
    """
    found = [(rule, _events(rule)) for rule in rules]
    given = [each for rule, events in found if rule.spec.gives_access for each in events]
    ended = [each for rule, events in found if rule.spec.ends_access for each in events]
    passed = revocations.later_endings(given) | revocations.last_payments(ended)
    of_rules = [_people(rule, events[:MAX_EVENTS], passed) for rule, events in found]
    first = {n for people in of_rules for each in people.values() for n in each[:PEOPLE_NAMED]}
    customers = Customer.objects.in_bulk(first)
    names = {pk: each.name or each.readable_email for pk, each in customers.items()}
    return [
        RulePreview(rule, min(len(events), MAX_EVENTS), len(events) > MAX_EVENTS, people, names)
        for (rule, events), people in zip(found, of_rules, strict=True)
    ]


def _people(
    rule: Rule, events: Sequence[EventLog], passed: Container[int]
) -> dict[PreviewEffect, list[int]]:
    """Return the customers by effect.

    The rule passes over the events in `passed`: purchases that were refunded or canceled since, and
    cancellations of what was paid in full. A customer of several events has the effect that comes
    first in PreviewEffect.
    """
    grants = _Grants(_grants(rule, events) if rule.target else [])
    effects = [
        (_passed_over(rule), event.customer_id)
        if event.pk in passed
        else _effect(rule, event, grants)
        for event in reversed(events)
    ]
    people: dict[PreviewEffect, dict[int, None]] = {effect: {} for effect in PreviewEffect}
    for effect, customer in reversed(effects):
        if customer is not None:
            people[effect][customer] = None
    told: set[int] = set()
    found = {}
    for effect, each in people.items():
        found[effect] = [customer for customer in each if customer not in told]
        told |= each.keys()
    return found


def _passed_over(rule: Rule) -> PreviewEffect:
    return PreviewEffect.NOTHING if rule.spec.ends_access else PreviewEffect.TAKEN_BACK


def _events(rule: Rule) -> list[EventLog]:
    """Return the newest events that the rule fits, at most MAX_EVENTS + 1."""
    triggers = firing(rule.trigger)
    events = EventLog.objects.filter(
        marketplace=rule.marketplace_id, received_at__gte=timezone.now() - LATELY
    ).exclude(status=EventLog.Status.REPEAT)
    if rule.product_id is None:
        events = events.filter(trigger__in=triggers)
    else:
        events = events.filter(product=rule.product_id).of_triggers(*triggers)
    newest = events.order_by("-received_at", "-pk")
    newest = newest.only("marketplace", "gave_nothing", "dealt_with_at", *revocations.READ)
    return list(newest[: MAX_EVENTS + 1])


def _grants(rule: Rule, events: Sequence[EventLog]) -> list[Grant]:
    """Return the grants on the rule's site of the events' purchases and of their customers.

    What a customer has of other courses counts only if the event does not name its purchase.
    """
    unnamed = [event for event in events if not Sale.of(event).is_named]
    of_course = Q(target__in=parts_of(rule)) | Q(target__startswith=f"{Destination.Kind.BUNDLE}:")
    # By an expression: SQLite would read all grants of the site rather than look up each of these.
    rows = Grant.objects.alias(site=Coalesce("integration", 0)).filter(
        Q(of_course, customer__in={event.customer_id for event in events} - {None})
        | Q(customer__in={event.customer_id for event in unnamed} - {None})
        | Q(order_id__in={event.order_id for event in events} - {""})
        | Q(subscription_id__in={event.subscription_id for event in events} - {""}),
        site=rule.integration_id,
        until=None,  # access that ends by itself is not what the rule would give
    )
    return list(rows.only(*_GRANT)) if events else []


class _Grants:
    """Grants in memory, found by customer or by purchase."""

    def __init__(self, rows: Iterable[Grant]) -> None:
        self._of_customer: dict[int, list[Grant]] = defaultdict(list)
        self._by_sale: BySale[Grant] = BySale()
        for row in rows:
            self.add(row)

    def add(self, row: Grant) -> None:
        self._of_customer[row.customer_id].append(row)
        self._by_sale.add(row)

    def of_customer(self, number: int) -> list[Grant]:
        return [*self._of_customer.get(number, [])]

    def of_purchase(self, event: EventLog) -> list[Grant]:
        """Return the grants of the purchase that the event is about."""
        if Sale.of(event).is_named:
            return self._by_sale.of(event)
        if event.trigger == Trigger.PRODUCT_PURCHASED or event.customer_id is None:
            return []  # each is a purchase of its own
        rows = self._of_customer.get(event.customer_id, [])
        return [row for row in rows if row.product_id == event.product_id]


def _effect(rule: Rule, event: EventLog, grants: _Grants) -> tuple[PreviewEffect, int | None]:
    """Return what the rule would have done for an event, and for whom. Updates `grants`."""
    if not rule.target:
        return PreviewEffect.SENT, event.customer_id
    purchase = grants.of_purchase(event)
    student = purchase[0].customer_id if purchase else event.customer_id
    if student is None:
        return PreviewEffect.NOTHING, None
    own = grants.of_customer(student)
    had = ledger.holder(own, rule.integration_id, rule.target) is not None
    change = _change(rule, event)
    new = _row(rule, event, student)
    if rule.spec.gives_access:
        if (
            event.gave_nothing
            and event.dealt_with_at
            and not any(row.is_active for row in purchase)
        ):
            return PreviewEffect.DEALT_WITH, student
        judgment, row = ledger.give(change, purchase, new)
        if row is new:
            grants.add(new)
        return _given(judgment, had), student
    judgments = _end(change, own if rule.ends_all else purchase, new)
    if Judgment.ENDS not in judgments:
        return (
            PreviewEffect.LET_KEEP if Judgment.LET_KEEP in judgments else PreviewEffect.NOTHING
        ), student
    has = ledger.holder(own, rule.integration_id, rule.target) is not None
    return (PreviewEffect.STILL_GIVEN if has else PreviewEffect.ENDED), student


def _given(judgment: Judgment, had: bool) -> PreviewEffect:
    if judgment is not Judgment.OPEN:
        return PreviewEffect.NOTHING
    return PreviewEffect.HAD_IT if had else PreviewEffect.GIVEN


def _end(change: Change, rows: Iterable[Grant], mark: Grant) -> set[Judgment]:
    """Let the change end what each source gives. Return what it means for them."""
    groups = ledger.by_source(rows).values()
    return {ledger.end(change, group, mark)[0] for group in groups}


def _change(rule: Rule, event: EventLog) -> Change:
    return Change(
        integration=rule.integration_id,
        target=rule.target,
        parts=parts_of(rule),
        trigger=str(event.trigger),
        at=event.received_at,
    )


def _row(rule: Rule, event: EventLog, student: int) -> Grant:
    """A grant of the event's purchase that is never saved."""
    return Grant(
        marketplace_id=event.marketplace_id,
        product_id=event.product_id,
        order_id=event.order_id,
        subscription_id=event.subscription_id,
        customer_id=student,
        integration_id=rule.integration_id,
        target=rule.target,
        course_ids=rule.destination.course_ids if rule.destination else [],
        decided_at=event.received_at,
    )
