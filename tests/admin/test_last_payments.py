"""Where plans of several payments are set up: Admit must hear that one was paid in full."""

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from integrations.models import Marketplace
from rules import pairing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import markup, signed_in, words
from tests.support.queued import event
from tests.support.world import World

pytestmark = pytest.mark.first_database

HINT = (
    "SamCart has sent no Subscription Completed yet. If you sell plans of several payments, have "
    "SamCart send it, so that a cancellation after the last payment ends no access."
)


@pytest.fixture
def rule(world: World) -> Rule:
    return world.rule(
        "product_purchased", "create_course_enrollment", world.course("Ink"), product="77"
    )


@pytest.fixture
def manager(rule) -> Client:
    return signed_in(roles.MANAGER)


def new_rule(rule: Rule) -> str:
    """Return the address of New rule, filled in so that it shows the outcome."""
    course = factories.DestinationFactory.create(integration=rule.integration)
    asked = f"product={rule.product_id}&trigger=product_purchased&integration={rule.integration_id}"
    action = f"action=create_course_enrollment&destination={course.pk}"
    return f"{reverse('admin:new-rule')}?{asked}&{action}"


def heard(account: Marketplace) -> None:
    event(None, trigger="subscription_completed")
    assert account.events.filter(trigger="subscription_completed").exists()


def test_new_rule_and_coverage_say_that_subscription_completed_was_never_sent(manager, rule):
    where = f'href="{reverse("admin:samcart-account", args=[rule.marketplace_id])}#triggers"'
    pages = (new_rule(rule), reverse("admin:coverage"))
    for page in pages:
        found = manager.get(page)
        assert words(found).count(HINT) == 1, page
        assert where in markup(found).partition("SamCart has sent no")[2].partition("</p>")[0]
    heard(rule.marketplace)
    for page in pages:
        assert "has sent no Subscription Completed" not in words(manager.get(page)), page


def test_the_overview_says_so_where_triggers_of_subscriptions_were_never_sent(manager, rule):
    overview = reverse("admin:index")
    for refund in pairing.companions([rule]):
        if refund.trigger == "product_refunded":
            pairing.add([refund])
    text = words(manager.get(overview))
    assert "Product Refunded: 1 rule waits for it." in text
    assert HINT not in text
    pairing.add([each for each in pairing.companions([rule]) if each.trigger != "product_refunded"])
    assert words(manager.get(overview)).count(HINT) == 1
    heard(rule.marketplace)
    assert "has sent no Subscription Completed" not in words(manager.get(overview))


def test_of_two_accounts_the_one_that_never_sent_it_is_named_by_its_page(manager, rule):
    heard(rule.marketplace)
    second = factories.MarketplaceFactory.create(name="Second shop")
    page = markup(manager.get(reverse("admin:coverage")))
    line = page.partition("SamCart has sent no")[2].partition("</p>")[0]
    assert f'href="{reverse("admin:samcart-account", args=[second.pk])}#triggers"' in line
    assert "has sent no Subscription Completed" not in words(manager.get(new_rule(rule)))
