"""Alerts when something else is wrong too: other versions, missing people, bad servers."""

import json
import logging
import smtplib
import socket
import ssl
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage
from django.utils import timezone

from events.alerts import delivery, finding, mail, rounds, sentences, wording
from events.alerts.problems import Problem, ProblemCode
from events.alerts.sent import NotSent, Sent
from events.models import Alert, AlertChannel, AlertMessage, AlertRound
from integrations.sentences import say

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
LONG_AGO = timezone.now() - 3 * HOUR


@pytest.fixture
def owner() -> Any:
    return get_user_model().objects.create_superuser("ada@example.com", "ada@example.com", "x")


@pytest.fixture(autouse=True)
def quiet(settings, monkeypatch) -> None:
    """A mail server is set, and nothing is wrong."""
    settings.EMAIL_HOST = "mail.example.com"
    monkeypatch.setattr(finding, "find", lambda now: [])
    monkeypatch.setattr(rounds, "DIGEST_AT", timezone.localtime().min.time())


def look() -> None:
    AlertRound.objects.update_or_create(
        pk=AlertRound.ONLY, defaults={"next_at": timezone.now() - HOUR}
    )
    assert rounds.look()


def alert(code: str, **facts: Any) -> Alert:
    return Alert.objects.create(
        code=code, began_at=LONG_AGO, announced_at=LONG_AGO, seen_at=timezone.now() + HOUR, **facts
    )


def queued(person: Any, **facts: Any) -> AlertMessage:
    channel = AlertChannel.objects.create(
        person=person, kind=facts.pop("kind", "email"), enabled=True
    )
    return AlertMessage.objects.create(
        channel=channel,
        what="began",
        subject="Admit: <!channel> & co",
        text="x",
        uuid=uuid4(),
        next_attempt_at=timezone.now() - HOUR,
        **facts,
    )


def until() -> float:
    return time.monotonic() + 60


# Other versions


def test_an_alert_of_a_later_version_is_left_alone_and_stops_no_other(owner):
    later = alert("later_code")
    Alert.objects.update(seen_at=LONG_AGO)
    alert(ProblemCode.NO_WORKER)
    look()
    assert AlertMessage.objects.get().subject == "Admit: 1 thing is still wrong"
    later.refresh_from_db()
    assert later.ended_at is None


@pytest.mark.first_database
@pytest.mark.parametrize("code", list(ProblemCode))
@pytest.mark.parametrize("facts", [{}, {"step": "later", "on": "later", "days": None}])
def test_a_sentence_without_its_facts_is_the_title(code: ProblemCode, facts: dict[str, Any]):
    problem = Problem(code, facts=facts)
    assert sentences.sentence(problem)


def test_a_digest_of_an_alert_without_facts_is_written(owner):
    alert(ProblemCode.TOKEN_ENDS)
    look()
    assert "- An access token expires." in AlertMessage.objects.get().text


# People and rows that are gone


def test_nothing_is_sent_to_a_person_or_channel_that_was_turned_off_meanwhile(owner, mailoutbox):
    for off in ({"enabled": False}, {"enabled": True}):
        AlertChannel.objects.all().delete()
        queued(owner)
        AlertChannel.objects.update(**off)
        get_user_model().objects.update(is_active=not off["enabled"])
        delivery.send_due(until=until())
        message = AlertMessage.objects.get()
        assert (message.code, message.next_attempt_at) == ("channel_off", None)
    assert mailoutbox == []


def test_a_message_deleted_while_it_is_sent_stops_no_other(owner, monkeypatch):
    queued(owner)
    other = get_user_model().objects.create_user("eve", "eve@example.com", "x")
    queued(other)

    def send(message: AlertMessage) -> Sent:
        AlertChannel.objects.filter(pk=message.channel_id, person=owner).delete()
        return Sent(say("taken"))

    monkeypatch.setattr(delivery, "send", send)
    assert delivery.send_due(until=until()) == 2
    assert AlertMessage.objects.get().sent_at


