"""The rows of the log with the longest names, in a real Chromium."""

import pytest
from django.urls import reverse

from tests.support import browsing, crowd, fitting

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


CUT = """() => [...document.querySelectorAll("#result_list .field-sold [title]")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.title)"""


@pytest.mark.parametrize("width", [1440, 1920])
def test_usual_names_of_products_are_whole_on_a_wide_screen(place, address, browser, width):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(f"{address}{reverse('admin:events_eventlog_changelist')}")
        cut = page.evaluate(CUT)
        # Its order has a long number, for which only a very wide screen has room.
        assert set(cut) <= ({"Example Membership (monthly)"} if width < 1920 else set())


def test_all_that_is_folded_up_in_the_log_fits_in_spanish(place, address, browser):
    crowd.fill(place)
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.context.set_extra_http_headers({"Accept-Language": "es"})
        page.goto(f"{address}{reverse('admin:events_eventlog_changelist')}")
        assert not fitting.misfits(page, (1280, 1440, 1920))
