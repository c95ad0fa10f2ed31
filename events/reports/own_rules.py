"""Products that are sold without a rule of their own, so that only global rules give something.

Only in accounts that have products with such rules: elsewhere the global rules are all there is.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.utils import timezone

from events.access import hand_grants, revocations
from events.models import EventLog, RuleRun
from events.reports import backfill, earlier, open_access, paid_purchases
from events.reports.leads import AddRule, RunRules
from events.reports.promise import LATELY
from events.reports.purchase_sentences import facts_of
from events.reports.sentence import QUIET, WAIT, Code, Sentence
from integrations.models import Customer, Product
from integrations.sentences import say
from rules import actions, pairing
from rules.facts import Places
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

MAX_PRODUCTS = 10
# At most this many products without a rule of their own are looked at, the newest.
MAX_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class SoldWithoutOwnRule:
    """A product with its `sales` within LATELY, and the global rules that give its buyers access.

    `same` has the choices on the page of a new rule by which the product gives the same by a rule
    of its own; "" if that takes rules of two kinds.
    """

    product: Product
    sales: int
    rules: Sequence[Rule]

    @property
    def courses(self) -> str:
        """The names of what the global rules give."""
        return listed([*dict.fromkeys(str(rule.destination) for rule in self.rules)])

    @property
    def same(self) -> str:
        kinds = {rule.action for rule in self.rules}
        if len(kinds) != 1:
            return ""
        chosen: list[tuple[str, object]] = [("product", self.product.pk)]
        chosen += [("trigger", Trigger.PRODUCT_PURCHASED.value), ("action", kinds.pop())]
        chosen += [("destination", rule.destination_id) for rule in self.rules]
        return urlencode(chosen)


def accounts(places: Places) -> set[int]:
    """Return the IDs of the accounts in which products have rules of their own that give access."""
    return {
        rules[0].marketplace_id
        for rules in places.own.values()
        if any(map(pairing.gives_now, rules))
    }


def sold_without(places: Places) -> list[SoldWithoutOwnRule]:
    """Return the products that are sold and give only what global rules give, most sales first.

    At most MAX_PRODUCTS. Products with a rule of their own that is off are left out. Takes no query
    where no account has both kinds of rules, else at most two.
    """
    with_own = accounts(places)
    everywhere = {
        account: [rule.pk for rule in rules if pairing.gives_now(rule)]
        for account, rules in places.everywhere.items()
        if account in with_own and any(map(pairing.gives_now, rules))
    }
    if not everywhere:
        return []
    served = {
        number
        for number, rules in places.own.items()
        if any(rule.gives_on_purchase or pairing.passes_on_now(rule) for rule in rules)
    }
    found = _sales(everywhere, served)
    asked = [pk for product, _ in found for pk in everywhere[product.marketplace_id]]
    rules = Rule.objects.filter(pk__in=asked).select_related("destination")
    known = rules.in_bulk() if asked else {}
    return [
        SoldWithoutOwnRule(
            product,
            sales,
            [known[rule] for rule in everywhere[product.marketplace_id] if rule in known],
        )
        for product, sales in found
    ]


def _sales(accounts: Collection[int], served: Collection[int]) -> list[tuple[Product, int]]:
    """Return the accounts' products that are sold and not `served`, and their sales."""
    products = Product.objects.filter(kind=Product.Kind.PRODUCT, marketplace__in=accounts)
    without = products.exclude(pk__in=served).order_by("-pk").values("pk")[:MAX_LOOKED_AT]
    events = EventLog.objects.filter(
        product__in=without, received_at__gte=timezone.now() - LATELY
    ).exclude(status=EventLog.Status.REPEAT)
    sold = events.of_triggers(Trigger.PRODUCT_PURCHASED).order_by()
    rows = sold.values_list("product", "product__name", "product__marketplace")
    found = rows.annotate(sales=Count("pk")).order_by("-sales", "-product")[:MAX_PRODUCTS]
    return [
        (Product(pk=pk, name=name, marketplace_id=account), sales)
        for pk, name, account, sales in found
    ]


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
    own: dict[int | None, list[Rule]] = defaultdict(list)
    rules = Rule.objects.filter(
        product__in={event.product_id for event in events}, trigger=Trigger.PRODUCT_PURCHASED
    )
    for rule in rules.select_related("destination", "integration").order_by("pk"):
        if rule.gives_on_purchase or rule.spec.passes_on:
            own[rule.product_id].append(rule)
    only = _only_global([event for event in events if event.product_id not in own])
    more = _lacking([event for event in events if event.product_id in own], own)
    return OfCustomer(
        [*(_only(event, names) for event, names in only), *more], [e for e, _ in only]
    )


def _gave_something() -> Q:
    return Q(gave_nothing=False) | Q(dealt_with_at__isnull=False) & open_access.of_purchase()


def _only_global(events: Sequence[EventLog]) -> list[tuple[EventLog, str]]:
    """Return those of these purchases to which only global rules gave something, and what."""
    accounts = _with_own_rules({event.marketplace_id for event in events})
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


def _with_own_rules(accounts: set[int | None]) -> set[int]:
    """Return those of these accounts in which products have rules of their own."""
    own = Rule.objects.filter(
        marketplace__in=accounts - {None},
        product__isnull=False,
        trigger=Trigger.PRODUCT_PURCHASED,
        action__in=actions.giving_access(),
        enabled=True,
    )
    return (
        set(own.order_by().values_list("marketplace", flat=True).distinct()) if accounts else set()
    )


def _only(event: EventLog, courses: str) -> Sentence:
    text = say(
        "Paid for {product}{order}, which gave only what global rules give: {courses}. The product "
        "has no rule of its own.",
        courses=courses,
        **facts_of(event),
    )
    assert event.product_id is not None
    return Sentence(WAIT, text, Code.ONLY_GLOBAL, leads=(AddRule(event.product_id, event.pk),))


def _lacking(
    events: Sequence[EventLog], own: Mapping[int | None, Sequence[Rule]]
) -> list[Sentence]:
    """Return a sentence for each purchase that got less than its product's rules give now."""
    giving = {
        event: [rule for rule in own[event.product_id] if earlier.is_offered(rule)]
        for event in events
    }
    fresh = {pk for pk, missing in earlier.missing(giving).items() if missing.fresh}
    asked = [event for event in events if event.pk in fresh]
    rules = dict.fromkeys(rule for event in asked for rule in giving[event])
    rows = backfill.candidates([*rules], asked) if asked else []
    return [
        Sentence(
            QUIET,
            say(
                "Paid for {product}{order}. Its rules give {courses} now, too: this purchase has "
                "not got it.",
                courses=listed([*dict.fromkeys(str(rule.destination) for rule in row.changing)]),
                **facts_of(row.event),
            ),
            Code.GETS_MORE_NOW,
            leads=(RunRules(row.event.pk),),
        )
        for row in rows
        if row.lacks_access and not row.why_not and not row.is_undone
    ]
