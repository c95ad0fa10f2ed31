"""Why and Simulate show rules that ran or nearly ran, and fold all others."""

import re

import pytest
from django.urls import reverse

from config.staff import roles
from events.models import EventLog
from events.reports import plain_events
from integrations.sentences import say
from rules import changing, engine
from rules.engine import Reason
from rules.models import Rule
from rules.short_sentences import in_two_lines
from tests.support import shop as shops
from tests.support.pages import markup, plain, signed_in
from tests.support.samcart import changed

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]


@pytest.mark.parametrize(
    ("why", "same_product", "near"),
    [
        (Reason.OFF, False, True),
        (Reason.OTHER_LINE, False, True),
        (Reason.NOT_SENT, False, True),
        (Reason.OTHER_TRIGGER, True, True),
        (Reason.OTHER_TRIGGER, False, False),
        (Reason.OTHER_PRODUCT, False, False),
        (Reason.NO_PRODUCT, False, False),
    ],
)
def test_a_rule_nearly_ran_when_it_is_off_or_for_the_same_product(why, same_product, near):
    assert engine.nearly_ran(why, same_product=same_product) is near


def shown(page: str, event: EventLog) -> str:
    """What Support sees of the event, on its own page or simulated."""
    address = (
        reverse("admin:events_eventlog_change", args=[event.pk])
        if page == "why"
        else f"{reverse('admin:simulate')}?event={event.pk}"
    )
    return markup(signed_in(roles.SUPPORT).get(address))


@pytest.mark.parametrize("page", ["why", "simulate"])
def test_what_does_not_concern_an_event_is_counted_and_folded(page):
    shop = shops.build()
    number = shops.product_of(shop.sell()).external_id
    shop.rule("product_refunded", number, destination__name="Same Product")
    shop.rule("product_purchased", number, enabled=False, destination__name="Turned Off")
    shop.rule("product_purchased", number, destination__name="It Ran")
    for far in ("Far One", "Far Two"):
        shop.rule("product_refunded", destination__name=far)
    event = shop.sell(changed("10_product", order__id=4711))
    html = shown(page, event)
    (summary, folded) = re.findall(
        r"<summary>([^<]*are not about this event)</summary>(.*?)</details>", html, re.S
    )[0]
    assert summary == "2 other rules are not about this event"
    assert "Far One" in plain(folded)
    assert "Far Two" in plain(folded)
    for near in ("Same Product", "Turned Off", "It Ran"):
        assert near not in plain(folded)
        assert near in plain(html)


def test_a_rule_that_was_off_when_an_event_came_is_not_said_to_be_off_once_it_is_on():
    shop = shops.build()
    number = shops.product_of(shop.sell()).external_id
    rule = shop.rule("product_purchased", number, enabled=False)
    event = shop.sell(changed("10_product", order__id=4711))
    assert "The rule is turned off." in plain(shown("why", event))
    changing.switch(Rule.objects.all(), on=True)
    text = plain(shown("why", event))
    assert "The rule was off then. It has been on since" in text
    assert "turned off" not in text
    reasons = {each["reason"] for each in plain_events.as_data(event)["verdicts"]}
    assert "The rule was off then." in reasons
    rule.delete()
    assert "The rule was off then. It was deleted since." in plain(shown("why", event))


@pytest.mark.parametrize("page", ["why", "simulate"])
def test_a_rule_is_told_by_what_it_does_and_below_by_when(page):
    shop = shops.build()
    number = shops.product_of(shop.sell()).external_id
    rule = shop.rule("product_refunded", number, destination__name="Course Two", delay_days=3)
    event = shop.sell(changed("10_product", order__id=4711))
    html = shown(page, event)
    told = re.findall(
        r'<th data-label="Rule">(?:<a [^>]+>)?(.*?) <span class="soft line">(.*?)</span>', html
    )
    assert (
        f"Enroll in Course Two · {rule.integration} · 3 days later",
        f"Product Refunded, {rule.product}",
    ) in told


@pytest.mark.parametrize("text", ["Product Purchased: enroll", say("Rule {number}", number="7")])
def test_a_text_of_another_form_stays_in_one_line(text):
    assert in_two_lines(text) == (text, "")