def test_the_page_may_make_the_mail_channel_of_an_owner_while_somebody_looks(owner, monkeypatch):
    make = AlertChannel.objects.bulk_create

    def late(rows: Any, **options: Any) -> Any:
        AlertChannel.objects.create(person=owner, kind="email")
        return make(rows, **options)

    monkeypatch.setattr(AlertChannel.objects, "bulk_create", late)
    look()
    assert AlertChannel.objects.count() == 1


def test_a_message_has_the_same_id_at_each_attempt(owner, mailoutbox):
    message = queued(owner)
    for _ in range(2):
        delivery.send(message)
    first, second = (each.message()["Message-ID"] for each in mailoutbox)
    assert first == second == f"<{message.uuid.hex}@admit>"


@pytest.mark.first_database
def test_a_name_calls_no_channel_in_slack(owner):
    body = json.loads(delivery._body(queued(owner, kind="slack")))
    assert body["text"] == "*Admit: &lt;!channel&gt; &amp; co*\nx"


@pytest.mark.first_database
@pytest.mark.parametrize("name", ["Ä 日本", "x\r\nBcc: eve@example.com"])
def test_a_name_makes_no_header(owner, mailoutbox, name: str):
    text = wording.began(Problem(ProblemCode.KEY_REFUSED, "1", facts={"name": name}))
    message = queued(owner)
    message.subject, message.text = text.subject, text.body
    delivery.send(message)
    (sent,) = mailoutbox
    assert sent.message()["Bcc"] is None
    assert "\n" not in sent.subject


def test_webhooks_do_not_wait_behind_mail(owner, monkeypatch):
    queued(owner)
    queued(owner, kind="json")
    queued(owner, kind="slack")
    sent: list[str] = []
    monkeypatch.setattr(delivery, "send", lambda message: sent.append(message.channel.kind))
    delivery.send_due(until=until())
    assert sent == ["slack", "json", "email"]


@pytest.fixture
def dripping(settings) -> Any:
    """A mail server that sends a byte of its greeting from time to time, and never all of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()
    held: list[Any] = []

    def drip(peer: Any) -> None:
        while not stop.wait(0.05):
            try:
                peer.send(b"2")
            except OSError:
                return

    def serve() -> None:
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            held.append(peer)
            threading.Thread(target=drip, args=[peer], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = listener.getsockname()
    settings.EMAIL_SECONDS = 0.3
    settings.EMAIL_HOST_PASSWORD = "do-not-show"
    yield listener
    stop.set()
    listener.close()
    for peer in held:
        peer.close()
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join(10)


@pytest.mark.first_database
def test_a_mail_server_of_one_byte_now_and_then_holds_no_caller_and_few_threads(
    owner, dripping, caplog
):
    caplog.set_level(logging.DEBUG)
    message = queued(owner)
    for _ in range(mail.SENDS_AT_ONCE + 2):
        with pytest.raises(NotSent, match="did not answer in time") as error:
            delivery.send(message)
        assert error.value.code == "mail_timeout"
    hanging = [thread for thread in threading.enumerate() if thread.name == "mail"]
    assert len(hanging) <= mail.SENDS_AT_ONCE
    assert "do-not-show" not in caplog.text


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (smtplib.SMTPRecipientsRefused({"a": (451, b"greylisted")}), "mail_later"),
        (smtplib.SMTPRecipientsRefused({"a": (550, b"no such user")}), "mail_recipient"),
        (smtplib.SMTPDataError(452, b"full"), "mail_later"),
        (smtplib.SMTPDataError(554, b"spam"), "mail_failed"),
        (ssl.SSLCertVerificationError(1, "expired"), "mail_certificate"),
        (ssl.SSLError(1, "wrong version"), "mail_tls"),
    ],
)
def test_each_fault_of_a_mail_server_is_named(owner, monkeypatch, error: Exception, code: str):
    def broken(self: Any) -> None:
        raise error

    monkeypatch.setattr(EmailMessage, "send", broken)
    with pytest.raises(NotSent) as found:
        delivery.send(queued(owner))
    assert found.value.code == code
