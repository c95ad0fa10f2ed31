"""Load what the database holds of the things that a configuration file can name."""

from dataclasses import dataclass
from typing import Self

from integrations import app_registry
from integrations.models import FieldMapping, Integration, Marketplace, Product, ProfileField
from rules.configuration.entries import MappingEntry, RuleKey
from rules.models import Rule


def rule_key(rule: Rule) -> RuleKey:
    """Return the key that the rule's entry in a file has."""
    return (
        rule.marketplace.name,
        _product_id(rule.product) if rule.product else "",
        rule.trigger,
        rule.integration.name,
        rule.action,
        rule.destination.external_id if rule.destination else None,
    )


def _product_id(product: Product) -> str:
    # A file names only products. A rule for a SamCart course must not get the key of a product.
    is_product = product.kind == Product.Kind.PRODUCT
    return product.external_id if is_product else f"{product.kind}\n{product.external_id}"


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored configuration: accounts and integrations by name, rules by key."""

    marketplaces: dict[str, Marketplace]
    integrations: dict[str, Integration]
    rules: dict[RuleKey, Rule]
    mappings: list[FieldMapping]

    @classmethod
    def load(cls, *, lock: bool = False) -> Self:
        """Load everything. With `lock`, integrations stay locked until the transaction ends."""
        integrations = Integration.objects.order_by("pk")
        if lock:
            integrations = integrations.select_for_update()
        rules = Rule.objects.select_related(
            "marketplace", "product", "integration", "destination__integration"
        )
        mappings = FieldMapping.objects.select_related("integration", "profile_field")
        return cls(
            marketplaces={row.name: row for row in Marketplace.objects.order_by("pk")},
            integrations={row.name: row for row in integrations},
            rules={rule_key(rule): rule for rule in rules.order_by("pk")},
            mappings=list(mappings.order_by("pk")),
        )

    @property
    def site_names(self) -> dict[str, str]:
        """The name of each integration that is a site: {subdomain: name}."""
        rows = self.integrations.values()
        return {row.site: row.name for row in rows if app_registry.of(row).has_catalog}

    def destinations(self, row: Integration) -> dict[tuple[str, int], str]:
        """Return the courses and bundles that rules can use, listed or not: {(kind, id): name}."""
        there = row.destinations.filter(gone_at=None)
        return {(each.kind, each.external_id): each.name for each in there}

    def fields(self, row: Integration) -> list[ProfileField]:
        """Return the signup fields that still exist."""
        return list(row.profile_fields.filter(gone_at=None).order_by("pk"))

    def mapped(self, integration: str, entry: MappingEntry) -> FieldMapping | None:
        """Return the stored mapping that equals the file's, even if its signup field is gone."""
        for mapping in self.mappings:
            same_label = _same(mapping.profile_field.label, entry.thinkific)
            same_field = mapping.samcart_field == entry.samcart
            if same_label and same_field and mapping.integration.name == integration:
                return mapping
        return None


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
