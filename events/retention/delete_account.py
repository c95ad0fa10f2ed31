"""Delete a SamCart account with all that came from it, without blocking other writers for long."""

import time
from dataclasses import dataclass

from django.db import transaction

from events.models import Delivery, EventLog, Grant
from events.reports import counting
from events.retention.batches import in_batches
from integrations import audit
from integrations.audit import Act
from integrations.models import Marketplace
from integrations.sentences import Said, say, say_count
from rules import changing

# Rows in one transaction: on SQLite nothing can be received while it lasts.
BATCH = 50
# How long a person will wait for a page to load.
SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class AccountDeletion:
    """What is deleted with an account; no count is above counting.MAX_COUNT.

    `unread` counts its deliveries that were not read yet. `buyers` counts those who keep access.
    """

    rules: int
    products: int
    events: int
    names: int
    unread: int
    buyers: int

    def lines(self) -> list[str]:
        """Return the counts in words, such as "3 rules" or "10,000+ events", without zeros."""
        rules, products, events, names, unread = map(
            counting.format_count, (self.rules, self.products, self.events, self.names, self.unread)
        )
        lines = (
            self.rules and say_count(self.rules, "1 rule", "{number} rules", number=rules),
            self.products
            and say_count(self.products, "1 product", "{number} products", number=products),
            self.events and say_count(self.events, "1 event", "{number} events", number=events),
            self.unread
            and say_count(
                self.unread,
                "1 delivery that was not read yet",
                "{number} deliveries that were not read yet",
                number=unread,
            ),
            self.names
            and say_count(self.names, "1 named type", "{number} named types", number=names),
        )
        return [str(line) for line in lines if line]

    @property
    def without_end(self) -> Said | str:
        """A sentence that buyers keep access that nothing ends anymore, "" for none."""
        return (
            say_count(
                self.buyers,
                "1 buyer keeps access, and no refund or cancellation ends it anymore.",
                "{number} buyers keep access, and no refund or cancellation ends it anymore.",
                number=counting.format_count(self.buyers),
            )
            if self.buyers
            else ""
        )


def summarize(marketplace: Marketplace) -> AccountDeletion:
    """Return what deleting the account would delete."""
    unread = Delivery.objects.filter(marketplace=marketplace, state=Delivery.State.NEW)
    return AccountDeletion(
        rules=counting.count(marketplace.rules.all()),
        products=counting.count(marketplace.products.all()),
        events=counting.count(EventLog.objects.filter(marketplace=marketplace)),
        names=counting.count(marketplace.named_types.all()),
        unread=counting.count(unread),
        buyers=Grant.objects.filter(marketplace=marketplace).active().customers(counting.MAX_COUNT),
    )


def delete(marketplace: Marketplace) -> bool:
    """Delete the account: address and rules at once, its events little by little, then itself.

    Thinkific is not called: students keep their access, and the grants stay. Return False if
    SECONDS were not enough. Then the account is left without address and rules, and another call
    goes on.
    """
    until = time.monotonic() + SECONDS
    with transaction.atomic():
        changing.delete(marketplace.rules.all())
        if marketplace.webhook_secrets.all().delete()[0]:
            audit.record(
                Act.ADDRESSES_ENDED, marketplace, note=say("The account is being deleted.")
            )
    deliveries = Delivery.objects.filter(marketplace=marketplace)
    grants = Grant.objects.filter(marketplace=marketplace)
    over = in_batches(
        deliveries, lambda some: some.delete(), size=BATCH, until=until
    ) and in_batches(
        grants, lambda some: some.update(marketplace=None, product=None), size=BATCH, until=until
    )
    if over:
        with transaction.atomic():
            audit.record_deleted(Act.ACCOUNT_DELETED, [marketplace])
            marketplace.delete()
    return over
