"""Send the messages that are due, each outside a transaction and under a deadline.

Each is sent at least once: if a worker dies before it records the sending, it is sent again. A
receiver recognizes a repeat by its `webhook-id`, a mail server by its Message-ID.
"""

import json
import logging
import time
from datetime import timedelta
from uuid import uuid4

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import translation
from django.utils.module_loading import import_string

from events.alerts import mail, wording
from events.alerts.sent import NotSent, Sent
from events.models import AlertChannel, AlertMessage
from integrations import secrets
from integrations.errors import OutsideError
from integrations.notify_url.calls import HttpPost
from integrations.notify_url.client import Client
from integrations.sentences import say

log = logging.getLogger(__name__)
# How long to wait before each further attempt. After the last one the message is given up.
DELAYS = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720)]
# How long a message belongs to the worker that sends it.
LEASE = timedelta(minutes=2)
MESSAGES_AT_ONCE = 20


def due() -> QuerySet[AlertMessage]:
    """Return the messages whose time to be sent has come."""
    return AlertMessage.objects.filter(next_attempt_at__lte=Now())


def send_due(*, until: float) -> int:
    """Send what is due, until `until` (monotonic seconds). Return how many messages were tried."""
    tried = 0
    while time.monotonic() < until:
        # Webhooks first: they must not wait for a mail server that hangs.
        order = "-channel__kind", "next_attempt_at"
        waiting = list(due().order_by(*order).values_list("pk", flat=True)[:MESSAGES_AT_ONCE])
        if not waiting:
            break
        for pk in waiting:
            if time.monotonic() >= until:
                break
            tried += _try(pk)
    return tried


def _try(pk: int) -> int:
    row = AlertMessage.objects.filter(pk=pk)
    if not row.filter(next_attempt_at__lte=Now()).update(next_attempt_at=Now() + LEASE):
        return 0
    channel = AlertChannel.objects.filter(messages=pk).select_related("person").first()
    if channel is None:
        return 0  # deleted with its person
    with translation.override(_language(channel)):
        message = row.select_related("channel__person", "alert").first()
    if message is None:
        return 0  # deleted with its channel
    attempts = message.attempts + 1
    try:
        if not message.channel.may_send:
            off = say("The notifications or the person were turned off.")
            raise NotSent("channel_off", off)
        send(message)
    except NotSent as error:
        again = attempts <= len(DELAYS) and message.channel.may_send
        retry_at = Now() + DELAYS[attempts - 1] if again else None
        # `update` and not `save`, which would make a row again that was deleted meanwhile.
        row.update(
            attempts=attempts, code=error.code, problem=error.sentence, next_attempt_at=retry_at
        )
        log.warning("alert_not_sent", extra={"alert_message": pk, "code": error.code})
    else:
        row.update(attempts=attempts, code="", problem="", next_attempt_at=None, sent_at=Now())
    return 1


def send(message: AlertMessage) -> Sent:
    """Send one message now. Raises NotSent."""
    if message.channel.kind == AlertChannel.Kind.EMAIL:
        return mail.send(message)
    return _post(message)


def test_for(channel: AlertChannel) -> AlertMessage:
    """Return an unsaved test message for the channel."""
    with translation.override(_language(channel)):
        text = wording.test()
    return AlertMessage(
        channel=channel,
        what=AlertMessage.What.TEST,
        subject=text.subject,
        text=text.body,
        uuid=uuid4(),
    )


def _language(channel: AlertChannel) -> str:
    """Return the person's language for mail. Who reads a webhook's messages is not known."""
    if channel.kind != AlertChannel.Kind.EMAIL:
        return settings.LANGUAGE_CODE
    return str(import_string(settings.LANGUAGE_OF_PERSON)(channel.person))


def _post(message: AlertMessage) -> Sent:
    channel = message.channel
    try:
        url = secrets.reveal(channel.sealed_address)
        secret = secrets.reveal(channel.sealed_secret)
    except secrets.SecretUnreadable as error:
        raise NotSent("secret_unreadable", error.message) from None
    client = Client(
        url=url,
        secret=secret,
        deadline=settings.EMAIL_SECONDS,
        version=settings.VERSION,
        allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS,
    )
    try:
        answer = client.send(
            HttpPost(
                message_id=str(message.uuid),
                body=_body(message),
                content_type="application/json",
                content_encoding="",
                headers={},
            )
        )
    except OutsideError as error:
        raise NotSent(error.code, error.message) from None
    answered = say(
        "The receiver answered {status} and accepted the message.", status=str(answer.status)
    )
    return Sent(answered)


def _body(message: AlertMessage) -> bytes:
    if message.channel.kind == AlertChannel.Kind.SLACK:
        return json.dumps({"text": _slack(f"*{message.subject}*\n{message.text}")}).encode()
    alert = message.alert
    told = {
        "what": message.what,
        "subject": message.subject,
        "text": message.text,
        "code": alert.code if alert else None,
        "buyers": alert.buyers if alert else None,
        "began_at": alert.began_at.isoformat() if alert else None,
        "ended_at": alert.ended_at.isoformat() if alert and alert.ended_at else None,
    }
    return json.dumps(told).encode()


def _slack(text: str) -> str:
    """Return the text escaped for Slack, so that a name such as "<!channel>" calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
