"""Bodies at rest: what came from SamCart and what was said to a site, sealed with our keys.

A body is compressed first where that makes it smaller, because a sealed one cannot be compressed.
One that was stored before 0.6 is not sealed until housekeeping comes by: it is read as it is.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from django.utils.translation import gettext_lazy as _

from integrations import secrets

# What no body begins with: a NUL is in no text, and this word is ours.
_MARK = b"\0admit-sealed-1"
_AS_IS, _COMPRESSED = b"-", b"z"
# As text. An unsealed text that begins so would be shown as one that cannot be opened.
_TEXT_MARK = "admit-sealed-1:"
_FASTEST = 1  # half as long as the default, for a tenth more bytes (measured)
UNREADABLE = _("(This cannot be opened with FIELD_ENCRYPTION_KEYS of this server.)")


def seal(body: bytes) -> bytes:
    """The body sealed; an empty one stays empty."""
    return _MARK + _sealed(body) if body else b""


def reveal(stored: bytes) -> bytes:
    """The body that was sealed, or `stored` itself where it is not. Raises SecretUnreadable."""
    return _opened(stored.removeprefix(_MARK)) if is_sealed(stored) else stored


def is_sealed(stored: bytes) -> bool:
    """Whether the stored body is sealed, by whatever key."""
    return stored.startswith(_MARK)


def seal_text(text: str) -> str:
    """The text sealed, as ASCII; an empty one stays empty."""
    if not text:
        return ""
    sealed = _sealed(text.encode("utf-8", "surrogatepass"))
    return _TEXT_MARK + urlsafe_b64encode(sealed).decode()


def reveal_text(stored: str) -> str:
    """The text for people to read; UNREADABLE where no key opens it."""
    try:
        return _text(stored)
    except secrets.SecretUnreadable:
        return str(UNREADABLE)


def is_text_sealed(stored: str) -> bool:
    """Whether the stored text is sealed, by whatever key."""
    return stored.startswith(_TEXT_MARK)


def renewed(stored: bytes) -> bytes:
    """The stored body under the first key; itself where it is. Raises SecretUnreadable."""
    if is_sealed(stored) and secrets.is_body_current(stored.removeprefix(_MARK)):
        return stored
    return seal(reveal(stored))


def renewed_text(stored: str) -> str:
    """The stored text under the first key; itself where it is. Raises SecretUnreadable."""
    if is_text_sealed(stored) and secrets.is_body_current(_bytes(stored)):
        return stored
    return seal_text(_text(stored))


def _text(stored: str) -> str:
    if not is_text_sealed(stored):
        return stored
    return _opened(_bytes(stored)).decode("utf-8", "surrogatepass")


def _bytes(stored: str) -> bytes:
    try:
        return urlsafe_b64decode(stored.removeprefix(_TEXT_MARK))
    except ValueError:
        raise secrets.SecretUnreadable from None


def _sealed(body: bytes) -> bytes:
    packed = zlib.compress(body, _FASTEST)
    smaller = len(packed) < len(body)
    return secrets.seal_body(_COMPRESSED + packed if smaller else _AS_IS + body)


def _opened(sealed: bytes) -> bytes:
    clear = secrets.reveal_body(sealed)
    return zlib.decompress(clear[1:]) if clear[:1] == _COMPRESSED else clear[1:]
