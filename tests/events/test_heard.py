"""What SamCart has sent, and what rules wait for in vain."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.models import Delivery, EventLog
from events.reports.system import trigger_coverage
from events.reports.system.trigger_coverage import MissingTrigger
from integrations import credentials
from rules.triggers import Trigger
from tests.support import shop as shops
from tests.support.queued import START, event


def test_the_last_event_of_each_trigger_counts_and_none_is_said_as_none(shop):
    event(None, at=10)
    event(None, at=30)
    event(None, at=20, trigger="product_refunded")
    event(None, at=40, trigger=None)
    assert trigger_coverage.last_received(shop.marketplace, list(Trigger)[:4]) == {
        Trigger.PRODUCT_PURCHASED: START + timedelta(seconds=30),
        Trigger.PRODUCT_REFUNDED: START + timedelta(seconds=20),
        Trigger.PRODUCT_PARTIALLY_REFUNDED: None,
        Trigger.SUBSCRIPTION_CANCELED: None,
    }


def test_nothing_is_asked_where_no_rule_waits(shop, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert trigger_coverage.last_received(shop.marketplace, []) == {}
    assert trigger_coverage.missing(shop.marketplace) == []


def test_what_another_account_sent_does_not_count(shop):
    second = shops.another(shop)
    event(None, at=10)
    assert trigger_coverage.last_received(second.marketplace, [Trigger.PRODUCT_PURCHASED]) == {
        Trigger.PRODUCT_PURCHASED: None
    }


def test_all_triggers_are_asked_for_in_one_query(shop, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert len(trigger_coverage.last_received(shop.marketplace, Trigger)) == len(Trigger)


def test_each_trigger_is_found_by_an_index_and_not_by_a_walk(shop):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL walks an empty table whatever indexes there are")
    with CaptureQueriesContext(connection) as asked:
        trigger_coverage.last_received(shop.marketplace, [Trigger.PRODUCT_REFUNDED])
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + asked.captured_queries[0]["sql"])
        plan = " | ".join(row[3] for row in cursor.fetchall())
    assert "USING INDEX event_by_trigger (trigger=?)" in plan
    assert "TEMP B-TREE" not in plan


def test_rules_that_are_off_wait_for_nothing(shop):
    second = shops.another(shop)
    shop.rule("product_refunded", action="expire_course_enrollment")
    shop.rule("product_refunded", product="77", action="expire_course_enrollment")
    shop.rule("subscription_canceled", enabled=False)
    second.rule("subscription_charged")
    assert trigger_coverage.needed(shop.marketplace) == {Trigger.PRODUCT_REFUNDED: 2}


def test_what_rules_wait_for_in_vain_is_known(shop):
    for product in ("1", "2", "3"):
        shop.rule("product_refunded", product=product, action="expire_course_enrollment")
    shop.rule("product_purchased")
    shop.rule("subscription_completed")
    event(None)
    missing = trigger_coverage.missing(shop.marketplace)
    assert missing == [
        MissingTrigger(Trigger.PRODUCT_REFUNDED, 3),
        MissingTrigger(Trigger.SUBSCRIPTION_COMPLETED, 1),
    ]
    assert not any(one.is_gap for one in missing)  # one sale may well have no refund
    assert [one.needs_own for one in missing] == [False, True]


def test_the_address_that_each_event_came_by_is_known(shop):
    second = shops.another(shop)
    old, shop.secret = shop.secret, credentials.add_webhook_secret(shop.marketplace)
    first, last = shop.marketplace.webhook_secrets.order_by("pk")
    shop.receive({"type": "Order"}, minutes=1, secret=old)
    shop.receive({"type": "Order"}, minutes=5, secret=old)
    second.receive({"type": "Order"}, minutes=9)
    assert trigger_coverage.last_through(shop.marketplace) == {
        first.pk: shops.START + timedelta(minutes=5)
    }
    shop.receive({"type": "Order"}, minutes=10)
    assert set(trigger_coverage.last_through(shop.marketplace)) == {first.pk, last.pk}


def test_only_the_latest_deliveries_are_looked_at(shop, monkeypatch):
    monkeypatch.setattr(trigger_coverage, "LATEST", 1)
    old, shop.secret = shop.secret, credentials.add_webhook_secret(shop.marketplace)
    shop.receive({"type": "Order"}, minutes=1, secret=old)
    assert len(trigger_coverage.last_through(shop.marketplace)) == 1
    shop.receive({"type": "Order"}, minutes=2)
    assert list(trigger_coverage.last_through(shop.marketplace)) == [
        shop.marketplace.webhook_secrets.last().pk
    ]
    assert Delivery.objects.count() == 2
    assert not EventLog.objects.exists()
