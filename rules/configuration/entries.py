"""The values that a configuration file is read into."""

from dataclasses import dataclass, field

from integrations.app_registry import AppSpec
from integrations.models import Destination
from rules.actions import ActionSpec
from rules.configuration.faults import EntryPosition
from rules.triggers import Trigger

# The values of `ends`: end only what the rule's purchase gave, or whatever gave it.
OWN, ANY = "own", "any"
RuleKey = tuple[str, str, str, str, str, int | None]


@dataclass(frozen=True, slots=True)
class MarketplaceEntry:
    """A SamCart account."""

    place: EntryPosition
    name: str
    webhook_secret: str = field(repr=False)  # "" if the file names none


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """A SamCart custom field, by name or slug, and the label of the signup field that it fills."""

    samcart: str
    thinkific: str


@dataclass(frozen=True, slots=True)
class DestinationEntry:
    """A course or bundle entered by hand: its kind, Thinkific ID and name."""

    kind: Destination.Kind
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class IntegrationEntry:
    """An integration. A Notify URL has a `url`, Thinkific has a `site`; the other one is "".

    If `secret` is "" or an optional value is None, the file does not say, and the stored one stays.
    """

    place: EntryPosition
    name: str
    app: AppSpec
    site: str
    url: str
    secret: str = field(repr=False)
    send_welcome_email: bool | None
    student_field: str | None
    enabled: bool | None
    mappings: tuple[MappingEntry, ...]
    destinations: tuple[DestinationEntry, ...]


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """A rule.

    `product` is a SamCart ID, or "" for a global rule. `destination` is a Thinkific ID, or None if
    the action has no destination.
    """

    place: EntryPosition
    marketplace: str
    product: str
    product_name: str
    trigger: Trigger
    integration: str
    action: ActionSpec
    destination: int | None
    ends_all: bool
    delay_days: int
    enabled: bool

    @property
    def needs(self) -> tuple[str, int] | None:
        """The kind and ID of the course or bundle that must exist, or None if it needs none."""
        if self.action.target is None or self.destination is None:
            return None
        return self.action.target.value, self.destination

    @property
    def key(self) -> RuleKey:
        """What identifies the rule: all but `ends_all`, `delay_days` and `enabled`."""
        return (
            self.marketplace,
            self.product,
            self.trigger.value,
            self.integration,
            self.action.key,
            self.destination,
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """The entries of a file that have no fault.

    `unsound` has (section, name) of the others; the name is "" if it cannot be read. So a rule is
    not reported for naming an unknown account only because the account's own entry has a fault.
    """

    marketplaces: tuple[MarketplaceEntry, ...]
    integrations: tuple[IntegrationEntry, ...]
    rules: tuple[RuleEntry, ...]
    unsound: frozenset[tuple[str, str]]

    def may_name(self, section: str, name: str) -> bool:
        """Return whether an entry with a fault has, or could have, this name."""
        return not self.unsound.isdisjoint({(section, name), (section, "")})
