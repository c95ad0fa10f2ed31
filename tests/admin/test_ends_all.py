"""The check box of a rule that ends all access: in the guided form, on its page, in lists."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from config.staff import roles
from rules.models import Rule
from tests.support import browsing, scenery
from tests.support.pages import markup, signed_in, words

pytestmark = pytest.mark.first_database

TICK = 'name="ends_all"'
HELP = "Without it, the rule ends only what the purchase itself gave."
NEEDED = "Select this: the event that triggers this rule gave no access of its own that could end."


@pytest.fixture
def manager(place) -> Client:
    return signed_in(roles.MANAGER)


def last_step(client: Client, **changes: Any) -> Any:
    return client.get(reverse("admin:new-rule"), scenery.ending_answers(**changes))


def refund_rule() -> Rule:
    return Rule.objects.get(product__external_id="1048001", trigger="product_refunded")


def page_of(rule: Rule) -> str:
    return reverse("admin:rules_rule_change", args=[rule.pk])


@pytest.mark.parametrize(
    ("trigger", "needed"), [("product_refunded", False), ("product_purchased", True)]
)
def test_the_guided_form_offers_it_and_says_where_it_is_needed(manager, trigger, needed):
    page = last_step(manager, trigger=trigger)
    assert TICK in page.content.decode()
    assert HELP in words(page)
    assert (NEEDED in words(page)) is needed


def test_the_guided_form_offers_it_only_for_what_ends_access(manager):
    page = last_step(manager, action="create_course_enrollment", ends_all="1")
    assert TICK not in markup(page)
    assert "even if something else gave it" not in words(page)


@pytest.mark.parametrize("ends_all", [True, False])
def test_the_rule_is_added_as_it_was_ticked(manager, ends_all):
    data = scenery.ending_answers(**({"ends_all": "1"} if ends_all else {}))
    added = manager.post(reverse("admin:new-rule"), data, follow=True)
    rule = Rule.objects.latest("pk")
    assert rule.ends_all is ends_all
    assert ("on Art Academy, even if something else gave it." in words(added)) is ends_all


def test_a_tick_stays_while_one_goes_back_and_can_be_taken_off(manager):
    page = markup(last_step(manager, ends_all="1"))
    assert f'{TICK} value="1" id="ends_all" aria-describedby="ends_all_help" checked' in page
    assert 'type="hidden" name="ends_all"' not in page
    assert "&amp;ends_all=1" in page


def test_it_is_ticked_on_the_page_of_a_rule_and_shown_in_the_lists(manager):
    rule = refund_rule()
    assert HELP in words(manager.get(page_of(rule)))
    assert NEEDED not in words(manager.get(page_of(rule)))
    manager.post(page_of(rule), form(rule, ends_all="on"))
    rule.refresh_from_db()
    assert rule.ends_all
    listed = words(manager.get(reverse("admin:rules_rule_changelist")))
    assert "· Art Academy · even if something else gave it" in listed
    of_product = reverse("admin:integrations_product_change", args=[rule.product_id])
    assert "· Art Academy · even if something else gave it" in words(manager.get(of_product))
    simulated = manager.get(
        reverse("admin:simulate"), {"trigger": "product_refunded", "product": rule.product_id}
    )
    assert "on Art Academy, even if something else gave it." in words(simulated)


def test_it_falls_away_when_the_rule_is_to_give_access(manager):
    rule = refund_rule()
    Rule.objects.filter(pk=rule.pk).update(ends_all=True)
    data = form(rule, ends_all="on", action="create_course_enrollment")
    manager.post(page_of(rule), data | {"trigger": "subscription_charged"})
    rule.refresh_from_db()
    assert (rule.action, rule.ends_all) == ("create_course_enrollment", False)


def test_someone_who_only_looks_sees_it_where_a_rule_ends_access(place):
    viewer = signed_in(roles.VIEWER)
    assert "End it even if something else gave it" in words(viewer.get(page_of(refund_rule())))
    gives = Rule.objects.filter(action="create_course_enrollment")[0]
    assert "End it even if something else gave it" not in words(viewer.get(page_of(gives)))


@pytest.mark.browser
def test_the_page_shows_it_only_while_the_chosen_action_ends_access(place, address, browser):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(address + page_of(refund_rule()))
        tick = page.get_by_label("End it even if something else gave it")
        expect(tick).to_be_visible()
        page.locator("#part-what summary").click()
        page.get_by_label("Create Course Enrollment").check()
        expect(tick).to_have_count(0)
        page.get_by_label("Expire Bundle Enrollment").check()
        expect(tick).to_be_visible()


def form(rule: Rule, **changes: Any) -> dict[str, Any]:
    names = ("marketplace", "scope", "product", "trigger", "integration", "action", "destination")
    data = {name: getattr(rule, f"{name}_id", None) or getattr(rule, name) for name in names}
    return data | {"enabled": "on"} | changes
