"""Payments that need no rule are noted, and not counted or listed among what matched no rule."""

import csv
import io
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog
from events.reports import dashboard, review
from events.reports.earlier import earlier
from tests.support import shop as shops
from tests.support.pages import rows, signed_in, words
from tests.support.samcart import payload
from tests.support.shop import Shop

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
LOG = "admin:events_eventlog_changelist"
NOTED = {
    "36_subscription_completed": "The plan is paid in full. No rule is needed for that.",
    "31_subscription_charged": "The subscription was charged. No rule is needed for that.",
}


@pytest.fixture
def shop(db) -> Shop:
    return shops.build()


@pytest.fixture
def manager() -> Client:
    return signed_in(roles.MANAGER)


def page_of(event: EventLog) -> str:
    return reverse("admin:events_eventlog_change", args=[event.pk])


@pytest.mark.parametrize(("name", "text"), NOTED.items())
def test_a_payment_that_needs_no_rule_is_noted_and_said_so(shop, manager, name, text):
    event = shop.sell(name)
    assert (event.status, str(event.reason)) == ("noted", text)
    assert not review.needs_a_person(event)
    shown = manager.get(page_of(event))
    page = words(shown)
    assert f"Noted {text}" in page
    assert "No rule matched" not in page
    assert "New rule for this product" not in page
    assert re.search('class="badge badge-quiet">(?:<svg.*?</svg>)?Noted<', shown.content.decode())


def download(client: Any, query: str) -> list[dict[str, str]]:
    answer: Any = client.post(f"{reverse('admin:csv-log')}?{query}")
    text = b"".join(answer.streaming_content).decode().removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(text)))


def test_what_needs_no_rule_is_not_listed_or_counted_among_what_matched_none(shop, manager):
    for minute, name in enumerate(NOTED):
        shop.sell(name, minutes=minute)
    refund = shop.sell("20_product", minutes=9)
    shown = manager.get(reverse(LOG), {"result": "no_rule"})
    assert rows(shown) == 1
    assert page_of(refund) in shown.content.decode()
    assert rows(manager.get(reverse(LOG), {"result": "noted"})) == 2
    assert [each["Event"] for each in download(manager, "result=no_rule")] == ["Product Refunded"]
    assert {each["Result"] for each in download(manager, "result=noted")} == {"Noted"}
    EventLog.objects.update(received_at="2040-01-01T00:00Z")
    counted = dashboard.events_in_a_day()
    assert (counted.events, counted.no_rule) == (3, 1)


@pytest.mark.parametrize("name", NOTED)
def test_a_rule_that_is_off_is_still_told(shop, name):
    trigger = name.partition("_")[2]
    shop.rule(trigger, enabled=False)
    event = shop.sell(name)
    assert event.status == "no_rule"
    assert event.reason == "The rule that matches this event was turned off, so nothing was sent."


@pytest.mark.parametrize("name", NOTED)
def test_a_rule_that_is_made_later_is_offered_for_what_was_noted(shop, manager, name):
    event = shop.sell(name)
    rule = shop.rule(name.partition("_")[2])
    assert list(earlier.gave_nothing([rule])) == [event]
    assert "No rule ran for this event when it came." in words(manager.get(page_of(event)))


def test_a_trigger_whose_rule_is_recommended_still_matches_no_rule(shop):
    for minute, name in enumerate(("34a_subscription", "35_subscription", "30_subscription")):
        assert shop.sell(payload(name), minutes=minute).status == "no_rule"
