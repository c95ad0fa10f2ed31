"""Secrets at rest: sealed with the first of FIELD_ENCRYPTION_KEYS, opened by any of them."""

import functools
import hashlib
import secrets

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SecretUnreadable(Exception):
    """None of FIELD_ENCRYPTION_KEYS opens this value: nothing may be done with it."""

    message = (
        "The stored secret cannot be opened with FIELD_ENCRYPTION_KEYS of this server. "
        "Put the key that sealed it back into .env, or give the integration a new one."
    )

    def __str__(self) -> str:
        return self.message


def _keys() -> MultiFernet:
    return _of(tuple(settings.FIELD_ENCRYPTION_KEYS))


@functools.lru_cache(maxsize=4)
def _of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(text: str) -> str:
    """The text encrypted (Fernet token, ASCII)."""
    return seal_bytes(text.encode()).decode()


def seal_bytes(clear: bytes) -> bytes:
    """The bytes encrypted (Fernet token, ASCII)."""
    return _keys().encrypt(clear)


def reveal(sealed: str) -> str:
    """The text that was sealed. Raises SecretUnreadable."""
    return reveal_bytes(sealed.encode()).decode()


def reveal_bytes(sealed: bytes) -> bytes:
    """The bytes that were sealed. Raises SecretUnreadable."""
    try:
        return _keys().decrypt(sealed)
    except InvalidToken:
        raise SecretUnreadable from None


def reseal(sealed: str) -> str:
    """The same text under the first key. Raises SecretUnreadable."""
    try:
        return _keys().rotate(sealed.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable from None


def is_current(sealed: bytes) -> bool:
    """Whether the first key opens it, so that the others are not needed for it."""
    try:
        _of(tuple(settings.FIELD_ENCRYPTION_KEYS[:1])).decrypt(sealed)
    except InvalidToken:
        return False
    return True


def digest(secret: str) -> str:
    """SHA-256 in hex: webhook secrets are found by it without being readable."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def fresh() -> str:
    """A new webhook secret: 32 random bytes, safe in an address."""
    return secrets.token_urlsafe(32)
