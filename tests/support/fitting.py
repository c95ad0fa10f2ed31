"""Does a page fit its window? Measured in the browser, word by word and box by box.

No word may be broken but after a dash or slash and where a <wbr> allows it; none may leave the
box around it; and nothing may be cut off, or leave the window.
"""

from pathlib import Path

from playwright.sync_api import Page

WIDTHS = (320, 360, 375, 390, 412, 768, 834, 1024, 1280, 1440, 1920)
HEIGHT = 900
MEASURE = Path(__file__).with_suffix(".js").read_text()
# The folds of the page and the menus around it; each would shut the others of its name. How many
# there are in the page itself.
OPEN = """() => {
  for (const each of document.querySelectorAll("details")) {
    each.removeAttribute("name");
    each.open = true;
  }
  return document.querySelectorAll("main details").length;
}"""


def misfits(page: Page, widths: tuple[int, ...] = WIDTHS) -> list[str]:
    """What does not fit at these widths: as the page opens, and with every fold of it open."""
    found = _measure(page, widths)
    if page.evaluate(OPEN):
        found += [f"{fault}, opened" for fault in _measure(page, widths)]
    return found


def _measure(page: Page, widths: tuple[int, ...]) -> list[str]:
    found: dict[str, list[str]] = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for fault in page.evaluate(MEASURE):
            found.setdefault(fault, []).append(f"{width}")
    return [f"{fault} at {', '.join(at)} px" for fault, at in found.items()]
