"""The choices so far on the page of a rule, and the rules that they make."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from config.admin.pages.rules.by_number_form import ByNumberForm
from config.admin.parts import badges
from config.admin.parts.params import row_ids, row_in
from integrations import app_registry
from integrations.finding.ordering import by_name
from integrations.models import Destination, Integration, Marketplace, Product
from integrations.sentences import Text, joined, say
from rules import pairing
from rules.actions import ACTIONS, ActionSpec
from rules.listing import listed
from rules.models import MOST_DAYS, Rule, Scope, in_words
from rules.triggers import Category, Trigger
from rules.usual_site import most_used

MAX_PRODUCTS = 100
# How many rules are made at once, not counting those that end access and give it back.
MAX_RULES = 100
THINGS_NAMED = 5
NOT_CHOSEN = "…"
# The field with the site that the page proposed by itself.
PROPOSED = "proposed_site"
CONNECTED = Integration.Connection.CONNECTED
ENDS_ALL = _(
    "Also ends access that another purchase or a person gave, as SamCart's own rules do. Without "
    "it, the rule ends only what the purchase itself gave."
)
DELAY_DAYS = _(
    "With 0, access ends at once. With a number of days, Admit waits that long, and does nothing "
    "if the subscription recovers, restarts or is charged by then."
)
UNUSUALLY_GIVES = _("A rule for {trigger} usually ends access, but this one gives it.")
UNUSUALLY_ENDS = _("A rule for {trigger} usually gives access, but this one ends it.")
NEEDS_ENDS_ALL = _(
    "Select this: the event that triggers this rule gave no access of its own that could end."
)


@dataclass
class Draft:
    """The choices. What does not fit together is dropped, and defaults are what is usual."""

    marketplace: Marketplace | None = None
    products: list[Product] = field(default_factory=list)
    everywhere: bool = False
    integrations: list[Integration] = field(default_factory=list)
    integration: Integration | None = None
    action: ActionSpec | None = None
    trigger: Trigger = Trigger.PRODUCT_PURCHASED
    destinations: list[Destination] = field(default_factory=list)
    ends_all: bool = False
    delay_days: int = 0
    # The form that takes a course or bundle by its number, if the action is about one.
    by_number: ByNumberForm | None = None
    # What was entered by that form; it may not be stored yet.
    entered: Destination | None = None
    # The ID of the site that is usual for these choices, whichever is chosen.
    usual_site: int | None = None
    # How many products too many were chosen.
    left_out: int = 0
    most: int = MAX_PRODUCTS
    # A choice does not fit, or is gone: it must not be replaced without telling the person.
    is_other: bool = False
    # The stored rule that is edited.
    rule: Rule | None = None

    @classmethod
    def read(cls, given: Any, rule: Rule | None = None) -> "Draft":
        """Read a query or a form. Never raises, whatever people put into an address."""
        draft = cls(everywhere=given.get("scope") == Scope.GLOBAL, rule=rule)
        draft._read_products(given)
        trigger = given.get("trigger")
        if trigger in draft.triggers():
            draft.trigger = Trigger(trigger)
        elif trigger:
            draft.is_other = True
        draft._read_action(given)
        draft._read_destinations(given)
        if draft.action and draft.action.ends_access:
            draft.ends_all = bool(given.get("ends_all"))
            draft.delay_days = _days(given.get("delay_days", ""))
        return draft

    def _read_products(self, given: Any) -> None:
        numbers = row_ids(given.getlist("product"))
        self.left_out = max(0, len(numbers) - MAX_PRODUCTS)
        if numbers:
            chosen = Product.objects.filter(pk__in=numbers[:MAX_PRODUCTS])
            self.products = list(chosen.select_related("marketplace").order_by(by_name(), "pk"))
            if not self.everywhere and len(self.products) != len(set(numbers[:MAX_PRODUCTS])):
                self.is_other = True
        accounts = Marketplace.objects.order_by("pk")
        if self.products and not self.everywhere:
            self.marketplace = self.products[0].marketplace
        elif self.rule is not None:
            self.marketplace = self.rule.marketplace
        else:
            self.marketplace = row_in(accounts, given.get("account"))
            if given.get("account") and self.marketplace is None:
                self.is_other = True
        self.marketplace = self.marketplace or accounts.first()

    def _read_action(self, given: Any) -> None:
        """Read integration and action, as far as they fit together. Schools come first."""
        sites = list(Integration.objects.order_by(by_name(), "pk"))
        self.integrations = sorted(sites, key=lambda site: not app_registry.of(site).has_catalog)
        asked = row_in(Integration.objects.all(), given.get("integration"))
        action = ACTIONS.get(given.get("action", ""))
        usual_site = self._usual_site(action)
        self.usual_site = usual_site.pk if usual_site else None
        # What was only proposed, maybe for other products, is proposed again.
        is_chosen = any(given.get(name) for name in ("destination", "number"))
        stands = is_chosen or given.get("integration") != given.get(PROPOSED)
        self.integration = (asked if stands else None) or usual_site
        offered = self.actions()
        usual = (each for each in offered if pairing.is_usual(each, self.trigger))
        self.action = action if action in offered else next(usual, None)
        if (given.get("integration") and asked is None) or (given.get("action") and not action):
            self.is_other = True
        if action and action != self.action:
            self.is_other = True

    def _usual_site(self, action: ActionSpec | None) -> Integration | None:
        """Return the site of most of these products' rules, else the account's, else the newest.

        Where neither products nor an account are chosen, all rules count. The newest is connected.

        If the action belongs to no app here, or none is chosen, it is a school if there is one.
        """
        apps = [site.app for site in self.integrations]
        app = action.app if action and action.app in apps else next(iter(apps), None)
        fit = {site.pk: site for site in self.integrations if site.app == app}
        if len(fit) > 1:
            rules = Rule.objects.filter(integration__in=fit)
            of_account = rules.filter(marketplace=self.marketplace) if self.is_for_some else rules
            chosen = [] if self.everywhere else [product.pk for product in self.products]
            for of_these in (rules.filter(product__in=chosen), of_account):
                if (most := most_used(of_these)) is not None:
                    return fit[most]
        connected = [pk for pk, site in fit.items() if site.connection == CONNECTED]
        return fit[max(connected)] if connected else next(iter(fit.values()), None)

    def _read_destinations(self, given: Any) -> None:
        if not (self.integration and self.action and self.action.target):
            return
        # One more than allowed is kept, so that the page says that there are too many rules.
        numbers = row_ids(given.getlist("destination"))[: MAX_RULES + 1]
        self.destinations = list(self.offered().filter(pk__in=numbers)) if numbers else []
        if len(self.destinations) != len(set(numbers)):
            self.is_other = True
        asked = given if given.get("number") else None
        form = ByNumberForm(asked, integration=self.integration, kind=self.action.target)
        self.by_number = form
        if form.is_valid():
            self.entered = form.destination()
            others = [] if self.rule is not None else self.destinations
            others = [each for each in others if each.pk != self.entered.pk]
            self.destinations = [*others, self.entered]

    def actions(self) -> list[ActionSpec]:
        """Return the actions of the chosen integration's app."""
        site = self.integration
        return [spec for spec in ACTIONS.values() if site and spec.app == site.app]

    def triggers(self) -> list[Trigger]:
        """Return the triggers that fit: Courses triggers carry no product."""
        return [each for each in Trigger if self.everywhere or each.category is Category.ECOMMERCE]

    def offered(self) -> QuerySet[Destination]:
        """Return the courses or bundles that the action can be about, listed ones first.

        Those that are gone are left out, except the one of an edited rule.
        """
        assert self.integration is not None
        assert self.action is not None
        there = Q(gone_at=None)
        if self.rule is not None:
            there |= Q(pk=self.rule.destination_id)
        offered = self.integration.destinations.filter(there, kind=self.action.target)
        return offered.order_by(F("unlisted_at").asc(nulls_first=True), by_name(), "pk")

    @property
    def is_for_some(self) -> bool:
        """Whether products are chosen, or all of them."""
        return bool(self.everywhere or self.products)

    @property
    def needs_destination(self) -> bool:
        return self.action is not None and self.action.target is not None

    @property
    def is_of_course(self) -> bool:
        return self.action is not None and self.action.target == Destination.Kind.COURSE

    @property
    def number(self) -> int:
        """The number of rules that it makes."""
        products = 1 if self.everywhere else len(self.products)
        return products * (len(self.destinations) if self.needs_destination else 1)

    @property
    def unusual(self) -> str:
        """Say that such a rule usually does the reverse; "" if it does what is usual."""
        if self.action is None or pairing.is_usual(self.action, self.trigger):
            return ""
        if self.action.gives_access:
            return say(UNUSUALLY_GIVES, trigger=self.trigger.label)
        return say(UNUSUALLY_ENDS, trigger=self.trigger.label)

    @property
    def is_too_large(self) -> bool:
        return self.number > MAX_RULES

    @property
    def is_complete(self) -> bool:
        wrong = self.by_number is not None and self.by_number.is_bound and self.by_number.errors
        return bool(self.action and self.number and not self.is_too_large and not wrong)

    def for_whom(self) -> str:
        """Return "Gift Card and Watercolor" or "Every product"; "" before any is chosen."""
        return say("Every product") if self.everywhere else _named(self.products)

    def courses(self) -> str:
        return _named(self.destinations)

    def sentence(self) -> str:
        """Return the choices as a sentence, with a gap for what is not chosen yet."""
        if self.action is None:
            return ""
        chosen = _named(self.products, any_of=True) or NOT_CHOSEN
        about = say("any product") if self.everywhere else chosen
        place = str(self.integration)
        if self.needs_destination:
            place = say("{name} on {site}", name=self.courses() or NOT_CHOSEN, site=place)
        how = Rule(ends_all=self.ends_all, delay_days=self.delay_days).how
        return in_words(self.trigger, about, self.action, place, how)

    def rules(self) -> list[Rule]:
        """Return the rules that it makes, not saved: one per product and course, or global ones."""
        assert self.action is not None
        products: list[Product | None] = [None] if self.everywhere else [*self.products]
        targets: list[Destination | None] = [*self.destinations]
        return [
            Rule(
                marketplace=self.marketplace if product is None else product.marketplace,
                scope=Scope.GLOBAL if product is None else Scope.PRODUCT,
                product=product,
                trigger=self.trigger,
                integration=self.integration,
                action=self.action.key,
                destination=destination,
                ends_all=self.ends_all,
                delay_days=self.delay_days,
            )
            for product in products
            for destination in (targets if self.needs_destination else [None])
        ]

    @property
    def ends_all_help(self) -> Text:
        """The explanation of "whatever gave it", and that this rule needs it, if it does."""
        nothing = Rule(trigger=self.trigger).has_nothing_of_its_own
        return joined([NEEDS_ENDS_ALL, ENDS_ALL]) if nothing else ENDS_ALL


def answers_of(rule: Rule) -> QueryDict:
    """Return the choices that would make this rule."""
    found = QueryDict(mutable=True)
    found["scope"] = rule.scope
    for name in ("product", "integration", "destination"):
        if (number := getattr(rule, f"{name}_id")) is not None:
            found[name] = str(number)
    found["action"], found["trigger"] = rule.action, rule.trigger
    found["ends_all"] = "1" if rule.ends_all else ""
    found["delay_days"] = str(rule.delay_days)
    found["enabled"] = "1" if rule.enabled else ""
    return found


def _days(text: str) -> int:
    """Return the entered number of days, at most what a rule allows; 0 for anything else."""
    return min(int(text), MOST_DAYS) if text.isdecimal() and len(text) < 6 else 0


def _named(things: list[Any], *, any_of: bool = False) -> str:
    names = [badges.brief(thing.name) for thing in things[:THINGS_NAMED]]
    more = [""] * (len(things) - THINGS_NAMED)
    return listed([*names, *more], THINGS_NAMED, any_of=any_of)
