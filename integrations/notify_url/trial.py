"""A test message, sent to a receiver while a person waits for its answer."""

import uuid

from django.db import transaction

from integrations import rate_limit
from integrations.errors import OutsideError
from integrations.exchanges import Answer, Exchange
from integrations.models import ApiCall, Integration
from integrations.notify_url import pauses
from integrations.notify_url.app import client_of
from integrations.notify_url.calls import HttpPost

TEST_HEADER = "admit-test"


def send(integration: Integration, body: bytes, *, trigger: str) -> Answer:
    """Post `body`, JSON, signed like any message and marked as a test; the receiver's answer.

    It also tells whether the receiver can be reached: a success ends its pause, and what
    `pauses.interpret` says of an error holds. Raises what a client raises, and SecretUnreadable.
    """
    sent: list[Exchange] = []
    client = client_of(integration, lambda method, path: None, sent.append)
    try:
        answer = client.send(
            HttpPost(
                message_id=str(uuid.uuid4()),
                body=body,
                content_type="application/json",
                content_encoding="",
                headers={"admit-trigger": trigger, TEST_HEADER: "true"},
            )
        )
    except OutsideError as error:
        pauses.interpret(integration, error)
        raise
    finally:
        for exchange in sent:
            _keep(integration, exchange)
    _note_success(integration)
    return answer


def _keep(integration: Integration, exchange: Exchange) -> None:
    ApiCall.objects.create(
        integration=integration,
        method=exchange.method,
        url=exchange.url,
        request_body=exchange.request_body,
        status=exchange.status,
        response_body=exchange.response_body,
        error=exchange.error,
        milliseconds=exchange.milliseconds,
        sent_at=exchange.sent_at,
    )


def _note_success(integration: Integration) -> None:
    with transaction.atomic():
        same = Integration.objects.filter(
            pk=integration.pk, secret_version=integration.secret_version
        )
        if same.update(connection=Integration.Connection.CONNECTED, connection_message=""):
            rate_limit.unblock(integration.pk)
