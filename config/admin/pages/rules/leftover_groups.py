"""The leftover rules of one product, or the global ones of an account, in words."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from django.db.models import Q
from django.urls import reverse

from config.admin.pages.rules.given.change_links import NO_CAUSE, Cause, Link
from config.admin.parts.badges import brief
from config.admin.parts.buttons import page_of
from integrations.finding.ordering import by_name
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, say, say_count
from rules import leftovers, stopping
from rules.history import leftover_causes, rule_changes
from rules.leftovers import Leftover
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

# How many names a sentence lists.
MAX_NAMES = 3
# How many rules of a group a page lists in the open.
LISTED = 2


@dataclass(frozen=True)
class Group:
    """The leftover rules of one product, or if `product` is None the global ones of an account.

    `entries` are the changes that left them over, by the rules' IDs, as far as they are known.
    `links` lead to the changes of several, by the same IDs.
    """

    product: Product | None
    leftovers: list[Leftover]
    entries: Mapping[int, AuditEntry] = field(default_factory=dict)
    cause: Cause = NO_CAUSE
    links: Mapping[int, Sequence[Link]] = field(default_factory=dict)

    @property
    def rules(self) -> list[Rule]:
        return [each.rule for each in self.leftovers]

    @property
    def lines(self) -> list[tuple[Leftover, Sequence[Link]]]:
        """The rules, each with links to the change that left it over."""
        return [(each, self.links.get(each.rule.pk, ())) for each in self.leftovers]

    @property
    def is_long(self) -> bool:
        """Whether there are so many rules that the page folds their list."""
        return len(self.leftovers) > LISTED

    @property
    def name(self) -> str:
        return brief(self.product.name) if self.product else say("Every product")

    @property
    def page(self) -> str:
        """The address of the page that lists the rules of this product, or the global ones."""
        return page_of(self.product) if self.product else _global_rules()

    @property
    def text(self) -> Said:
        return in_words(self.rules, changed=bool(self.changed))

    @property
    def changed(self) -> list[Rule]:
        """Those of these rules that a change of their own brought to a course that is not given."""
        return [
            rule
            for rule in self.rules
            if leftover_causes.changed_itself(rule, self.entries.get(rule.pk))
        ]

    @cached_property
    def stops(self) -> Said | str:
        """What nothing does anymore since these rules were changed, "" for nothing."""
        rules = {rule.pk: rule for rule in self.changed}
        former = rule_changes.before_new_course((self.entries[pk] for pk in rules), rules)
        return stopping.no_longer_done(rule for rule, _ in former.values())

    @property
    def harm(self) -> Said | str:
        """What these rules still give to later buyers, "" for nothing."""
        giving = [rule for rule in self.rules if rule.spec.gives_access]
        if not giving:
            return ""
        labels = dict.fromkeys(Trigger(rule.trigger).label for rule in giving)
        return say(
            "On {triggers} a later buyer still gets {courses}.",
            triggers=listed([*labels]),
            courses=courses_of(giving),
        )

    @property
    def keys(self) -> str:
        """The keys of the rules, as a form sends them."""
        return ",".join(each.key for each in self.leftovers)


def in_words(rules: Sequence[Rule], *, changed: bool = False) -> Said:
    """Return "4 rules here are still about Ink, which no purchase of this product gives anymore."

    The rules are those of one product, or an account's global rules. With `changed`, a purchase may
    never have given that.
    """
    if changed:
        return _in_words_of_changed(rules)
    if rules[0].product_id is None:
        return say_count(
            len(rules),
            "1 global rule is still about {courses}, which no purchase gives anymore.",
            "{number} global rules are still about {courses}, which no purchase gives anymore.",
            courses=courses_of(rules),
        )
    return say_count(
        len(rules),
        "1 rule here is still about {courses}, which no purchase of this product gives anymore.",
        "{number} rules here are still about {courses}, which no purchase of this product gives "
        "anymore.",
        courses=courses_of(rules),
    )


def _in_words_of_changed(rules: Sequence[Rule]) -> Said:
    if rules[0].product_id is None:
        return say_count(
            len(rules),
            "1 global rule is about {courses}, which no purchase gives.",
            "{number} global rules are about {courses}, which no purchase gives.",
            courses=courses_of(rules),
        )
    return say_count(
        len(rules),
        "1 rule here is about {courses}, which no purchase of this product gives.",
        "{number} rules here are about {courses}, which no purchase of this product gives.",
        courses=courses_of(rules),
    )


def of_product(product: Product, found: list[Leftover]) -> list[Group]:
    """Return these leftover rules of a product as a group, none without any."""
    return _with_entries([Group(product, found)])


def groups(products: Collection[int], accounts: Collection[int] = ()) -> list[Group]:
    """Return the leftover global rules of these accounts, then those of these products, by name.

    Takes four queries for all products, and one for each account. Groups without any are left out.
    """
    found = [
        Group(None, leftovers.of_product(None, leftovers.concerning_all(account).order_by("pk")))
        for account in accounts
    ]
    if products:
        own: dict[int, list[Rule]] = defaultdict(list)
        everywhere: dict[int, list[Rule]] = defaultdict(list)
        rules = Rule.objects.filter(Q(product__in=products) | Q(product=None))
        for rule in rules.with_names().order_by("pk"):
            place = own[rule.product_id] if rule.product_id else everywhere[rule.marketplace_id]
            place.append(rule)
        rows = Product.objects.filter(pk__in=own).order_by(by_name(), "pk")
        found += [
            Group(row, leftovers.of_product(row, own[row.pk] + everywhere[row.marketplace_id]))
            for row in rows
        ]
    return _with_entries(found)


def _with_entries(found: Iterable[Group]) -> list[Group]:
    """Return the groups that have any rules, with the changes that left these over."""
    there = [group for group in found if group.leftovers]
    rules = [rule for group in there for rule in group.rules]
    entries = leftover_causes.of_rules(rules) if rules else {}
    return [replace(group, entries=entries) for group in there]


def _global_rules() -> str:
    return f"{reverse('admin:rules_rule_changelist')}?scope__exact=global"


def courses_of(rules: Iterable[Rule]) -> Said:
    """Return the names of the courses and bundles that these rules are about."""
    return listed([*dict.fromkeys(brief(rule.destination) for rule in rules)], MAX_NAMES)
