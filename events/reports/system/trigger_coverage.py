"""What SamCart has sent: each trigger's last event, and the triggers that are missing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Subquery
from django.utils import timezone

from events.models import Delivery, EventLog
from events.receiving.samples import has_type
from integrations.finding.ordering import by_name
from integrations.models import Marketplace
from integrations.sentences import say_count
from rules.facts import Places
from rules.models import Rule
from rules.triggers import Trigger

# How many of the newest deliveries are looked at to see which addresses are used.
LATEST = 500


@dataclass(frozen=True, slots=True)
class Likely:
    """After `number` events of the trigger `of`, each at least `days` old, one should have come."""

    of: Trigger
    number: int
    days: int


# After these events SamCart would almost surely have sent one: a shop has a refund in a hundred
# sales, and a failed card in two hundred charges. Other triggers may never come in a healthy shop.
LIKELY: dict[Trigger, tuple[Likely, ...]] = {
    Trigger.PRODUCT_PURCHASED: (
        # A few may be about sales from before Admit.
        Likely(Trigger.PRODUCT_REFUNDED, 10, 0),
        Likely(Trigger.SUBSCRIPTION_CHARGED, 200, 0),
    ),
    Trigger.PRODUCT_REFUNDED: (Likely(Trigger.PRODUCT_PURCHASED, 150, 14),),
    Trigger.SUBSCRIPTION_CANCELED: (
        Likely(Trigger.SUBSCRIPTION_CHARGED, 200, 14),
        Likely(Trigger.SUBSCRIPTION_DELINQUENT, 1, 1),
    ),
    Trigger.SUBSCRIPTION_CHARGED: (Likely(Trigger.SUBSCRIPTION_CHARGE_FAILED, 5, 14),),
    Trigger.SUBSCRIPTION_CHARGE_FAILED: (Likely(Trigger.SUBSCRIPTION_CHARGED, 200, 14),),
    Trigger.SUBSCRIPTION_DELINQUENT: (Likely(Trigger.SUBSCRIPTION_CHARGE_FAILED, 50, 45),),
    Trigger.SUBSCRIPTION_RECOVERED: (Likely(Trigger.SUBSCRIPTION_CHARGE_FAILED, 20, 30),),
}


@dataclass(frozen=True, slots=True)
class MissingTrigger:
    """A trigger for which `rules` rules wait and which never came.

    `because` says why it should have come; None if it may simply not have happened yet. With
    `no_last_payments` it is about subscriptions, and Subscription Completed, for which no rule
    waits, never came either.
    """

    trigger: Trigger
    rules: int
    because: Likely | None = None
    no_last_payments: bool = False

    @property
    def is_gap(self) -> bool:
        return self.because is not None

    @property
    def reason(self) -> str:
        """A sentence on why it should have come, or ""."""
        if self.because is None:
            return ""
        return say_count(
            self.because.number,
            "SamCart has sent {trigger}, and sends this one with it.",
            "SamCart has sent {trigger} at least {number} times: by now one of these should have "
            "come too.",
            trigger=self.because.of.label,
        )

    @property
    def needs_own(self) -> bool:
        """Whether SamCart must send it to an address of its own."""
        return not has_type(self.trigger)


def last_received(
    marketplace: Marketplace, triggers: Iterable[Trigger]
) -> dict[Trigger, datetime | None]:
    """Return when the account's last event of each trigger was received; None if none ever was.

    Takes one query, of which each part reads only the first row of an index.
    """
    wanted = list(triggers)
    if not wanted:
        return {}
    # Leave out orders that a person entered: SamCart did not send them.
    sent = EventLog.objects.filter(marketplace=OuterRef("pk"), by_hand="")
    of_account = sent.order_by("-received_at")
    newest = [
        Subquery(of_account.filter(trigger=trigger).values("received_at")[:1]) for trigger in wanted
    ]
    times = Marketplace.objects.filter(pk=marketplace.pk).values_list(*newest).first()
    return dict(zip(wanted, times or [None] * len(wanted), strict=True))


def needed(marketplace: Marketplace) -> dict[Trigger, int]:
    """Return {trigger: how many of the account's enabled rules wait for it}, without zeros."""
    rules = Rule.objects.filter(marketplace=marketplace, enabled=True).order_by()
    found = dict(rules.values_list("trigger").annotate(Count("pk")))
    return {Trigger(trigger): count for trigger, count in found.items()}


def _needed_by(places: Places, account: int) -> dict[Trigger, int]:
    mine = (rule for rule in places if rule.enabled and rule.marketplace_id == account)
    return {Trigger(name): count for name, count in Counter(rule.trigger for rule in mine).items()}


def missing(marketplace: Marketplace, places: Places | None = None) -> list[MissingTrigger]:
    """The triggers that rules wait for and SamCart never sent, in the order of Trigger.

    With `places`, which are all rules, the account's are not looked up again.
    """
    waited_for = needed(marketplace) if places is None else _needed_by(places, marketplace.pk)
    completed = Trigger.SUBSCRIPTION_COMPLETED
    heard = last_received(marketplace, {*waited_for, completed} if waited_for else ())
    never = {
        trigger: waited_for[trigger]
        for trigger in Trigger
        if trigger in waited_for and heard[trigger] is None
    }
    unheard = completed not in waited_for and heard.get(completed) is None
    return [
        replace(each, no_last_payments=unheard and each.trigger.of_subscription)
        for each in judge_missing(marketplace, never)
    ]


def judge_missing(marketplace: Marketplace, never: Mapping[Trigger, int]) -> list[MissingTrigger]:
    """Return for each trigger that never came whether it should have.

    `never` is {trigger: how many rules wait for it}.
    """
    return [
        MissingTrigger(trigger, rules, _why_expected(marketplace, trigger))
        for trigger, rules in never.items()
    ]


def _why_expected(marketplace: Marketplace, trigger: Trigger) -> Likely | None:
    sent = EventLog.objects.filter(marketplace=marketplace, by_hand="")
    now = timezone.now()
    for likely in LIKELY.get(trigger, ()):
        old = sent.filter(trigger=likely.of, received_at__lte=now - timedelta(days=likely.days))
        # LIMIT instead of COUNT, so that no more rows are read than needed.
        if len(old.order_by().values_list("pk")[: likely.number]) == likely.number:
            return likely
    return None


def without_last_payments(account: Marketplace | None = None) -> list[Marketplace]:
    """Return the accounts, or this one, from which Subscription Completed never came.

    Without it Admit does not know when a plan of several payments was paid in full. Takes one
    query.
    """
    completed = EventLog.objects.filter(
        marketplace=OuterRef("pk"), trigger=Trigger.SUBSCRIPTION_COMPLETED, by_hand=""
    )
    asked = Marketplace.objects.filter(~Exists(completed)).order_by(by_name())
    return list(asked.filter(pk=account.pk) if account else asked)


def last_through(marketplace: Marketplace) -> dict[int, datetime]:
    """Return {secret ID: when something last came to this address} for the account.

    Only the newest LATEST deliveries are looked at: an address that is not among them is as good
    as unused.
    """
    newest = Delivery.objects.order_by("-received_at").values_list(
        "marketplace_id", "secret_id", "received_at"
    )
    found: dict[int, datetime] = {}
    for account, secret, received in newest[:LATEST]:
        if account == marketplace.pk and secret is not None:
            found.setdefault(secret, received)
    return found
