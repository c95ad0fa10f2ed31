"""Reads Thinkific's rate-limit headers: how many seconds to pause.

Thinkific's documents call `RateLimit-Reset` an epoch time in one place and a duration in another,
and in practice it holds epoch milliseconds; what stands before it (Cloudflare) sends
`Retry-After`. So every form is read, and none of them can stop a site for longer than 15 minutes.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SHORTEST = 1.0
LONGEST = 900.0
UNKNOWN = 60.0  # Thinkific counts calls per minute, so a minute clears any limit

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EPOCH_MILLISECONDS = 1e11  # in seconds this would be the year 5138
_EPOCH_SECONDS = 1e9  # as a duration this would be 31 years, or 11 days of milliseconds
_LONGEST_WINDOW = 120  # seconds; a larger duration can only be milliseconds


def pause_seconds(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds (1 to 900) that a 429 asks for; 60 when it says nothing that can be read.

    `headers` must find names in any spelling (as those of `requests` do). Moments are reckoned
    against the answer's own `Date`, and against `now` (aware) only when it has none, so a wrong
    clock on either side does not matter. Of two answers the longer one counts.
    """
    there = _date(headers.get("Date", "")) or now
    asked = [_after(headers.get("Retry-After", ""), there)]
    asked.append(_reset(headers.get("RateLimit-Reset", ""), there))
    known = [seconds for seconds in asked if seconds is not None]
    return _clamp(max(known)) if known else UNKNOWN


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The same for `Retry-After` alone, which other statuses carry too; None without it."""
    there = _date(headers.get("Date", "")) or now
    seconds = _after(headers.get("Retry-After", ""), there)
    return None if seconds is None else _clamp(seconds)


def _after(text: str, there: datetime) -> float | None:
    number = _number(text)
    return _until(text, there) if number is None else number


def _reset(text: str, there: datetime) -> float | None:
    number = _number(text)
    if number is None:
        return _until(text, there)
    if number >= _EPOCH_MILLISECONDS:
        return number / 1000 - there.timestamp()
    if number >= _EPOCH_SECONDS:
        return number - there.timestamp()
    return number / 1000 if number > _LONGEST_WINDOW else number


def _until(text: str, there: datetime) -> float | None:
    moment = _date(text)
    return None if moment is None else (moment - there).total_seconds()


def _number(text: str) -> float | None:
    stripped = text.strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def _date(text: str) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7) as an aware moment; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _clamp(seconds: float) -> float:
    return min(max(seconds, SHORTEST), LONGEST)
