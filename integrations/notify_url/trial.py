"""Send a test message to a receiver while a person waits for its answer."""

import uuid

from django.db import transaction

from integrations.calls import rate_limit
from integrations.calls.call_log import as_row
from integrations.calls.exchanges import Answer, Exchange
from integrations.errors import OutsideError
from integrations.models import ApiCall, Integration
from integrations.notify_url import pauses
from integrations.notify_url.app import client_for
from integrations.notify_url.calls import HttpPost

TEST_HEADER = "admit-test"


def send(integration: Integration, body: bytes, *, trigger: str) -> Answer:
    """Post the JSON `body` as a signed test message and return the receiver's answer.

    A success ends the receiver's pause; after an error, what `pauses.found` says takes effect.
    Raises what a client raises, and SecretUnreadable.
    """
    sent: list[Exchange] = []
    client = client_for(integration, sent.append)
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
        pauses.take_effect(integration, pauses.found(error))
        raise
    finally:
        ApiCall.objects.bulk_create([as_row(exchange, integration) for exchange in sent])
    with transaction.atomic():
        connected = {"connection": Integration.Connection.CONNECTED, "connection_message": ""}
        if integration.with_same_secret().update(**connected):
            rate_limit.unblock(integration.pk)
    return answer
