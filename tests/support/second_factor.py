"""What the phone of a person does: show the code of now, or of another moment."""

import time
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_otp.oath import TOTP

from config.models import Authenticator
from config.staff import second_factor


def begun(person: User, session: dict[str, Any] | None = None) -> Authenticator:
    """The second factor that waits for its first code, of a new session or of this one."""
    request: Any = HttpRequest()
    request.session = {} if session is None else session
    return second_factor.begin(request, person)


def add(person: User) -> list[str]:
    """Give the person a second factor; its recovery codes."""
    authenticator = begun(person)
    Authenticator.objects.filter(pk=authenticator.pk).update(confirmed=True)
    return second_factor.new_recovery_codes(authenticator)


def code(person: User, *, seconds: float = 0) -> str:
    """What the person's app shows in so many seconds."""
    steps = TOTP(Authenticator.objects.get(user=person).key())
    steps.time = time.time() + seconds
    return f"{steps.token():06}"
