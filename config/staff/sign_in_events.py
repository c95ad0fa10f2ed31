"""What happens around signing in, written down with the address it came from."""

import logging

from django.contrib.auth.models import User
from django.http import HttpRequest

from config.staff import confirmation, sessions
from config.staff.sign_in import client_address

log = logging.getLogger(__name__)


def record(code: str, request: HttpRequest, person: User | None, **facts: str | int) -> None:
    """Note that this happened to the person; None where it is not known who that is."""
    level = logging.WARNING if code.endswith("_failed") else logging.INFO
    who = {} if person is None else {"user": person.pk}
    log.log(level, code, extra={**who, "address": client_address(request), **facts})


def signed_in(request: HttpRequest, person: User) -> None:
    """The person has given all that is asked for: the session begins now."""
    sessions.begin(request)
    confirmation.note(request)
    record("signed_in", request, person)
