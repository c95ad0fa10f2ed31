"""Where SamCart's events enter: keep the raw bytes and answer, without reading them."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from events.models import Delivery
from events.queue import wake
from events.receiving import (
    addresses,
    answer_counts,
    circuit_breaker,
    grouped_log,
    posts,
    spool,
    store_delivery,
)
from integrations import secrets, webhook_secrets
from integrations.database.database_timeout import DatabaseTimeout
from integrations.webhook_secrets import WebhookAddress

log = logging.getLogger(__name__)
GetResponse = Callable[[HttpRequest], HttpResponse]
_unknown_addresses = grouped_log.GroupedLog(
    lambda count: log.warning("hook_address_unknown", extra={"count": count})
)


def receive_first(get_response: GetResponse) -> GetResponse:
    """Middleware that answers the webhook before host check, redirects, session and CSRF."""

    def answer(request: HttpRequest) -> HttpResponse:
        addressed = addresses.secret_and_trigger(request.path_info)
        return receive(request, *addressed) if addressed else get_response(request)

    return answer


@csrf_exempt
def receive(request: HttpRequest, secret: str, trigger: str = "") -> HttpResponse:
    """Store one POST of SamCart with its wake-up, in one transaction, and answer.

    200 stored · 404 unknown secret · 405 not a POST · 411 no length · 413 over 1 MiB · 503 when no
    durable copy could be made. The body is not read here: SamCart sends each event once. What the
    database does not take in time goes to the spool, and is stored later.
    """
    try:
        answer = _receive(request, secret, trigger)
    except Exception as error:  # whatever it was, SamCart must learn that nothing was kept
        # The text of a database error may quote the body, so only its kind is told.
        log.error("delivery_not_stored", extra={"error": type(error).__name__})
        answer = _later("The event could not be stored. Send it again.")
    answer_counts.add(answer.status_code)
    return answer


def _receive(request: HttpRequest, secret: str, trigger: str) -> HttpResponse:
    came_at = time.time()
    timeout = DatabaseTimeout(settings.STORE_SECONDS)  # for the look-up and the storing together
    posted = request.method == "POST"
    digest, address, in_reach = _whose(secret, timeout, posted=posted)
    if address is None:
        return _unknown()
    if not posted:
        return _not_a_post(address, in_reach=in_reach)
    if posts.has_no_length(request):
        return _answer(411, "Send the length of the body (Content-Length), or send it in chunks.")
    body = posts.body(request)
    if body is None:
        log.warning("delivery_too_large", extra={"marketplace": address.marketplace_id})
        return _answer(413, "The body is larger than 1 MiB.")
    delivery = posts.delivery(request, address, trigger, body)
    try:
        stored = in_reach and _stored(delivery, digest, timeout)
    except store_delivery.AddressUnknown:
        webhook_secrets.forget(digest)
        return _unknown()
    if not stored:
        received_at = datetime.fromtimestamp(came_at, UTC)
        spool.keep(delivery, secret_digest=digest, received_at=received_at)
        log.warning("delivery_spooled", extra={"delivery": str(delivery.uuid)})
    return _answer(200, "Stored.")


def _whose(
    secret: str, timeout: DatabaseTimeout, *, posted: bool
) -> tuple[str, WebhookAddress | None, bool]:
    """Return the digest of the secret that was meant, its address, and `in_reach`.

    If no candidate is known to be an account's, these are of the first. `in_reach` is as in
    `_address_of`.
    """
    found = []
    for meant in addresses.secrets_in(secret):
        digest = secrets.digest(meant)
        address, in_reach = _address_of(digest, timeout, posted=posted)
        if address is not None and address.marketplace_id:
            return digest, address, in_reach
        found.append((digest, address, in_reach))
    return found[0]


def _address_of(
    digest: str, timeout: DatabaseTimeout, *, posted: bool
) -> tuple[WebhookAddress | None, bool]:
    """Return the address, None if unknown, and whether the database is within reach.

    For a POST to an address found before, the database is not asked: storing looks the address up
    anyway. For any other address, the body is not even read before the database has answered.
    """
    remembered = webhook_secrets.remembered(digest)
    if not circuit_breaker.allows_request():
        return remembered, False
    if posted and remembered.marketplace_id:
        return remembered, True
    try:
        with timeout:
            return webhook_secrets.find(digest), True
    except Exception as error:
        _give_up(error, timeout)
        return remembered, False


def _stored(delivery: Delivery, digest: str, timeout: DatabaseTimeout) -> bool:
    """Return whether the database stored it. If not, the caller spools it.

    Raises AddressUnknown.
    """
    try:
        with timeout:
            _store(delivery, digest)
    except store_delivery.AddressUnknown:
        raise
    except Exception as error:
        _give_up(error, timeout)
        return False
    circuit_breaker.record_success()
    return True


def _give_up(error: Exception, timeout: DatabaseTimeout) -> None:
    # The text of a database error may quote the body, so only its kind is told.
    log.error("database_out_of_reach", extra={"error": type(error).__name__})
    circuit_breaker.record_failure(waited=timeout.spent)
    # The database may still work for us, or hang: Django must not use the connection again at the
    # end of the request.
    connection.close()


def _store(delivery: Delivery, digest: str) -> None:
    """Store the delivery; raises if that failed.

    Reconnects and tries once more if the connection was lost. The UUID tells whether the first try
    got through although no answer came, or although something failed after the commit.
    """
    line = connection.connection
    try:
        _store_once(delivery, digest)
    except store_delivery.AddressUnknown:
        raise
    except Exception:
        connection.close_if_unusable_or_obsolete()
        if Delivery.objects.filter(uuid=delivery.uuid).exists():
            log.warning("delivery_stored_after_all")
        elif connection.connection is line:
            raise
        else:
            _store_once(delivery, digest)


def _store_once(delivery: Delivery, digest: str) -> None:
    if wake.queued():
        # No transaction around it: that would cost as much again.
        store_delivery.insert(delivery, secret_digest=digest)
        return
    with transaction.atomic():
        store_delivery.insert(delivery, secret_digest=digest)
        wake.wake()


def _unknown() -> HttpResponse:
    _unknown_addresses.add()
    return _answer(404, "This address is not known. Copy it again from Admit.")


def _not_a_post(address: WebhookAddress, *, in_reach: bool) -> HttpResponse:
    if not in_reach:
        return _later("The database cannot be reached to tell whether this address is right.")
    text = "This is the right address. SamCart sends its events here by POST."
    if address.withdrawn:
        text = "This address was withdrawn: what is sent here is held. Copy the new one from Admit."
    response = _answer(405, text)
    response["Allow"] = "POST"
    return response


def _later(text: str) -> HttpResponse:
    response = _answer(503, text)
    response["Retry-After"] = "30"
    return response


def _answer(status: int, text: str) -> HttpResponse:
    body = f"{text}\n".encode()
    # With its length known, the answer is sent in one piece.
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
    response = HttpResponse(body, status=status, headers=headers)
    # Django would log errors with the path, which holds the secret.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
