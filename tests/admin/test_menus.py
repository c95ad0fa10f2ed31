"""The menus of lists and of the header close, and stay closed, in a real Chromium."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import browsing, crowd

pytestmark = pytest.mark.browser
LOG = "/admin/events/eventlog/"
RULES, INTEGRATIONS = "/admin/rules/rule/", "/admin/integrations/integration/"
# How far the box of the menu leaves the window, and which of its lines something else covers.
HIDDEN = """menu => {
  const box = menu.getBoundingClientRect();
  const seen = document.documentElement;
  const out = [-box.left, -box.top, box.right - seen.clientWidth, box.bottom - seen.clientHeight];
  const covered = [...menu.querySelectorAll("a, button")].filter(line => {
    const at = line.getBoundingClientRect();
    const corners = [[at.left + 3, at.top + 3], [at.right - 3, at.bottom - 3]];
    return !corners.every(([x, y]) => menu.contains(document.elementFromPoint(x, y)));
  });
  return [...out.filter(each => each > 0), ...covered.map(line => line.textContent)];
}"""


@pytest.fixture
def page(place, address, browser) -> Iterator[Page]:
    """Somebody who has signed in."""
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        found = context.new_page()
        browsing.let_in(found, address, place.people["Owner"])
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


@pytest.mark.parametrize("script", [True, False], ids=["", "without script"])
@pytest.mark.parametrize("path", [RULES, INTEGRATIONS])
def test_the_menu_of_the_last_row_is_whole_at_every_width(
    place, address, browser: Browser, path: str, script: bool
):
    crowd.fill(place)
    with browsing.window(browser, browsing.Look(script=script)) as context:
        page = context.new_page()
        browsing.let_in(page, address, place.people["Owner"])
        page.goto(address + path)
        button = page.locator("#result_list .row-menu > button").last
        menu = page.locator("#result_list .row-menu > .sheet").last
        for width in (360, 1024, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            button.click()
            expect(menu).to_be_visible()
            assert menu.locator("a, button").count() > 1
            assert menu.evaluate(HIDDEN) == [], width
            page.mouse.click(5, 5)
            expect(menu).to_be_hidden()


def test_the_keyboard_opens_the_menu_of_a_row_goes_through_it_and_closes_it(page, address):
    page.goto(address + INTEGRATIONS)
    button = page.locator("#result_list .row-menu > button").last
    menu = page.locator("#result_list .row-menu > .sheet").last
    button.press("Enter")
    expect(menu).to_be_visible()
    page.keyboard.press("Tab")
    expect(menu.locator("a, button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(button).to_be_focused()


def test_the_menu_of_a_row_is_closed_for_who_comes_back(page, address):
    page.goto(address + INTEGRATIONS)
    page.locator("#result_list .row-menu > button").last.click()
    page.locator("#result_list :popover-open a").first.click()
    page.wait_for_url("**/change/**")
    page.go_back()
    expect(page.locator("#result_list .row-menu > button").last).to_be_visible()
    expect(page.locator(":popover-open")).to_have_count(0)


def test_a_choice_breaks_nothing_in_a_browser_that_cannot_hide_a_menu(page, address):
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.add_init_script("delete HTMLElement.prototype.hidePopover")
    page.goto(address + INTEGRATIONS)
    page.locator("#result_list .row-menu > button").last.click()
    page.locator("#result_list :popover-open a").first.click()
    page.wait_for_url("**/change/**")
    assert broken == []
