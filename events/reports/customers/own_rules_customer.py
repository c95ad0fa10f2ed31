"""Purchases of a customer that got less than rules of the product give, or would if they were on.

Global rules gave something for them: see `own_rules`. A page tells of those that got nothing
elsewhere.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from events.access import hand_grants, revocations
from events.models import EventLog, RuleRun
from events.reports import site_names
from events.reports.access import open_access
from events.reports.customers.purchase_sentences import facts_of
from events.reports.earlier import backfill, earlier, paid_purchases
from events.reports.owed import own_rules
from events.reports.sentences.leads import AddRule, RunRules, TurnOnRule
from events.reports.sentences.sentence import QUIET, WAIT, Code, Sentence
from integrations.models import Customer
from integrations.sentences import say, say_count
from rules import actions
from rules.engine import Reason
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class OfCustomer:
    """What a customer's page says of such purchases; `in_doubt` are those for the letter."""

    lines: Sequence[Sentence] = ()
    in_doubt: Sequence[EventLog] = ()


def of_customer(customer: Customer) -> OfCustomer:
    """Say which purchases got only what global rules give, and which got less than rules give now.

    Purchases that were refunded or canceled since are left out, and what a person undid. So are, of
    those that got only what global rules give, those for which a person gave something by hand.
    """
    events = paid_purchases.of_student(customer, _gave_something(), Q(product__isnull=False))
    if not events:
        return OfCustomer()
    rules = _rules(events)
    served = {rule.product_id for rule in rules if rule.enabled and rule.product_id}
    bonus = _only_global(events)
    only = [(event, names) for event, names in bonus if event.product_id not in served]
    off = [rule for rule in rules if rule.gives_on_purchase and not rule.enabled]
    more = _lacking({event: _due(event, rules) for event in events})
    lines = [_only(each, names, _own(each, off)) for each, names in only]
    # A course that was added for new buyers is no reason to doubt what an earlier one has.
    got_bonus = {event.pk for event, _ in bonus}
    missed = [each for each in more if each.pk in got_bonus or _was_off(each, rules)]
    doubted = dict.fromkeys([*(event for event, _ in only), *missed])
    return OfCustomer([*lines, *more.values()], [*doubted])


def _rules(events: Sequence[EventLog]) -> list[Rule]:
    """Return the rules for these purchases, on or off, that give access or pass it on."""
    rules = Rule.objects.filter(
        Q(product__in={event.product_id for event in events})
        | Q(product=None, marketplace__in={event.marketplace_id for event in events} - {None}),
        trigger=Trigger.PRODUCT_PURCHASED,
    )
    known = rules.select_related("destination", "integration").order_by("pk")
    return [rule for rule in known if rule.gives_on_purchase or rule.spec.passes_on]


def _own(event: EventLog, rules: Sequence[Rule]) -> list[Rule]:
    """Return which of these rules are the product's own."""
    return [rule for rule in rules if rule.product_id == event.product_id]


def _due(event: EventLog, rules: Sequence[Rule]) -> list[Rule]:
    """Return which of these rules give this purchase something now.

    New global rules are for new buyers, so of these only those that were off when it was bought.
    """
    everywhere = [rule for rule in rules if not rule.product_id and event.is_for(rule)]
    then_off = [rule for rule in everywhere if _was_off(event, [rule])]
    return [each for each in [*_own(event, rules), *then_off] if earlier.is_offered(each)]


def _was_off(event: EventLog, rules: Iterable[Rule]) -> bool:
    """Whether one of these rules was off when this was bought, and would have matched."""
    return any([rule.pk, Reason.OFF] in event.verdicts for rule in rules)


def _gave_something() -> Q:
    return Q(gave_nothing=False) | Q(dealt_with_at__isnull=False) & open_access.of_purchase()


