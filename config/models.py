"""Rows of the people who sign in: sessions, second factors, recovery codes and preferences."""

import time
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django_otp.models import Device
from django_otp.oath import TOTP

from integrations import secrets

# By how many steps of 30 seconds a phone's clock may be wrong.
TOLERANCE = 1
CODE_DIGITS = 6


def app_code(token: str) -> int | None:
    """Return what looks like a code of an app as a number; None for anything else."""
    plain = _plain(token)
    digits = plain.isascii() and plain.isdigit() and len(plain) == CODE_DIGITS
    return int(plain) if digits else None


def _plain(token: str) -> str:
    return "".join(token.split()).replace("-", "").casefold()


class Session(AbstractBaseSession):
    """A browser that is signed in, or about to be; written by config.staff.session_store."""

    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+")
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    began_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)

    @classmethod
    def get_session_store_class(cls) -> Any:
        return import_module(settings.SESSION_ENGINE).SessionStore


class Authenticator(Device):  # type: ignore[misc]  # django-otp carries no types
    """An app that shows a new code every 30 seconds (TOTP), with the recovery codes beside it.

    django-otp's own model keeps the secret in clear, so this one takes its place. A person has
    at most one; until its first code is given, it is not confirmed and counts for nothing.
    """

    sealed_key = models.TextField()
    last_step = models.BigIntegerField(default=-1)  # time step of the last accepted code
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user"], name="one_authenticator_a_person")]

    def key(self) -> bytes:
        """Return the secret shared with the app. Raises SecretUnreadable."""
        return secrets.reveal_bytes(self.sealed_key.encode())

    def verify_token(self, token: str) -> bool:
        """Return whether this is a valid code of the app or recovery code. Each is accepted once.

        Call it in a transaction that holds the row. Raises SecretUnreadable for a code of the app.
        """
        code = app_code(token)
        if code is not None:
            return self._take_code(code)
        digest = secrets.digest(_plain(token))
        used, _ = self.recovery_codes.filter(digest=digest).delete()
        return bool(used)

    def _take_code(self, code: int) -> bool:
        steps = TOTP(self.key())
        steps.time = time.time()
        if not steps.verify(code, TOLERANCE, self.last_step + 1):
            return False
        self.last_step = steps.t()
        self.save(update_fields=["last_step"])
        return True


class RecoveryCode(models.Model):
    """A code for a person who lost the app. It holds 120 random bits, so a digest is enough."""

    authenticator = models.ForeignKey(Authenticator, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)


class Preference(models.Model):
    """How a person who signs in wants the pages; "" means the default. And the last visits."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    time_zone = models.CharField(max_length=60, blank=True)
    language = models.CharField(max_length=10, blank=True)
    single_keys = models.BooleanField(default=True, db_default=True)
    # The last look at the Overview, and the one that ended the visit before this one.
    seen_at = models.DateTimeField(null=True, editable=False)
    last_visit_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"Preferences of {self.user}"
