"""Products that are sold without a rule of their own, so that only global rules give something.

Only in accounts that have products with such rules: elsewhere the global rules are all there is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone

from events.models import EventLog, Grant, RuleRun
from events.reports.changed_rules import in_place
from events.reports.changed_rules.left_behind_summary import LeftBehindSummary
from events.reports.owed.promise import LATELY, MAX_LISTED, WEEK
from integrations.models import Product
from rules import actions, pairing
from rules.facts import Places, RuleFacts
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

MAX_PRODUCTS = 10
# At most this many products without a rule of their own are looked at, the newest.
MAX_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class SoldWithoutOwnRule:
    """A product, and the global rules that give its buyers access.

    `sales` counts what was sold within LATELY and got only that, of `all_sales`. `off` is a rule of
    the product that would give more if it were on. `same` has the choices on the page of a new rule
    by which the product gives the same by a rule of its own; "" if that takes rules of two kinds.
    """

    product: Product
    sales: int
    rules: Sequence[Rule]
    all_sales: int
    off: Rule | None = None

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


def accounts_with_both(places: Places) -> dict[int, list[int]]:
    """Return {account ID: the IDs of its global rules that give access now}.

    Only for accounts in which products have rules of their own, too.
    """
    giving = {
        account: [rule.pk for rule in rules if pairing.gives_now(rule)]
        for account, rules in places.everywhere.items()
        if account in places.accounts_with_own
    }
    return {account: rules for account, rules in giving.items() if rules}


def accounts_among(accounts: Collection[int | None]) -> set[int]:
    """Return those of these accounts in which products have such rules. Takes one query."""
    own = Rule.objects.filter(
        marketplace__in={*accounts} - {None},
        product__isnull=False,
        trigger=Trigger.PRODUCT_PURCHASED,
        action__in=actions.giving_access(),
    ).exclude(destination__gone_at__isnull=False)
    return (
        set(own.order_by().values_list("marketplace", flat=True).distinct()) if accounts else set()
    )


def sold_without(places: Places) -> list[SoldWithoutOwnRule]:
    """Return the products that are sold and give only what global rules give, most sales first.

    At most MAX_PRODUCTS. A rule of the product that is off gives nothing. Takes no query where no
    account has both kinds of rules, else at most two.
    """
    everywhere = accounts_with_both(places)
    if not everywhere:
        return []
    served = {number for number, rules in places.own.items() if any(map(_serves, rules))}
    off = {
        number: rule.pk
        for number, rules in places.own.items()
        for rule in reversed(rules)
        if rule.gives_on_purchase and not rule.enabled
    }
    found = _sales(everywhere, served)
    asked = [pk for product, *_ in found for pk in everywhere[product.marketplace_id]]
    asked += [off[product.pk] for product, *_ in found if product.pk in off]
    rules = Rule.objects.filter(pk__in=asked).select_related("destination")
    known = rules.in_bulk() if asked else {}
    return [
        SoldWithoutOwnRule(
            product,
            sales,
            [known[rule] for rule in everywhere[product.marketplace_id] if rule in known],
            all_sales,
            known.get(off.get(product.pk, 0)),
        )
        for product, sales, all_sales in found
    ]


def grants_not_enough(
    sold: Collection[SoldWithoutOwnRule], behind: LeftBehindSummary, places: Places
) -> set[int]:
    """Return the IDs of the last week's grants that are not what was bought.

    These are what global rules gave for purchases of the `sold` products that got only that, also
    global rules that are deleted now and left buyers `behind`. All else that a rule gave for the
    purchase counts, whether the rule was changed or deleted since, because it is what was bought
    then; unless Thinkific does not have it anymore.
    Takes a handful of queries, none if there are no such grants.
    """
    bonus = _of_deleted_everywhere(behind, places)
    return {*behind.gone} | bonus | _partly_given([each.product.pk for each in sold])


def _of_deleted_everywhere(behind: LeftBehindSummary, places: Places) -> set[int]:
    """Return the IDs of what deleted global rules gave where products have rules of their own."""
    deleted = [pk for each in behind.told if each.rule is None for pk in each.grants]
    everywhere = in_place.deleted_everywhere() if deleted and places.accounts_with_own else set()
    if not everywhere:
        return set()
    given = Grant.objects.filter(
        pk__in=deleted, product__marketplace__in=places.accounts_with_own
    ).order_by()
    rows = given.values_list("pk", "integration", "target")
    return {pk for pk, *place in rows if tuple(place) in everywhere}


def _partly_given(products: Collection[int]) -> set[int]:
    """Return the IDs of what global rules gave for the last week's purchases that got only that."""
    bought = EventLog.objects.filter(
        got_only_global(), product__in=products, received_at__gte=timezone.now() - WEEK
    ).of_triggers(Trigger.PRODUCT_PURCHASED)
    given = Grant.objects.filter(source=Grant.Source.PURCHASE, runs__event__in=bought.order_by())
    newest = given.order_by("-pk").values_list("pk", flat=True).distinct()
    return set(newest[:MAX_LISTED]) if products else set()


def _serves(rule: RuleFacts) -> bool:
    """Whether this rule of a product is on; if its course is gone, that is told elsewhere."""
    return pairing.is_to_give(rule) or pairing.passes_on_now(rule)


def _sales(accounts: Collection[int], served: Collection[int]) -> list[tuple[Product, int, int]]:
    """Return the accounts' products that are not `served`, and their sales.

    That is how many got only what global rules give, and how many there are. Products without the
    former are left out.
    """
    products = Product.objects.filter(kind=Product.Kind.PRODUCT, marketplace__in=accounts)
    without = products.exclude(pk__in=served).order_by("-pk").values("pk")[:MAX_LOOKED_AT]
    events = EventLog.objects.filter(
        product__in=without, received_at__gte=timezone.now() - LATELY
    ).exclude(status=EventLog.Status.REPEAT)
    sold = events.of_triggers(Trigger.PRODUCT_PURCHASED).order_by()
    names = ("product", "product__name", "product__marketplace")
    counted = sold.values(*names).annotate(
        sales=Count("pk", filter=got_only_global()), all_sales=Count("pk")
    )
    rows = counted.filter(sales__gt=0).order_by("-sales", "-product")
    found = rows.values_list(*names, "sales", "all_sales")[:MAX_PRODUCTS]
    return [
        (Product(pk=pk, name=name, marketplace_id=account), sales, all_sales)
        for pk, name, account, sales, all_sales in found
    ]


def got_only_global() -> Q:
    """Return a condition on events: global rules gave access for it, and nothing else did.

    What a deleted rule gave counts as something else.
    """
    gave = RuleRun.objects.filter(event=OuterRef("pk"), action__in=actions.giving_access())
    everywhere = Q(rule__isnull=False, rule__product=None)
    return Q(Exists(gave.filter(everywhere))) & ~Q(Exists(gave.exclude(everywhere)))
