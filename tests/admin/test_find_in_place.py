"""Finding a course while giving access keeps what was entered, in a real Chromium."""

import pytest
from playwright.sync_api import Browser, expect

from events.models import EventLog
from tests.support import browsing

pytestmark = pytest.mark.browser


def test_what_was_entered_stays_while_courses_are_found_as_one_types(
    place, address: str, browser: Browser
):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}/admin/give-to-anyone/")
        page.get_by_label("E-mail").fill("friend@example.com")
        page.get_by_label("Perspective").check()
        page.locator("#q").fill("drawing")
        expect(page.get_by_label("Watercolor for Beginners")).to_have_count(0)
        expect(page.get_by_label("Drawing Foundations")).to_be_visible()
        expect(page.get_by_label("Perspective")).to_be_checked()
        page.locator("#q").press("Enter")
        expect(page.get_by_label("E-mail")).to_have_value("friend@example.com")
        page.get_by_label("Reason").fill("A gift")
        page.get_by_label("E-mail").press("Enter")
        expect(page.get_by_text("Perspective is given to friend@example.com now.")).to_be_visible()
    assert EventLog.objects.filter(by_hand="give", author_note="A gift").count() == 1
