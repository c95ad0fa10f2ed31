"""Coverage: what each product gives, what ends that and gives it back, and what is missing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property

from django.db.models import Q

from events.reports.owed import recent_sales, without_access
from events.reports.products import subscriptions
from integrations.finding.ordering import sorted_as
from integrations.models import Marketplace, Product
from rules import facts, leftovers, pairing
from rules.fired import included_in
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger


class State(StrEnum):
    """Whether a trigger ends, or gives back, all that a purchase gives."""

    COVERED = "covered"
    INCLUDED = "included"  # by the rules on another trigger, see `rules.fired.included_in`
    MISSING = "missing"
    OFF = "off"  # rules for it are there, but turned off, and none is in `holes`
    OPEN = "open"  # no rule, and none is recommended


@dataclass(frozen=True)
class Judged:
    """A product, or an account's global rules, and whether it needs a person.

    `number` is the product's ID and `name` its name; for global rules they are None and "".
    `holes` are the triggers on which a recommended rule is missing, `off` those on which all that
    are recommended are there, but some are turned off. `without_access` counts buyers who are owed
    access or paid lately and were given nothing, `paid_for_nothing` only the latter. Only looked up
    if it gives nothing: `is_passed_on`, and `is_sold` as in `recent_sales.sold`. `left_over` holds
    the IDs of its rules about what is not given anymore.
    """

    marketplace: Marketplace
    number: int | None
    name: str
    gives_nothing: bool
    is_passed_on: bool
    holes: tuple[Trigger, ...]
    without_access: int = 0
    paid_for_nothing: int = 0
    is_sold: bool = False
    left_over: frozenset[int] = frozenset()
    off: tuple[Trigger, ...] = ()

    @property
    def key(self) -> str:
        """Its name in a form."""
        return f"all-{self.marketplace.pk}" if self.number is None else str(self.number)

    @property
    def gives_nothing_to_buyers(self) -> bool:
        """Whether it is sold, gives nothing and is not passed on."""
        is_sold = self.is_sold or self.without_access > 0
        return self.gives_nothing and is_sold and not self.is_passed_on

    @property
    def needs_a_person(self) -> bool:
        gaps = self.holes or self.off or self.without_access or self.gives_nothing_to_buyers
        return bool(gaps or self.left_over)


@dataclass(frozen=True)
class Coverage(Judged):
    """A judged product with the rules about it; without a product, those are global.

    `rules` are its own, on or off; `everywhere` are the global ones that run for it too.
    """

    product: Product | None = None
    rules: tuple[Rule, ...] = ()
    everywhere: tuple[Rule, ...] = ()
    sales: int = 0  # within `promise.LATELY`

    @cached_property
    def known(self) -> tuple[Rule, ...]:
        """All rules that may run for it."""
        return self.rules + self.everywhere

    @property
    def rules_left_over(self) -> list[Rule]:
        """Its own rules about what is not given anymore."""
        return [rule for rule in self.rules if rule.pk in self.left_over]

    @cached_property
    def purchase_rules(self) -> list[Rule]:
        """Its own rules that give access on a purchase, including those off or without a course."""
        return [rule for rule in self.rules if rule.gives_on_purchase]

    @cached_property
    def given(self) -> list[Rule]:
        """Its own rules by which a buyer gets access now."""
        return pairing.given(self.product, self.rules)

    @cached_property
    def given_everywhere(self) -> list[Rule]:
        """Global rules by which its buyers get access now."""
        return pairing.given(None, self.everywhere)

    @cached_property
    def set_up(self) -> list[Rule]:
        """Its rules in `given` or, if there are none, those that would give access if turned on."""
        return self.given or [rule for rule in self.purchase_rules if not rule.is_gone]

    @property
    def giving(self) -> list[Rule]:
        """The rules whose access other rules should end and give back."""
        return self.given or self.given_everywhere or self.set_up

    @property
    def passed_on_to(self) -> list[str]:
        """The receivers of its purchases: a product may be sold only to be passed on."""
        return list(
            {str(rule.integration): None for rule in self.known if pairing.passes_on_now(rule)}
        )

    @property
    def ended_by(self) -> list[tuple[Trigger, State]]:
        return [(trigger, self.state(trigger)) for trigger in TAKES_BACK]

    @property
    def given_back_by(self) -> list[tuple[Trigger, State]]:
        return [(trigger, self.state(trigger)) for trigger in pairing.GIVES_BACK]

    def state(self, trigger: Trigger) -> State:
        """Return what the rules do, when the trigger comes, with the access it gives."""
        giving = self.giving
        if giving and all(pairing.is_answered(rule, trigger, self.known) for rule in giving):
            return State.COVERED
        if other := included_in(trigger):
            found = self.state(other)
            return State.INCLUDED if found is State.COVERED else found
        if trigger in self.holes:
            return State.MISSING
        return State.OFF if self.rules_off(trigger) else State.OPEN

    def rules_off(self, trigger: Trigger, new: Iterable[Rule] = ()) -> list[Rule]:
        """Return the rules that only need turning on, for what it and the rules `new` give."""
        return pairing.turned_off([*self.set_up, *new], trigger, self.known)

    def recommended(self) -> list[Rule]:
        """Return unsaved rules that close its holes, with the others that are recommended."""
        lacking = pairing.companions(self.given) if self.holes else ()
        return [r for r in lacking if not pairing.is_there(r, Trigger(r.trigger), self.known)]


def coverage() -> list[Coverage]:
    """Return every product, and the global rules of each account; what needs a person comes first.

    Takes a handful of queries, however many products there are.
    """
    return with_rules(judge_all())


def judge_all() -> list[Judged]:
    """Return the same without the rules, which take the most time if there are thousands."""
    of_kind = Product.objects.filter(kind=Product.Kind.PRODUCT)
    products = list(of_kind.values_list("pk", "name", "marketplace"))
    places = facts.by_place()
    everywhere = places.everywhere
    left = leftovers.by_place(places)
    nothing = without_access.given_nothing()
    owed = Counter(product for product, _ in nothing | without_access.owed())
    nothing_given = Counter(product for product, _ in nothing)
    accounts = Marketplace.objects.in_bulk()
    found = []
    for account, rules in everywhere.items():
        if account in left.everywhere or pairing.given(None, rules):
            holes = pairing.holes(None, rules, subscription=True)
            verdict, extra = _judge(rules, holes), left.everywhere.get(account, ())
            found.append(_row(accounts[account], None, "", verdict, extra))
    judged = places.judged(_judge_subscription)
    without_own = {account: _judge(everywhere.get(account, ())) for account in accounts}
    for number, name, account in products:
        verdict, extra = judged.get(number) or without_own[account], left.own.get(number, ())
        buyers = owed[number], nothing_given[number]
        found.append(_row(accounts[account], number, name, verdict, extra, *buyers))
    sold = recent_sales.sold_among(_products(row for row in found if row.gives_nothing))
    found = [replace(row, is_sold=True) if row.number in sold else row for row in found]
    return sorted(_for_what_is_sold(found, places), key=_place)


def with_rules(rows: Sequence[Judged]) -> list[Coverage]:
    """Return these rows with the rules about them and their sales, by a handful of queries."""
    numbers = _products(rows)
    sales, few = recent_sales.by_product(numbers), len(numbers) <= recent_sales.MAX_NAMED
    products = Product.objects.in_bulk(numbers if few else None)
    of_these = Q(product__in=numbers) if few else Q(product__isnull=False)
    shared = Q(product=None, marketplace__in={row.marketplace.pk for row in rows})
    own: dict[int, list[Rule]] = defaultdict(list)
    everywhere: dict[int, list[Rule]] = defaultdict(list)
    rules = Rule.objects.filter(of_these | shared).select_related("destination")
    # Prefetched and not joined, because there are few accounts and integrations.
    for rule in rules.prefetch_related("marketplace", "integration").order_by("pk"):
        if rule.product_id is None:
            everywhere[rule.marketplace_id].append(rule)
        elif rule.product_id in products:
            rule.product = products[rule.product_id]
            own[rule.product_id].append(rule)

    def filled(row: Judged) -> Coverage:
        of_account = tuple(everywhere[row.marketplace.pk])
        values = {field.name: getattr(row, field.name) for field in fields(Judged)}
        if row.number is None:
            return Coverage(**values, rules=of_account)
        values |= {"product": products[row.number], "sales": sales[row.number]}
        return Coverage(**values, rules=tuple(own[row.number]), everywhere=of_account)

    # A product may have been deleted just now.
    return [filled(row) for row in rows if row.number is None or row.number in products]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What rules give a buyer; the fields are those of `Judged`."""

    gives_nothing: bool
    is_passed_on: bool
    holes: tuple[Trigger, ...]


