"""What the overview says about rules that are off: who gets nothing, and who keeps access."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from django.http import HttpRequest
from django.urls import reverse

from config.admin.pages.rules.given import change_links
from config.admin.pages.rules.given.change_links import Link
from config.admin.parts.badges import brief, rule_text
from config.admin.parts.buttons import page_of
from events.reports.owed import off_everywhere
from events.reports.owed.off_everywhere import OffEverywhere
from integrations.models import Product
from integrations.sentences import Said, Text, format_time, say, say_count
from rules import pairing, turned_off
from rules.facts import Places, RuleFacts
from rules.listing import listed
from rules.models import Rule, Scope
from rules.triggers import Trigger

# For how many products each is told. The list of rules that are off has the others.
MAX_PRODUCTS = 5
COURSES_NAMED = 3


@dataclass(frozen=True, slots=True)
class TurnedOffRules:
    """Rules of one product that are off, or global ones; `text` says what happens to buyers.

    `changes` are the address and label of each change that turned them off. If the rule `is_named`,
    there is only one, and the link to it is its name.
    """

    rules: Sequence[Rule]
    text: Said
    changes: Sequence[Link] = ()
    is_named: bool = False

    @property
    def label(self) -> Text:
        """The text of the link to `page`."""
        return rule_text(self.rules[0].sentence()) if self.is_named else say("See its rules")

    @property
    def page(self) -> str:
        """The page that lists these rules, or that of the rule itself if it is named."""
        if self.is_named:
            return page_of(self.rules[0])
        if product := self.rules[0].product_id:
            return reverse("admin:integrations_product_change", args=[product])
        return f"{reverse('admin:rules_rule_changelist')}?scope__exact={Scope.GLOBAL}&state=off"


@dataclass(frozen=True, slots=True)
class TurnedOffNotice:
    """What is `told` of rules that are off.

    `products` give nothing, `refunds` and `cancellations` count the rules that would end access on
    these, `everywhere` the global ones that gave access and were turned off lately, and `more` the
    products that are not told.
    """

    told: Sequence[TurnedOffRules] = ()
    products: int = 0
    refunds: int = 0
    cancellations: int = 0
    more: int = 0
    everywhere: int = 0


def summarize(request: HttpRequest, places: Places) -> TurnedOffNotice:
    """Return the products that give nothing because their rules are off, then those whose refunded
    or canceled buyers keep their access because of that, then global rules that gave access.

    Takes two queries, or none if there is no such product; for global rules that gave access a
    handful.
    """
    giving = turned_off.by_product(places)
    ending = turned_off.ending(places)
    everywhere = off_everywhere.found(places)
    if not giving and not ending and not everywhere:
        return TurnedOffNotice()
    gives = [[rule.pk for rule in giving[product]] for product in sorted(giving)]
    ends = _by_product(ending)
    shown = [*gives[:MAX_PRODUCTS], *chain.from_iterable(ends[:MAX_PRODUCTS])]
    rules = Rule.objects.with_names().in_bulk(number for numbers in shown for number in numbers)
    known = [[rules[number] for number in numbers if number in rules] for numbers in shown]
    groups = [found for found in known if found]
    texts = [_text(each) for each in groups] + [_missed(each) for each in everywhere]
    groups += [[each.rule] for each in everywhere]
    changes = change_links.of_turned_off(request, groups)
    told = [
        TurnedOffRules(each, text, links)
        for each, text, links in zip(groups, texts, changes, strict=True)
    ]
    counts = Counter(rule.trigger for rule in ending)
    return TurnedOffNotice(
        told,
        len(giving),
        counts[Trigger.PRODUCT_REFUNDED],
        counts[Trigger.SUBSCRIPTION_CANCELED],
        sum(max(0, len(each) - MAX_PRODUCTS) for each in (gives, ends)),
        len(everywhere),
    )


def _by_product(ending: Iterable[RuleFacts]) -> list[list[list[int]]]:
    """Return the IDs of the rules of each product, those for refunds apart from the others.

    The global rules come first.
    """
    found: dict[int, dict[str, list[int]]] = defaultdict(
        lambda: {each: [] for each in pairing.ENDS}
    )
    for rule in ending:
        found[rule.product_id or 0][rule.trigger].append(rule.pk)
    return [[*filter(None, found[product].values())] for product in sorted(found)]


def of_rules(request: HttpRequest, rules: Sequence[Rule]) -> TurnedOffNotice:
    """Return what a page says of each of these rules, which are off and would end access.

    Takes one query, or none without such rules.
    """
    groups = [[rule] for rule in rules]
    changes = change_links.of_turned_off(request, groups)
    told = [
        TurnedOffRules(each, _text(each), links, is_named=True)
        for each, links in zip(groups, changes, strict=True)
    ]
    return TurnedOffNotice(told)


def for_all_products(rules: Iterable[Rule]) -> Said | str:
    """Return which of these rules are global, as a sentence about rules that are off; "" for none.

    It says that they are for all products.
    """
    everywhere = [rule_text(each.sentence()) for each in rules if not each.product_id]
    if not everywhere:
        return ""
    return say_count(
        len(everywhere),
        "Global rule, for all products: {rules}",
        "Global rules, for all products: {rules}",
        rules=listed(everywhere, COURSES_NAMED),
    )


def _text(rules: Sequence[Rule]) -> Said:
    number, product = len(rules), rules[0].product
    courses = listed([brief(rule.destination) for rule in rules], COURSES_NAMED)
    if rules[0].gives_on_purchase:
        return say_count(
            number,
            "1 rule that gives {courses} is off: buyers of {product} get nothing.",
            "{number} rules that give {courses} are off: buyers of {product} get nothing.",
            courses=courses,
            product=brief(product and product.name),
        )
    if rules[0].trigger == Trigger.SUBSCRIPTION_CANCELED:
        return _of_cancellation(number, courses, product)
    if product is None:
        return say_count(
            number,
            "1 global rule that ends {courses} on a refund is off: refunded buyers keep access.",
            "{number} global rules that end {courses} on a refund are off: refunded buyers keep "
            "access.",
            courses=courses,
        )
    return say_count(
        number,
        "1 rule that ends {courses} on a refund is off: refunded buyers of {product} keep access.",
        "{number} rules that end {courses} on a refund are off: refunded buyers of {product} keep "
        "access.",
        courses=courses,
        product=brief(product.name),
    )


def _missed(off: OffEverywhere) -> Said:
    return say_count(
        off.buyers,
        "The global rule that gives {course} is off since {moment}: 1 buyer since then does not "
        "have it.",
        "The global rule that gives {course} is off since {moment}: {number}{more} buyers since "
        "then do not have it.",
        course=brief(off.rule.destination),
        moment=format_time(off.since),
        more="+" if off.more else "",
    )


def _of_cancellation(number: int, courses: str, product: Product | None) -> Said:
    if product is None:
        return say_count(
            number,
            "1 global rule that ends {courses} on a cancellation is off: canceled buyers keep "
            "access.",
            "{number} global rules that end {courses} on a cancellation are off: canceled buyers "
            "keep access.",
            courses=courses,
        )
    return say_count(
        number,
        "1 rule that ends {courses} on a cancellation is off: canceled buyers of {product} keep "
        "access.",
        "{number} rules that end {courses} on a cancellation are off: canceled buyers of {product} "
        "keep access.",
        courses=courses,
        product=brief(product.name),
    )
