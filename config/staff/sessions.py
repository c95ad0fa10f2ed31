"""Sessions of people: what is noted of each, which a person has, and how they end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from config.models import Session
from config.staff import browsers
from config.staff.session_store import ADDRESS, BEGAN, SEEN, USER_AGENT
from config.staff.sign_in import client_address
from integrations.secrets import digest

# The last use is written at most once in this time, not with every click.
SEEN_SECONDS = 60
# Sent by pages that reload themselves, which does not mean that a person is there.
RELOAD_HEADER = "Admit-Reload"
GetResponse = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One of a person's sessions. `number` names it without giving its key away.

    `waits`: the password was given, but not yet the code.
    """

    number: str
    browser: str
    address: str
    began: datetime | None
    seen: datetime | None
    here: bool
    waits: bool


def watch(get_response: GetResponse) -> GetResponse:
    """Middleware that notes when and from where a session was last used."""

    def answer(request: HttpRequest) -> HttpResponse:
        session = request.session
        by_person = SESSION_KEY in session and RELOAD_HEADER not in request.headers
        if by_person and time.time() - session.get(SEEN, 0) >= SEEN_SECONDS:
            _note(request)
        return get_response(request)

    return answer


def begin(request: HttpRequest) -> None:
    """Start counting both ends of the session, because the person has signed in now."""
    request.session[BEGAN] = time.time()
    _note(request)


def open_of(person: User, request: HttpRequest, *, by_code: bool) -> list[OpenSession]:
    """Return the person's sessions that are not over, the last used first.

    `by_code`: whether the person signs in with a code as well.
    """
    here = request.session.session_key
    return [
        OpenSession(
            number=digest(row.session_key),
            browser=browsers.name(row.user_agent),
            address=row.address,
            began=row.began_at,
            seen=row.seen_at,
            here=row.session_key == here,
            waits=by_code and DEVICE_ID_SESSION_KEY not in row.get_decoded(),
        )
        for row in _open(person)
    ]


def number_of(request: HttpRequest) -> str:
    """Return the number of the session of this request."""
    return digest(request.session.session_key or "")


def end(person: User, number: str) -> bool:
    """End the person's session of this number. Returns False when it has ended already."""
    keys = [row.session_key for row in _open(person) if digest(row.session_key) == number]
    deleted, _ = Session.objects.filter(session_key__in=keys).delete()
    return bool(deleted)


def end_all(person: User, *, but: HttpRequest | None = None) -> int:
    """End the person's sessions, except that of the request `but`. Returns how many ended."""
    rows = Session.objects.filter(user=person)
    if but is not None:
        rows = rows.exclude(session_key=but.session.session_key)
    return rows.delete()[0]


def _open(person: User) -> list[Session]:
    rows = Session.objects.filter(user=person, expire_date__gt=timezone.now())
    return list(rows.order_by("-seen_at", "session_key"))


def _note(request: HttpRequest) -> None:
    request.session.update(
        {
            SEEN: time.time(),
            ADDRESS: client_address(request),
            USER_AGENT: request.headers.get("User-Agent", ""),
        }
    )
