"""Which rules run for an event, and why the others do not. Pure: no database, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from integrations.sentences import Text
from rules.models import Rule
from rules.triggers import Trigger


class Reason(StrEnum):
    """The code of a verdict; kept with the event, spelled out by `REASONS`."""

    RUN = "run"
    OFF = "off"
    OTHER_TRIGGER = "other_trigger"
    OTHER_PRODUCT = "other_product"
    NO_PRODUCT = "no_product"
    OTHER_LINE = "other_line"
    NOT_SENT = "not_sent"


REASONS: dict[Reason, Text] = {
    Reason.RUN: _("It fits: trigger and product are those of the event."),
    Reason.OFF: _("The rule is turned off."),
    Reason.OTHER_TRIGGER: _("It waits for another trigger."),
    Reason.OTHER_PRODUCT: _("It is for another product."),
    Reason.NO_PRODUCT: _("It is for one product, and the event names no product."),
    Reason.OTHER_LINE: _("It fits, and was carried out with another line of the same delivery."),
    Reason.NOT_SENT: _("It fits, but a person entered the event, so there is nothing to pass on."),
}


# Only a switch, or how the event came, kept these from running.
_CLOSE = {Reason.OFF, Reason.OTHER_LINE, Reason.NOT_SENT}


def nearly_ran(why: Reason, *, same_product: bool) -> bool:
    """Whether a rule that did not run is worth a look: it is off, or for this very product."""
    return why in _CLOSE or (why is Reason.OTHER_TRIGGER and same_product)


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What a rule looks at: the triggers an event fires (one, rarely two) and its product."""

    triggers: frozenset[Trigger]
    product: tuple[str, str] | None  # kind and SamCart id


@dataclass(frozen=True, slots=True)
class Verdict:
    rule: Rule
    why: Reason

    @property
    def runs(self) -> bool:
        return self.why is Reason.RUN


def decide(event: EventFacts, rules: Iterable[Rule]) -> list[Verdict]:
    """One verdict for every rule, in the rules' order.

    Only what a person switched or wrote in the rule keeps it from running. A site that is
    paused or off makes runs that wait, and a course that has gone makes one that fails: so
    no paid purchase ends unnoticed.
    """
    return [Verdict(rule, _why(event, rule)) for rule in rules]


def _why(event: EventFacts, rule: Rule) -> Reason:
    if rule.trigger not in event.triggers:
        return Reason.OTHER_TRIGGER
    if rule.product is not None:
        if event.product is None:
            return Reason.NO_PRODUCT
        if event.product != (rule.product.kind, rule.product.external_id):
            return Reason.OTHER_PRODUCT
    return Reason.RUN if rule.enabled else Reason.OFF
