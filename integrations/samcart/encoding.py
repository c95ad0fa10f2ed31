"""Decompress a body that a sender or a relay has compressed.

Relays may drop the `Content-Encoding` header, and it is not always true, so the first bytes count,
too.
"""

import zlib

from integrations.sentences import say

from .unreadable import Unreadable

LARGEST = 1024 * 1024  # bytes, decompressed
_GZIP, _ZLIB, _RAW = 31, 15, -15  # wbits of zlib
_TWICE = 2


def decompress(body: bytes, content_encoding: str = "") -> bytes:
    """Return the body without compression (gzip or deflate), even if it was compressed twice.

    An uncompressed body is returned unchanged. Raises Unreadable if the decompressed body is larger
    than 1 MiB, or if a gzip body is damaged.
    """
    for _ in range(_TWICE):
        form = _form(body, content_encoding)
        if form is None:
            break
        found = _inflate(body, form)
        if found is None:
            if form == _GZIP:
                raise Unreadable(say("The body is compressed (gzip), and damaged or incomplete."))
            break  # it only looked compressed
        body = found
    return body


def _form(body: bytes, content_encoding: str) -> int | None:
    if body.startswith(b"\x1f\x8b"):
        return _GZIP
    # RFC 1950: the method is 8, and the first two bytes as a number are a multiple of 31.
    if len(body) > 2 and body[0] & 0x8F == 8 and int.from_bytes(body[:2], "big") % 31 == 0:
        return _ZLIB
    # By "deflate" some senders mean a raw stream without zlib's header. No such stream begins like
    # JSON.
    if "deflate" in content_encoding.lower() and body.lstrip()[:1] not in b'{["':
        return _RAW
    return None


def _inflate(body: bytes, form: int) -> bytes | None:
    """Return the decompressed body, or None if it is not a complete stream of this form."""
    stream = zlib.decompressobj(form)
    try:
        found = stream.decompress(body, LARGEST + 1)
    except zlib.error:
        return None
    if len(found) > LARGEST:
        raise Unreadable(say("The body is compressed, and larger than 1 MiB when it is opened."))
    return found if stream.eof else None
