"""Where SamCart's events enter: keep the raw bytes, answer, and look at nothing."""

import hashlib
import logging
import re
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from events import wake
from events.models import Delivery
from integrations import secrets
from integrations.models import WebhookSecret
from integrations.samcart.payload import normalise_type

log = logging.getLogger(__name__)
ADDRESS = re.compile(r"^/hooks/samcart/(?P<secret>[^/]+)(?:/(?P<trigger>.*?))?/?$", re.DOTALL)
GetResponse = Callable[[HttpRequest], HttpResponse]


def receive_first(get_response: GetResponse) -> GetResponse:
    """Middleware that answers the webhook before host check, redirects, session and CSRF."""

    def answer(request: HttpRequest) -> HttpResponse:
        address = ADDRESS.match(request.path_info)
        if address is None:
            return get_response(request)
        return receive(request, address["secret"], address["trigger"] or "")

    return answer


@csrf_exempt
def receive(request: HttpRequest, secret: str, trigger: str = "") -> HttpResponse:
    """Keep one POST of SamCart with its wake-up, in one transaction, and answer.

    200 stored · 404 unknown secret · 405 not a POST · 413 over 1 MiB · 503 when no durable
    copy could be made. Nothing of the body is read here: SamCart sends each event once.
    """
    try:
        door = WebhookSecret.objects.filter(digest=secrets.digest(secret)).first()
        if door is None:
            return _answer(404, "This address is not known. Copy it again from Admit.")
        if request.method != "POST":
            return _not_a_post(request)
        body = _body(request)
        if body is None:
            return _answer(413, "The body is larger than 1 MiB.")
        with transaction.atomic():
            _keep(request, door, trigger, body)
            wake.wake()
    except UnreadablePostError:
        return _answer(400, "The connection broke off before the body was complete.")
    except DatabaseError as error:
        # The text of a database error may quote the body, so only its kind is told.
        log.error("delivery_not_stored", extra={"error": type(error).__name__})
        response = _answer(503, "The event could not be stored. Send it again.")
        response["Retry-After"] = "30"
        return response
    return _answer(200, "Stored.")


def _keep(request: HttpRequest, door: WebhookSecret, trigger: str, body: bytes) -> None:
    withdrawn = door.expires_at is not None and door.expires_at <= timezone.now()
    Delivery.objects.create(
        marketplace_id=door.marketplace_id,
        secret=door,
        withdrawn=withdrawn,
        address_trigger=_text(normalise_type(trigger), 100),
        query=_text(request.META.get("QUERY_STRING", ""), 2000),
        content_type=_text(request.META.get("CONTENT_TYPE", ""), 255),
        body=body,
        body_digest=hashlib.sha256(body).hexdigest(),
    )


def _body(request: HttpRequest) -> bytes | None:
    """The body's bytes; None when there are too many of them."""
    limit: int = settings.WEBHOOK_MAX_BYTES
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        # Django takes a missing Content-Length for an empty body; gunicorn ends the stream.
        body = request.META["wsgi.input"].read(limit + 1)
    elif int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        return None
    else:
        body = request.read(limit + 1)
    return None if len(body) > limit else bytes(body)


def _not_a_post(request: HttpRequest) -> HttpResponse:
    response = _answer(405, "This is the right address. SamCart sends its events here by POST.")
    response["Allow"] = "POST"
    return response


def _answer(status: int, text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")


def _text(value: str, length: int) -> str:
    """Text that every database takes: no NUL, no half characters."""
    clean = value.encode("utf-8", "replace").decode("utf-8", "replace")
    return clean.replace("\x00", "\ufffd")[:length]
