"""Every page in a real Chromium: works, legible, narrow enough, usable by keyboard."""

import re
from pathlib import Path
from typing import Any

import django.apps
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import resolve
from playwright.sync_api import Page, Request

from tests.support import browsing, contrast, crowd, fitting, scenery, screenshots, thumbs
from tests.support.every_page import CROWDED, PAGES, SAYING
from tests.support.pages import named_addresses

pytestmark = pytest.mark.browser

# Pages lead there if nobody is signed in, and nothing is wrong with that page.
LOGIN = "/admin/login/"
# Opened before or after somebody is signed in; and the stock list of an app, which is not there.
# The hits are a part of a page, and test_search_page looks at them there.
ELSEWHERE = {"login", "logout", "app_list", "search-hits"}
# To describe each element that passed takes longer than to look at it. And no rule of these reads
# the style sheets, which it would fetch before each look.
LESS = {"resultTypes": ["violations"], "preload": False}
TAGS = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
ALL_RULES = {"runOnly": TAGS, **LESS}
ALL_BUT_CONTRAST = ALL_RULES | {"rules": {"color-contrast": {"enabled": False}}}
# What a rule for the dark declares.
DARK = re.compile(
    r"""(?:html\[data-theme="dark"\]|prefers-color-scheme: dark\) \{\s*:root) \{([^}]*)\}"""
)
CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
# Of a group of radio buttons Tab reaches one; the arrow keys do the rest.
MARK = """([controls, part]) => {
  const keyOf = (element) => (element.type === "radio" && element.name) || element;
  const start = document.querySelector(part);
  const wanted = [...start.querySelectorAll(controls)].filter((each) =>
    each.checkVisibility({visibilityProperty: true}) && !each.disabled && each.tabIndex >= 0);
  window.unreached = new Map(wanted.map((each) => [keyOf(each), each]));
  document.activeElement.blur();
  start.focus();
  document.addEventListener("focusin", (event) => window.unreached.delete(keyOf(event.target)));
  return window.unreached.size;
}"""
# What a browser gets for the page at a first visit, as it is sent: with all that it loads.
WEIGHT = """() => ["navigation", "resource"]
  .flatMap(kind => performance.getEntriesByType(kind))
  .reduce((sum, each) => sum + each.encodedBodySize, 0)"""
HEAVY = 64 * 1024
LEFT = "[...window.unreached.values()].map(each => each.outerHTML.slice(0, 160))"


@pytest.fixture
def place(place: scenery.Scenery) -> scenery.Scenery:
    """The shop with a past, and a Notify URL beside its school."""
    scenery.add_receiver(place.world)
    return place


def complaints(page: Page) -> list[str]:
    """What the page says to its console, a violated policy among it, and scripts that broke."""
    found: list[str] = []
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda sent: found.extend(failures(sent)))
    return found


def failures(sent: Request) -> list[str]:
    """That this could not be fetched; not where it was given up because the page was left."""
    left = sent.resource_type == "fetch" and sent.failure == "net::ERR_ABORTED"
    return [] if left else [f"{sent.url} {sent.failure}"]


