"""That tests.support.contrast sees what is too pale, and lets pass what is not."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from tests.support import browsing, contrast

pytestmark = pytest.mark.browser
PALE = "color: #bbb"
ROWS = "<p>A text</p>" * 20


@pytest.fixture(scope="module")
def page(browsers: Callable[[], Browser]) -> Iterator[Page]:
    with browsing.window(browsers(), browsing.Look()) as context:
        yield context.new_page()


def too_pale(page: Page, body: str) -> list[str]:
    page.set_content(f"<html lang=en><body style='background: #fff; color: #000'>{body}")
    page.evaluate(AXE_SCRIPT)
    return contrast.too_pale(page)


@pytest.mark.parametrize(
    "body",
    [
        f"{ROWS}<p style='{PALE}'>Pale</p>",
        f"{ROWS}<div style='background: #222'><p>Dark on dark</p></div>",
        f"{ROWS}<div style='background: #222'><div><p>Dark on dark</p></div></div>",
        f"{ROWS}<div style='opacity: 0.4'><p>Dimmed</p></div>",
        f"{ROWS}<p style='position: absolute; top: 0; {PALE}'>Elsewhere</p>",
        f"<div style='background: #222; height: 99px'></div>{ROWS}"
        "<p style='position: absolute; top: 30px'>Over something dark</p>",
        f"<input style='{PALE}' value='Pale'>",
        f"<input style='{PALE}' value='Off, so nobody minds' disabled>"
        f"<input style='{PALE}' value='Pale'>",
        f"<p style='{PALE}'>–</p><p style='{PALE}'>Pale</p>",
        f"<p style='{PALE}; font-size: 30px; font-weight: 700'>Large</p>",
    ],
)
def test_what_is_too_pale_is_seen(page, body: str):
    assert len(too_pale(page, body)) == 1


def test_all_that_look_alike_are_asked_about_at_once(page):
    assert len(too_pale(page, f"<p style='{PALE}'>Pale</p>" * 20)) == 1


@pytest.mark.parametrize(
    "body", [ROWS, f"{ROWS}<p style='color: #777; font-size: 30px'>Large", "<p hidden>None"]
)
def test_what_is_strong_enough_is_let_pass(page, body: str):
    assert too_pale(page, body) == []
