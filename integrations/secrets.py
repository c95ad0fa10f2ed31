"""Secrets at rest: sealed with the first of FIELD_ENCRYPTION_KEYS, opened with any of them."""

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

# Sizes in bytes: the name of a body key, and a nonce.
_NAME, _NONCE = 4, 12


class SecretUnreadable(Exception):
    """None of FIELD_ENCRYPTION_KEYS opens this value, so it cannot be used."""

    @property
    def message(self) -> Said:
        """A sentence for a person: what happened and what to do."""
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
    """Encrypt the text into a Fernet token (ASCII)."""
    return seal_bytes(text.encode()).decode()


def seal_bytes(clear: bytes) -> bytes:
    """Encrypt the bytes into a Fernet token (ASCII)."""
    return _keys().encrypt(clear)


def reveal(sealed: str) -> str:
    """Return the text that `seal` sealed. Raises SecretUnreadable."""
    return reveal_bytes(sealed.encode()).decode()


def reveal_bytes(sealed: bytes) -> bytes:
    """Return the bytes that `seal_bytes` sealed. Raises SecretUnreadable."""
    try:
        return _keys().decrypt(sealed)
    except InvalidToken:
        raise SecretUnreadable from None


def reseal(sealed: str) -> str:
    """Seal the same text again with the first key. Raises SecretUnreadable."""
    try:
        return _keys().rotate(sealed.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable from None


def seal_body(clear: bytes) -> bytes:
    """Encrypt the bytes with a key derived from the first key.

    Uses AES-256-GCM, because a Fernet token takes twice as long and a third more space (measured).
    """
    first, nonce = _body_keys(tuple(settings.FIELD_ENCRYPTION_KEYS))[0], os.urandom(_NONCE)
    return first.name + nonce + first.cipher.encrypt(nonce, clear, None)


def reveal_body(sealed: bytes) -> bytes:
    """Return the bytes that `seal_body` sealed. Raises SecretUnreadable."""
    nonce, text = sealed[_NAME : _NAME + _NONCE], sealed[_NAME + _NONCE :]
    for key in _body_keys(tuple(settings.FIELD_ENCRYPTION_KEYS)):
        if sealed.startswith(key.name):
            with contextlib.suppress(InvalidTag, ValueError):
                return key.cipher.decrypt(nonce, text, None)
    raise SecretUnreadable


def is_body_current(sealed: bytes) -> bool:
    """Return whether the body was sealed with the first key, so it needs none of the others."""
    return sealed.startswith(_body_keys(tuple(settings.FIELD_ENCRYPTION_KEYS))[0].name)


@dataclass(frozen=True, slots=True)
class _BodyKey:
    name: bytes  # the first bytes of all that it sealed
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
    """Return the SHA-256 in hex, by which a webhook secret is found without storing it in clear."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def fresh() -> str:
    """Return a new webhook secret: 32 random bytes as URL-safe text."""
    return secrets.token_urlsafe(32)
