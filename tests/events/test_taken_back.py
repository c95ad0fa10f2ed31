"""Which open access was refunded or canceled since: the work grows with the buyers, not faster."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from events.access import revocations
from events.access.sale import Sale
from events.models import Delivery, Grant
from events.reports.access import standing
from events.reports.earlier import paid_again
from integrations.models import Customer, Integration, Marketplace
from tests.support.queued import START, event

pytestmark = pytest.mark.django_db
NUMBER = 20


def bought(number: int, **facts: Any) -> Grant:
    customer, _ = Customer.objects.get_or_create(email=f"buyer{number}@example.com")
    site, _ = Integration.objects.get_or_create(name="School", app="thinkific", site="school")
    shop, _ = Marketplace.objects.get_or_create(name="Main shop")
    return Grant.objects.create(
        customer=customer,
        integration=site,
        target="course:1",
        name="Ink",
        source=Grant.Source.PURCHASE,
        state=Grant.State.ACTIVE,
        marketplace=shop,
        decided_at=START - timedelta(days=1),
        opened_at=timezone.now(),
        **facts,
    )


def test_each_event_is_compared_with_its_own_purchase_alone(monkeypatch):
    grants = [
        bought(each, order_id=f"o{each}", subscription_id=f"s{each}") for each in range(NUMBER)
    ]
    for each, grant in enumerate(grants):
        paid = {"subscription_id": f"s{each}", "trigger": "subscription_charged"}
        event(grant.customer, at=2 * each, order=f"later{each}", **paid)
        ended = {"subscription_id": f"s{each}", "trigger": "subscription_canceled"}
        event(grant.customer, at=2 * each + 1, order=f"o{each}", **ended)
    asked: list[Sale] = []
    is_same = Sale.is_same

    def note(one: Sale, other: Sale) -> bool:
        asked.append(one)
        return is_same(one, other)

    monkeypatch.setattr(Sale, "is_same", note)
    found = standing.taken_back(grants)
    assert {pk: ending.order_id for pk, ending in found.items()} == {
        grant.pk: grant.order_id for grant in grants
    }
    assert len(asked) <= 2 * NUMBER


@pytest.mark.parametrize("names", [{"order_id": "7"}, {"subscription_id": "7"}])
def test_an_order_is_never_taken_for_a_subscription_of_that_number(names):
    grant = bought(1, **names)
    other: Any = {"order": "7"} if "subscription_id" in names else {"subscription_id": "7"}
    event(grant.customer, trigger="product_refunded", **other)
    assert standing.taken_back([grant]) == {}
    event(grant.customer, at=1, trigger="product_refunded", order="7", subscription_id="7")
    assert set(standing.taken_back([grant])) == {grant.pk}


def test_canceling_what_was_paid_in_full_takes_nothing_back():
    grant = bought(1, order_id="7", subscription_id="s7")
    purchase = event(grant.customer, order="7", subscription_id="s7")
    for at, what in enumerate(("completed", "canceled", "delinquent"), start=1):
        facts = {"trigger": f"subscription_{what}", "order": "7", "subscription_id": "s7"}
        last = event(grant.customer, at=at, **facts)
    assert standing.taken_back([grant]) == {}
    assert revocations.later_endings([purchase]) == {}
    assert paid_again.obstacles([last])[last.pk].startswith("paid in full on")
    event(grant.customer, at=9, trigger="product_refunded", order="7", subscription_id="s7")
    assert set(standing.taken_back([grant])) == {grant.pk}
    assert set(revocations.later_endings([purchase])) == {purchase.pk}


def test_what_came_by_a_withdrawn_address_takes_nothing_back():
    grant = bought(1, order_id="7")
    purchase = event(grant.customer, order="7")
    refund = event(grant.customer, at=1, trigger="product_refunded", order="7")
    assert standing.taken_back([grant])
    assert revocations.later_endings([purchase])
    Delivery.objects.filter(events=refund).update(withdrawn=True)
    assert standing.taken_back([grant]) == {}
    assert revocations.later_endings([purchase]) == {}


SENT_AGAIN = {"ordered_at": START - timedelta(days=2)}
SOLD_AGAIN = {"ordered_at": START + timedelta(days=1)}


@pytest.mark.parametrize(
    ("ending", "later", "facts", "taken_back"),
    [
        ("product_refunded", "product_purchased", SENT_AGAIN, True),
        ("product_refunded", "product_purchased", SOLD_AGAIN, False),
        ("product_refunded", "subscription_charged", {}, False),
        ("subscription_canceled", "subscription_charged", {}, False),
        ("subscription_canceled", "subscription_completed", {}, False),
        ("product_refunded", "subscription_completed", {}, True),
        ("subscription_canceled", "subscription_restarted", {}, False),
    ],
)
def test_what_pays_for_it_again_is_the_same_for_a_grant_as_for_an_event(
    ending, later, facts, taken_back
):
    grant = bought(1, order_id="7", subscription_id="s7")
    purchase = event(grant.customer, order="7", subscription_id="s7")
    event(grant.customer, at=1, trigger=ending, order="7", subscription_id="s7")
    event(grant.customer, at=2, trigger=later, order="7", subscription_id="s7", **facts)
    assert bool(standing.taken_back([grant])) is taken_back
    assert bool(revocations.later_endings([purchase])) is taken_back
