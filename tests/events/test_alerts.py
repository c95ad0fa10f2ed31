"""What is wrong now, the alerts about it, and the messages as a mail server gets them."""

import email
import email.policy
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone

from config.models import Preference
from events.alerts import delivery, finding, rounds, sentences
from events.alerts.problems import KINDS, ProblemCode
from events.alerts.sent import NotSent
from events.models import (
    Alert,
    AlertChannel,
    AlertMessage,
    AlertRound,
    Canary,
    Delivery,
    EventLog,
    Grant,
    RuleRun,
    Worker,
)
from events.receiving import disk, spool
from integrations import secrets
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration
from integrations.notify_url import signature
from tests.support import factories, postgres, receiver
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

MINUTE = timedelta(minutes=1)


class Inbox:
    """A mail server that keeps what it takes; `answer` is what it says to a mail."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.mails.append(envelope.content.decode())
        return self.answer

    def subjects(self) -> list[str]:
        lines = "\n".join(self.mails).splitlines()
        return [line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: ")]


@pytest.fixture
def inbox(settings) -> Iterator[Inbox]:
    """A mail server on loopback, and Admit set to send there for real."""
    kept = Inbox()
    server = Controller(kept, hostname="127.0.0.1", port=postgres.free_port())
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = server.port
    yield kept
    server.stop()


@pytest.fixture
def owner(transactional_db: None) -> Any:
    return get_user_model().objects.create_superuser("ada@example.com", "ada@example.com", "x")


@pytest.fixture
def shop(real_shop: Shop, settings, tmp_path) -> Shop:
    """A shop where nothing is wrong."""
    settings.SPOOL_DIR = str(tmp_path / "spool")
    settings.CANARY = False
    settings.BACKUP_DIR = tmp_path / "backups"
    Worker.objects.create(name="studio", seen_at=timezone.now())
    return real_shop


def look() -> None:
    """A minute goes by, and somebody looks and sends."""
    AlertRound.objects.update(next_at=timezone.now() - MINUTE)
    call_command("send_alerts", "--quiet")


def days_ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def run_of(shop: Shop, **facts: Any) -> RuleRun:
    """An action of a purchase, as it is left."""
    shop.rule()
    shop.sell()
    run = RuleRun.objects.get()
    for name, value in facts.items():
        setattr(run, name, value)
    run.save()
    return run


# Each cause: how it comes about, and how it goes away.


def no_worker(shop: Shop) -> Any:
    Worker.objects.update(seen_at=timezone.now() - 4 * MINUTE)
    return lambda: Worker.objects.update(seen_at=timezone.now())


def key_refused(shop: Shop) -> Any:
    shop.rule()
    Integration.objects.update(connection="refused")
    return lambda: Integration.objects.update(connection="connected")


def site_paused(shop: Shop) -> Any:
    shop.rule()
    for site in Integration.objects.all():
        CallBudget.objects.get_or_create(integration=site)
        rate_limit.block(site.pk, CallBudget.Blocked.AWAY, seconds=3600)
    # That it began so long ago only the alert knows.
    look()
    Alert.objects.update(began_at=timezone.now() - 11 * MINUTE)
    return lambda: CallBudget.objects.update(blocked="", blocked_until=0)


def overdue(shop: Shop) -> Any:
    shop.receive("10_product")
    Delivery.objects.update(received_at=timezone.now() - 11 * MINUTE)
    return lambda: Delivery.objects.update(state="read")


def spool_waits(shop: Shop) -> Any:
    waiting = Delivery(marketplace=shop.marketplace, sealed_body=b"{}")
    spool.keep(waiting, secret_digest="", received_at=timezone.now() - 6 * MINUTE)
    return lambda: spool.drain(seconds=5)


def needs_a_person(shop: Shop) -> Any:
    run = run_of(shop, status="failed")
    return lambda: RuleRun.objects.filter(pk=run.pk).update(status="skipped")


def brake_on(shop: Shop) -> Any:
    run = run_of(shop, status="held", code="braked")
    return lambda: RuleRun.objects.filter(pk=run.pk).update(status="skipped")


def nothing_given(shop: Shop) -> Any:
    event = shop.sell()
    event.__class__.objects.update(received_at=timezone.now())
    return lambda: event.__class__.objects.update(dealt_with_at=timezone.now())


def refunded_still_in(shop: Shop) -> Any:
    shop.rule()
    shop.sell()
    shop.sell("20_product", minutes=1)
    RuleRun.objects.update(status="done")
    EventLog.objects.update(status="done")
    return lambda: Grant.objects.update(kept_at=timezone.now())


def token_ends(shop: Shop) -> Any:
    shop.rule()
    Integration.objects.update(secret_expires_on=timezone.localdate() + timedelta(days=10))
    return lambda: Integration.objects.update(secret_expires_on=None)


def backup_old(shop: Shop) -> Any:
    from django.conf import settings

    told = Path(settings.BACKUP_DIR) / "last.json"
    told.parent.mkdir(parents=True)
    told.write_text(json.dumps({"made_at": days_ago(1.2).isoformat()}))
    return lambda: told.write_text(json.dumps({"made_at": timezone.now().isoformat()}))


def silence(shop: Shop) -> Any:
    event = shop.sell()
    event.dealt_with_at = timezone.now()
    model = event.__class__
    for hours in range(10, 24 * 20):
        event.pk, event.line = None, hours
        event.received_at = timezone.now() - timedelta(hours=hours)
        event.save(force_insert=True)
    newest = model.objects.order_by("-received_at").first()
    assert newest
    newest.delete()
    return lambda: rounds.silence_is_right(shop.marketplace)


def disk_low(shop: Shop) -> Any:
    patch = pytest.MonkeyPatch()
    Path(shop_settings().SPOOL_DIR).mkdir(exist_ok=True)
    patch.setattr(disk, "LITTLE_SHARE", 1.0)
    return patch.undo


def canary_failed(shop: Shop) -> Any:
    shop_settings().CANARY = True
    Canary.objects.create(
        marketplace=shop.marketplace, next_at=timezone.now(), step="dns", failures=2
    )
    return lambda: Canary.objects.update(step="", failures=0)


def fails(now: Any) -> Any:
    raise OperationalError("disk I/O error")


def not_checked(shop: Shop) -> Any:
    """The look for old backups fails, and has for three minutes."""
    patch = pytest.MonkeyPatch()
    patch.setitem(finding.CHECKS, ProblemCode.BACKUP_OLD, fails)
    look()
    Alert.objects.update(began_at=timezone.now() - 4 * MINUTE)
    return patch.undo


def shop_settings() -> Any:
    from django.conf import settings

    return settings


CAUSES = {
    ProblemCode.NO_WORKER: no_worker,
    ProblemCode.KEY_REFUSED: key_refused,
    ProblemCode.SITE_PAUSED: site_paused,
    ProblemCode.OVERDUE: overdue,
    ProblemCode.SPOOL_WAITS: spool_waits,
    ProblemCode.DISK_LOW: disk_low,
    ProblemCode.CANARY_FAILED: canary_failed,
    ProblemCode.SILENCE: silence,
    ProblemCode.NOTHING_GIVEN: nothing_given,
    ProblemCode.REFUNDED_STILL_IN: refunded_still_in,
    ProblemCode.NEEDS_A_PERSON: needs_a_person,
    ProblemCode.BRAKE_ON: brake_on,
    ProblemCode.TOKEN_ENDS: token_ends,
    ProblemCode.BACKUP_OLD: backup_old,
    ProblemCode.NOT_CHECKED: not_checked,
}


def test_every_cause_is_looked_for_and_has_words_and_a_test():
    assert set(ProblemCode) == set(KINDS) == set(sentences.SENTENCES) == set(CAUSES)
    assert set(ProblemCode) == {*finding.CHECKS, ProblemCode.NOT_CHECKED}


@pytest.mark.parametrize("code", list(CAUSES))
def test_a_problem_is_told_once_when_it_begins_and_once_when_it_is_over(
    shop, owner, inbox, code: ProblemCode
):
    end = CAUSES[code](shop)
    look()
    look()
    title = KINDS[code].title
    assert inbox.subjects() == [f"Admit: {title}"]
    assert "https://" in inbox.mails[0] or "http://" in inbox.mails[0]
    end()
    look()
    # It might come back, so its end is told a little later.
    assert len(inbox.mails) == 1
    Alert.objects.update(seen_at=timezone.now() - 6 * MINUTE)
    look()
    look()
    assert inbox.subjects() == [f"Admit: {title}", f"Admit: resolved: {title}"]
    assert rounds.open_alerts() == []


def test_where_nothing_is_wrong_nothing_is_found_and_nobody_is_told(shop, owner, inbox):
    look()
    assert finding.find() == []
    assert inbox.mails == []


def test_what_has_not_lasted_is_no_alert_and_ends_without_a_word(shop, owner, inbox):
    Worker.objects.update(seen_at=timezone.now() - 2.5 * MINUTE)
    look()
    assert inbox.mails == []
    assert finding.lasting() == []
    assert Alert.objects.get().announced_at is None
    Worker.objects.update(seen_at=timezone.now())
    look()
    assert not Alert.objects.exists()


def test_what_comes_and_goes_is_one_alert(shop, owner, inbox):
    run = run_of(shop, status="failed")
    for status in ("failed", "skipped", "failed", "skipped", "failed"):
        RuleRun.objects.filter(pk=run.pk).update(status=status)
        look()
    assert len(inbox.mails) == 1
    assert Alert.objects.count() == 1


def test_a_silent_account_is_told_of_while_another_one_sells(shop, owner, inbox):
    end = silence(shop)
    busy = factories.MarketplaceFactory.create(name="Second shop")
    sold = EventLog.objects.earliest("received_at")
    sold.pk, sold.marketplace, sold.line = None, busy, 1
    sold.received_at = sold.dealt_with_at = timezone.now() - MINUTE
    sold.save(force_insert=True)
    look()
    assert inbox.subjects() == ["Admit: No sales for an unusually long time"]
    assert f"The last sale of {shop.marketplace.name} came" in inbox.mails[0]
    # What is right for one says nothing of another, which has no habit yet.
    assert not rounds.silence_is_right(busy)
    end()
    assert finding.find(codes=[ProblemCode.SILENCE]) == []


def test_many_failures_are_one_message(shop, owner, inbox):
    run = run_of(shop, status="failed")
    look()
    for number in range(5):
        run.pk = run.rule = None
        run.customer = factories.CustomerFactory.create(email=f"b{number}@example.com")
        run.save(force_insert=True)
        look()
    assert len(inbox.mails) == 1
    assert Alert.objects.get().buyers == 6


def test_a_token_is_told_of_at_14_7_and_1_days_before_its_end(shop, owner, inbox):
    shop.rule()
    for days in (15, 14, 10, 7, 3, 1, 0):
        Integration.objects.update(secret_expires_on=timezone.localdate() + timedelta(days=days))
        look()
    assert inbox.subjects() == ["Admit: An access token expires"] * 3


def test_a_mail_names_no_customer(shop, owner, inbox):
    run = run_of(shop, status="failed")
    look()
    assert "1 buyer is affected" in inbox.mails[0]
    assert run.customer
    assert run.customer.email not in inbox.mails[0]


# Who is told, and of what


def test_owners_are_told_of_all_by_mail_until_they_turn_it_off(shop, owner, inbox):
    people = get_user_model().objects
    people.create_user("eve@example.com", "eve@example.com", "x", is_staff=True)
    people.create_superuser("old@example.com", "old@example.com", "x", is_active=False)
    needs_a_person(shop)
    look()
    assert [message.channel.person for message in AlertMessage.objects.all()] == [owner]
    AlertChannel.objects.update(enabled=False)
    no_worker(shop)
    look()
    assert len(inbox.mails) == 1
    assert AlertChannel.objects.count() == 1


def test_who_becomes_an_owner_is_told_and_who_chose_keeps_to_it(shop, owner, inbox):
    people = get_user_model().objects
    for name, enabled in (("new", None), ("quiet", False)):
        manager = people.create_user(f"{name}@example.com", f"{name}@example.com", "x")
        AlertChannel.objects.create(person=manager, kind="email", enabled=enabled)
    needs_a_person(shop)
    look()
    assert len(inbox.mails) == 1
    people.update(is_superuser=True)
    no_worker(shop)
    look()
    told = AlertMessage.objects.exclude(channel__person=owner)
    assert [message.channel.person.username for message in told] == ["new@example.com"]


def test_a_look_that_fails_stops_no_other_and_ends_no_alert(shop, owner, inbox, monkeypatch):
    over = backup_old(shop)
    look()
    over()
    Alert.objects.update(seen_at=timezone.now() - 6 * MINUTE)
    with monkeypatch.context() as patch:
        patch.setitem(finding.CHECKS, ProblemCode.BACKUP_OLD, fails)
        needs_a_person(shop)
        look()
    assert inbox.subjects() == ["Admit: No recent backup", "Admit: Actions need a person"]
    Alert.objects.filter(code=ProblemCode.BACKUP_OLD).update(seen_at=timezone.now() - 6 * MINUTE)
    look()
    assert inbox.subjects()[2:] == ["Admit: resolved: No recent backup"]


def test_a_channel_gets_only_what_it_is_for(shop, owner, inbox):
    AlertChannel.objects.create(person=owner, kind="email", codes=[ProblemCode.NO_WORKER])
    needs_a_person(shop)
    no_worker(shop)
    look()
    assert inbox.subjects() == ["Admit: No worker is running"]


def test_who_may_not_fix_it_is_led_to_the_page_that_says_who_may(shop, owner, inbox):
    viewer = get_user_model().objects.create_user("viewer", "viewer@school.example")
    AlertChannel.objects.create(person=viewer, kind="email", enabled=True)
    refunded_still_in(shop)
    look()
    texts = dict(AlertMessage.objects.values_list("channel__person__username", "text"))
    assert str(texts[owner.username]).rstrip().endswith(reverse("admin:refunded"))
    assert str(texts["viewer"]).rstrip().endswith(reverse("admin:alerts"))


def test_a_mail_is_written_in_the_language_of_its_person(shop, owner, inbox):
    Preference.objects.create(user=owner, language="es")
    end = needs_a_person(shop)
    look()
    end()
    Alert.objects.update(seen_at=timezone.now() - 6 * MINUTE)
    look()
    policy = email.policy.default
    began, over = (email.message_from_bytes(each.encode(), policy=policy) for each in inbox.mails)
    assert began["Subject"] == "Admit: Acciones por decidir"
    assert began.get_content().startswith("1 acción falló o espera una decisión.")
    assert over["Subject"] == "Admit: resuelto: Acciones por decidir"
    # Who reads the page in English reads the same message in English.
    assert AlertMessage.objects.order_by("pk")[0].subject == "Admit: Actions need a person"


@pytest.mark.parametrize("kind", ["slack", "json"])
def test_a_webhook_gets_a_signed_message(shop, owner, settings, kind: str):
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    # It is known who set it up, and not who reads what it takes.
    Preference.objects.create(user=owner, language="es")
    secret = signature.new_secret()
    with receiver.Receiver(secret) as crm:
        AlertChannel.objects.create(
            person=owner,
            kind=kind,
            sealed_address=secrets.seal(crm.url),
            sealed_secret=secrets.seal(secret),
        )
        needs_a_person(shop)
        look()
        look()
        crm.verified()
        (request,) = crm.requests
    told = json.loads(request.body)
    if kind == "slack":
        assert list(told) == ["text"]
        assert told["text"].startswith("*Admit: Actions need a person*\n1 action failed")
    else:
        assert (told["what"], told["code"], told["buyers"]) == ("began", "needs_a_person", 1)


def test_the_digest_comes_once_in_the_morning_while_something_is_open(
    shop, owner, inbox, monkeypatch
):
    needs_a_person(shop)
    look()
    AlertRound.objects.update(digest_on=None)
    monkeypatch.setattr(rounds, "DIGEST_AT", timezone.localtime().time())
    # What was told within the hour is not told again.
    look()
    assert len(inbox.mails) == 1
    Alert.objects.update(announced_at=timezone.now() - timedelta(hours=2))
    AlertRound.objects.update(digest_on=None)
    look()
    look()
    assert inbox.subjects()[1:] == ["Admit: 1 thing is still wrong"]


# Messages that do not get through


def test_a_message_that_is_not_taken_is_sent_again_and_says_why(shop, owner, inbox):
    inbox.answer = "451 later"
    needs_a_person(shop)
    look()
    message = AlertMessage.objects.get()
    assert (message.sent_at, message.attempts, message.code) == (None, 1, "mail_later")
    assert message.next_attempt_at
    inbox.answer = "250 OK"
    AlertMessage.objects.update(next_attempt_at=timezone.now())
    look()
    message.refresh_from_db()
    assert message.sent_at
    assert (message.code, message.problem, len(inbox.mails)) == ("", "", 1)


def test_a_message_is_given_up_at_last(shop, owner, inbox):
    inbox.answer = "550 never"
    needs_a_person(shop)
    for _ in range(len(delivery.DELAYS) + 3):
        look()
        AlertMessage.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now())
    message = AlertMessage.objects.get()
    assert message.next_attempt_at is None
    assert message.attempts == len(delivery.DELAYS) + 1


@pytest.mark.parametrize(
    ("mail", "code", "words"),
    [
        ({"EMAIL_HOST": ""}, "no_mail_server", "set EMAIL_URL"),
        ({"EMAIL_PORT": 1}, "mail_refused", "refused the connection"),
        ({"EMAIL_USE_TLS": True}, "mail_tls", "cannot do what EMAIL_URL asks for"),
        ({"EMAIL_HOST_USER": "a", "EMAIL_HOST_PASSWORD": "b"}, "mail_tls", "or a password"),
    ],
)
def test_a_mail_server_that_is_set_wrong_is_explained(
    shop, owner, inbox, settings, mail: dict[str, Any], code: str, words: str
):
    for name, value in mail.items():
        setattr(settings, name, value)
    channel = AlertChannel(person=owner, kind="email")
    with pytest.raises(NotSent, match=words) as error:
        delivery.send(delivery.test_for(channel))
    assert error.value.code == code


def test_a_mail_server_that_says_nothing_is_left_after_the_deadline(shop, owner, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_SECONDS = 0.2
    settings.EMAIL_HOST = "127.0.0.1"
    with receiver.Receiver(signature.new_secret()) as mute:
        mute.behavior = receiver.silent
        settings.EMAIL_PORT = mute.port
        with pytest.raises(NotSent) as error:
            delivery.send(delivery.test_for(AlertChannel(person=owner, kind="email")))
    assert error.value.code in {"mail_broken_off", "mail_timeout"}


def test_without_a_mail_server_owners_get_no_message_that_could_not_be_sent(shop, owner):
    needs_a_person(shop)
    look()
    assert Alert.objects.get().announced_at
    assert not AlertMessage.objects.exists()


def test_two_who_look_at_the_same_time_tell_once(shop, owner, inbox):
    needs_a_person(shop)
    look()
    call_command("send_alerts", "--quiet")
    assert len(inbox.mails) == 1


def test_the_worker_looks_and_sends_beside_its_other_work(shop, owner, inbox):
    from events.worker import background, scheduler

    scheduler.register("studio")
    assert not background.ALERTING.due()
    needs_a_person(shop)
    AlertRound.objects.update(next_at=timezone.now())
    assert scheduler.anything_due()
    thread = background.ALERTING.begin()
    assert thread
    thread.join(20)
    assert len(inbox.mails) == 1
    assert background.ALERTING.begin() is None
