"""What a sentence about a student's access offers next: a link, a form or a button.

A page draws each by its type, if the person may use it. Customers, events, rules, actions,
products, destinations and entries are numbers of rows; a holding is a key of `holdings`.
"""

from dataclasses import dataclass

from events.models import RuleRun
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class AddRule:
    """A product that lacks a rule for this trigger.

    Until then access can be given by hand for the `purchase`, if it names one.
    """

    product: int
    purchase: int | None = None
    trigger: Trigger = Trigger.PRODUCT_PURCHASED


@dataclass(frozen=True, slots=True)
class TurnOnRule:
    """A rule that is off, and would have done it."""

    rule: int


@dataclass(frozen=True, slots=True)
class SeeRule:
    """A rule that is off and is not what is missing."""

    rule: int


@dataclass(frozen=True, slots=True)
class SeeChange:
    """The audit's entry of the change that caused it."""

    entry: int


@dataclass(frozen=True, slots=True)
class ReplaceCourse:
    """A course or bundle that Thinkific does not have anymore, and that the customer had.

    `has_rules` says whether rules still name it.
    """

    customer: int
    destination: int
    has_rules: bool


@dataclass(frozen=True, slots=True)
class MoveBuyer:
    """A buyer who was given what another rule gives now.

    `query` is "rule=5&customer=9" or, for deleted rules, "product=7&customer=9".
    """

    query: str


@dataclass(frozen=True, slots=True)
class RunRules:
    """An event whose rules are to be run now; with `is_second`, another lead is better."""

    event: int
    is_second: bool = False


@dataclass(frozen=True, slots=True)
class PressButtons:
    """An action whose own buttons are shown, such as Retry or Release."""

    action: RuleRun


@dataclass(frozen=True, slots=True)
class GiveAccess:
    """A course or bundle to be given to the customer by hand."""

    customer: int
    destination: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The action by which a person ended what is to be given back to the customer."""

    customer: int
    action: int


@dataclass(frozen=True, slots=True)
class EnterOrder:
    """A later order of the product, if the customer bought it again and SamCart did not send it."""

    customer: int
    product: int


@dataclass(frozen=True, slots=True)
class EndAccess:
    """A holding to be ended by hand or, if `may_keep`, to be left to the customer."""

    customer: int
    holding: str
    may_keep: bool = False


@dataclass(frozen=True, slots=True)
class EndTogether:
    """The holdings that one refund left open, to be ended or left to the customer at once.

    `number` counts the lines about them, which are more if one is a bundle.
    """

    customer: int
    holdings: tuple[str, ...]
    number: int


Lead = (
    AddRule
    | TurnOnRule
    | SeeRule
    | SeeChange
    | ReplaceCourse
    | MoveBuyer
    | RunRules
    | PressButtons
    | GiveAccess
    | GiveBack
    | EnterOrder
    | EndAccess
    | EndTogether
)
