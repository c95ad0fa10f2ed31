"""How pages show times: short, in the reader's time zone, with the full time on hover."""

from datetime import datetime, timedelta

from django.utils import dateformat, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from integrations.sentences import MINUTE, say

DAY = 24 * 60  # minutes
MINUTE_AND_YEAR = gettext_noop("j M Y H:i")
# Spanish says "23 de noviembre de 2026".
WHOLE = gettext_noop("j F Y, H:i:s T")


def when(moment: datetime | None, nothing: str = "–") -> SafeString:
    """Return "23 Nov 14:02" in the current time zone, with the year if it is another one.

    Hovering shows the full time and zone.
    """
    if moment is None:
        return format_html("{}", nothing)
    local = timezone.localtime(moment)
    this_year = local.year == timezone.localtime().year
    return _time(local, _written(local, MINUTE if this_year else MINUTE_AND_YEAR))


def ago(moment: datetime | None, nothing: str = "–") -> SafeString:
    """Return "5 min ago" within the last day, else the same as `when`. For lists sorted by time."""
    if moment is None:
        return when(moment, nothing)
    minutes = (timezone.now() - moment) // timedelta(minutes=1)
    if not 0 <= minutes < DAY:
        return when(moment)
    if minutes >= 60:
        short = say("{hours} h ago", hours=minutes // 60)
    else:
        short = say("{minutes} min ago", minutes=minutes) if minutes else say("just now")
    return _time(timezone.localtime(moment), short)


def _time(local: datetime, short: str) -> SafeString:
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', local.isoformat(), _written(local, WHOLE), short
    )


def _written(local: datetime, pattern: str) -> str:
    """Format a time for a page.

    What may be stored is made by `sentences.on`, which takes longer.
    """
    return dateformat.format(local, gettext(pattern))
