"""Sends the messages that are due, each outside of a transaction and under a deadline.

At least once: a worker that dies between sending and noting it sends again. A webhook can tell by
`webhook-id`, a mail by its Message-ID.
"""

import json
import logging
import smtplib
import ssl
import time
from dataclasses import dataclass
from datetime import timedelta
from email.utils import make_msgid
from uuid import uuid4

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models.functions import Now
from django.utils import timezone

from events.alerts import wording
from events.models import AlertChannel, AlertMessage
from integrations import secrets
from integrations.errors import OutsideError
from integrations.notify_url.calls import HttpPost
from integrations.notify_url.client import Client

log = logging.getLogger(__name__)
# Before each further attempt; after the last one it is given up.
DELAYS = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720)]
# While one worker sends it, no other does.
LEASE = timedelta(minutes=2)
AT_ONCE = 20

NO_SERVER = "No mail server is set. Set EMAIL_URL in .env, as docs/operations.md says."


class NotSent(Exception):
    """A message was not taken; `code` names why, the text says it."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back: in words for the person who asked for a test."""

    sentence: str


def due() -> bool:
    """Whether a message waits to be sent."""
    return AlertMessage.objects.filter(next_attempt_at__lte=Now()).exists()


def send_due(*, until: float) -> int:
    """Send what is due, and begin none after `until` (monotonic seconds); how many were tried."""
    tried = 0
    while time.monotonic() < until:
        pks = AlertMessage.objects.filter(next_attempt_at__lte=Now()).order_by("next_attempt_at")
        waiting = list(pks.values_list("pk", flat=True)[:AT_ONCE])
        if not waiting:
            break
        for pk in waiting:
            if time.monotonic() >= until:
                break
            tried += _try(pk)
    return tried


def _try(pk: int) -> int:
    mine = AlertMessage.objects.filter(pk=pk, next_attempt_at__lte=Now())
    if not mine.update(next_attempt_at=Now() + LEASE):
        return 0
    message = AlertMessage.objects.select_related("channel__person").get(pk=pk)
    message.attempts += 1
    try:
        send(message)
    except NotSent as error:
        message.code, message.problem = error.code, str(error)
        again = message.attempts <= len(DELAYS) and message.channel.enabled
        delay = DELAYS[message.attempts - 1] if again else None
        message.next_attempt_at = timezone.now() + delay if delay else None
        log.warning("alert_not_sent", extra={"alert_message": pk, "code": error.code})
    else:
        message.sent_at, message.next_attempt_at = timezone.now(), None
        message.code = message.problem = ""
    message.save(update_fields=["attempts", "code", "problem", "next_attempt_at", "sent_at"])
    return 1


def send(message: AlertMessage) -> Sent:
    """Send one message now. Raises NotSent."""
    if message.channel.kind == AlertChannel.Kind.EMAIL:
        return _mail(message)
    return _post(message)


def test_for(channel: AlertChannel) -> AlertMessage:
    """A test message for the channel, not saved."""
    text = wording.test()
    return AlertMessage(
        channel=channel,
        what=AlertMessage.What.TEST,
        subject=text.subject,
        text=text.body,
        uuid=uuid4(),
    )


def _mail(message: AlertMessage) -> Sent:
    if not settings.EMAIL_HOST:
        raise NotSent("no_mail_server", NO_SERVER)
    to = message.channel.person.email
    if not to:
        raise NotSent("no_address", "This person has no e-mail address. Enter one under People.")
    connection = get_connection(timeout=settings.EMAIL_SECONDS)
    mail = EmailMessage(
        message.subject,
        message.text,
        settings.DEFAULT_FROM_EMAIL,
        [to],
        headers={"Message-ID": make_msgid(message.uuid.hex, domain="admit")},
        connection=connection,
    )
    server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        mail.send()
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise _explained(error, server) from None
    finally:
        # Where TLS or the password fails it is still open.
        connection.close()
    return Sent(f"The mail server {server} took the message for {to}.")


def _explained(error: Exception, server: str) -> NotSent:
    """What a fault of sending mail means, in words and without the server's own."""
    for kind, code, text in _MAIL_FAULTS:
        if isinstance(error, kind):
            return NotSent(code, text.format(server=server))
    return NotSent("mail_failed", f"No mail could be made of this for {server}.")


_MAIL_FAULTS: list[tuple[type[Exception], str, str]] = [
    (
        smtplib.SMTPAuthenticationError,
        "mail_password",
        "The mail server {server} does not accept the user name or password of EMAIL_URL.",
    ),
    (
        smtplib.SMTPRecipientsRefused,
        "mail_recipient",
        "The mail server {server} does not take mail for this address.",
    ),
    (
        smtplib.SMTPSenderRefused,
        "mail_sender",
        "The mail server {server} does not take mail from the address in DEFAULT_FROM_EMAIL.",
    ),
    (
        smtplib.SMTPNotSupportedError,
        "mail_tls",
        "The mail server {server} cannot do what EMAIL_URL asks for: TLS, or a password.",
    ),
    (
        smtplib.SMTPResponseException,
        "mail_failed",
        "The mail server {server} did not take the message. Look into its log.",
    ),
    (
        ssl.SSLError,
        "mail_tls",
        "No secure connection to the mail server {server} could be made (TLS). Check the port and "
        "the beginning of EMAIL_URL: smtp+tls:// for port 587, smtp+ssl:// for 465.",
    ),
    (
        ConnectionRefusedError,
        "mail_refused",
        "The mail server {server} refused the connection. Check host and port in EMAIL_URL.",
    ),
    (
        TimeoutError,
        "mail_timeout",
        "The mail server {server} did not answer in time. Check host and port in EMAIL_URL.",
    ),
    (
        smtplib.SMTPServerDisconnected,
        "mail_broken_off",
        "The mail server {server} broke off the connection, or did not answer in time. Check host, "
        "port and the beginning of EMAIL_URL.",
    ),
    (
        OSError,
        "mail_unreachable",
        "The mail server {server} could not be reached. Check host and port in EMAIL_URL.",
    ),
]


def _post(message: AlertMessage) -> Sent:
    channel = message.channel
    try:
        url = secrets.reveal(channel.sealed_address)
        secret = secrets.reveal(channel.sealed_secret)
    except secrets.SecretUnreadable as error:
        raise NotSent("secret_unreadable", str(error)) from None
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
    return Sent(f"The receiver answered {answer.status} and took the message.")


def _body(message: AlertMessage) -> bytes:
    if message.channel.kind == AlertChannel.Kind.SLACK:
        return json.dumps({"text": f"*{message.subject}*\n{message.text}"}).encode()
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
