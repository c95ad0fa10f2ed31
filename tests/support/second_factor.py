"""Plays a person's phone: shows the code of this moment, or of another one."""

import time
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_otp.oath import TOTP

from config.models import Authenticator
from config.staff import second_factor


def begun(person: User, session: dict[str, Any] | None = None) -> Authenticator:
    """Return the second factor that waits for its first code, in a new session or in this one."""
    request: Any = HttpRequest()
    request.session = {} if session is None else session
    return second_factor.begin(request, person)


def add(person: User) -> list[str]:
    """Give the person a second factor; return its recovery codes."""
    authenticator = begun(person)
    Authenticator.objects.filter(pk=authenticator.pk).update(confirmed=True)
    return second_factor.new_recovery_codes(authenticator)


def code(person: User, *, seconds: float = 0) -> str:
    """Return what the person's app shows in that many seconds."""
    steps = TOTP(Authenticator.objects.get(user=person).key())
    steps.time = time.time() + seconds
    return f"{steps.token():06}"
