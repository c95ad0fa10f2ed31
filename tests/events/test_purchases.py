"""Which purchase an event is about, and what it changes, whatever else came between."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now

from events.access import lock
from events.access.decisions import Decisions
from events.access.sale import Sale
from events.deciding import inbox
from events.execution import moving
from events.models import EventLog, Grant, RuleRun
from integrations.audit import Act
from integrations.models import AuditEntry
from tests.support import factories, queued
from tests.support.samcart import payload
from tests.support.shop import Shop
from tests.support.stories import SAMPLES

EXPIRE = "expire_course_enrollment"
GIVING = ("product_purchased", "subscription_charged", "subscription_recovered")
ENDING = ("product_refunded", "subscription_canceled")


def _sold(shop: Shop) -> Shop:
    course = factories.DestinationFactory.create(integration=shop.integration)
    for trigger in GIVING:
        shop.rule(trigger, destination=course)
    for trigger in ENDING:
        shop.rule(trigger, destination=course, action=EXPIRE)
    return shop


@pytest.fixture
def sold(shop: Shop) -> Shop:
    """Whatever is sold gives one course, and what takes it back ends it."""
    return _sold(shop)


def tell(shop: Shop, *story: str) -> None:
    """Receive and read "4 refunded order=2 sub=": so many minutes after the start."""
    for sentence in story:
        minutes, kind, *changes = sentence.split()
        facts = {"order": "1", "sub": "900", "product": "1048010", "email": "dana@example.com"}
        facts |= dict(change.split("=") for change in changes)
        body: dict[str, Any] = payload(SAMPLES[kind])
        body["customer"] |= {"email": facts["email"]}
        body["product"] |= {"id": facts["product"]}
        body["order"] |= {"id": facts["order"], "subscription_id": facts["sub"]}
        shop.receive(body, minutes=float(minutes))
        inbox.process()
    assert not EventLog.objects.filter(status=EventLog.Status.FAILED).exists()


def test_of_two_subscriptions_of_one_order_the_one_that_is_paid_stays(sold):
    body: dict[str, Any] = payload("01_order")
    one = body["products"][0]
    body["products"] = [one | {"subscription_id": number} for number in (900, 901)]
    sold.receive(body)
    inbox.process()
    assert [grant.subscription_id for grant in Grant.objects.order_by("pk")] == ["900", "901"]
    order = body["order"]["id"]
    tell(sold, f"11 canceled order={order} sub=900 product={one['id']}")
    states = dict(Grant.objects.values_list("subscription_id", "state"))
    assert states == {"900": "ended", "901": "active"}


@pytest.mark.parametrize(
    ("story", "active"),
    [
        # Two sources match, as one of the events names less than another.
        (["0 purchased sub=", "1 purchased product=1048011 sub=", "2 charged product= sub="], 2),
        (["0 purchased", "1 charged order=50", "2 refunded order=50 sub="], 1),
        (["0 purchased", "1 purchased sub=901", "2 charged sub=", "3 refunded sub=901"], 1),
        (["0 refunded sub=", "1 canceled order=77", "2 purchased"], 0),
        # A second ending ends what was given since the first one.
        (["0 purchased", "1 canceled", "2 charged", "3 delinquent"], 0),
        (["0 purchased", "1 canceled", "3 delinquent", "2 recovered"], 0),
        (["0 purchased", "1 canceled", "2 delinquent", "3 recovered"], 1),
        # The same body again, and the purchase was ended between under another address.
        (["0 purchased", "1 recovered", "2 refunded email=x@example.com", "3 recovered"], 1),
        (["0 purchased", "1 recovered", "3 recovered", "2 refunded email=x@example.com"], 1),
    ],
)
def test_an_event_changes_every_grant_that_it_is_about(sold, story, active):
    tell(sold, *story)
    assert Grant.objects.active().count() == active


@pytest.mark.parametrize(
    "story",
    [
        ["0 purchased sub=", "1 purchased product=1048011 sub=", "2 charged product= sub="],
        ["0 purchased", "1 charged order=50", "2 refunded order=50 sub=", "3 charged order=50"],
        ["0 purchased", "1 purchased sub=901", "2 charged sub="],
    ],
)
def test_no_event_makes_a_grant_twice_though_it_names_two_purchases(sold, story):
    tell(sold, *story)
    made = Grant.objects.count()
    last = story[-1].split(" ", 1)[1]
    tell(sold, f"30 {last}", f"60 {last}", "90 charged sub=", "120 charged")
    assert Grant.objects.count() == made


def test_what_names_no_purchase_waits_where_it_may_be_about_two(sold):
    none = "order= sub="
    tell(sold, f"0 purchased {none}", f"30 purchased {none}", f"60 refunded {none}")
    refund = RuleRun.objects.get(event__trigger="product_refunded")
    assert (refund.status, refund.code) == ("held", "ambiguous")
    assert Grant.objects.active().count() == 2


def test_a_decision_keeps_that_thinkific_was_seen_to_hold_it_meanwhile(real_shop):
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time")
    tell(_sold(real_shop), "0 purchased")
    grant = Grant.objects.get()
    charge = queued.event(grant.customer, order="1", at=3600, trigger="subscription_charged")
    charge.marketplace, charge.product = real_shop.marketplace, grant.product
    run = RuleRun.objects.get()
    with transaction.atomic():
        lock.lock()
        decisions = Decisions([Sale.of(charge)])
        queued.at_once(lambda: Grant.objects.update(seen_at=Now()))
        run.event = charge
        decisions.decide(charge, run)
        decisions.write()
    grant.refresh_from_db()
    assert grant.because == "subscription_charged"
    assert grant.seen_at is not None


def test_to_let_the_buyer_keep_it_waits_for_a_refund_that_is_being_decided(real_shop):
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time")
    tell(_sold(real_shop), "0 purchased")
    grant, ending = Grant.objects.get(), RuleRun.objects.get()
    refund = queued.event(grant.customer, order="1", at=3600, trigger="product_refunded")
    refund.marketplace, refund.product = real_shop.marketplace, grant.product

    def let_keep() -> None:
        try:
            moving.keep([(ending.event, [grant])], why="a friend")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            lock.lock()
            decisions = Decisions([Sale.of(refund)])
            keeping = thread.submit(let_keep)
            with pytest.raises(TimeoutError):
                keeping.result(timeout=0.5)
            ending.action = EXPIRE
            decisions.decide(refund, ending)
            decisions.write()
        keeping.result()
    grant.refresh_from_db()
    assert (grant.state, grant.kept_at) == ("ended", None)
    assert not AuditEntry.objects.filter(act=Act.BUYERS_KEPT).exists()
