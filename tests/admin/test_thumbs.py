"""tests.support.thumbs finds what a thumb would miss, and accepts what it hits."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support import browsing, thumbs

pytestmark = pytest.mark.browser
SMALL, LARGE = "style='width: 60px; height: 30px'", "style='width: 44px; height: 44px'"
HIDDEN = "style='clip-path: inset(50%); position: absolute'"


@pytest.fixture(scope="module")
def page(browsers: Callable[[], Browser]) -> Iterator[Page]:
    look = browsing.Look(browsing.NARROW)
    with browsing.window(browsers(), look) as context:
        yield context.new_page()


def missed(page: Page, body: str) -> list[str]:
    page.set_content(body)
    return thumbs.missed(page)


@pytest.mark.parametrize(
    "body",
    [
        f"<button {SMALL}>Go</button>",
        "<button style='width: 30px; height: 50px'>Go</button>",
        "<a href='/' style='display: inline-block'>Go</a>",
        f"<select {SMALL}></select>",
        f"<details><summary {LARGE}>More</summary><button {SMALL}>Go</button></details>",
        "<label><input type='checkbox'> All</label>",
        "<input type='checkbox'>",
    ],
)
def test_what_is_too_small_is_seen(page, body: str):
    assert len(missed(page, body)) == 1


@pytest.mark.parametrize(
    "body",
    [
        f"<button {LARGE}>Go</button>",
        "<p>See <a href='/'>the rule</a> first.",
        f"<div {HIDDEN}><button {SMALL}>Go</button></div>",
        "<label style='display: block; height: 44px'><input type='checkbox'> All</label>",
        "<input type='checkbox' style='width: 24px; height: 24px'>",
        "<button style='display: none'>Go</button>",
        "<input type='hidden'>",
    ],
)
def test_what_a_thumb_hits_is_let_pass(page, body: str):
    assert missed(page, body) == []
