"""Sessions in the database, with the person and the browser. They end when idle or too old."""

import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

# Keys of a session that its row repeats. Times are seconds since 1970.
BEGAN, SEEN, ADDRESS, USER_AGENT = "began", "seen", "address", "user_agent"
_SIZES = {ADDRESS: 45, USER_AGENT: 300}


class SessionStore(DatabaseStore):
    """Django's store, extended as its documentation describes."""

    @classmethod
    def get_model_class(cls) -> Any:
        from config.models import Session

        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        if SESSION_KEY in data:
            now = time.time()
            data.setdefault(BEGAN, now)
            data.setdefault(SEEN, now)
        row: Any = super().create_model_instance(data)
        row.user_id = data.get(SESSION_KEY)
        row.address, row.user_agent = (data.get(name, "")[:size] for name, size in _SIZES.items())
        row.began_at, row.seen_at = _moment(data.get(BEGAN)), _moment(data.get(SEEN))
        return row

    def get_session_cookie_age(self) -> int:
        """Return the seconds until the session ends, by not being used or by being too old."""
        now = time.time()
        left = self.get(BEGAN, now) + settings.SESSION_MAX_AGE - now
        return max(0, min(settings.SESSION_COOKIE_AGE, int(left)))


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
