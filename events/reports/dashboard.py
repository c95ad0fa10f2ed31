"""The numbers of the Overview. Each is read from an index; none counts a whole table."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet
from django.utils import timezone

from events.models import Delivery, EventLog, Grant, RuleRun
from events.reports import counting, review, rules_now
from events.reports.owed.promise import LATELY, given_by_hand
from integrations.models import Product
from rules import actions
from rules.facts import Places
from rules.models import Rule, Scope
from rules.triggers import Trigger

Status = RuleRun.Status
MOST_PRODUCTS = 10
MOST_RUNS = 10


@dataclass(frozen=True, slots=True)
class EventCounts:
    """How many events came in a period, and how many of each kind; see `counting.count`."""

    events: int = 0
    no_rule: int = 0
    not_understood: int = 0
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class UnfulfilledProduct:
    """A product that was paid for and gave nothing; `newest` is its last event, received at `last`.

    `rule` gives something for a purchase of it now, and `rule_off` would if it were turned on; the
    product's own rules go before global ones. `since` says why `rule` did not run for these
    purchases. With `needs_rule` the product should get a rule of its own, whatever `rule_off`
    gives.
    """

    product: Product | None
    buyers: int
    purchases: int
    last: datetime
    newest: int
    rule: Rule | None
    rule_off: Rule | None
    since: str = ""
    needs_rule: bool = False


@dataclass(frozen=True, slots=True)
class ProductWithoutRule:
    """A product for which no rule gives anything.

    `buyers` got access by hand, and `meant` are those and the ones whose action waits or failed;
    `refunded` counts sales that gave nothing and were refunded or
    canceled since, so nobody waits for anything.
    """

    product: Product
    buyers: int = 0
    meant: int = 0
    refunded: int = 0


def events_in_a_day() -> EventCounts:
    """Count what SamCart sent in the last 24 hours, the newest counting.MAX_COUNT of it."""
    since = timezone.now() - timedelta(hours=24)
    events = EventLog.objects.filter(received_at__gte=since, by_hand="").order_by("-received_at")
    found = Counter(events.values_list("status", flat=True)[: counting.MAX_COUNT])
    kinds = EventLog.Status
    return EventCounts(
        events=found.total(),
        no_rule=found[kinds.NO_RULE],
        not_understood=found[kinds.UNKNOWN_TYPE] + found[kinds.UNREADABLE],
        repeats=found[kinds.REPEAT],
    )


def failed_and_held() -> tuple[int, ...]:
    """Count the actions that failed and need a person, and those that a person must release."""
    runs = (RuleRun.objects.filter(status=status) for status in (Status.FAILED, Status.HELD))
    return counting.count_each(RuleRun, *runs)


def stranded() -> int:
    """Count students who paid and whose access no action will give, as far as Admit knows.

    Call it only when all of the history has been read: later events may change the answer.
    """
    # Without DISTINCT, for which SQLite would walk through all grants in the order of students.
    grants = Grant.objects.stranded().order_by().values_list("customer", flat=True)
    return len(set(grants[: counting.MAX_COUNT]))


def needing_somebody() -> list[RuleRun]:
    """Return the newest actions that failed or are held, at most MOST_RUNS."""
    rows: list[RuleRun] = []
    for status in (Status.FAILED, Status.HELD):
        runs = RuleRun.objects.filter(status=status).order_by("-received_at")
        rows += runs.select_related("customer", "event", "integration")[:MOST_RUNS]
    return sorted(rows, key=lambda run: run.received_at, reverse=True)[:MOST_RUNS]


def unfulfilled_products(
    purchases: QuerySet[EventLog], with_own_rules: Collection[int] = ()
) -> list[UnfulfilledProduct]:
    """Group these purchases, which gave nothing, by product, the most buyers first.

    `with_own_rules` are the IDs of accounts whose products have rules of their own: a global rule
    that is off is not what a product there lacks. Returns at most MOST_PRODUCTS. For the purchases
    see `promise.unfulfilled`.
    """
    # The products with the rest, which saves a query.
    rows = (
        purchases.order_by()
        .values("product", "product__name", "product__marketplace")
        .annotate(
            buyers=Count(F("customer"), distinct=True),
            purchases=Count("pk"),
            last=Max("received_at"),
            newest=Max("pk"),
        )
        .order_by("-buyers", "-last")[:MOST_PRODUCTS]
    )
    found = list(rows)
    products = {each["product"]: _product(each) for each in found if each["product"]}
    fitting = _fitting(products)
    with_rule = [each["newest"] for each in found if fitting.get(each["product"], (None,))[0]]
    events = EventLog.objects.only("received_at", "verdicts").in_bulk(with_rule)
    return [
        _unfulfilled(
            each,
            products.get(each["product"]),
            *fitting.get(each["product"], (None, None)),
            events.get(each["newest"]),
            with_own_rules,
        )
        for each in found
    ]


def _product(row: Mapping[str, Any]) -> Product:
    number, name = row["product"], row["product__name"]
    return Product(pk=number, name=name, marketplace_id=row["product__marketplace"])


def _unfulfilled(
    row: Mapping[str, Any],
    product: Product | None,
    rule: Rule | None,
    rule_off: Rule | None,
    event: EventLog | None,
    with_own_rules: Collection[int],
) -> UnfulfilledProduct:
    only_off = rule_off is not None and (
        rule_off.product_id is not None or rule_off.marketplace_id not in with_own_rules
    )
    return UnfulfilledProduct(
        product,
        row["buyers"],
        row["purchases"],
        row["last"],
        row["newest"],
        rule,
        rule_off,
        rules_now.since(event, rule, several=row["purchases"] > 1) if event and rule else "",
        needs_rule=product is not None and rule is None and not only_off,
    )


def without_rule(places: Places, unfulfilled: QuerySet[EventLog]) -> list[ProductWithoutRule]:
    """Return the products that were sold lately, for which no rule gives anything.

    Of purchases that gave nothing, those that are `unfulfilled` are left out, because they are told
    elsewhere. Returns at most MOST_PRODUCTS, those with the most buyers who were given access by
    hand first. Products whose own rules are off are left out, because the Overview reports those
    rules. Takes two queries, and one more if there are such products.
    """
    by_hand, refunded = _given_by_hand(), _refunded(unfulfilled)
    served = {
        number
        for number, rules in places.own.items()
        if any(rule.gives_on_purchase for rule in rules)
    }
    everywhere = {
        number
        for number, rules in places.everywhere.items()
        if any(rule.gives_on_purchase and rule.enabled for rule in rules)
    }
    found = [
        number
        for number, account in (by_hand | refunded)
        if number not in {None, *served} and account not in everywhere
    ]
    shown = found[:MOST_PRODUCTS]
    products = Product.objects.in_bulk(shown) if shown else {}
    hands = {number: counts for (number, _), counts in by_hand.items()}
    sales = {number: count for (number, _), count in refunded.items()}
    return [
        ProductWithoutRule(products[number], *hands.get(number, (0, 0)), sales.get(number, 0))
        for number in shown
        if number in products
    ]


def _given_by_hand() -> dict[tuple[int | None, int | None], tuple[int, int]]:
    """Return, by (product ID, account ID), how many buyers a person gave access lately.

    The first number counts those whose action is over, the second all of them.
    """
    acts = given_by_hand(timezone.now() - LATELY)
    grants = Grant.objects.filter(source=Grant.Source.PURCHASE, runs__event__in=acts.values("pk"))
    over = Q(runs__status__in=(Status.DONE, Status.SKIPPED))
    rows = grants.values("product").annotate(
        given=Count("customer", distinct=True, filter=over),
        buyers=Count("customer", distinct=True),
    )
    ordered = rows.order_by("-buyers", "product")
    found = ordered.values_list("product", "product__marketplace", "given", "buyers")
    return {(product, account): (given, buyers) for product, account, given, buyers in found}


def _refunded(unfulfilled: QuerySet[EventLog]) -> dict[tuple[int | None, int | None], int]:
    """Return, by (product ID, account ID), how many sales gave nothing lately and nothing is owed.

    Where no rule gives anything, that is because they were refunded or canceled since.
    """
    sales = review.gave_nothing().filter(received_at__gte=timezone.now() - LATELY)
    settled = sales.filter(product__isnull=False).exclude(
        pk__in=unfulfilled.order_by().values("pk")
    )
    rows = settled.order_by().values("product").annotate(sales=Count("pk"))
    ordered = rows.order_by("-sales", "product")
    found = ordered.values_list("product", "product__marketplace", "sales")
    return {(product, account): number for product, account, number in found}


def _fitting(products: dict[int, Product]) -> dict[int, tuple[Rule | None, Rule | None]]:
    """Return {product ID: (rule that gives something on a purchase, one that would if it were on)}.

    Either may be None.
    """
    rules = Rule.objects.filter(
        Q(product__in=products) | Q(scope=Scope.GLOBAL), trigger=Trigger.PRODUCT_PURCHASED
    )
    giving = [rule for rule in rules if rule.gives_on_purchase]
    on = _first_of_each([rule for rule in giving if rule.enabled])
    off = _first_of_each([rule for rule in giving if not rule.enabled])

    def first(rules: dict[tuple[int | None, int | None], Rule], product: Product) -> Rule | None:
        keys = [(product.pk, None), (None, product.marketplace_id)]
        return next((rules[key] for key in keys if key in rules), None)

    return {each.pk: (first(on, each), first(off, each)) for each in products.values()}


def _first_of_each(rules: list[Rule]) -> dict[tuple[int | None, int | None], Rule]:
    """Return the oldest rule of each product, and the oldest global rule of each account.

    Keys are (product ID, None) and (None, account ID).
    """
    in_order = sorted(rules, key=lambda rule: rule.pk, reverse=True)
    return {
        (rule.product_id, None if rule.product_id else rule.marketplace_id): rule
        for rule in in_order
    }


def not_understood() -> int:
    """Count the events that were unreadable or of unknown type and wait for a person."""
    return counting.count(review.not_understood())


def unread() -> int:
    """Count the deliveries that no worker has read yet."""
    return counting.count(Delivery.objects.filter(state=Delivery.State.NEW))


def an_order_got_through() -> bool:
    """Whether an action for a purchase was ever done, other than passing it on."""
    done = RuleRun.objects.filter(status=Status.DONE, event__trigger=Trigger.PRODUCT_PURCHASED)
    return done.exclude(action__in=actions.passing_on()).exists()
