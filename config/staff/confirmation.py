"""Asks for the password or a code again before what a thief of a session must not do."""

import time

from django.contrib.auth.models import User
from django.http import HttpRequest

from config.staff import second_factor
from config.staff.sign_in import client_address, tries

SECONDS = 15 * 60
_CONFIRMED = "confirmed"


def is_fresh(request: HttpRequest) -> bool:
    """Return whether the person signed in or confirmed in this session in the last 15 minutes."""
    confirmed: float = request.session.get(_CONFIRMED, 0)
    return time.time() - confirmed < SECONDS


def note(request: HttpRequest) -> None:
    """Note that the person has just proved who they are."""
    request.session[_CONFIRMED] = time.time()


def check(request: HttpRequest, person: User, answer: str) -> bool:
    """Return whether this is a code of the person's second factor; without one, the password.

    A right answer is noted. Raises TooManyTries and SecretUnreadable, as `second_factor.check`
    does.
    """
    if second_factor.of(person):
        right = second_factor.check(request, person, answer)
    else:
        right = is_password(request, person, answer)
    if right:
        # As after every proof of identity: a session key known before must not work after.
        request.session.cycle_key()
        note(request)
    return right


def is_password(request: HttpRequest, person: User, answer: str) -> bool:
    """Return whether this is the person's password. Raises TooManyTries, counted as at sign-in."""
    account, address = person.get_username(), client_address(request)
    tries.begin(account, address)
    right = person.check_password(answer)
    if right:
        tries.succeeded(account, address)
    return right
