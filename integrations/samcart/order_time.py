"""Read the time of an order: ISO 8601 with an offset, as seen in a body, or epoch time."""

from datetime import UTC, datetime

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_LONGEST = 40  # characters
_MILLISECONDS = 1e11  # as seconds this would be the year 5138


def read_moment(value: object) -> datetime | None:
    """Return an aware time from 2000 up to 2100, or None for everything else.

    A time without an offset gives None, because nothing says which time zone it is in.
    """
    found: datetime | None = None
    try:
        if isinstance(value, str) and len(value) <= _LONGEST:
            found = datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
        usable = found is not None and found.tzinfo is not None and EARLIEST <= found < LATEST
    except (ValueError, OverflowError, OSError):
        return None
    return found if usable else None
