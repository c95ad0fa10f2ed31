"""Reads `Retry-After` and other headers that say when to call again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SHORTEST = 1.0
LONGEST = 900.0  # no one may stop us for longer than 15 minutes

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds (1 to 900) that `Retry-After` asks for; None without it, or when it is no time.

    `headers` must find names in any spelling (as those of `requests` do).
    """
    asked = after(headers.get("Retry-After", ""), there(headers, now))
    return None if asked is None else clamp(asked)


def there(headers: Mapping[str, str], now: datetime) -> datetime:
    """The moment of an answer by its own `Date`, by `now` (aware) only when it has none.

    Times in an answer are reckoned against it, so a wrong clock on either side does not matter.
    """
    return date(headers.get("Date", "")) or now


def after(text: str, there: datetime) -> float | None:
    """Seconds from `there` on, written as a number of seconds or as a date."""
    asked = number(text)
    return until(text, there) if asked is None else asked


def until(text: str, there: datetime) -> float | None:
    """Seconds from `there` to an HTTP date; None when it is none."""
    moment = date(text)
    return None if moment is None else (moment - there).total_seconds()


def number(text: str) -> float | None:
    """A number of ASCII digits; None when it is none."""
    stripped = text.strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def date(text: str) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7) as an aware moment; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def clamp(seconds: float) -> float:
    """A pause of 1 to 900 seconds."""
    return min(max(seconds, SHORTEST), LONGEST)
