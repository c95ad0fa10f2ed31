"""Read from Thinkific's rate-limit headers how many seconds to pause.

Thinkific's documents call `RateLimit-Reset` an epoch time in one place and a duration in another,
and in practice it holds epoch milliseconds. Cloudflare, in front of Thinkific, sends
`Retry-After`. So all forms are read, and none of them can pause a site for more than 15 minutes.
"""

from collections.abc import Mapping
from datetime import datetime

from integrations.calls import retry_after

UNKNOWN = 60.0  # Thinkific counts calls per minute, so a minute clears any limit

_EPOCH_MILLISECONDS = 1e11  # in seconds this would be the year 5138
_EPOCH_SECONDS = 1e9  # as a duration this would be 31 years, or 11 days of milliseconds
_LONGEST_WINDOW = 120  # seconds; a larger duration can only be milliseconds


def pause_seconds(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds (1 to 900) that a 429 asks for; 60 if it names no readable time.

    `headers` must ignore the case of names, as the headers of `requests` do. `now` is aware. If
    both headers name a time, the longer one counts.
    """
    there = retry_after.server_time(headers, now)
    asked = [retry_after.seconds_after(headers.get("Retry-After", ""), there)]
    asked.append(_reset(headers.get("RateLimit-Reset", ""), there))
    known = [seconds for seconds in asked if seconds is not None]
    return retry_after.clamp(max(known)) if known else UNKNOWN


def _reset(text: str, there: datetime) -> float | None:
    number = retry_after.number(text)
    if number is None:
        return retry_after.seconds_until(text, there)
    if number >= _EPOCH_MILLISECONDS:
        return number / 1000 - there.timestamp()
    if number >= _EPOCH_SECONDS:
        return number - there.timestamp()
    return number / 1000 if number > _LONGEST_WINDOW else number
