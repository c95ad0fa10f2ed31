"""The Alerts page: what is wrong, and how the signed-in person is notified of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.alerts import finding
from events.alerts.problems import Problem, ProblemCode
from events.models import Alert, AlertChannel, AlertMessage, AlertRound, Worker
from integrations import secrets
from integrations.notify_url import signature
from integrations.sentences import MINUTE, format_day
from tests.support import factories, queued, receiver
from tests.support.pages import errors, markup, person, plain, said, signed_in, words

pytestmark = [pytest.mark.first_database, pytest.mark.django_db]
CODES = [code.value for code in ProblemCode]


@pytest.fixture
def boss(settings) -> Client:
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    return signed_in(is_superuser=True, email="ada@example.com")


def look(client: Client) -> str:
    answer = client.get(reverse("admin:alerts"))
    assert answer.status_code == 200
    return plain(markup(answer).partition('<div class="page">')[2])


def post(client: Client, name: str, **data: Any) -> Any:
    return client.post(reverse(f"admin:{name}"), data, follow=True)


def test_what_is_wrong_is_told_with_what_to_do_and_the_way_there(boss):
    worker = Worker.objects.create(name="studio", seen_at=timezone.now() - timedelta(minutes=5))
    page = look(boss)
    assert "No worker is running" in page
    assert "Start Admit again (manage.py up), or call your technician." in page
    worker.seen_at = timezone.now()
    worker.save()
    assert "Nothing is wrong." in look(boss)


@pytest.mark.parametrize("code", list(ProblemCode))
def test_what_is_wrong_leads_to_the_very_place_where_it_is_mended(boss, monkeypatch, code):
    site = factories.IntegrationFactory.create()
    queued.run(factories.DestinationFactory.create(integration=site), status="failed")
    problem = Problem(code, str(site.pk))
    page = boss.get(problem.address)
    assert page.status_code == 200
    place = problem.kind.place
    if place.startswith("#") and place != "#nothing":
        assert f'id="{place[1:]}"' in markup(page)
    monkeypatch.setattr(finding, "lasting", lambda *_, **__: [problem])
    for where in ("alerts", "index"):
        shown = markup(boss.get(reverse(f"admin:{where}")))
        assert not problem.kind.button or f'href="{problem.address}">{problem.kind.button}' in shown


def test_who_may_not_enter_a_key_reads_whom_to_ask(boss):
    factories.IntegrationFactory.create(connection="refused")
    support = signed_in(roles.SUPPORT, email="eve@example.com")
    assert "Enter a new key" in look(boss)
    assert "Ask a manager to do that." not in look(boss)
    assert "Enter a new key" not in look(support)
    assert "Ask a manager to do that." in look(support)


@pytest.mark.parametrize("code", ["no_worker", "overdue", "spool_waits"])
def test_only_an_owner_is_led_to_the_queue_and_others_read_whom_to_ask(boss, monkeypatch, code):
    facts = {"files": 1, "name": "studio"}
    problem = Problem(ProblemCode(code), since=timezone.now(), facts=facts)
    monkeypatch.setattr(finding, "lasting", lambda *_, **__: [problem])
    support = signed_in(roles.SUPPORT, email="eve@example.com")
    person("", first_name="Mia", is_superuser=True)
    for page in ("alerts", "index"):
        assert "See the queue" in words(boss.get(reverse(f"admin:{page}"))), page
        text = words(support.get(reverse(f"admin:{page}")))
        assert "See the queue" not in text, page
        assert "Ask Mia or an owner to do that." in text, page


def test_who_was_refunded_and_is_still_in_is_listed_where_the_alert_leads(boss, monkeypatch):
    problem = Problem(ProblemCode.REFUNDED_STILL_IN)
    assert problem.address == reverse("admin:refunded")
    monkeypatch.setattr(finding, "lasting", lambda *_, **__: [problem])
    assert "See who" in look(boss)
    viewer = signed_in(roles.VIEWER, email="eve@example.com")
    assert "See who" not in look(viewer)
    assert "Ask a manager to do that." in look(viewer)
    person(roles.MANAGER, first_name="Noor")
    person(roles.SUPPORT, first_name="Sam")
    assert "Ask Noor, Sam or an owner to do that." in look(viewer)


def test_an_owner_is_told_by_mail_and_others_when_they_want(boss):
    assert "E-mail ada@example.com Everything Not working" in look(boss)
    eve = signed_in(roles.SUPPORT, email="eve@example.com")
    assert "E-mail eve@example.com Everything Off" in look(eve)


def test_what_one_is_told_of_can_be_chosen(boss):
    look(boss)
    channel = AlertChannel.objects.get()
    answer = post(boss, "alerts-channel", channel=channel.pk, enabled="on", codes=CODES[:2])
    assert said(answer) == ["Saved. Send a test to see that it arrives."]
    channel.refresh_from_db()
    assert (channel.enabled, channel.digest, channel.codes) == (True, False, CODES[:2])
    assert f"2 of {len(CODES)} kinds" in look(boss)
    post(boss, "alerts-channel", channel=channel.pk, codes=CODES)
    channel.refresh_from_db()
    assert (channel.enabled, channel.codes) == (False, [])
    answer = post(boss, "alerts-channel", channel=channel.pk)
    assert "Select at least one" in errors(answer)


@pytest.mark.django_db(transaction=True)
def test_a_webhook_is_added_tested_and_deleted(boss):
    with receiver.Receiver(signature.new_secret()) as crm:
        address = f"{crm.url}/hooks/T0KEN"
        answer = post(
            boss, "alerts-channel", kind="slack", address=address, enabled="on", codes=CODES
        )
        assert said(answer) == ["Saved. Send a test to see that it arrives."]
        channel = AlertChannel.objects.get(kind="slack")
        assert secrets.reveal(channel.sealed_address) == address
        page = look(boss)
        assert "Slack 127.0.0.1 Everything On" in page
        assert "T0KEN" not in page
        AlertChannel.objects.filter(pk=channel.pk).update(sealed_secret=secrets.seal(crm.secret))
        answer = post(boss, "alerts-test", channel=channel.pk)
        assert said(answer) == ["The receiver answered 200 and accepted the message."]
        assert b"Admit: a test" in crm.requests[0].body
    answer = post(boss, "alerts-test", channel=channel.pk)
    assert "The test was not sent. 127.0.0.1 refused the connection" in said(answer)[0]
    answer = post(boss, "alerts-delete", channel=channel.pk)
    assert said(answer) == ["The webhook was deleted. Nothing more is sent there."]
    assert not AlertChannel.objects.filter(kind="slack").exists()
    assert not AlertMessage.objects.exists()


def test_the_secret_of_a_signed_webhook_is_shown_once(boss):
    address = "http://127.0.0.1:9/x"
    answer = post(boss, "alerts-channel", kind="json", address=address, enabled="on", codes=CODES)
    secret = secrets.reveal(AlertChannel.objects.get(kind="json").sealed_secret)
    assert secret in answer.content.decode()
    assert secret not in look(boss)


def test_an_address_inside_of_the_network_is_refused(boss, settings):
    settings.ALLOW_PRIVATE_NOTIFY_URLS = False
    answer = post(boss, "alerts-channel", kind="slack", address="https://127.0.0.1/x", codes=CODES)
    assert "is not on the public internet" in errors(answer)
    assert not AlertChannel.objects.exists()


def test_a_test_by_mail_says_what_is_missing(boss):
    look(boss)
    answer = post(boss, "alerts-test", channel=AlertChannel.objects.get().pk)
    assert said(answer) == [
        "The test was not sent. No mail server is set, so no e-mail can be sent. Call your "
        "technician, who can set EMAIL_URL."
    ]


def test_the_channels_of_others_are_out_of_reach(boss):
    look(boss)
    channel = AlertChannel.objects.get()
    mia = signed_in(roles.MANAGER, email="mia@example.com")
    for name in ("alerts-test", "alerts-delete"):
        answer = post(mia, name, channel=channel.pk)
        assert said(answer) == ["This notification channel no longer exists."]
    answer = post(mia, "alerts-channel", channel=channel.pk, codes=CODES[:1])
    channel.refresh_from_db()
    assert channel.codes == []


def test_only_who_may_connect_integrations_may_add_a_webhook():
    eve = signed_in(roles.SUPPORT)
    assert "New webhook" not in look(eve)
    assert post(eve, "alerts-channel", kind="slack", address="https://x/").status_code == 403
    assert "New webhook" in look(signed_in(roles.MANAGER))


def test_a_silence_that_is_over_is_said_to_be(boss):
    account = factories.MarketplaceFactory.create()
    for asked in ("", "x", str(account.pk)):
        answer = post(boss, "alerts-silence", account=asked)
        assert said(answer) == ["Sales are no longer missing, so there is nothing to confirm."]
    assert not AlertRound.objects.exclude(right_silences={}).exists()


def test_nothing_is_changed_by_looking(boss):
    for name in ("alerts-test", "alerts-delete", "alerts-silence"):
        assert boss.get(reverse(f"admin:{name}")).status_code == 405


def test_e_mail_is_not_said_to_be_on_where_none_can_be_sent(boss, settings):
    settings.EMAIL_HOST = ""
    assert "Not working Nothing can be sent." in look(boss)
    settings.EMAIL_HOST = "mail.example.com"
    assert "Nothing can be sent." not in look(boss)


def test_a_rejected_key_says_since_when(boss):
    site = factories.IntegrationFactory.create(connection="refused")
    seen = timezone.now() - timedelta(hours=2)
    Alert.objects.create(code="key_refused", subject=str(site.pk), began_at=seen, seen_at=seen)
    shown = format_day(timezone.localtime(seen), MINUTE)
    assert f"A key is rejected {shown} " in look(boss)
