"""What the overview says about rules that are off: who gets nothing, and who keeps access."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from config.admin.pages.rules import change_links
from config.admin.parts.badges import brief
from config.admin.parts.buttons import page_of
from integrations.sentences import Said, Text, say, say_count
from rules import turned_off
from rules.facts import Places
from rules.listing import listed
from rules.models import Rule, Scope
from rules.short_sentences import in_short

# For how many products each is told. The list of rules that are off has the others.
MAX_PRODUCTS = 5
COURSES_NAMED = 3


@dataclass(frozen=True, slots=True)
class TurnedOffRules:
    """Rules of one product that are off, or global ones; `text` says what happens to buyers.

    `changes` are the address and label of each change that turned them off. If the rule `is_named`,
    there is only one, and the link to it is its sentence.
    """

    rules: Sequence[Rule]
    text: Said
    changes: Sequence[tuple[str, Said]] = ()
    is_named: bool = False

    @property
    def label(self) -> Text:
        """The text of the link to `page`."""
        return self.rules[0].in_words() if self.is_named else say("See its rules")

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

    `products` give nothing, `endings` counts the rules that would end access on a refund, and
    `more` the products that are not told.
    """

    told: Sequence[TurnedOffRules] = ()
    products: int = 0
    endings: int = 0
    more: int = 0


def summarize(request: HttpRequest, places: Places) -> TurnedOffNotice:
    """Return the products that give nothing because their rules are off, then those whose refunded
    buyers keep their access because of that.

    Takes two queries, or none if there is no such product.
    """
    giving = turned_off.by_product(places)
    ending = turned_off.ending_on_refund(places)
    if not giving and not ending:
        return TurnedOffNotice()
    gives = [[rule.pk for rule in giving[product]] for product in sorted(giving)]
    of_product: dict[int, list[int]] = defaultdict(list)
    for rule in ending:
        of_product[rule.product_id or 0].append(rule.pk)
    ends = [of_product[product] for product in sorted(of_product)]
    shown = [*gives[:MAX_PRODUCTS], *ends[:MAX_PRODUCTS]]
    rules = Rule.objects.with_names().in_bulk(number for numbers in shown for number in numbers)
    known = [[rules[number] for number in numbers if number in rules] for numbers in shown]
    groups = [found for found in known if found]
    changes = change_links.of_turned_off(request, groups)
    told = [
        TurnedOffRules(each, _text(each), links)
        for each, links in zip(groups, changes, strict=True)
    ]
    return TurnedOffNotice(told, len(giving), len(ending), len(gives) + len(ends) - len(shown))


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
    everywhere = [brief(in_short(each.sentence())) for each in rules if not each.product_id]
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
