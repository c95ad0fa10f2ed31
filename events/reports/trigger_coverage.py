"""What SamCart was heard to send: each trigger's last event, and the triggers that are missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Subquery

from events.models import Delivery, EventLog
from events.receiving.samples import has_type
from integrations.models import Marketplace
from rules.models import Rule
from rules.triggers import Trigger

# How many of the newest deliveries are looked at for the address that they came by.
LATEST = 500


@dataclass(frozen=True, slots=True)
class MissingTrigger:
    """A trigger for which `rules` rules wait and of which nothing ever came."""

    trigger: Trigger
    rules: int

    @property
    def needs_own(self) -> bool:
        """Whether SamCart must send it to an address of its own."""
        return not has_type(self.trigger)


def last_received(
    marketplace: Marketplace, triggers: Iterable[Trigger]
) -> dict[Trigger, datetime | None]:
    """When the account's last event of each trigger was received; None when none ever was.

    One query, whose parts each end at the first row of an index.
    """
    wanted = list(triggers)
    if not wanted:
        return {}
    # What a person entered, SamCart did not send.
    sent = EventLog.objects.filter(marketplace=OuterRef("pk"), by_hand="")
    of_account = sent.order_by("-received_at")
    newest = [
        Subquery(of_account.filter(trigger=trigger).values("received_at")[:1]) for trigger in wanted
    ]
    times = Marketplace.objects.filter(pk=marketplace.pk).values_list(*newest).first()
    return dict(zip(wanted, times or [None] * len(wanted), strict=True))


def needed(marketplace: Marketplace) -> dict[Trigger, int]:
    """How many of the account's rules that are on wait for each trigger; none is left out."""
    rules = Rule.objects.filter(marketplace=marketplace, enabled=True).order_by()
    found = dict(rules.values_list("trigger").annotate(Count("pk")))
    return {Trigger(trigger): count for trigger, count in found.items()}


def missing(marketplace: Marketplace) -> list[MissingTrigger]:
    """The triggers that rules wait for and SamCart never sent, in the order of Trigger."""
    waited_for = needed(marketplace)
    heard = last_received(marketplace, waited_for)
    return [
        MissingTrigger(trigger, waited_for[trigger])
        for trigger in Trigger
        if trigger in waited_for and heard[trigger] is None
    ]


def last_through(marketplace: Marketplace) -> dict[int, datetime]:
    """When something last came by each of the account's addresses, by the secret's pk.

    Only the newest LATEST deliveries are looked at: an address that is not among them is as
    good as unused.
    """
    newest = Delivery.objects.order_by("-received_at").values_list(
        "marketplace_id", "secret_id", "received_at"
    )
    found: dict[int, datetime] = {}
    for account, secret, received in newest[:LATEST]:
        if account == marketplace.pk and secret is not None:
            found.setdefault(secret, received)
    return found
