"""Does a thumb hit what there is to press? Measured in the browser, button by button.

What is pressed is at least 44 pixels high and wide, but for links within a text; a tick box without
words of its own, such as that of a row, is at least 24.
"""

from pathlib import Path

from playwright.sync_api import Page

MEASURE = Path(__file__).with_suffix(".js").read_text()


def missed(page: Page) -> list[str]:
    """What is too small, as the page opens and with every fold of it open."""
    found: list[str] = page.evaluate(MEASURE)
    return [f"is too small for a thumb: {each}" for each in found]
