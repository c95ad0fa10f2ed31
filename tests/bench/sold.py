"""A shop that has sold for ninety days, with five rules for each product.

Imported before Django is set up, so everything of the programs is imported inside.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from events.models import EventLog, RuleRun
    from integrations.models import Customer, Destination, Integration, Marketplace, Product
    from rules.models import Rule

STATUSES = ["done"] * 94 + ["failed"] * 2 + ["skipped"] * 2 + ["waiting", "held"]
ROWS_AT_ONCE = 5000
BOUGHT, REFUNDED = "product_purchased", "product_refunded"
RULES = (
    (BOUGHT, "create_course_enrollment"),
    (REFUNDED, "expire_course_enrollment"),
    ("subscription_canceled", "expire_course_enrollment"),
    ("subscription_recovered", "create_course_enrollment"),
    ("subscription_restarted", "create_course_enrollment"),
)


@dataclass(frozen=True)
class Shop:
    """What is there before the first sale; `rules` are by their product's ID and trigger."""

    account: "Marketplace"
    site: "Integration"
    courses: "Sequence[Destination]"
    products: "Sequence[Product]"
    rules: "dict[tuple[int | None, str], Rule]"
    people: "Sequence[Customer]"


def fill(events: int, *, products: int) -> None:
    """Add so many products and events of ninety days, and half as many runs again.

    They are always the same ones. A tenth are refunds of earlier purchases. Most purchases gave
    what they were to give.
    """
    from django.utils import timezone

    from events.models import EventLog, RuleRun

    dice = random.Random(7)
    now = timezone.now()
    shop = _shop(max(1, events * 6 // 10), products, now - timedelta(days=91))
    times = sorted(now - timedelta(seconds=dice.uniform(0, 90 * 86400)) for _ in range(events))
    bought: list[EventLog] = []
    given: dict[str, int] = {}
    for begin in range(0, events, ROWS_AT_ONCE):
        rows = list(_received(shop, dice, times[begin : begin + ROWS_AT_ONCE], bought))
        stored = EventLog.objects.bulk_create(rows)
        given |= _give(shop, stored)
        RuleRun.objects.bulk_create(
            run for event in stored for run in _runs(shop, dice, event, given.get(event.order_id))
        )
    _end_what_was_refunded()


def _shop(people: int, number: int, begun: datetime) -> Shop:
    from integrations.models import Customer, Destination, Integration, Marketplace, Product
    from rules.models import Rule

    account = Marketplace.objects.create(name="Main shop")
    site = Integration.objects.create(name="Art Academy", site="acme", connection="connected")
    Integration.objects.create(name="New Academy", site="new", connection="connected")
    names = [f"Course {n}" for n in range(number)]
    courses = Destination.objects.bulk_create(
        Destination(integration=site, kind="course", external_id=501 + n, name=name)
        for n, name in enumerate(names)
    )
    products = Product.objects.bulk_create(
        Product(marketplace=account, external_id=str(1000 + n), name=name)
        for n, name in enumerate(names)
    )
    rules = Rule.objects.bulk_create(
        Rule(
            marketplace=account,
            scope="product",
            product=product,
            trigger=trigger,
            integration=site,
            action=action,
            destination=course,
            created_at=begun,
        )
        for product, course in zip(products, courses, strict=True)
        for trigger, action in RULES
    )
    buyers = Customer.objects.bulk_create(
        (
            Customer(email=f"buyer{n}@example.com", first_name=f"Dana{n}", last_name="Reyes")
            for n in range(people)
        ),
        batch_size=ROWS_AT_ONCE,
    )
    _make_searchable(buyers)
    by_place = {(rule.product_id, rule.trigger): rule for rule in rules}
    return Shop(account, site, courses, products, by_place, buyers)


def _make_searchable(people: "Sequence[Customer]") -> None:
    from integrations.models import SearchTerm
    from integrations.search_terms import terms

    SearchTerm.objects.bulk_create(
        (
            SearchTerm(customer=each, term=term.encode())
            for each in people
            for term in terms(each.email, each.first_name, each.last_name)
        ),
        batch_size=ROWS_AT_ONCE,
    )


def _received(
    shop: Shop, dice: random.Random, times: Sequence[datetime], bought: "list[EventLog]"
) -> "Iterator[EventLog]":
    """Yield an event for each of these times.

    `bought` has the purchases that may still be refunded; new ones are added.
    """
    from events.models import Delivery, EventLog

    deliveries = Delivery.objects.bulk_create(
        Delivery(
            marketplace=shop.account,
            sealed_body=b'{"type": "Order"}',
            body_digest=str(at),
            state="read",
            received_at=at,
        )
        for at in times
    )
    for delivery in deliveries:
        is_refund = bool(bought) and dice.random() < 0.1
        sold = bought.pop(dice.randrange(len(bought))) if is_refund else None
        nothing = sold is None and dice.random() < 0.02
        event = EventLog(
            delivery=delivery,
            marketplace=shop.account,
            trigger=REFUNDED if sold else BOUGHT,
            product=sold.product if sold else dice.choice(shop.products),
            customer=sold.customer if sold else dice.choice(shop.people),
            status="no_rule" if nothing else dice.choice(STATUSES),
            gave_nothing=nothing,
            order_id=sold.order_id if sold else str(delivery.pk),
            received_at=delivery.received_at,
        )
        if sold is None:
            bought.append(event)
        yield event


def _give(shop: Shop, events: "Sequence[EventLog]") -> dict[str, int]:
    """Store what these purchases gave. Returns {order: its grant}."""
    from events.models import Grant

    rules = [(event, shop.rules[event.product_id, BOUGHT]) for event in events]
    grants = Grant.objects.bulk_create(
        Grant(
            marketplace=shop.account,
            product=event.product,
            order_id=event.order_id,
            product_name=event.product.name if event.product else "",
            customer=event.customer,
            integration=shop.site,
            target=rule.target,
            name=str(rule.destination),
            state="active",
            decided_at=event.received_at,
            because=BOUGHT,
            event=event,
            opened_at=event.received_at,
            seen_at=event.received_at,
        )
        for event, rule in rules
        if event.trigger == BOUGHT and event.status == "done"
    )
    return {grant.order_id: grant.pk for grant in grants}


def _runs(
    shop: Shop, dice: random.Random, event: "EventLog", grant: int | None
) -> "Iterator[RuleRun]":
    """Yield what the rule did for this event, and for every other one what a deleted rule did."""
    from events.models import RuleRun

    for rule in dice.choice([[True], [True, False]]):
        its = shop.rules[event.product_id, str(event.trigger)] if rule else None
        course = its.destination if its and its.destination else dice.choice(shop.courses)
        yield RuleRun(
            event=event,
            rule=its,
            grant_id=grant if its else None,
            integration=shop.site,
            customer=event.customer,
            received_at=event.received_at,
            action=its.action if its else "create_course_enrollment",
            destination_id=course.external_id,
            destination_name=course.name,
            target=f"course:{course.external_id}",
            site="acme",
            status=event.status if event.status in STATUSES else "done",
            message="Enrolled.",
            next_attempt_at=event.received_at + timedelta(days=100),
        )


def _end_what_was_refunded() -> None:
    from django.db.models import Exists, OuterRef, Subquery

    from events.models import EventLog, Grant

    refund = EventLog.objects.filter(order_id=OuterRef("order_id"), trigger=REFUNDED)
    when = Subquery(refund.values("received_at")[:1])
    Grant.objects.filter(Exists(refund)).update(
        state="ended",
        because=REFUNDED,
        event=Subquery(refund.values("pk")[:1]),
        decided_at=when,
        ended_at=when,
    )
