"""A rule that is turned off is seen before a buyer is lost: on its page, Overview and Coverage."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.staff import roles
from integrations import audit
from integrations.models import AuditEntry, Destination
from rules import changing, pairing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import markup, said, signed_in, words
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

OVERVIEW, COVERAGE = "admin:index", "admin:coverage"
OFF = "This rule is off, so it does not happen."


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def rule(shop: Shop) -> Rule:
    """A rule for Oil Painting Monthly that gives Oil Painting, with its companions."""
    made = shop.rule(product="7", destination=course(shop, "Oil Painting"))
    assert made.product is not None
    made.product.name = "Oil Painting Monthly"
    made.product.save()
    pairing.add(pairing.companions([made]))
    return made


def course(shop: Shop, name: str) -> Destination:
    made: Destination = factories.DestinationFactory.create(name=name, integration=shop.integration)
    return made


def turn_off() -> None:
    Rule.objects.filter(trigger="product_purchased").update(enabled=False)


def test_the_page_of_a_rule_that_is_off_says_so_in_its_heading_and_its_sentence(rule, manager):
    page = reverse("admin:rules_rule_change", args=[rule.pk])

    def shown(client: Client) -> tuple[str, str]:
        answer = client.get(page)
        heading = re.search(r"<h1>.*?</h1>", markup(answer), re.DOTALL)
        return heading[0] if heading else "", words(answer)

    for client in (manager, signed_in(roles.SUPPORT)):
        heading, text = shown(client)
        assert "Off" not in heading
        assert OFF not in text
    turn_off()
    for client in (manager, signed_in(roles.SUPPORT)):
        heading, text = shown(client)
        assert "Off" in heading
        assert f"on {rule.integration}. {OFF}" in text


def test_the_overview_says_which_product_gives_nothing_because_its_rule_is_off(rule, manager):
    assert "is off" not in words(manager.get(reverse(OVERVIEW)))
    turn_off()
    text = words(manager.get(reverse(OVERVIEW)))
    assert "1 product gives nothing: its rule is off." in text
    line = "1 rule that gives Oil Painting is off: buyers of Oil Painting Monthly get nothing."
    assert line in text


def test_its_rules_are_turned_on_from_there(shop, rule, manager):
    shop.rule(product="7", destination=course(shop, "Ink"))
    turn_off()
    page = manager.get(reverse(OVERVIEW))
    assert "2 rules that give Oil Painting and Ink are off: buyers of" in words(page)
    form = page.content.decode().partition('value="turn_on">')[2].partition("</form>")[0]
    chosen = re.findall(r'name="_selected_action" value="(\d+)"', form)
    sent = {"action": "turn_on", "index": "0", "_selected_action": chosen, "back": "/admin/"}
    answer = manager.post(reverse("admin:rules_rule_changelist"), sent, follow=True)
    assert answer.redirect_chain[-1][0] == reverse(OVERVIEW)
    assert said(answer)[0] == "2 rules turned on, from the next event on."
    assert not Rule.objects.filter(enabled=False).exists()
    assert "buyers of Oil Painting Monthly get nothing" not in words(answer)


def test_who_may_not_change_rules_reads_it_and_gets_no_button(rule):
    turn_off()
    page = signed_in(roles.SUPPORT).get(reverse(OVERVIEW))
    assert "buyers of Oil Painting Monthly get nothing" in words(page)
    assert 'value="turn_on"' not in markup(page)


def test_a_product_that_another_rule_serves_is_no_worry(shop, rule, manager):
    turn_off()
    shop.rule(destination=rule.destination)
    assert "get nothing" not in words(manager.get(reverse(OVERVIEW)))
    Rule.objects.filter(product=None).delete()
    shop.rule(product="7", destination=course(shop, "Ink"))
    assert "get nothing" not in words(manager.get(reverse(OVERVIEW)))


def test_however_many_are_off_that_is_two_queries_and_five_lines(shop, rule, manager):
    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            manager.get(reverse(OVERVIEW))
        return len(asked)

    none = cost()
    for number in range(10, 16):
        shop.rule(product=str(number), destination=rule.destination)
    turn_off()
    assert cost() <= none + 2
    page = words(manager.get(reverse(OVERVIEW)))
    assert page.count("1 rule that gives Oil Painting is off") == 2 * 5  # and each button's name
    assert "And 2 more products" in page


def test_a_deleted_rule_for_refunds_is_told_while_its_product_gives_the_course(rule, manager):
    told = (
        "The rule that ended Oil Painting on a refund was deleted: refunded buyers of Oil Painting "
        "Monthly keep access."
    )
    assert told not in words(manager.get(reverse(OVERVIEW)))
    ending = Rule.objects.filter(trigger="product_refunded")
    with CaptureQueriesContext(connection) as before:
        manager.get(reverse(OVERVIEW))
    changing.delete(ending)
    with CaptureQueriesContext(connection) as after:
        page = manager.get(reverse(OVERVIEW))
    assert len(after) <= len(before) + 2  # its product, and how that is sold
    assert told in words(page)
    assert "1 rule that ended access on a refund was deleted." in words(page)
    seen = words(signed_in(roles.SUPPORT).get(reverse(OVERVIEW)))
    assert f"{told} Ask a manager to restore it." in seen
    (address,) = re.findall(
        r'<form method="post" action="([^"]*/do_undo/|[^"]*undo[^"]*)"', markup(page)
    )
    back = manager.post(address, {"back": reverse(OVERVIEW)}, follow=True)
    assert back.redirect_chain[-1][0] == reverse(OVERVIEW)
    assert Rule.objects.filter(trigger="product_refunded").count() == 1
    assert told not in words(back)


def test_a_deleted_rule_for_refunds_is_no_worry_without_anything_that_it_would_end(
    shop, rule, manager
):
    changing.delete(Rule.objects.filter(trigger="product_refunded"))
    twin = shop.rule(
        "product_refunded", action="expire_course_enrollment", destination=rule.destination
    )
    assert "was deleted" not in words(manager.get(reverse(OVERVIEW)))
    twin.delete()
    assert "was deleted" in words(manager.get(reverse(OVERVIEW)))
    turn_off()
    assert "was deleted" not in words(manager.get(reverse(OVERVIEW)))


def test_coverage_shows_what_exists_beside_a_rule_that_is_off_and_offers_none_of_it_again(
    rule, manager
):
    turn_off()
    page = manager.get(reverse(COVERAGE))
    assert f'name="on-{rule.product_id}"' not in markup(page)
    text = words(page)
    assert "Product Refunded Subscription Canceled Subscription Delinquent" in text
    seen = words(signed_in(roles.SUPPORT).get(reverse(COVERAGE)))
    assert "Product Refunded Subscription Canceled Subscription Delinquent" in seen


def test_what_is_missing_beside_a_rule_that_is_off_can_be_ticked_and_is_added(rule, manager):
    turn_off()
    Rule.objects.filter(trigger="product_refunded").delete()
    tick = f"on-{rule.product_id}"
    box = re.search(
        rf'<input[^>]*name="{tick}"[^>]*>', manager.get(reverse(COVERAGE)).content.decode()
    )
    assert box is not None
    assert " checked" not in box[0]
    sent = {"row": rule.product_id, tick: "product_refunded", "looked": "yes"}
    manager.post(reverse(COVERAGE), sent)
    assert Rule.objects.filter(trigger="product_refunded", product=rule.product).count() == 1


REFUNDS = (
    "1 rule that ends Oil Painting on a refund is off: refunded buyers of Oil Painting Monthly"
)


def test_the_overview_says_whose_refunded_buyers_stay_in_because_a_rule_is_off(rule, manager):
    assert "on a refund is off" not in words(manager.get(reverse(OVERVIEW)))
    ending = Rule.objects.get(trigger="product_refunded")
    Rule.objects.exclude(trigger="product_purchased").update(enabled=False)
    page = manager.get(reverse(OVERVIEW))
    assert "1 rule that ends access on a refund is off." in words(page)
    assert f"{REFUNDS} keep access. See its rules" in words(page)
    form = page.content.decode().partition('value="turn_on">')[2].partition("</form>")[0]
    assert re.findall(r'name="_selected_action" value="(\d+)"', form) == [str(ending.pk)]
    sent = {"action": "turn_on", "index": "0", "_selected_action": ending.pk, "back": "/admin/"}
    answer = manager.post(reverse("admin:rules_rule_changelist"), sent, follow=True)
    assert said(answer)[0] == "1 rule turned on, from the next event on."
    assert "on a refund is off" not in words(answer)


def test_the_overview_names_who_turned_a_rule_off(rule, manager):
    Rule.objects.filter(trigger="product_refunded").update(enabled=False)
    assert "See the change by" not in words(manager.get(reverse(OVERVIEW)))
    ending = Rule.objects.filter(trigger="product_refunded")
    changing.switch(ending, on=True)
    with audit.acting(lambda: audit.Actor(who="cora@example.com")):
        changing.switch(ending, on=False)
    page = manager.get(reverse(OVERVIEW))
    line = "keep access. See its rules See the change by cora@example.com on "
    assert line in words(page)
    entry = AuditEntry.objects.latest("pk")
    assert reverse("admin:integrations_auditentry_change", args=[entry.pk]) in page.content.decode()
    assert "See the change by" not in words(signed_in(roles.SUPPORT).get(reverse(OVERVIEW)))


def test_a_rule_for_refunds_that_is_off_is_no_worry_if_another_one_ends_the_same(
    shop, rule, manager
):
    Rule.objects.filter(trigger="product_refunded").update(enabled=False)
    assert REFUNDS in words(manager.get(reverse(OVERVIEW)))
    ends = {"action": rule.spec.opposite, "destination": rule.destination}
    shop.rule(trigger="product_refunded", **ends)
    assert "on a refund is off" not in words(manager.get(reverse(OVERVIEW)))


def test_a_rule_for_refunds_that_is_off_is_no_worry_if_nothing_gives_the_course(rule, manager):
    Rule.objects.filter(trigger="product_refunded").update(enabled=False)
    turn_off()
    assert "on a refund is off" not in words(manager.get(reverse(OVERVIEW)))


def test_a_global_rule_for_refunds_that_is_off_is_told_once(shop, rule, manager):
    Rule.objects.filter(trigger="product_refunded").delete()
    shop.rule(product="8", destination=rule.destination)
    ends = {"action": rule.spec.opposite, "destination": rule.destination, "enabled": False}
    shop.rule(trigger="product_refunded", **ends)
    page = manager.get(reverse(OVERVIEW))
    text = "1 global rule that ends Oil Painting on a refund is off: refunded buyers keep access."
    assert words(page).count(f"{text} See its rules") == 1
    listed = f"{reverse('admin:rules_rule_changelist')}?scope__exact=global&amp;state=off"
    assert listed in page.content.decode()


CANCELLATIONS = (
    "1 rule that ends Oil Painting on a cancellation is off: canceled buyers of Oil Painting "
    "Monthly keep access."
)


def test_the_overview_says_whose_canceled_buyers_stay_in_because_a_rule_is_off(rule, manager):
    assert "on a cancellation is off" not in words(manager.get(reverse(OVERVIEW)))
    ending = Rule.objects.get(trigger="subscription_canceled")
    with audit.acting(lambda: audit.Actor(who="cora@example.com")):
        changing.switch(Rule.objects.filter(pk=ending.pk), on=False)
    page = manager.get(reverse(OVERVIEW))
    assert "1 rule that ends access on a cancellation is off." in words(page)
    assert f"{CANCELLATIONS} See its rules See the change by cora@example.com" in words(page)
    assert "on a refund is off" not in words(page)
    form = page.content.decode().partition('value="turn_on">')[2].partition("</form>")[0]
    assert re.findall(r'name="_selected_action" value="(\d+)"', form) == [str(ending.pk)]
    sent = {"action": "turn_on", "index": "0", "_selected_action": ending.pk, "back": "/admin/"}
    answer = manager.post(reverse("admin:rules_rule_changelist"), sent, follow=True)
    assert "on a cancellation is off" not in words(answer)


def test_coverage_counts_a_rule_for_cancellations_that_is_off(rule, manager):
    Rule.objects.filter(trigger="subscription_canceled").update(enabled=False)
    told = "In 1 row, rules that end access or give it back are off."
    assert told in words(manager.get(reverse(COVERAGE)))


def test_a_shop_without_a_rule_for_cancellations_hears_nothing_of_them(rule, manager):
    Rule.objects.filter(trigger="subscription_canceled").delete()
    assert "on a cancellation" not in words(manager.get(reverse(OVERVIEW)))


def test_the_rules_of_a_product_for_refunds_and_for_cancellations_have_a_line_each(
    shop, rule, manager
):
    """Of more than five products the others are counted, each once."""
    for number in range(10, 16):
        other = shop.rule(product=str(number), destination=rule.destination)
        pairing.add(pairing.companions([other]))
    Rule.objects.filter(trigger__in=pairing.ENDS).update(enabled=False)
    text = words(manager.get(reverse(OVERVIEW)))
    assert "7 rules that end access on a refund are off." in text
    assert "7 rules that end access on a cancellation are off." in text
    # Each line is also the name of its button.
    assert text.count("1 rule that ends Oil Painting on a refund is off") == 2 * 5
    assert text.count("1 rule that ends Oil Painting on a cancellation is off") == 2 * 5
    assert "And 2 more products" in text


def test_a_global_rule_for_cancellations_that_is_off_is_told_once(shop, rule, manager):
    Rule.objects.filter(trigger="subscription_canceled").delete()
    ends = {"action": rule.spec.opposite, "destination": rule.destination, "enabled": False}
    shop.rule(trigger="subscription_canceled", **ends)
    text = (
        "1 global rule that ends Oil Painting on a cancellation is off: canceled buyers keep "
        "access."
    )
    assert words(manager.get(reverse(OVERVIEW))).count(f"{text} See its rules") == 1
