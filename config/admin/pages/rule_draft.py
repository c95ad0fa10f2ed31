"""The answers given so far to the steps of a new rule, and the rules that they make."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import F

from config.admin.pages.by_number_form import ByNumberForm
from config.admin.parts import badges
from config.admin.parts.params import row_ids, row_in
from integrations import app_registry
from integrations.app_registry import APPS, AppSpec
from integrations.models import Destination, Integration, Marketplace, Product
from rules.actions import ACTIONS, ActionSpec
from rules.models import MOST_DAYS, Rule, Scope
from rules.triggers import Category, Trigger

MAX_PRODUCTS = 100
NAMED = 5
ENDS_ALL = (
    "Also ends access that another purchase or a person gave, as SamCart's own rules do. Without "
    "it, the rule ends only what the purchase itself gave."
)
DELAY_DAYS = (
    "0 ends it at once. Otherwise it waits so many days, and falls away if the subscription "
    "recovers, restarts or is charged by then."
)
NEEDS_ENDS_ALL = "Tick this: the event that fires this rule gave no access that it could end."
# What is dropped where the answer of a step is asked for again.
GIVEN: dict[str, tuple[str, ...]] = {
    "for": ("product", "scope"),
    "app": ("app", "integration", "action"),
    "action": ("integration", "action"),
    "trigger": ("trigger",),
    "destination": ("destination", "number", "name"),
    "confirm": ("ends_all", "delay_days"),
}


def ends_all_help(rule: Rule) -> str:
    """What it means to end access whatever gave it, and whether this rule can do without."""
    return f"{NEEDS_ENDS_ALL} {ENDS_ALL}" if rule.has_nothing_of_its_own else ENDS_ALL


@dataclass
class Draft:
    """The answers so far; what does not fit together is dropped and asked again."""

    marketplace: Marketplace | None = None
    products: list[Product] = field(default_factory=list)
    everywhere: bool = False
    # Those that have an integration; which one is asked where there are several.
    apps: list[AppSpec] = field(default_factory=list)
    app: AppSpec | None = None
    integration: Integration | None = None
    action: ActionSpec | None = None
    trigger: Trigger | None = None
    destination: Destination | None = None
    ends_all: bool = False
    delay_days: int = 0
    # Set while the destination is none of those offered: the form that takes its number.
    by_number: ByNumberForm | None = None
    # So many products too many were chosen.
    left_out: int = 0
    most: int = MAX_PRODUCTS

    @classmethod
    def read(cls, given: Any) -> "Draft":
        """From a query or a form; never raises for what people put into an address."""
        draft = cls(everywhere=given.get("scope") == Scope.GLOBAL)
        numbers = row_ids(given.getlist("product"))
        draft.left_out = max(0, len(numbers) - MAX_PRODUCTS)
        numbers = numbers[:MAX_PRODUCTS]
        if not draft.everywhere and numbers:
            draft.products = list(Product.objects.filter(pk__in=numbers).order_by("name", "pk"))
        accounts = Marketplace.objects.order_by("pk")
        if draft.products:
            draft.marketplace = draft.products[0].marketplace
        else:
            draft.marketplace = row_in(accounts, given.get("account"))
        draft.marketplace = draft.marketplace or accounts.first()
        draft._read_action(given)
        if given.get("trigger") in Trigger.values:
            draft.trigger = Trigger(given["trigger"])
            if draft.trigger.category is Category.COURSES and not draft.everywhere:
                draft.trigger = None
        if draft.integration and draft.action and draft.action.target:
            draft.destination = row_in(draft.offered(), given.get("destination"))
            if draft.destination is None:
                draft._read_number(given, draft.integration, draft.action)
        if draft.action and draft.action.ends_access:
            draft.ends_all = bool(given.get("ends_all"))
            draft.delay_days = _days(given.get("delay_days", ""))
        return draft

    def _read_action(self, given: Any) -> None:
        """App, integration and action, as far as they fit together."""
        used = set(Integration.objects.values_list("app", flat=True))
        self.apps = [spec for key, spec in APPS.items() if key in used]
        self.integration = row_in(Integration.objects.all(), given.get("integration"))
        self.action = ACTIONS.get(given.get("action", ""))
        if self.integration is not None:
            self.app = app_registry.of(self.integration)
        elif given.get("app") in used:
            self.app = APPS[given["app"]]
        elif len(self.apps) == 1:
            self.app = self.apps[0]
        if self.action and (self.app is None or self.action.app != self.app.key):
            self.action = None

    def _read_number(self, given: Any, integration: Integration, action: ActionSpec) -> None:
        asked = given if "number" in given else None
        assert action.target is not None
        form = ByNumberForm(asked, integration=integration, kind=action.target)
        self.by_number = form
        if form.is_valid():
            self.destination = form.destination()

    def offered(self) -> Any:
        """The courses or bundles that the action can be about, listed ones first.

        Those that Thinkific said are gone are left out.
        """
        assert self.integration is not None
        assert self.action is not None
        kind = self.action.target
        offered = self.integration.destinations.filter(kind=kind, gone_at=None)
        return offered.order_by(F("unlisted_at").asc(nulls_first=True), "name", "pk")

    def step(self) -> str:
        """What is to be asked next."""
        answered = {
            "for": bool(self.products or self.everywhere),
            "app": self.app is not None,
            "action": self.integration is not None and self.action is not None,
            "trigger": self.trigger is not None,
            "destination": self.destination is not None,
        }
        return next((step for step in self.steps() if not answered.get(step)), "confirm")

    def steps(self) -> list[str]:
        """What is asked for this rule, in order."""
        steps = ["for", "app", "action", "trigger", "destination", "confirm"]
        if len(self.apps) < 2:
            steps.remove("app")
        if self.action is not None and self.action.target is None:
            steps.remove("destination")
        return steps

    def before(self, step: str) -> list[tuple[str, str]] | None:
        """The answers with which the step before this one is asked again; None at the first."""
        steps = self.steps()
        at = steps.index(step)
        if at == 0:
            return None
        return self.answers(without=GIVEN[steps[at - 1]])

    def answers(self, *, without: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        """As hidden fields or a query."""
        found = [("scope", Scope.GLOBAL.value)] if self.everywhere else []
        found += [("product", str(product.pk)) for product in self.products]
        if self.everywhere and self.marketplace:
            found.append(("account", str(self.marketplace.pk)))
        for name, value in (
            ("app", self.app and self.app.key),
            ("integration", self.integration and self.integration.pk),
            ("action", self.action and self.action.key),
            ("trigger", self.trigger),
            *self._destination_answers(),
            ("ends_all", "1" if self.ends_all else ""),
            ("delay_days", self.delay_days),
        ):
            if value:
                found.append((name, str(value)))
        return [(name, value) for name, value in found if name not in without]

    def _destination_answers(self) -> list[tuple[str, str]]:
        if self.destination is None:
            return []
        if self.by_number is None:
            return [("destination", str(self.destination.pk))]
        return [("number", str(self.destination.external_id)), ("name", self.destination.name)]

    def so_far(self) -> list[str]:
        said = []
        if self.everywhere:
            said.append("Every product")
        elif self.products:
            said.append(_named(self.products))
        if self.integration and self.action:
            said.append(f"{self.action.label} on {self.integration}")
        elif self.app and len(self.apps) > 1:
            said.append(self.app.label)
        if self.trigger:
            said.append(self.trigger.label)
        return said

    def rules(self) -> list[Rule]:
        """The rules that it makes, not saved: one for each product, or a global one."""
        assert self.trigger is not None
        assert self.action is not None
        products: list[Product | None] = [*self.products] or [None]
        return [
            Rule(
                marketplace=self.marketplace if product is None else product.marketplace,
                scope=Scope.GLOBAL if product is None else Scope.PRODUCT,
                product=product,
                trigger=self.trigger,
                integration=self.integration,
                action=self.action.key,
                destination=self.destination,
                ends_all=self.ends_all,
                delay_days=self.delay_days,
            )
            for product in products
        ]


def _days(text: str) -> int:
    """What a person entered, within what a rule allows."""
    return min(int(text), MOST_DAYS) if text.isdecimal() and len(text) < 6 else 0


def _named(products: list[Product]) -> str:
    names = ", ".join(badges.brief(product.name) for product in products[:NAMED])
    more = len(products) - NAMED
    return f"{names} and {more} more" if more > 0 else names
