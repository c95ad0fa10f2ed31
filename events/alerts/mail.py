"""Send one message by the mail server of EMAIL_URL, and explain what went wrong."""

import smtplib
import ssl
import threading
from queue import Empty, SimpleQueue

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.utils.translation import gettext_lazy as _

from events.alerts.sent import NotSent, Sent
from events.models import AlertMessage
from integrations.sentences import Text, say

# How many mails are sent at a time. A mail that hangs keeps its place, so no more than these hang.
SENDS_AT_ONCE = 4
_places = threading.BoundedSemaphore(SENDS_AT_ONCE)


def send(message: AlertMessage) -> Sent:
    """Send the message now, within EMAIL_SECONDS. Raises NotSent."""
    if not settings.EMAIL_HOST:
        no_server = say(
            "No mail server is set, so no e-mail can be sent. Call your technician, who can set "
            "EMAIL_URL."
        )
        raise NotSent("no_mail_server", no_server)
    to = message.channel.person.email
    if not to:
        no_address = say("This person has no e-mail address. Enter one under People.")
        raise NotSent("no_address", no_address)
    server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    error = _within(settings.EMAIL_SECONDS, message, to)
    if error is not None:
        raise _explained(error, server) from None
    return Sent(
        say("The mail server {server} accepted the message for {to}.", server=server, to=to)
    )


def _within(seconds: float, message: AlertMessage, to: str) -> Exception | None:
    """Send the message and return the error, if there was one.

    The timeout of smtplib starts again with every byte, so a server that sends one byte a second
    could hold the caller for hours. A mail that hangs is therefore left behind in its thread, and
    there are at most SENDS_AT_ONCE threads.
    """
    if not _places.acquire(blocking=False):
        return TimeoutError("others hang")
    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def run() -> None:
        try:
            ended.put(_send(message, to))
        finally:
            _places.release()

    threading.Thread(target=run, daemon=True, name="mail").start()
    try:
        return ended.get(timeout=seconds)
    except Empty:
        return TimeoutError("hangs")


def _send(message: AlertMessage, to: str) -> Exception | None:
    try:
        # A little less than the caller waits, so that the real error is reported.
        connection = get_connection(timeout=settings.EMAIL_SECONDS * 0.9)
        mail = EmailMessage(
            message.subject,
            message.text,
            settings.DEFAULT_FROM_EMAIL,
            [to],
            # The same at each attempt, so that a mail server can drop a repeat.
            headers={"Message-ID": f"<{message.uuid.hex}@admit>"},
            connection=connection,
        )
        try:
            mail.send()
        finally:
            # It is still open if TLS or the password failed.
            connection.close()
    except Exception as error:
        return error
    return None


def _explained(error: Exception, server: str) -> NotSent:
    """Return what the error means, in our words and not the server's."""
    if _asks_to_wait(error):
        later = say("The mail server {server} asks to try again later.", server=server)
        return NotSent("mail_later", later)
    for kind, code, text in _MAIL_FAULTS:
        if isinstance(error, kind):
            return NotSent(code, say(text, server=server))
    return NotSent("mail_failed", say("No mail could be made of this for {server}.", server=server))


def _asks_to_wait(error: Exception) -> bool:
    """Whether the server answered 400 to 499: greylisting, a full mailbox and the like."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code < 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code < 500


_MAIL_FAULTS: list[tuple[type[Exception], str, Text]] = [
    (
        smtplib.SMTPAuthenticationError,
        "mail_password",
        _("The mail server {server} does not accept the user name or password of EMAIL_URL."),
    ),
    (
        smtplib.SMTPRecipientsRefused,
        "mail_recipient",
        _("The mail server {server} does not take mail for this address."),
    ),
    (
        smtplib.SMTPSenderRefused,
        "mail_sender",
        _("The mail server {server} does not take mail from the address in DEFAULT_FROM_EMAIL."),
    ),
    (
        smtplib.SMTPNotSupportedError,
        "mail_tls",
        _("The mail server {server} cannot do what EMAIL_URL asks for: TLS, or a password."),
    ),
    (
        smtplib.SMTPResponseException,
        "mail_failed",
        _("The mail server {server} did not accept the message. Check its log."),
    ),
    (
        ssl.SSLCertVerificationError,
        "mail_certificate",
        _(
            "The certificate of the mail server {server} is not valid: it has expired, is for "
            "another name, or was issued by somebody that this machine does not trust. "
            "Renew it, or correct the host in EMAIL_URL."
        ),
    ),
    (
        ssl.SSLError,
        "mail_tls",
        _(
            "No secure connection to the mail server {server} could be made (TLS). Check the port "
            "and the beginning of EMAIL_URL: smtp+tls:// for port 587, smtp+ssl:// for 465."
        ),
    ),
    (
        ConnectionRefusedError,
        "mail_refused",
        _("The mail server {server} refused the connection. Check host and port in EMAIL_URL."),
    ),
    (
        TimeoutError,
        "mail_timeout",
        _("The mail server {server} did not answer in time. Check host and port in EMAIL_URL."),
    ),
    (
        smtplib.SMTPServerDisconnected,
        "mail_broken_off",
        _(
            "The mail server {server} broke off the connection, or did not answer in time. Check "
            "host, port and the beginning of EMAIL_URL."
        ),
    ),
    (
        OSError,
        "mail_unreachable",
        _("The mail server {server} could not be reached. Check host and port in EMAIL_URL."),
    ),
]
