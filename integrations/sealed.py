"""Bodies at rest: SamCart's deliveries and the bodies of calls, sealed with our keys.

A body is compressed before sealing if that makes it smaller, because sealed bytes do not compress.
Bodies stored before version 0.6 are read unsealed until housekeeping seals them.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from django.utils.translation import gettext_lazy as _

from integrations import secrets

# The beginning of sealed bodies. No other body begins so: text has no NUL, and the word is ours.
_MARK = b"\0admit-sealed-1"
_AS_IS, _COMPRESSED = b"-", b"z"
# The same for texts. An unsealed text that began so would be shown as one that cannot be opened.
_TEXT_MARK = "admit-sealed-1:"
_FASTEST = 1  # takes half the time of the default level, for a tenth more bytes (measured)
UNREADABLE = _("(This cannot be opened with FIELD_ENCRYPTION_KEYS of this server.)")


def seal(body: bytes) -> bytes:
    """Seal the body. An empty body stays empty."""
    return _MARK + _sealed(body) if body else b""


def reveal(stored: bytes) -> bytes:
    """Return the body that was sealed, or `stored` if it is not sealed. Raises SecretUnreadable."""
    return _opened(stored.removeprefix(_MARK)) if is_sealed(stored) else stored


def is_sealed(stored: bytes) -> bool:
    """Return whether the stored body is sealed, with any key."""
    return stored.startswith(_MARK)


def seal_text(text: str) -> str:
    """Seal the text into ASCII. An empty text stays empty."""
    if not text:
        return ""
    sealed = _sealed(text.encode("utf-8", "surrogatepass"))
    return _TEXT_MARK + urlsafe_b64encode(sealed).decode()


def reveal_text(stored: str) -> str:
    """Return the text for people to read, or UNREADABLE if no key opens it."""
    try:
        return _text(stored)
    except secrets.SecretUnreadable:
        return str(UNREADABLE)


def is_text_sealed(stored: str) -> bool:
    """Return whether the stored text is sealed, with any key."""
    return stored.startswith(_TEXT_MARK)


def reseal(stored: bytes) -> bytes:
    """Return the stored body sealed with the first key, unchanged if it already is.

    Raises SecretUnreadable.
    """
    if is_sealed(stored) and secrets.is_body_current(stored.removeprefix(_MARK)):
        return stored
    return seal(reveal(stored))


def reseal_text(stored: str) -> str:
    """Return the stored text sealed with the first key, unchanged if it already is.

    Raises SecretUnreadable.
    """
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
