"""Decide which rules run for an event, and why the others do not. No database, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from integrations.sentences import Text
from rules.models import Rule
from rules.triggers import Trigger


class Reason(StrEnum):
    """The code of a verdict. It is stored with the event; `REASONS` has its sentence."""

    RUN = "run"
    OFF = "off"
    OTHER_TRIGGER = "other_trigger"
    OTHER_PRODUCT = "other_product"
    NO_PRODUCT = "no_product"
    OTHER_LINE = "other_line"
    NOT_SENT = "not_sent"


REASONS: dict[Reason, Text] = {
    Reason.RUN: _("It matches: its trigger and product are those of the event."),
    Reason.OFF: _("The rule is turned off."),
    Reason.OTHER_TRIGGER: _("It waits for another trigger."),
    Reason.OTHER_PRODUCT: _("It is for another product."),
    Reason.NO_PRODUCT: _("It is for one product, and the event names no product."),
    Reason.OTHER_LINE: _("It matches, and was carried out with another line of the same delivery."),
    Reason.NOT_SENT: _(
        "It matches, but a person entered the event, so there is nothing to pass on."
    ),
}


# Trigger and product match; only the rule's switch or the event's origin kept it from running.
_CLOSE = {Reason.OFF, Reason.OTHER_LINE, Reason.NOT_SENT}


def nearly_ran(why: Reason, *, same_product: bool) -> bool:
    """Return whether a rule that did not run is worth showing.

    That is a rule that matches but was kept from running, or a rule of this very product that
    waits for another trigger.
    """
    return why in _CLOSE or (why is Reason.OTHER_TRIGGER and same_product)


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What rules are matched against: the event's triggers (one, rarely two) and its product."""

    triggers: frozenset[Trigger]
    product: tuple[str, str] | None  # kind and SamCart ID


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one rule runs for an event, and why."""

    rule: Rule
    why: Reason

    @property
    def runs(self) -> bool:
        return self.why is Reason.RUN


def decide(event: EventFacts, rules: Iterable[Rule]) -> list[Verdict]:
    """Return one verdict for every rule, in the order of `rules`.

    Only the rule's own settings can keep it from running. If the site is paused or off, the run
    waits; if the course is gone, the run fails. That way no paid purchase is dropped unnoticed.
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
