"""Buyers who got only what global rules give, and whose product has had a rule of its own since.

They bought before that rule was made, or while it was off.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import Case, DateTimeField, Exists, F, OuterRef, When
from django.db.models.functions import Now
from django.utils import timezone

from events.models import EventLog, Grant
from events.models.event_log import EventQuerySet
from events.reports.earlier import backfill
from events.reports.owed.own_rules import (
    MAX_LOOKED_AT,
    MAX_PRODUCTS,
    accounts_with_both,
    got_only_global,
)
from events.reports.owed.promise import LATELY, MAX_LISTED
from integrations.models import Product
from rules import actions
from rules.facts import Places
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

_BOUGHT = Trigger.PRODUCT_PURCHASED


@dataclass(frozen=True, slots=True)
class NotGivenYet:
    """A product whose `rules` give more than so many `buyers` got for these `events` (IDs)."""

    product: Product
    rules: Sequence[Rule]
    buyers: int
    events: Collection[int]

    @property
    def courses(self) -> str:
        """The names of what these rules give."""
        return listed([*dict.fromkeys(str(rule.destination) for rule in self.rules)])


def not_given_yet(places: Places, changed: Collection[int]) -> list[NotGivenYet]:
    """Return such products of the purchases within LATELY, at most MAX_PRODUCTS.

    `changed` are the IDs of rules that were changed or turned on within that time. Purchases that
    were refunded or canceled, and buyers who have it by something else, are left out. Takes no
    query where no account has rules of both kinds, and one if there are no such purchases.
    """
    both = accounts_with_both(places)
    rules = _made_since(both.keys(), changed) if both else []
    if not rules:
        return []
    rows = [
        row
        for row in backfill.candidates(rules, _bought({rule.product_id for rule in rules}))
        if row.lacks_access and row.changing and not row.why_not and not row.is_undone
    ]
    lacking = defaultdict(list)
    for row in rows:
        lacking[row.event.product_id].append(row)
    found = []
    for number, mine in list(lacking.items())[:MAX_PRODUCTS]:
        own = [rule for rule in rules if rule.product_id == number]
        buyers = {row.student.pk if row.student else row.event.customer_id for row in mine}
        events = [row.event.pk for row in mine]
        assert own[0].product is not None
        found.append(NotGivenYet(own[0].product, own, len(buyers), events))
    return found


def grants(found: Collection[NotGivenYet]) -> set[int]:
    """Return the IDs of what these buyers got instead. Takes one query, or none."""
    events = [pk for each in found for pk in each.events]
    given = Grant.objects.filter(source=Grant.Source.PURCHASE, runs__event__in=events)
    return set(given.order_by().values_list("pk", flat=True)) if events else set()


def _made_since(accounts: Collection[int], changed: Collection[int]) -> list[Rule]:
    """Return the newest of the products' rules that came after a purchase that got less."""
    of_product = Rule.objects.filter(
        marketplace__in=accounts,
        product__isnull=False,
        trigger=Trigger.PRODUCT_PURCHASED,
        action__in=actions.giving_access(),
        enabled=True,
    ).exclude(destination__gone_at__isnull=False)
    since = Case(
        When(pk__in=changed, then=Now()), default=F("created_at"), output_field=DateTimeField()
    )
    # The product and the time first: nothing is read for a rule that is older than the sales.
    bought = _purchases().filter(
        product=OuterRef("product"), received_at__lt=OuterRef("since"), trigger=_BOUGHT
    )
    found = of_product.alias(since=since).filter(Exists(bought.order_by()))
    known = found.select_related("product", "destination", "integration")
    return list(known.order_by("-pk")[:MAX_LOOKED_AT])[::-1]


def _purchases() -> EventQuerySet:
    """Return the purchases within LATELY to which only global rules gave something."""
    recent = EventLog.objects.filter(
        received_at__gte=timezone.now() - LATELY, customer__isnull=False, dealt_with_at=None
    )
    return recent.exclude(status=EventLog.Status.REPEAT).filter(got_only_global())


def _bought(products: Collection[int | None]) -> list[EventLog]:
    bought = _purchases().filter(product__in=products).of_triggers(_BOUGHT)
    known = bought.select_related("customer", "product", "delivery")
    known = known.defer("delivery__sealed_body", "delivery__query")
    return list(known.order_by("-received_at", "-pk")[:MAX_LISTED])
