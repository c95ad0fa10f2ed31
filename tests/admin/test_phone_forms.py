"""On a phone nothing of a form is covered or cut off."""

from typing import Any

import pytest
from django.urls import reverse

from rules.models import Rule
from tests.support import browsing

pytestmark = pytest.mark.browser


@pytest.fixture
def phone(place, address, browser) -> Any:
    with browsing.window(browser, browsing.Look(browsing.NARROW)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        yield page


def test_the_sentence_of_a_rule_stands_whole_above_its_buttons(phone, place, address):
    rule = Rule.objects.filter(product__isnull=False).earliest("pk")
    phone.goto(address + reverse("admin:rules_rule_change", args=[rule.pk]))
    around = phone.locator(".growing").bounding_box()
    buttons = phone.locator(".rule-form .submit-row").bounding_box()
    assert around["y"] + around["height"] <= buttons["y"] + 0.5


def test_the_courses_to_give_are_not_in_a_scroller_of_their_own(phone, place, address):
    phone.goto(address + reverse("admin:give-to-anyone"))
    heights = "list => [list.clientHeight, list.scrollHeight]"
    shown, whole = phone.locator("#choices .choices").evaluate(heights)
    assert shown == whole


def test_the_labels_of_a_form_weigh_what_its_legends_weigh(phone, place, address):
    phone.goto(address + reverse("admin:give-to-anyone"))
    weights = "all => [...new Set(all.map(each => getComputedStyle(each).fontWeight))]"
    labels = phone.locator("form.panel > p > label:not(.visually-hidden), form.panel legend")
    assert labels.evaluate_all(weights) == ["600"]


def test_buttons_side_by_side_are_of_one_height(phone, place, address):
    phone.goto(address + reverse("admin:give-to-anyone"))
    buttons = phone.locator(".page-tools.foot > .button")
    heights = buttons.evaluate_all("all => [...new Set(all.map(each => each.offsetHeight))]")
    assert heights == [44]
