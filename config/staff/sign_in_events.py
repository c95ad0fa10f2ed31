"""What happens around signing in, written down with the address it came from."""

import logging

from django.contrib.auth.models import User
from django.http import HttpRequest

from config.staff import confirmation, sessions
from config.staff.sign_in import client_address

log = logging.getLogger(__name__)


def record(code: str, request: HttpRequest, person: User, **facts: str | int) -> None:
    """Note that this happened to the person."""
    log.info(code, extra=_known(request, person) | facts)


def failed(request: HttpRequest, person: User | None, *, step: str) -> None:
    """Note that somebody gave a wrong "password", "code" or "confirmation".

    `person` is None where nobody is known by the e-mail: what was typed may be a password.
    """
    log.warning("sign_in_failed", extra=_known(request, person) | {"step": step})


def signed_in(request: HttpRequest, person: User) -> None:
    """The person has given all that is asked for: the session begins now."""
    sessions.begin(request)
    confirmation.note(request)
    record("signed_in", request, person)


def _known(request: HttpRequest, person: User | None) -> dict[str, str | int]:
    who: dict[str, str | int] = {} if person is None else {"user": person.pk}
    return who | {"address": client_address(request)}
