"""Cells of a list whose rows have one height: on a wide screen long texts are cut."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.parts.badges import breakable


def whole_on_hover(text: str) -> SafeString:
    """Return a text that may be cut at the end of its column, and is whole on hover."""
    return format_html('<span title="{}">{}</span>', text, breakable(text))


def pair(parts: SafeString, title: str = "") -> SafeString:
    """Return parts for one line, each cut at the end of the column; `title` is the whole text."""
    titled = format_html(' title="{}"', title) if title else ""
    return format_html('<span class="pair"{}>{}</span>', titled, parts)


def two_parts(first: SafeString, second: SafeString) -> SafeString:
    """Return two parts; the second goes below the first if there is no room beside it."""
    return format_html('{} <span class="soft line">{}</span>', first, second)
