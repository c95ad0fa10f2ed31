"""Whether to ask the database at all: while it hangs, not every POST must wait to find out.

A web server has few threads. When one has waited in vain, the others spool at once for a moment;
then one of them tries again. Each web process decides for itself.
"""

import threading
import time

from django.conf import settings

_lock = threading.Lock()
_rest_until = 0.0


def allows_request() -> bool:
    """Return False while the database rests, and then True for one caller at a time.

    Always False with RECEIVE_ONLY.
    """
    global _rest_until
    if settings.RECEIVE_ONLY:
        return False
    if not _rest_until:
        return True
    with _lock:
        if time.monotonic() < _rest_until:
            return False
        _rest_until = time.monotonic() + settings.STORE_SECONDS
        return True


def record_success() -> None:
    """Record that the database took a delivery: everybody may ask it again."""
    global _rest_until
    if _rest_until:
        _rest_until = 0.0


def record_failure(*, waited: float) -> None:
    """Record that the database failed after `waited` seconds.

    One that refuses at once may be asked again at once.
    """
    global _rest_until
    hangs = waited > settings.STORE_SECONDS / 2
    _rest_until = time.monotonic() + settings.STORE_SECONDS if hangs else 0.0