def barriers(page: Page, rules: dict[str, Any]) -> list[str]:
    """What axe, which is on the page, finds against these of its rules, as "rule: element"."""
    found: list[dict[str, Any]] = page.evaluate("rules => axe.run(rules)", rules)["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


EMPTY_CELLS = """() => [...document.querySelectorAll("table.cards td, table.cards tbody th")]
  .filter(e => e.checkVisibility() && getComputedStyle(e).display !== "table-cell")
  .filter(e => !e.innerText.trim().replace("-", "") && !e.querySelector("input, button, a"))
  .map(e => e.outerHTML.slice(0, 160))"""


def of_page(path: str, page: Page, said: list[str], first: bool = False) -> list[str]:
    """Each fault of the page that is open, wide and narrow, in light and dark, as a line.

    What all pages share is looked at on the `first` one: the frame by keyboard, and what only a
    narrow window shows.
    """
    # Before axe is put there, which breaks the policy itself.
    reached = out_of_reach(page, "body" if first else "main")
    found = [*said, *(f"not reached by Tab: {each}" for each in reached)]
    page.evaluate(AXE_SCRIPT)
    for width, height in (browsing.WIDE, browsing.NARROW):
        page.set_viewport_size({"width": width, "height": height})
        wide = browsing.overflow(page)
        faults = [f"overflows by {wide} px"] if wide > 0 else []
        # In a card a cell without anything is a gap.
        faults += [f"has an empty cell: {cell}" for cell in page.evaluate(EMPTY_CELLS)]
        if width == browsing.WIDE[0]:
            faults += barriers(page, ALL_RULES) + in_the_dark(page)
        else:
            # Text that looked alike when the window was wide still does.
            faults += contrast.too_pale(page) + thumbs.missed(page)
            faults += barriers(page, ALL_BUT_CONTRAST) if first else []
        found += [f"at {width} px: {fault}" for fault in faults]
    width, height = browsing.WIDE
    page.set_viewport_size({"width": width, "height": height})
    return [f"{path} {fault}" for fault in found]


def in_the_dark(page: Page) -> list[str]:
    """What is too pale there. Only the colors differ: what is behind each text, light has told."""
    page.emulate_media(color_scheme="dark")
    faults = [f"in the dark: {fault}" for fault in contrast.too_pale(page)]
    page.emulate_media(color_scheme="light")
    return faults


def out_of_reach(page: Page, part: str) -> list[str]:
    """The controls of this part that Tab does not come to from its start."""
    left: list[str] = []
    # To ask after each key takes as long as the key; a date takes more than one.
    for keys in (page.evaluate(MARK, [CONTROLS, part]), *[1] * 20):
        for _ in range(keys):
            page.keyboard.press("Tab")
        left = page.evaluate(LEFT)
        if not left:
            break
    return left


def of_something(route: str, facts: dict[str, str]) -> str:
    """The route as an address of something that exists; KeyError for an argument nobody knows."""
    label = ".".join(route.split("/")[:2])
    if "object_id" in route and "content_type" not in route:
        newest = django.apps.apps.get_model(label)._default_manager.order_by("pk").last()
        facts = facts | {"object_id": str(newest.pk if newest else 0)}
    return "/admin/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: facts[found[1]], route)


def test_no_page_of_the_admin_is_left_out(place):
    facts = {
        "account": str(place.world.marketplace.pk),
        "person": str(get_user_model().objects.earliest("pk").pk),
        "named": "0",
        "uidb64": "x",
        "token": "x",
        "content_type_id": "0",
        "object_id": "0",
    }
    owner = Client()
    owner.force_login(get_user_model().objects.get(username=place.people["Owner"]))
    looked_at = {resolve(screenshots.fill(path).partition("?")[0]).url_name for path in PAGES}
    left_out = []
    for name, route in named_addresses(admin.site.urls[0]):
        if name in looked_at | ELSEWHERE:
            continue
        answer = owner.get(of_something(route, facts))
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            left_out.append(f"{name} {route}")
    assert not left_out, "\n".join(left_out)


# In parts, because a browser that was asked for too much in one go has crashed, and so that no
# process of the run has minutes of pages left when the others are done.
PARTS = 6
EACH_PART = pytest.mark.parametrize("part", range(PARTS), ids=lambda part: f"part {part + 1}")


@EACH_PART
def test_every_page_is_sound_fits_its_window_and_has_no_barriers(
    place, address, browser, part: int
):
    with browsing.window(browser, browsing.Look(browsing.WIDE)) as context:
        page = context.new_page()
        said = complaints(page)
        faults = []
        if part == 0:  # before anybody is signed in
            page.goto(address + LOGIN)
            faults += of_page("login", page, said, first=True)
        browsing.let_in(page, address, place.people["Owner"])
        for number, path in enumerate(PAGES[part::PARTS]):
            said.clear()
            answer = page.goto(address + screenshots.fill(path))
            assert answer
            assert answer.status == 200, path
            assert LOGIN not in page.url, path
            faults += of_page(path, page, said, first=number == 0)
    assert not faults, "\n".join(faults)


@pytest.fixture
def crowded(place: scenery.Scenery) -> scenery.Scenery:
    """The same shop with full lists and long names."""
    crowd.fill(place)
    return place


# Spanish words are longer, so what fits in English may not.
WIDTHS = {"en": fitting.WIDTHS, "es": (360, 1024, 1200)}


def misfits(page: Page, url: str) -> list[str]:
    """What does not fit on the page at this address, in each language, and that it is heavy."""
    found = []
    for language, widths in WIDTHS.items():
        page.context.set_extra_http_headers({"Accept-Language": language})
        answer = page.goto(url)
        assert answer
        assert (answer.status, answer.headers["content-language"]) == (200, language), url
        assert (LOGIN in page.url) is (LOGIN in url), url
        found += [f"{url} in {language} {fault}" for fault in fitting.misfits(page, widths)]
        if (weight := page.evaluate(WEIGHT)) > HEAVY:
            found.append(f"{url} in {language} weighs {weight:,} bytes")
    return found


@EACH_PART
def test_no_word_is_broken_and_nothing_is_cut_off(crowded, address, browser, part: int):
    with browsing.window(browser, browsing.Look()) as context:
        page = context.new_page()
        faults = misfits(page, address + LOGIN) if part == 0 else []
        browsing.let_in(page, address, crowded.people["Owner"])
        for path in [*PAGES, *CROWDED][part::PARTS]:
            faults += misfits(page, address + screenshots.fill(path))
    assert not faults, "\n".join(faults)


def test_what_fits_in_light_fits_in_the_dark():
    for sheet in Path("config/static/admit").glob("*.css"):
        for dark in DARK.findall(sheet.read_text()):
            assert re.fullmatch(r"(\s*(--[\w-]+|color-scheme): [^;]+;)+\s*", dark), sheet


def test_what_a_page_says_after_a_button_fits_as_well(crowded, address, browser):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        browsing.let_in(page, address, crowded.people["Owner"])
        faults = []
        for path in SAYING:
            page.goto(address + screenshots.fill(path))
            page.locator("main form[method=post] [type=submit]").first.click()
            page.wait_for_load_state("load")
            assert page.locator(".messagelist, .errorlist, .errornote, #address-field").count(), (
                path
            )
            faults += [f"{path} {fault}" for fault in fitting.misfits(page, (320, 768, 1440))]
    assert not faults, "\n".join(faults)
