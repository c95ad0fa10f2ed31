"""Measures in the browser whether a page fits its window, word by word and box by box.

A word may break only after a dash or slash or at a <wbr>. No word may leave its box, and nothing
may be cut off or leave the window.
"""

from pathlib import Path

from playwright.sync_api import Page

# Screens that people have, and where each layout of the style sheets is at its narrowest: 481, 601
# and 1200. Tables become cards by the room that they have, a few at 600 and most below 768.
WIDTHS = (320, 360, 375, 390, 412, 481, 601, 768, 834, 1024, 1200, 1280, 1440, 1920)
HEIGHT = 900
MEASURE = Path(__file__).with_suffix(".js").read_text()


def misfits(page: Page, widths: tuple[int, ...] = WIDTHS) -> list[str]:
    """Return what does not fit at these widths, with all folds closed and with all open."""
    found: dict[str, list[str]] = {}
    # Like page.set_viewport_size(), but without waiting until the page is drawn.
    devtools = page.context.new_cdp_session(page)
    screen = {"height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    # What is transparent keeps its place, but need not be drawn at each width.
    page.evaluate("document.documentElement.style.opacity = 0")
    for width in widths:
        devtools.send("Emulation.setDeviceMetricsOverride", {"width": width, **screen})
        for fault in page.evaluate(MEASURE):
            found.setdefault(fault, []).append(f"{width}")
    devtools.detach()
    page.evaluate("document.documentElement.style.opacity = null")
    return [f"{fault} at {', '.join(at)} px" for fault, at in found.items()]
