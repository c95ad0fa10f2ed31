"""The values that a configuration file is read into."""

from dataclasses import dataclass, field

from integrations.app_registry import AppSpec
from integrations.models import Destination
from rules.actions import ActionSpec
from rules.configuration.faults import EntryPosition
from rules.triggers import Trigger

# What a rule that ends access ends: what its purchase gave, or whatever gave it.
OWN, ANY = "own", "any"
RuleKey = tuple[str, str, str, str, str, int | None]


@dataclass(frozen=True, slots=True)
class MarketplaceEntry:
    place: EntryPosition
    name: str
    webhook_secret: str = field(repr=False)  # "" when the file names none


@dataclass(frozen=True, slots=True)
class MappingEntry:
    samcart: str
    thinkific: str


@dataclass(frozen=True, slots=True)
class DestinationEntry:
    """A course or bundle entered by hand: its kind, Thinkific's id, and a name."""

    kind: Destination.Kind
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class IntegrationEntry:
    """`secret` "" and None elsewhere: the file does not say, so a stored value stays.

    A Notify URL has a `url` and no `site`.
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
    """`product` is a SamCart id, "" for a global rule; `destination` Thinkific's id, or None."""

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
        """The kind and id of the course or bundle that must be there; None for no such thing."""
        if self.action.target is None or self.destination is None:
            return None
        return self.action.target.value, self.destination

    @property
    def key(self) -> RuleKey:
        """What makes it the same rule: all but its switches."""
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
    """The sound entries of a file.

    `unsound` has (section, name) of the others, so that no one is told that there is no such
    account only because its entry has a fault of its own; "" is a name that cannot be read.
    """

    marketplaces: tuple[MarketplaceEntry, ...]
    integrations: tuple[IntegrationEntry, ...]
    rules: tuple[RuleEntry, ...]
    unsound: frozenset[tuple[str, str]]

    def may_name(self, section: str, name: str) -> bool:
        """Whether an entry with a fault has, or could have, this name."""
        return not self.unsound.isdisjoint({(section, name), (section, "")})
