"""Is the text of a page strong enough against what is behind it? By axe, which must be on the page.

To ask about each text takes axe most of its time. So it is asked about one of those that look the
same against the same, and about the others only if it cannot decide about that one.
"""

from pathlib import Path

from playwright.sync_api import Page

MEASURE = Path(__file__).with_suffix(".js").read_text()
RULES = {
    "runOnly": {"type": "rule", "values": ["color-contrast"]},
    "resultTypes": ["violations", "passes"],
    "preload": False,
}


def too_pale(page: Page) -> list[str]:
    """What is too pale in the colors that the page has now: one of each kind."""
    found: list[str] = page.evaluate(MEASURE, RULES)
    return [f"color-contrast: {each}" for each in found]