def _row(
    account: Marketplace,
    number: int | None,
    name: str,
    verdict: _Verdict,
    left_over: Iterable[facts.RuleFacts],
    without_access: int = 0,
    paid_for_nothing: int = 0,
) -> Judged:
    """Return the row with the IDs of the rules that are `left_over`."""
    return Judged(
        account,
        number,
        name,
        gives_nothing=verdict.gives_nothing,
        is_passed_on=verdict.is_passed_on,
        holes=verdict.holes,
        left_over=frozenset(rule.pk for rule in left_over),
        without_access=without_access,
        paid_for_nothing=paid_for_nothing,
    )


def _judge(rules: Sequence[facts.RuleFacts], holes: Sequence[Trigger] = ()) -> _Verdict:
    # Only what gives something can have holes.
    nothing = not holes and not any(map(pairing.gives_now, rules))
    passed_on = nothing and any(map(pairing.passes_on_now, rules))
    return _Verdict(gives_nothing=nothing, is_passed_on=passed_on, holes=tuple(holes))


def _judge_subscription(rules: Sequence[facts.RuleFacts]) -> _Verdict:
    """Judge a product by the rules that may run for it, as if it were sold by subscription."""
    return _judge(rules, pairing.holes_in(rules, subscription=True))


def _for_what_is_sold(rows: Iterable[Judged], places: facts.Places) -> Iterator[Judged]:
    """Yield the rows judged by how they are sold; so far all were judged as subscriptions."""
    found = list(rows)
    unsure = [row for row in found if row.holes]  # for the others it makes no difference
    sold = subscriptions.how_each_is_sold(_products(unsure))
    seen = bool(sold.by_subscription)
    any_sold = len(unsure) > len(_products(unsure)) and (seen or subscriptions.any_sold())
    for row in found:
        if not row.holes:
            yield row
        elif row.number is None:
            rules = places.everywhere[row.marketplace.pk]
            holes = pairing.holes(None, rules, subscription=any_sold)
            yield _with_holes(row, holes, pairing.only_off(holes, rules, rules))
        else:
            rules = places.concerning(row.number)
            holes = pairing.holes_in(rules, **sold.of(row.number))
            yield _with_holes(row, holes, pairing.only_off(holes, places.own[row.number], rules))


def _with_holes(row: Judged, holes: Sequence[Trigger], off: Sequence[Trigger]) -> Judged:
    missing = tuple(each for each in holes if each not in off)
    return replace(row, holes=missing, off=tuple(off))


def _place(row: Judged) -> tuple[bool, bool, str, int]:
    """Return the sort key: what needs a person first, then global rules, then by name."""
    if row.number is None:
        return not row.needs_a_person, False, row.marketplace.name, row.marketplace.pk
    return not row.needs_a_person, True, sorted_as(row.name), row.number


def _products(rows: Iterable[Judged]) -> list[int]:
    """Return the product IDs of these rows."""
    return [row.number for row in rows if row.number is not None]
