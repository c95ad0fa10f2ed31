"""Read `Retry-After` and other headers that say when to call again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SHORTEST = 1.0
LONGEST = 900.0  # a header can stop us for at most 15 minutes

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds (1 to 900) that `Retry-After` asks for, or None if it names no time.

    `headers` must ignore the case of names, as the headers of `requests` do.
    """
    asked = seconds_after(headers.get("Retry-After", ""), server_time(headers, now))
    return None if asked is None else clamp(asked)


def server_time(headers: Mapping[str, str], now: datetime) -> datetime:
    """Return the time of an answer by its own `Date` header, or else `now` (aware).

    Other times in the answer are compared with it, so a wrong clock on either side does not matter.
    """
    return date(headers.get("Date", "")) or now


def seconds_after(text: str, there: datetime) -> float | None:
    """Return the seconds after `there` that `text` means: a number of seconds or an HTTP date."""
    asked = number(text)
    return seconds_until(text, there) if asked is None else asked


def seconds_until(text: str, there: datetime) -> float | None:
    """Return the seconds from `there` to an HTTP date, or None if `text` is not a date."""
    moment = date(text)
    return None if moment is None else (moment - there).total_seconds()


def number(text: str) -> float | None:
    """Return a number written in ASCII digits, or None if `text` is not one."""
    stripped = text.strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def date(text: str) -> datetime | None:
    """Return an HTTP date (RFC 9110, 5.6.7) as an aware time, or None if `text` is not one."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def clamp(seconds: float) -> float:
    """Limit a pause to 1 to 900 seconds."""
    return min(max(seconds, SHORTEST), LONGEST)
