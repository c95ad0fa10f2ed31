"""Secrets at rest: sealed with the first of FIELD_ENCRYPTION_KEYS, opened by any of them."""

import contextlib
import functools
import hashlib
import os
import secrets
from base64 import urlsafe_b64decode
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from integrations.sentences import Said, say

# Bytes: of the name of a key for bodies, and of a nonce.
_NAME, _NONCE = 4, 12


class SecretUnreadable(Exception):
    """None of FIELD_ENCRYPTION_KEYS opens this value: nothing may be done with it."""

    @property
    def message(self) -> Said:
        """What it means for a person, and what to do."""
        return say(
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


def seal_body(clear: bytes) -> bytes:
    """The bytes encrypted by the first key's key for bodies.

    AES-256-GCM, because a Fernet token takes twice as long and a third more room (measured).
    """
    first, nonce = _body_keys(tuple(settings.FIELD_ENCRYPTION_KEYS))[0], os.urandom(_NONCE)
    return first.name + nonce + first.cipher.encrypt(nonce, clear, None)


def reveal_body(sealed: bytes) -> bytes:
    """The bytes that `seal_body` sealed. Raises SecretUnreadable."""
    nonce, text = sealed[_NAME : _NAME + _NONCE], sealed[_NAME + _NONCE :]
    for key in _body_keys(tuple(settings.FIELD_ENCRYPTION_KEYS)):
        if sealed.startswith(key.name):
            with contextlib.suppress(InvalidTag, ValueError):
                return key.cipher.decrypt(nonce, text, None)
    raise SecretUnreadable


def is_body_current(sealed: bytes) -> bool:
    """Whether it was sealed by the first key, so that the others are not needed for it."""
    return sealed.startswith(_body_keys(tuple(settings.FIELD_ENCRYPTION_KEYS))[0].name)


@dataclass(frozen=True, slots=True)
class _BodyKey:
    name: bytes  # by which what it sealed is known
    cipher: AESGCM


@functools.lru_cache(maxsize=4)
def _body_keys(keys: tuple[str, ...]) -> list[_BodyKey]:
    found = []
    for key in keys:
        derive = HKDF(SHA256(), length=32, salt=None, info=b"admit bodies")
        derived = derive.derive(urlsafe_b64decode(key))
        found.append(_BodyKey(hashlib.sha256(derived).digest()[:_NAME], AESGCM(derived)))
    return found


def digest(secret: str) -> str:
    """SHA-256 in hex: webhook secrets are found by it without being readable."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def fresh() -> str:
    """A new webhook secret: 32 random bytes, safe in an address."""
    return secrets.token_urlsafe(32)
