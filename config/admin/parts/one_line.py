"""Cells of a list whose rows are of one height: where it is wide, what is too long is cut."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.parts.badges import breakable


def whole_on_hover(text: str) -> SafeString:
    """A text that may be cut where its column ends."""
    return format_html('<span title="{}">{}</span>', text, breakable(text))


def pair(parts: SafeString, title: str = "") -> SafeString:
    """What shows in one line, each part of it cut where the column ends; `title` is all of it."""
    titled = format_html(' title="{}"', title) if title else ""
    return format_html('<span class="pair"{}>{}</span>', titled, parts)


def two_parts(first: SafeString, second: SafeString) -> SafeString:
    """Two parts: the second one stands below the first where there is no room beside it."""
    return format_html('{} <span class="soft line">{}</span>', first, second)
