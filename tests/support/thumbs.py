"""Measures in the browser whether a thumb can hit each button and link.

Every target is at least 44 pixels high and wide, except links within a text; a check box without
its own label, such as that of a row, is at least 24.
"""

from pathlib import Path

from playwright.sync_api import Page

MEASURE = Path(__file__).with_suffix(".js").read_text()


def missed(page: Page) -> list[str]:
    """Return what is too small, with all folds closed and with all open."""
    found: list[str] = page.evaluate(MEASURE)
    return [f"is too small for a thumb: {each}" for each in found]
