"""Coverage: what each product gives, what ends that and gives it back, and what is missing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from django.db.models import Count
from django.utils import timezone

from events.models import EventLog, Grant
from events.reports import backfill, promise, subscriptions
from integrations.models import Marketplace, Product
from rules import pairing
from rules.models import Rule
from rules.triggers import Trigger

# SamCart fires Canceled for delinquent subscriptions too, so a rule for that covers both.
ENDINGS = (*pairing.ENDS, Trigger.SUBSCRIPTION_DELINQUENT)
COVERED_BY = {Trigger.SUBSCRIPTION_DELINQUENT: Trigger.SUBSCRIPTION_CANCELED}


class State(StrEnum):
    """Whether a trigger ends, or gives back, all that a purchase gives."""

    COVERED = "covered"
    MISSING = "missing"
    OPEN = "open"  # no rule, and none is recommended


@dataclass(frozen=True)
class Coverage:
    """A product, or with None what an account's global rules give, and the rules about it.

    `rules` are its own, on or off; `everywhere` the global ones that run for it too. `holes` are
    the triggers on which a recommended rule is missing. `sales` are those of `promise.LATELY`;
    `without_access` counts the buyers who are owed access and those who paid lately and were given
    nothing, `paid_for_nothing` only the latter.
    """

    marketplace: Marketplace
    product: Product | None
    rules: tuple[Rule, ...]
    everywhere: tuple[Rule, ...]
    holes: tuple[Trigger, ...]
    sales: int
    without_access: int
    paid_for_nothing: int

    @property
    def key(self) -> str:
        """What a form calls it."""
        return f"all-{self.marketplace.pk}" if self.product is None else str(self.product.pk)

    @cached_property
    def known(self) -> tuple[Rule, ...]:
        """All rules that may run for it."""
        return self.rules + self.everywhere

    @property
    def purchase_rules(self) -> list[Rule]:
        """Its own rules that give access on a purchase, also those that are off or gone."""
        return [rule for rule in self.rules if backfill.gives_on_purchase(rule)]

    @cached_property
    def given(self) -> list[Rule]:
        """Its own rules by which a buyer gets access now."""
        return pairing.given(self.product, self.rules)

    @cached_property
    def given_everywhere(self) -> list[Rule]:
        """Global rules by which its buyers get access now."""
        return pairing.given(None, self.everywhere)

    @property
    def gives_nothing(self) -> bool:
        return not self.given and not self.given_everywhere

    @property
    def passed_on_to(self) -> list[str]:
        """Whom its purchases are passed on to: it may be sold for that alone."""
        passing = {
            str(rule.integration): None
            for rule in self.known
            if rule.enabled and rule.spec.passes_on and rule.trigger == Trigger.PRODUCT_PURCHASED
        }
        return list(passing)

    @property
    def gives_nothing_to_buyers(self) -> bool:
        """Whether it is sold and gives nothing, and nothing else is done for it."""
        sold = bool(self.sales or self.without_access)
        return self.gives_nothing and sold and not self.passed_on_to

    @property
    def needs_a_person(self) -> bool:
        return bool(self.holes or self.without_access or self.gives_nothing_to_buyers)

    @property
    def ended_by(self) -> list[tuple[Trigger, State]]:
        return [(trigger, self.state(trigger)) for trigger in ENDINGS]

    @property
    def given_back_by(self) -> list[tuple[Trigger, State]]:
        return [(trigger, self.state(trigger)) for trigger in pairing.GIVES_BACK]

    def state(self, trigger: Trigger) -> State:
        """What the rules do with what it gives when the trigger comes."""
        giving = self.given or self.given_everywhere
        if giving and all(pairing.is_answered(rule, trigger, self.known) for rule in giving):
            return State.COVERED
        if trigger in COVERED_BY:
            return self.state(COVERED_BY[trigger])
        return State.MISSING if trigger in self.holes else State.OPEN

    def recommended(self) -> list[Rule]:
        """Unsaved rules that close its holes, and what belongs to them."""
        return [
            rule
            for rule in (pairing.companions(self.given) if self.holes else ())
            if not pairing.is_answered(rule, Trigger(rule.trigger), self.known)
        ]


def coverage() -> list[Coverage]:
    """Every product, and the global rules of an account that has some: what needs a person first.

    A handful of queries, however many products there are.
    """
    products = list(Product.objects.filter(kind=Product.Kind.PRODUCT).select_related("marketplace"))
    own, everywhere = _rules()
    sold = subscriptions.sold_by_subscription(products)
    sales, nothing = _sales(), _given_nothing()
    owed, nothing_given = _by_product(nothing | _owed()), _by_product(nothing)

    def row(product: Product) -> Coverage:
        return _row(
            product.marketplace,
            product,
            own.get(product.pk, ()),
            everywhere.get(product.marketplace_id, ()),
            subscription=product.pk in sold,
            counts=(sales[product.pk], owed[product.pk], nothing_given[product.pk]),
        )

    rows = [
        _row(rules[0].marketplace, None, rules, (), subscription=bool(sold))
        for rules in everywhere.values()
        if pairing.given(None, rules)
    ]
    return sorted([*rows, *map(row, products)], key=_place)


def _row(
    marketplace: Marketplace,
    product: Product | None,
    rules: Sequence[Rule],
    everywhere: Sequence[Rule],
    *,
    subscription: bool,
    counts: tuple[int, int, int] = (0, 0, 0),
) -> Coverage:
    holes = pairing.holes(product, [*rules, *everywhere], subscription=subscription)
    return Coverage(marketplace, product, tuple(rules), tuple(everywhere), tuple(holes), *counts)


def _place(row: Coverage) -> tuple[bool, bool, str, int]:
    """Its place: what needs a person, global rules, then by name."""
    product = row.product
    if product is None:
        return not row.needs_a_person, False, row.marketplace.name, row.marketplace.pk
    return not row.needs_a_person, True, product.name.casefold(), product.pk


def _rules() -> tuple[dict[int, list[Rule]], dict[int, list[Rule]]]:
    """All rules, on or off: by product, and the global ones by account."""
    own: dict[int, list[Rule]] = defaultdict(list)
    everywhere: dict[int, list[Rule]] = defaultdict(list)
    rules = Rule.objects.select_related("marketplace", "product", "integration", "destination")
    for rule in rules.order_by("pk"):
        if rule.product_id is None:
            everywhere[rule.marketplace_id].append(rule)
        else:
            own[rule.product_id].append(rule)
    return own, everywhere


def _sales() -> Counter[int | None]:
    """Lately, by product."""
    events = EventLog.objects.filter(
        trigger=Trigger.PRODUCT_PURCHASED, received_at__gte=timezone.now() - promise.LATELY
    ).exclude(status=EventLog.Status.REPEAT)
    return Counter(dict(events.order_by().values_list("product").annotate(Count("pk"))))


def _owed() -> set[tuple[int | None, int | None]]:
    """(product, student) of access that is due and that no purchase was seen to give."""
    owed = Grant.objects.owed().filter(source=Grant.Source.PURCHASE).order_by()
    rows = list(owed.values_list("product", "customer", "integration", "target").distinct())
    has = promise.held({customer for _, customer, *_ in rows})
    return {
        (product, customer)
        for product, customer, integration, target in rows
        if (customer, integration, target) not in has
    }


def _given_nothing() -> set[tuple[int | None, int | None]]:
    """(product, customer) of purchases that gave nothing, without those that are settled."""
    rows = promise.unfulfilled().order_by().values_list("product", "customer")
    return set(rows.distinct())


def _by_product(buyers: Iterable[tuple[int | None, int | None]]) -> Counter[int | None]:
    """How many buyers each product has."""
    return Counter(product for product, _ in buyers)
