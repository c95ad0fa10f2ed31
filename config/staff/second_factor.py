"""The second factor: codes of an app on the person's phone, and recovery codes."""

import base64
import secrets as random
from urllib.parse import quote, urlencode

import django_otp
import segno
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import HttpRequest

from config.models import Authenticator, RecoveryCode
from config.staff import sessions
from config.staff.sign_in import Tries, client_address
from integrations import secrets
from integrations.sentences import Said, say_count

KEY_BYTES = 20  # as RFC 4226 recommends
RECOVERY_CODES = 10
RECOVERY_BYTES = 15  # 24 letters; a digest of 112 bits or more needs no salt
ISSUER = "Admit"

_BEGUN = "second_factor_begun"  # in the session: a digest of the key that it was shown
_PASSED = "_second_factor_passed"  # on the request: the person's pk, and whether that person passed


def _wait(minutes: int) -> Said:
    return say_count(
        minutes,
        "Try again in a minute, or ask an owner to remove your second factor.",
        "Try again in {number} minutes, or ask an owner to remove your second factor.",
    )


code_tries = Tries(_wait)


def of(person: User) -> Authenticator | None:
    """Return the person's second factor, if one is set up."""
    found: Authenticator | None = Authenticator.objects.filter(user=person, confirmed=True).first()
    return found


def passed(request: HttpRequest) -> bool:
    """Return whether the person gave a code in this session, or needs none. Read once a request."""
    person = request.user
    known: tuple[int | None, bool] = getattr(request, _PASSED, (None, False))
    if known[0] != person.pk or person.pk is None:
        verified = getattr(person, "otp_device", None) is not None
        known = person.pk, verified or not needed(person)
        setattr(request, _PASSED, known)
    return known[1]


def needed(person: User | AnonymousUser) -> bool:
    """Return whether the password alone is not enough for the person."""
    required: bool = settings.REQUIRE_SECOND_FACTOR
    return required or Authenticator.objects.filter(user=person.pk, confirmed=True).exists()


# Setting it up


def begin(request: HttpRequest, person: User) -> Authenticator:
    """Return the person's authenticator that waits for its first code, with one key a session.

    Another session gets another key: somebody else may have seen the first one.
    """
    sealed = secrets.seal_bytes(random.token_bytes(KEY_BYTES)).decode()
    fresh = {"sealed_key": sealed, "name": "app", "confirmed": False}
    found: Authenticator
    found, is_new = Authenticator.objects.get_or_create(user=person, defaults=fresh)
    if not is_new and request.session.get(_BEGUN) != secrets.digest(found.sealed_key):
        waits = Authenticator.objects.filter(pk=found.pk, confirmed=False)
        waits.update(sealed_key=sealed, last_step=-1)
        found.refresh_from_db()
    request.session[_BEGUN] = secrets.digest(found.sealed_key)
    return found


def secret_text(authenticator: Authenticator) -> str:
    """Return the secret in groups of four, for an app that cannot scan. Raises SecretUnreadable."""
    return _in_fours(base64.b32encode(authenticator.key()).decode())


def qr_code(authenticator: Authenticator) -> str:
    """Return an SVG of what the app scans. Raises SecretUnreadable."""
    secret = base64.b32encode(authenticator.key()).decode()
    label = quote(f"{ISSUER}:{authenticator.user.get_username()}")
    address = f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': ISSUER})}"
    drawn = segno.make(address, error="m", micro=False)
    return drawn.svg_inline(scale=4, dark="#000", light="#fff", svgclass=None, lineclass=None)


def set_up(request: HttpRequest, person: User, token: str) -> list[str]:
    """Confirm the app by its first code.

    Returns the recovery codes, none when the code is wrong. The person's other sessions end. Raises
    TooManyTries and SecretUnreadable.
    """
    authenticator = begin(request, person)
    if authenticator.confirmed or not _verify(request, person, authenticator, token):
        return []
    # Does nothing if another session has replaced the key since: this code does not prove that key.
    waits = Authenticator.objects.filter(pk=authenticator.pk, confirmed=False)
    if not waits.filter(sealed_key=authenticator.sealed_key).update(confirmed=True):
        return []
    sessions.end_all(person, but=request)
    _let_in(request, authenticator)
    return new_recovery_codes(authenticator)


def new_recovery_codes(authenticator: Authenticator) -> list[str]:
    """Make ten codes, each good for one sign-in. Earlier codes end."""
    fresh = [
        base64.b32encode(random.token_bytes(RECOVERY_BYTES)).decode().casefold()
        for _ in range(RECOVERY_CODES)
    ]
    with transaction.atomic():
        # Locked, so that after two requests at once only the codes of the second one work.
        list(Authenticator.objects.select_for_update().filter(pk=authenticator.pk))
        authenticator.recovery_codes.all().delete()
        RecoveryCode.objects.bulk_create(
            RecoveryCode(authenticator=authenticator, digest=secrets.digest(code)) for code in fresh
        )
    return [_in_fours(code) for code in fresh]


def remove(person: User) -> bool:
    """Remove the person's second factor. Returns False when there was none."""
    return bool(Authenticator.objects.filter(user=person).delete()[0])


# Using it


def enter(request: HttpRequest, person: User, token: str) -> bool:
    """Return whether this code is right. If so, the session has passed. Raises as `check` does."""
    authenticator = of(person)
    if authenticator is None or not _verify(request, person, authenticator, token):
        return False
    _let_in(request, authenticator)
    return True


def check(request: HttpRequest, person: User, token: str) -> bool:
    """Return whether this is a code of the person's. Raises TooManyTries and SecretUnreadable."""
    authenticator = of(person)
    return authenticator is not None and _verify(request, person, authenticator, token)


def _verify(request: HttpRequest, person: User, authenticator: Authenticator, token: str) -> bool:
    address = client_address(request)
    code_tries.begin(person.get_username(), address)
    if django_otp.verify_token(person, authenticator.persistent_id, token) is None:
        return False
    code_tries.succeeded(person.get_username(), address)
    return True


def _let_in(request: HttpRequest, authenticator: Authenticator) -> None:
    # Somebody who knew the session key before the code was given must not gain rights by it.
    request.session.cycle_key()
    django_otp.login(request, authenticator)
    setattr(request, _PASSED, (authenticator.user_id, True))


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
