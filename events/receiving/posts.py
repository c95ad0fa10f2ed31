"""What a POST holds: its body, complete and not too large, and the delivery made of it."""

import hashlib

from django.conf import settings
from django.http import HttpRequest
from django.http.request import UnreadablePostError

from events.models import Delivery
from events.receiving import addresses
from integrations import sealed
from integrations.webhook_secrets import WebhookAddress
from rules.triggers import from_address


def has_no_length(request: HttpRequest) -> bool:
    """Whether a body may follow that we do not read: HTTP/1.0 may end it by closing."""
    headers = request.META
    told = headers.get("CONTENT_LENGTH") or headers.get("HTTP_TRANSFER_ENCODING")
    return headers.get("SERVER_PROTOCOL") == "HTTP/1.0" and not told


def body(request: HttpRequest) -> bytes | None:
    """Return the body's bytes; None if there are too many.

    Raises OSError if some are missing, ValueError if Content-Length is no number.
    """
    limit: int = settings.WEBHOOK_MAX_BYTES
    announced = 0
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        # Django takes a missing Content-Length for an empty body; gunicorn ends the stream.
        content = request.META["wsgi.input"].read(limit + 1)
    else:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
        if announced > limit:
            return None
        content = request.read(limit + 1)
    if len(content) < announced:
        # Half a form may name another person, so an incomplete body is not kept.
        raise UnreadablePostError("The connection broke off before the body was complete.")
    return None if len(content) > limit else bytes(content)


def delivery(
    request: HttpRequest, address: WebhookAddress, trigger: str, content: bytes
) -> Delivery:
    """Return the delivery, not saved, of a POST to this address."""
    word = addresses.trigger_in(trigger)
    named = from_address(word)
    if not word:
        trigger = ""  # it holds only what was pasted along with the address
    # WSGI hands the bytes of a header over as if they were Latin-1.
    query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
    return Delivery(
        # Used by the spool only, which replaces None when the database is back. The database takes
        # the account, the secret and whether it is withdrawn from its own rows.
        marketplace_id=address.marketplace_id,  # type: ignore[misc]
        address_trigger=named.value if named else _text(trigger, 100),
        query=_text(query.decode("utf-8", "replace"), 2000),
        content_type=_text(request.META.get("CONTENT_TYPE", ""), 255),
        content_encoding=_text(request.META.get("HTTP_CONTENT_ENCODING", ""), 100),
        sealed_body=sealed.seal(content),
        body_digest=hashlib.sha256(content).hexdigest(),
    )


def _text(value: str, length: int) -> str:
    """Return text that every database takes: cut to `length`, without NUL or half characters."""
    clean = value.encode("utf-8", "replace").decode("utf-8", "replace")
    return clean.replace("\x00", "\ufffd")[:length]
