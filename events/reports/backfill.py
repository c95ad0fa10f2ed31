"""Buyers from before a rule: their events gave nothing, and a rule fits them now."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from events.access import sentences, whose
from events.access.ledger import Sale
from events.deciding import revocations
from events.execution import rerun
from events.models import EventLog, Grant, RuleRun
from events.models.event_log import ACCOUNT, WHAT
from events.reports import standing
from integrations.models import Product
from integrations.sentences import Said, at, joined, on, say
from rules import actions, changing
from rules.engine import Reason
from rules.listing import listed
from rules.models import Rule
from rules.pairing import Paired

# A rule is run for so many at once; the button can be pressed again.
MAX_EVENTS = 500
HOLDS_TOO = _("This purchase will hold that too: nothing changes in Thinkific.")
NO_CUSTOMER = _("the order carries no usable e-mail address")


@dataclass(frozen=True, slots=True)
class BackfillCandidate:
    """An event from before a rule: the rules that would run for it, or why none will.

    `note` says what gives the buyer all of it already, so that nothing changes in Thinkific, or
    that a person undid what was given.
    """

    event: EventLog
    rules: Sequence[Rule]
    why_not: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What running a rule for earlier events would do; `more` than these are waiting for it."""

    run: list[BackfillCandidate]
    left_out: list[BackfillCandidate]
    more: bool

    @property
    def customers(self) -> int:
        return len(_customers(each.event for each in self.run))

    @property
    def owed(self) -> "Preview":
        """The same without what a person has undone: for that nobody is alarmed."""
        return replace(self, run=[row for row in self.run if row.event.undone_at is None])

    @property
    def undone(self) -> int:
        """For how many customers a person undid what was given."""
        return len(_customers(row.event for row in self.run if row.event.undone_at))

    @property
    def only(self) -> int | None:
        """The number of the one event that is left to be run, None where there are several."""
        return self.run[0].event.pk if len(self.run) == 1 and not self.more else None

    def customers_of(self, rule: Rule) -> int:
        """For how many of them this very rule would run."""
        return len(_customers(each.event for each in self.run if rule in each.rules))


def matched_nothing(*rules: Rule, product: Product | None = None) -> QuerySet[EventLog]:
    """Earlier events of the rules' triggers and products that gave nothing, newest first.

    Those that a person has dealt with are not among them. `product` narrows global rules.
    """
    asked: dict[tuple[int, str], set[int | None]] = defaultdict(set)
    for rule in rules:
        number = rule.product_id or (product.pk if product else None)
        asked[rule.marketplace_id, rule.trigger].add(number)
    wanted = Q(pk__in=())
    for (account, trigger), products in asked.items():
        if None in products:
            wanted |= Q(account=account, trigger=trigger)
        else:
            wanted |= Q(account=account, what=trigger, product__in=products)
    events = EventLog.objects.alias(account=ACCOUNT, what=WHAT)
    nothing = events.filter(wanted, gave_nothing=True, dealt_with_at=None)
    return nothing.order_by("-received_at", "-pk")


def preview(*rules: Rule, product: Product | None = None) -> Preview:
    """For whom the rules would run now and for whom not; nothing is changed.

    Looks at the newest MAX_EVENTS events, with a handful of queries however many rules there are.
    """
    found = matched_nothing(*rules, product=product)
    found = found.select_related("customer", "product", "delivery")
    # The bodies may be large, and are not needed here.
    events = list(found.defer("delivery__sealed_body", "delivery__query")[: MAX_EVENTS + 1])
    events, more = events[:MAX_EVENTS], len(events) > MAX_EVENTS
    fitting = rules_now(events)
    obstacles = rerun.obstacles(events)
    # What is going to end by itself is given without an end: that changes something.
    held = standing.held(_customers(events), without_end=True)
    rows = []
    for event in events:
        fit = fitting.get(event.pk, [])
        why_not = obstacles.get(event.pk, "") if event.customer_id else say(NO_CUSTOMER)
        why_not = why_not or ("" if fit else say(rerun.NO_RULE))
        grants = [] if why_not else _has_all(event, fit, held)
        if grants and all(Sale.of(event).is_same(Sale.of(grant)) for grant in grants):
            why_not = say("has {courses} already", courses=_names(grants))
        note = joined([_has(grants), HOLDS_TOO]) if grants else _undone(event)
        rows.append(BackfillCandidate(event, fit, why_not, "" if why_not else note))
    return Preview(
        [row for row in rows if not row.why_not], [row for row in rows if row.why_not], more
    )


def may_be_settled() -> QuerySet[EventLog]:
    """The events whose customer has something, or had it end since: of most neither is so."""
    same = {"customer": OuterRef("customer")}
    later = EventLog.objects.filter(**same, received_at__gte=OuterRef("received_at"))
    # As `revocations` has it: of two products one ends nothing of the other.
    about = Q(product=Coalesce(OuterRef("product"), "product")) | Q(product=None)
    ended = Exists(later.filter(about).of(*revocations.ENDING))
    return EventLog.objects.filter(ended | Exists(Grant.objects.seen().filter(**same)))


