"""tests.support.fitting finds what does not fit, and accepts what does."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support import browsing, fitting

pytestmark = pytest.mark.browser
WORD = "Enrollment"
STYLE = """
body { margin: 0; font: 16px monospace }
.label::before { content: attr(data-label); float: left; width: 90px }
"""
# There is room for the word until the fold beside it is opened.
BESIDE_A_FOLD = f"""<main style='display: flex; width: 300px'>
<p style='overflow-wrap: anywhere'>{WORD}</p>
<details><summary>x</summary><p style='width: 250px'>x</details></main>"""
EMAIL = "maximiliana@<wbr>watercolor-<wbr>academy.example"

CUT = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap"


@pytest.fixture(scope="module")
def page(browsers: Callable[[], Browser]) -> Iterator[Page]:
    with browsing.window(browsers(), browsing.Look()) as context:
        yield context.new_page()


def faults(page: Page, body: str) -> list[str]:
    page.set_content(f"<style>{STYLE}</style>{body}")
    return fitting.misfits(page, (320,))


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (f'breaks "{WORD}"', f"<p style='width: 40px; overflow-wrap: anywhere'>{WORD}"),
        (f'breaks "{WORD}"', f"<table><td style='width: 1px; word-break: break-all'>{WORD}"),
        ("leaves its box", f"<p style='width: 40px'>{WORD}"),
        ("is wider than the window", "<p style='width: 330px'>x"),
        ("is out of the window", "<p style='margin-left: -20px'>x"),
        ("scrolls sideways", "<div style='overflow: auto'><p style='width: 400px'>x</div>"),
        ("is cut off:", "<div style='overflow: hidden'><p style='width: 400px'>x</div>"),
        ("is cut off:", f"<p style='width: 40px; {CUT}'><span title='{WORD}'>{WORD}</span>"),
        ("is cut off below", "<div style='overflow: hidden; height: 9px'><p>x</div>"),
        ("cuts off its hint", "<input style='width: 40px' placeholder='E-mail or order'>"),
        ("shows a tag", "<textarea>dana@&lt;wbr>example.com</textarea>"),
        ("shows a tag", "<p title='dana@<wbr>example.com'>x"),
        ('breaks "Unbelievably"', "<p class='label' data-label='Unbelievably long'>x"),
        ("is out of the window", "<main><details><p style='width: 330px'>x</details></main>"),
        (f'breaks "{WORD}"', BESIDE_A_FOLD),
    ],
)
def test_what_does_not_fit_is_seen(page, fault: str, body: str):
    assert any(fault in each for each in faults(page, body)), faults(page, body)


@pytest.mark.parametrize(
    "body",
    [
        f"<p>{f'{WORD} ' * 20}",
        f"<p style='width: 150px'>{EMAIL}",
        "<p style='width: 60px'>by-hand and/or again–later",
        f"<p style='width: 40px; overflow-wrap: anywhere'><code>{WORD}</code>",
        "<div style='clip-path: inset(50%); width: 900px; position: absolute'>Buttons</div>",
        "<p style='display: none; width: 900px'>x",
        "<input style='width: 300px' placeholder='E-mail or order'>",
    ],
)
def test_what_fits_is_let_pass(page, body: str):
    assert faults(page, body) == []
