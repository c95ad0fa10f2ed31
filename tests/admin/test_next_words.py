"""What pages say where there is nothing yet, and which way goes on from there."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import Batch
from integrations.models import Product
from integrations.sentences import say
from tests.support.pages import markup, signed_in, words
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

RULES = "admin:rules_rule_changelist"


@pytest.fixture
def manager(shop: Shop) -> Client:
    return signed_in(roles.MANAGER)


def test_an_empty_list_of_global_rules_is_not_said_to_be_filtered(shop, manager):
    shop.rule(product="7")
    text = words(manager.get(reverse(RULES), {"scope__exact": "global"}))
    assert "No global rule yet. A global rule runs for every product." in text
    assert "No rules match" not in text
    filtered = {"scope__exact": "global", "state": "off"}
    assert "No rules match." in words(manager.get(reverse(RULES), filtered))


def test_the_page_of_added_rules_leads_to_the_next_step_until_all_is_set_up(shop, manager):
    rule = shop.rule(product="7")
    page = manager.get(reverse("admin:new-rule-added"), {"rule": rule.pk})
    assert "The next step of your setup: " in words(page)
    link = f'<a class="button primary" href="{reverse("admin:index")}#checklist">'
    assert link in page.content.decode()


def test_buyers_who_wait_come_before_the_next_step_of_the_setup(shop, manager):
    shop.sell("10_product")
    rule = shop.rule(product=str(Product.objects.get().external_id))
    page = markup(manager.get(reverse("admin:new-rule-added"), {"rule": rule.pk}))
    assert re.search(r'class="button small primary" href="[^"]*">See and enroll them', page)
    assert page.count(" primary") == 1


def test_no_page_asks_to_press_a_button_that_it_does_not_have(shop, manager, settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    shop.rule(product="7")
    page = manager.get(reverse("admin:samcart-account", args=[shop.marketplace.pk]))
    assert "Press Show" not in words(page)


def test_the_heading_of_what_ran_for_earlier_buyers_is_short_and_the_rule_stands_below(manager):
    rule = "When Watercolor is purchased, " + "enroll the customer in " * 9
    title = say("For earlier buyers: {rule}", rule=rule)
    batch = Batch.objects.create(title=title, started_by="Mia")
    page = manager.get(reverse("admin:batch"), {"number": batch.pk})
    assert "<h1>For earlier buyers</h1>" in page.content.decode()
    assert rule.strip() in words(page)
