"""The log shows new rows by itself, in a real Chromium, and they can be ticked too."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support import browsing

pytestmark = pytest.mark.browser
LOG = "/admin/events/eventlog/"
ONE_LOOK = 11_000  # milliseconds, in which the page is looked at again once


@pytest.fixture
def page(place, address, browser) -> Iterator[Page]:
    """Somebody who has signed in, and whose clock the test moves."""
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        found = context.new_page()
        browsing.let_in(found, address, place.people["Owner"])
        found.clock.install()
        yield found


def test_all_rows_are_ticked_at_once_after_new_ones_came(page, place, address):
    page.goto(address + LOG)
    rows, bar = page.locator("#result_list tbody tr"), page.locator(".actions")
    number = rows.count() + 1
    place.sell("1048001", 1)
    page.clock.run_for(ONE_LOOK)
    expect(rows).to_have_count(number)
    page.locator("#action-toggle").check()
    expect(page.locator("input.action-select:checked")).to_have_count(number)
    expect(bar).to_contain_text(f"{number} of {number} selected")
    page.locator("#action-toggle").uncheck()
    expect(bar).to_be_hidden()
    rows.nth(2).locator("input").check()
    expect(bar).to_contain_text(f"1 of {number} selected")
    page.keyboard.down("Shift")
    rows.nth(4).locator("input").click()
    page.keyboard.up("Shift")
    expect(bar).to_contain_text(f"3 of {number} selected")
    expect(page.locator("#action-toggle")).not_to_be_checked()


def test_the_first_rows_of_an_empty_list_can_be_ticked(page, place, address):
    page.goto(f"{address}{LOG}?q=99001")
    rows, bar = page.locator("#result_list tbody tr"), page.locator(".actions")
    expect(page.locator(".empty")).to_be_visible()
    place.sell("1048001", 1, order__id=99001)
    place.sell("1048001", 2, order__id=99001)
    page.clock.run_for(ONE_LOOK)
    expect(rows).to_have_count(2)
    page.locator("#action-toggle").check()
    expect(bar).to_contain_text("2 of 2 selected")
    expect(page.locator("input.action-select:checked")).to_have_count(2)