def settled(events: Sequence[EventLog]) -> set[int]:
    """Those of these purchases, by pk, for which nothing is owed any more.

    The purchase was refunded or canceled since, or the buyer has all that the rules give now.
    """
    return {*revocations.ended_since(events), *had(events)}


def _undone(event: EventLog) -> Said | str:
    if event.undone_at is None:
        return ""
    return say("What was given for it was undone on {day}.", day=on(event.undone_at))


def had(events: Sequence[EventLog]) -> dict[int, Said]:
    """By what the buyer of each of these has all that the rules give now; others are not in it."""
    held = standing.held(_customers(events))
    # Who has nothing, as most of them, has not all that the rules give.
    fitting = rules_now([event for event in events if held.get(event.customer_id or 0)])
    found = {
        event.pk: _has_all(event, fitting[event.pk], held)
        for event in events
        if event.pk in fitting
    }
    return {pk: _has(grants) for pk, grants in found.items() if grants}


def rules_now(events: Sequence[EventLog]) -> dict[int, list[Rule]]:
    """The rules that are on and fit each of these events as of now, its product's own first.

    Left out is what has passed the event's delivery on already.
    """
    rules = Rule.objects.filter(
        Q(product=None) | Q(product__in={event.product_id for event in events}),
        enabled=True,
        trigger__in={event.trigger for event in events},
        marketplace__in={event.marketplace_id for event in events},
    ).select_related("product", "integration", "destination")
    by_place: dict[tuple[int | None, str | None, int | None], list[Rule]] = defaultdict(list)
    for rule in rules.order_by("pk") if events else ():
        by_place[rule.marketplace_id, rule.trigger, rule.product_id].append(rule)
    passes_on = {rule.pk for each in by_place.values() for rule in each if rule.spec.passes_on}
    passed_on = _passed_on(events) if passes_on else set()
    found: dict[int, list[Rule]] = {}
    for event in events:
        own, everywhere = (
            by_place.get((event.marketplace_id, event.trigger, product), [])
            for product in (event.product_id, None)
        )
        fitting = [
            rule
            for rule in (*own, *(everywhere if own is not everywhere else ()))
            if (event.delivery_id, rule.pk) not in passed_on
            and not (event.by_hand and rule.pk in passes_on)
        ]
        if fitting:
            found[event.pk] = fitting
    return found


def _passed_on(events: Sequence[EventLog]) -> set[tuple[int, int | None]]:
    """(delivery, rule) of what was passed on already."""
    runs = RuleRun.objects.filter(
        event__delivery__in={event.delivery_id for event in events},
        action__in=actions.passing_on(),
    )
    return set(runs.values_list("event__delivery", "rule"))


def gives_now(rule: Paired) -> bool:
    """Whether this rule is on and gives something when its product is bought."""
    return rule.enabled and rule.gives_on_purchase


def since(event: EventLog, rule: Rule, *, several: bool = False) -> Said:
    """Why a rule that is on and fits the event now did not run for it when it came.

    Of `several` purchases the event is the newest.
    """
    if rule.created_at > event.received_at:
        return say("A rule exists since {moment}.", moment=at(rule.created_at))
    if [rule.pk, Reason.OFF] not in event.verdicts:
        return say("A rule fits them now.") if several else say("A rule fits it now.")
    then = (
        say("The rule was off when the last of them bought.")
        if several
        else say("The rule was off then.")
    )
    return joined([then, _on_now(event, rule)])


def off_then(event: EventLog, rule: Rule | None) -> Said:
    """What to say now of a rule that was off when the event came; None of one that is deleted."""
    if rule is None:
        return say("The rule was off then. It was deleted since.")
    if not rule.enabled:
        return say("The rule is turned off.")
    return joined([say("The rule was off then."), _on_now(event, rule)])


def _on_now(event: EventLog, rule: Rule) -> Said:
    moment = changing.on_since(rule)
    if moment and moment > event.received_at:
        return say("It has been on since {moment}.", moment=at(moment))
    return say("It is on now.")


def _customers(events: Iterable[EventLog]) -> set[int]:
    return {event.customer_id for event in events if event.customer_id}


def _has(found: Sequence[Grant]) -> Said:
    """That the buyer has all of it already, and by what.

    The purchase is still to hold it, unless it is one of these: they may be refunded.
    """
    sources = listed([*dict.fromkeys(sentences.holds(grant) for grant in found)])
    return say("Has {courses} already by {sources}.", courses=_names(found), sources=sources)


def _names(grants: Iterable[Grant]) -> str:
    return listed([*dict.fromkeys(grant.name for grant in grants)])


def _has_all(event: EventLog, rules: Sequence[Rule], held: standing.Held) -> list[Grant]:
    """The grants by which the buyer has all that these rules give, none where one is missing."""
    mine = held.get(event.customer_id or 0, {})
    found = []
    for rule in rules:
        if rule.spec.passes_on:
            continue
        grant = mine.get((rule.integration_id, rule.target))
        if not rule.spec.gives_access or grant is None:
            return []
        if whose.names_another(event, rule.integration):
            return []
        found.append(grant)
    return found
