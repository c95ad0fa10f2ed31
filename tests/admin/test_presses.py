"""A press is never lost: nothing moves between press and release, in a real Chromium."""

import re
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, Route, expect

from config.admin.parts.buttons import address as button_address
from events.models import RuleRun
from integrations.models import Product
from tests.support import browsing

pytestmark = pytest.mark.browser

# As high as it takes that no bar sticks to the bottom of the window.
HIGH = browsing.Look((1440, 4000))


@pytest.fixture
def page(place, address, browser) -> Iterator[Page]:
    """Somebody who has signed in."""
    with browsing.window(browser, HIGH) as context:
        found = context.new_page()
        browsing.let_in(found, address, place.people["Owner"])
        yield found


def press(page: Page, button: Locator, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Press it where it is now, as slowly as a person does."""
    box = button.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.wait_for_timeout(100)
    meanwhile()
    page.mouse.up()


def test_review_the_rules_is_pressed_right_after_a_course_was_typed(page, address):
    page.goto(f"{address}{reverse('admin:coverage')}")
    fields = page.locator(".coverage input[list]")
    number = fields.count()
    fields.last.press_sequentially("No such course")
    expect(fields).to_have_count(number + 1)
    press(page, page.get_by_role("button", name="Review the rules").last)
    expect(page.get_by_text("No course or bundle is called “No such course”.")).to_be_visible()


def held_back(page: Page, address: re.Pattern[str]) -> tuple[Event, Callable[[], None]]:
    """Keep what the page fetches from this address: (it was asked, let the answer through)."""
    waiting: list[Route] = []
    asked = Event()

    def hold(route: Route) -> None:
        if route.request.is_navigation_request():
            route.continue_()
            return
        waiting.append(route)
        asked.set()

    page.route(address, hold)

    def let_go() -> None:
        for route in waiting:
            route.continue_()
        page.wait_for_timeout(500)

    return asked, let_go


def test_what_a_choice_brings_does_not_move_the_button_that_is_being_pressed(page, address):
    product = Product.objects.filter(rules=None).earliest("pk")
    page.goto(f"{address}{reverse('admin:new-rule')}?product={product.pk}")
    asked, let_go = held_back(page, re.compile(r"/admin/new-rule/\?"))
    page.locator("#courses [type=checkbox]").first.check()
    for _ in range(100):
        if not asked.is_set():
            page.wait_for_timeout(50)
    assert asked.is_set()
    below = page.locator("#rule-form :is(a, button):visible").last
    before, after = below.bounding_box(), []

    def meanwhile() -> None:
        let_go()
        after.append(below.bounding_box())

    sentence = page.locator("#sentence").inner_text()
    press(page, below, meanwhile)
    assert after == [before]
    # What was chosen is there as soon as the press is over.
    expect(page.locator("#sentence")).not_to_have_text(sentence)


def test_news_that_come_by_themselves_wait_for_the_end_of_a_press(page, place, address):
    run = RuleRun.objects.filter(code="enrolled").latest("pk")
    failed = RuleRun.objects.filter(pk=run.pk)
    failed.update(status="failed", code="rejected", message="No such student.")
    page.clock.install()
    page.goto(f"{address}{reverse('admin:index')}")
    page.locator(f"[formaction='{button_address(run, 'retry')}']").first.click()
    message = page.locator(".messagelist li")
    expect(message).to_contain_text("1 queued.")
    failed.update(status="failed", message="There is still no such student. " * 9)

    def meanwhile() -> None:
        page.clock.run_for(6_000)
        page.wait_for_timeout(300)
        expect(message).not_to_contain_text("There is still no such student.")

    press(page, page.locator(".ranges a").last, meanwhile)
    expect(page.locator(".ranges a").last).to_have_attribute("aria-current", "true")