def _only_global(events: Sequence[EventLog]) -> list[tuple[EventLog, str]]:
    """Return those of these purchases to which only global rules gave something, and what."""
    accounts = own_rules.accounts_among({event.marketplace_id for event in events})
    asked = [event for event in events if event.marketplace_id in accounts]
    runs: dict[int, list[RuleRun]] = defaultdict(list)
    gave = RuleRun.objects.filter(event__in=asked, action__in=actions.giving_access())
    for run in gave.select_related("rule").order_by("pk") if asked else ():
        runs[run.event_id].append(run)
    found = [
        (event, listed([*dict.fromkeys(run.destination_name for run in runs[event.pk])]))
        for event in asked
        if runs[event.pk] and all(run.rule and not run.rule.product_id for run in runs[event.pk])
    ]
    only = [event for event, _ in found]
    left_out = {*revocations.later_endings(only), *hand_grants.given_for(only)}
    return [(event, names) for event, names in found if event.pk not in left_out]


def _only(event: EventLog, courses: str, off: Sequence[Rule]) -> Sentence:
    """Say that it got only these courses; the product's own rules in `off` are turned off."""
    facts = facts_of(event) | {"courses": courses}
    if off:
        text = say_count(
            len(off),
            "Paid for {product}{order}, which gave only what global rules give: {courses}. The "
            "product's own rule that gives {own} is off.",
            "Paid for {product}{order}, which gave only what global rules give: {courses}. The "
            "product's own rules that give {own} are off.",
            own=_courses(off, _on_several_sites(off)),
            **facts,
        )
        return Sentence(WAIT, text, Code.ONLY_GLOBAL, leads=(TurnOnRule(off[0].pk),))
    text = say(
        "Paid for {product}{order}, which gave only what global rules give: {courses}. The product "
        "has no rule of its own.",
        **facts,
    )
    assert event.product_id is not None
    return Sentence(WAIT, text, Code.ONLY_GLOBAL, leads=(AddRule(event.product_id, event.pk),))


def _courses(rules: Iterable[Rule], several: Collection[str]) -> str:
    """Return the names of what these rules give, with the site of those that `several` have."""
    names = (
        site_names.with_site(
            str(rule.destination), rule.destination.name, rule.integration, several
        )
        for rule in rules
        if rule.destination
    )
    return listed([*dict.fromkeys(names)])


def _lacking(due: Mapping[EventLog, Sequence[Rule]]) -> dict[EventLog, Sentence]:
    """Return a sentence for each purchase that got less than the rules that are `due` give now."""
    fresh = {pk for pk, missing in earlier.missing(due).items() if missing.fresh}
    asked = [event for event in due if event.pk in fresh]
    rules = dict.fromkeys(rule for event in asked for rule in due[event])
    rows = backfill.candidates([*rules], asked) if asked else []
    changing = {
        row.event: [rule for rule in row.changing if rule in due[row.event]]
        for row in rows
        if row.lacks_access and not row.why_not and not row.is_undone
    }
    several = _on_several_sites(rule for rules in changing.values() for rule in rules)
    return {event: _gets_more(event, rules, several) for event, rules in changing.items() if rules}


def _on_several_sites(rules: Iterable[Rule]) -> set[str]:
    return site_names.on_several_sites(
        {each.destination.name for each in rules if each.destination}
    )


def _gets_more(event: EventLog, rules: Sequence[Rule], several: Collection[str]) -> Sentence:
    """Say that these rules give it something now that this purchase has not got."""
    facts = facts_of(event) | {"courses": _courses(rules, several)}
    if any(rule.product_id for rule in rules):
        text = say(
            "Paid for {product}{order}. Its rules give {courses} now, too: this purchase has not "
            "got it.",
            **facts,
        )
    else:
        text = say(
            "Paid for {product}{order}. The global rule that gives {courses} was off then, and is "
            "on now: this purchase has not got it.",
            **facts,
        )
    return Sentence(QUIET, text, Code.GETS_MORE_NOW, leads=(RunRules(event.pk),))
