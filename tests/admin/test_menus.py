"""The menus of lists and of the header, in a real Chromium: they close, and stay closed."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support import browsing, scenery

pytestmark = pytest.mark.browser
LOG = "/admin/events/eventlog/"


@pytest.fixture
def page(place, address, browser) -> Iterator[Page]:
    """Somebody who has signed in."""
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        found = context.new_page()
        browsing.sign_in(found, address, place.people["Owner"], scenery.PASSWORD)
        yield found


def chip(page: Page, name: str) -> Locator:
    return page.locator(".chip").filter(has=page.locator("summary", has_text=name))


def open_menu(menu: Locator) -> Locator:
    menu.locator("summary").click()
    expect(menu).to_have_attribute("open", "")
    return menu


def closed(menu: Locator) -> None:
    expect(menu).not_to_have_attribute("open", "")


def test_a_menu_closes_by_a_choice_and_stays_closed_on_later_visits(page, address):
    page.goto(address + LOG)
    open_menu(chip(page, "Result")).get_by_role("link", name="Succeeded").click()
    page.wait_for_url("**/?result=done")
    closed(chip(page, "Result"))
    page.go_back()
    closed(chip(page, "Result"))
    open_menu(chip(page, "Trigger"))
    for path in (LOG, "/admin/events/rulerun/", LOG):
        page.goto(address + path)
        expect(page.locator(".chip[open]")).to_have_count(0)


def test_only_the_search_for_a_product_opens_its_menu_again(page, address):
    page.goto(address + LOG)
    product = open_menu(chip(page, "Product"))
    product.get_by_role("searchbox").fill("water")
    product.get_by_role("button", name="Find").click()
    page.wait_for_url("**/?product_name=water")
    expect(product).to_have_attribute("open", "")
    product.get_by_role("link", name="Watercolor").click()
    page.wait_for_url("**/?product=*")
    closed(product)
    expect(page.locator("a[href*=product_name]")).to_have_count(0)


@pytest.mark.parametrize("away", ["click", "Escape"])
def test_a_click_outside_and_escape_close_a_menu(page, address, away: str):
    page.goto(address + LOG)
    for menu in (chip(page, "Result"), page.locator("details.person")):
        open_menu(menu)
        if away == "click":
            page.locator("h1").click()
        else:
            page.keyboard.press(away)
            expect(menu.locator("summary")).to_be_focused()
        closed(menu)


def test_new_rows_come_while_a_menu_is_open(page, place, address):
    page.clock.install()
    page.goto(address + LOG)
    rows = page.locator("#result_list tbody tr")
    before = rows.count()
    menu = open_menu(chip(page, "Result"))
    place.sell("1048001", 1)
    page.clock.run_for(11_000)
    expect(rows).to_have_count(before + 1)
    expect(menu).to_have_attribute("open", "")
