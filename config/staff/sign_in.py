"""Limits the tries of passwords and codes, before any password is hashed.

The counts are kept in memory by the one process that serves the pages; a restart forgets them.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.http import HttpRequest

from integrations.sentences import Said, joined, say, say_count

# How many keys are counted at once; beyond that the oldest is forgotten.
MAX_KEYS = 10_000


class TooManyTries(Exception):
    """No more tries now; the text says for whom and until when."""


@dataclass(slots=True)
class Limit:
    """Allows `most` tries of a key in `seconds`, counted from the first of them."""

    most: int
    seconds: float
    _counts: OrderedDict[str, tuple[int, float]] = field(default_factory=OrderedDict)

    def wait(self, key: str) -> float:
        """Return the seconds until the next try is allowed; 0 for now."""
        count, until = self._counts.get(key, (0, 0.0))
        return max(0.0, until - time.monotonic()) if count >= self.most else 0.0

    def count(self, key: str, number: int = 1) -> None:
        """Count a try, or with -1 take one back."""
        now = time.monotonic()
        count, until = self._counts.get(key, (0, 0.0))
        if until <= now:
            count, until = 0, now + self.seconds
        self._counts[key] = max(0, count + number), until
        if len(self._counts) > MAX_KEYS:
            self._counts.popitem(last=False)

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)


class Tries:
    """Counts the recent tries.

    An account can be tried from one address only a few times. All addresses together have a limit
    as well, but not those from which the account was signed in to before: strangers who keep
    failing must not lock its owner out. `wait` returns the sentence for a person who must wait so
    many minutes, and says what else helps.
    """

    def __init__(self, wait: Callable[[int], str]) -> None:
        self._wait = wait
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Forget everything, as a restart does."""
        self._address = Limit(most=30, seconds=300)
        self._account = Limit(most=20, seconds=900)
        self._both = Limit(most=5, seconds=300)
        self._known: OrderedDict[str, None] = OrderedDict()

    def begin(self, account: str, address: str) -> None:
        """Count a try before it is made. Raises TooManyTries, and counts nothing then."""
        name, place = _account(account), _network(address)
        both = f"{name} {place}"
        with self._lock:
            known = both in self._known
            wait = max(self._both.wait(both), 0.0 if known else self._account.wait(name))
            if wait:
                raise self._too_many(say("Too many tries for this account."), wait)
            wait = self._address.wait(place)
            if wait:
                raise self._too_many(say("Too many tries from your address."), wait)
            self._both.count(both)
            self._address.count(place)
            if not known:
                self._account.count(name)

    def succeeded(self, account: str, address: str) -> None:
        """Take a successful try back, and remember its address as known for the account."""
        name, place = _account(account), _network(address)
        both = f"{name} {place}"
        with self._lock:
            if both not in self._known:
                self._account.count(name, -1)
            self._both.forget(both)
            self._address.count(place, -1)
            self._known[both] = None
            if len(self._known) > MAX_KEYS:
                self._known.popitem(last=False)

    def _too_many(self, where: Said, seconds: float) -> TooManyTries:
        return TooManyTries(joined([where, self._wait(math.ceil(seconds / 60))]))


def _wait(minutes: int) -> Said:
    return say_count(
        minutes,
        "Try again in a minute, or ask an owner for a new link.",
        "Try again in {number} minutes, or ask an owner for a new link.",
    )


tries = Tries(_wait)


def client_address(request: HttpRequest) -> str:
    """Return the client's address, as far as TRUSTED_PROXIES vouch for it; "" for an unknown one.

    Each proxy writes who called it at the end of X-Forwarded-For, so the header is read from there,
    up to the first address that is no proxy of ours.
    """
    address = _read(request.META.get("REMOTE_ADDR", ""))
    said = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while address and said and any(address in proxies for proxies in settings.TRUSTED_PROXIES):
        before = _read(said.pop())
        if before is None:
            break
        address = before
    return str(address or "")


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    # A socket for both families writes IPv4 addresses as IPv6 ones.
    return getattr(address, "ipv4_mapped", None) or address


def _network(address: str) -> str:
    """Return what one stranger controls: an IPv4 address, or a whole IPv6 /64."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))


def _account(name: str) -> str:
    return name.strip().casefold()[:254]
