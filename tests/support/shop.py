"""A shop without a school, enough for everything that happens before actions are carried out."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.db import connection

from events.deciding import inbox
from events.models import Delivery, EventLog
from integrations import credentials
from integrations.models import Integration, Marketplace, Product
from rules.models import Rule
from tests.support import factories
from tests.support.samcart import Account, payload

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(kw_only=True)
class Shop(Account):
    integration: Integration

    def receive(self, body: Any, *, minutes: float = 0, **how: Any) -> Delivery:
        """Return the unread delivery of a POST, received that many minutes after the start."""
        assert self.post(body, **how).status_code == 200
        delivery = Delivery.objects.order_by("pk").last()
        assert delivery is not None
        delivery.received_at = START + timedelta(minutes=minutes)
        delivery.save(update_fields=["received_at"])
        return delivery

    def sell(self, body: Any = "10_product", *, minutes: float = 0, **how: Any) -> EventLog:
        """POST and read at once; return the first event. A text is the name of a sample."""
        sent = payload(body) if isinstance(body, str) else body
        delivery = self.receive(sent, minutes=minutes, **how)
        inbox.process()
        return delivery.events.get(line=0)

    def rule(self, trigger: str = "product_purchased", product: str = "", **facts: Any) -> Rule:
        """Add a rule for one product by its SamCart ID, or for every product."""
        if "destination" not in facts:
            facts.setdefault("destination__integration", self.integration)
        found = product and Product.objects.named(self.marketplace.pk, "product", product, "")
        return cast(
            Rule,
            factories.RuleFactory(
                marketplace=self.marketplace, product=found or None, trigger=trigger, **facts
            ),
        )


def product_of(event: EventLog) -> Product:
    """Return what was sold."""
    assert event.product is not None
    return event.product


def build() -> Shop:
    """Build a SamCart account with one address and one site, without rules."""
    marketplace = Marketplace.objects.create(name="Main shop")
    integration = factories.IntegrationFactory(name="Art Academy", site="acme")
    return Shop(
        marketplace=marketplace,
        integration=cast(Integration, integration),
        secret=credentials.add_webhook_secret(marketplace),
    )


def another(shop: Shop) -> Shop:
    """Add a second SamCart account, with its own address and the same site."""
    marketplace = Marketplace.objects.create(name="Second shop")
    return Shop(
        marketplace=marketplace,
        integration=shop.integration,
        secret=credentials.add_webhook_secret(marketplace),
    )


@contextlib.contextmanager
def refusing(table: str, when: str = "1 = 1") -> Iterator[None]:
    """Make the database refuse new rows of the table, and quote a customer, as databases do."""
    text = "refused: dana@example.com"
    make = {
        "sqlite": [
            f"CREATE TRIGGER refusing BEFORE INSERT ON {table} WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{text}'); END"
        ],
        "postgresql": [
            "CREATE FUNCTION refuse() RETURNS trigger AS "
            f"$$BEGIN RAISE EXCEPTION '{text}'; END$$ LANGUAGE plpgsql",
            f"CREATE TRIGGER refusing BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when}) "
            "EXECUTE FUNCTION refuse()",
        ],
    }
    end = {"sqlite": "DROP TRIGGER refusing", "postgresql": "DROP FUNCTION refuse CASCADE"}
    with connection.cursor() as cursor:
        for statement in make[connection.vendor]:
            cursor.execute(statement)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(end[connection.vendor])
