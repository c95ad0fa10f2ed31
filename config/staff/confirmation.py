"""The password, or a code, once more before something that a thief of a session must not do."""

import time

from django.contrib.auth.models import User
from django.http import HttpRequest

from config.staff import second_factor
from config.staff.sign_in import client_address, tries

SECONDS = 15 * 60
_CONFIRMED = "confirmed"


def is_fresh(request: HttpRequest) -> bool:
    """Whether the person signed in or confirmed in this session within the last 15 minutes."""
    confirmed: float = request.session.get(_CONFIRMED, 0)
    return time.time() - confirmed < SECONDS


def note(request: HttpRequest) -> None:
    """The person has just proved to be the one who signed in."""
    request.session[_CONFIRMED] = time.time()


def check(request: HttpRequest, person: User, answer: str) -> bool:
    """Whether this is a code of the person's second factor, or the password of who has none.

    Noted when it is. Raises TooManyTries, and SecretUnreadable as `second_factor.check` does.
    """
    if second_factor.of(person):
        right = second_factor.check(request, person, answer)
    else:
        right = _password(request, person, answer)
    if right:
        # As after every proof of identity: a session key known before must not work after.
        request.session.cycle_key()
        note(request)
    return right


def _password(request: HttpRequest, person: User, answer: str) -> bool:
    account, address = person.get_username(), client_address(request)
    tries.begin(account, address)
    right = person.check_password(answer)
    if right:
        tries.succeeded(account, address)
    return right
