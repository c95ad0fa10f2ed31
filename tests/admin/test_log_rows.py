"""The rows of the log with the longest names, in a real Chromium."""

import pytest
from django.urls import reverse

from tests.support import browsing, crowd

pytestmark = pytest.mark.browser
HEIGHTS = """() => [...document.querySelectorAll("#result_list tbody tr")].map(
  (row) => Math.round(row.getBoundingClientRect().height)
)"""


def test_rows_of_a_wide_log_are_of_one_height_and_whole_on_hover_and_for_the_keyboard(
    place, address, browser
):
    crowd.fill(place)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}{reverse('admin:events_eventlog_changelist')}")
        heights = page.evaluate(HEIGHTS)
        assert max(heights) - min(heights) <= 1
        cell = page.locator(".field-who .pair").first
        assert crowd.PERSON[1] in (cell.get_attribute("title") or "")
        before = heights[0]
        page.locator("input.action-select").first.focus()
        page.keyboard.press("Tab")
        assert page.evaluate(HEIGHTS)[0] > before
