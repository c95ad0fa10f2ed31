"""Why and Simulate show what ran and what nearly ran; all other rules are folded."""

import re

import pytest
from django.urls import reverse

from config.staff import roles
from rules import engine
from rules.engine import Reason
from tests.support import shop as shops
from tests.support.pages import plain, signed_in
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
    address = (
        reverse("admin:events_eventlog_change", args=[event.pk])
        if page == "why"
        else f"{reverse('admin:simulate')}?event={event.pk}"
    )
    html = signed_in(roles.SUPPORT).get(address).content.decode()
    (summary, folded) = re.findall(
        r"<summary>([^<]*do not concern this)</summary>(.*?)</details>", html, re.S
    )[0]
    assert summary == "2 other rules do not concern this"
    assert "Far One" in plain(folded)
    assert "Far Two" in plain(folded)
    for near in ("Same Product", "Turned Off", "It Ran"):
        assert near not in plain(folded)
        assert near in plain(html)
