"""Actions useful to a thief of a session ask for the password or a code once more."""

import html
import re
import time
from typing import Any

import django.apps
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from config.models import Authenticator
from config.staff import confirmation, people, roles
from integrations import credentials
from integrations.models import Act, AuditEntry, Customer, Integration, Marketplace
from integrations.notify_url import signature
from tests.support import factories
from tests.support.pages import confirmed, markup, person, words
from tests.support.second_factor import add, code

pytestmark = pytest.mark.first_database

PASSWORD = "correct horse battery staple"
ASKS = "Confirm that it is you"


@pytest.fixture
def mia(db) -> User:
    roles.grant(django.apps.apps)
    return User.objects.create_superuser("mia@example.com", "mia@example.com", PASSWORD)


@pytest.fixture
def client(mia) -> Client:
    """A browser in which somebody signed in a while ago."""
    client = Client()
    client.force_login(mia)
    return client


@pytest.fixture
def account(db) -> Marketplace:
    account = Marketplace.objects.create(name="Main shop")
    credentials.add_webhook_secret(account)
    return account


def hidden(page: Any) -> dict[str, str]:
    """What the page that asks sends along."""
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', markup(page))
    return {name: html.unescape(value) for name, value in fields if "csrf" not in name}


def answered(client: Client, page: Any, address: str, answer: str = PASSWORD) -> Any:
    return client.post(address, hidden(page) | {"confirm_answer": answer}, follow=True)


def _whose_code_is_old(owner: User) -> Client:
    """The browser of an owner who signed in with a second factor a quarter of an hour ago."""
    add(owner)
    client = Client()
    client.post("/admin/login/", {"username": owner.username, "password": PASSWORD})
    client.post("/admin/login/", {"code": code(owner)})
    session = client.session
    session["confirmed"] -= confirmation.SECONDS
    session.save()
    return client


def test_the_address_is_shown_after_the_password_alone(client, account, settings):
    settings.PUBLIC_URL = "https://admit.example.com"
    secret = credentials.webhook_secret(account)
    place = reverse("admin:samcart-address", args=[account.pk])
    page = client.post(place)
    assert ASKS in words(page)
    assert secret not in page.content.decode()
    wrong = answered(client, page, place, "wrong")
    assert "That was not right. Try again." in words(wrong)
    assert secret not in wrong.content.decode()
    assert secret in answered(client, wrong, place).content.decode()
    assert secret in client.post(place).content.decode()


def test_an_address_is_replaced_after_the_password_alone(client, account):
    place = reverse("admin:samcart-new-secret", args=[account.pk])
    page = client.post(place)
    assert account.webhook_secrets.count() == 1
    answered(client, page, place)
    assert account.webhook_secrets.count() == 2


def test_replaced_addresses_end_after_the_password_alone(client, account):
    credentials.add_webhook_secret(account)
    place = reverse("admin:samcart-end-old-address", args=[account.pk])
    page = client.post(place)
    assert ASKS in words(page)
    assert account.webhook_secrets.filter(expires_at__gt=timezone.now()).exists()
    answered(client, page, place)
    assert not account.webhook_secrets.filter(expires_at__gt=timezone.now()).exists()


def test_an_account_is_deleted_after_the_password_alone(client, account):
    place = reverse("admin:samcart-delete", args=[account.pk])
    assert ASKS not in words(client.get(place))
    page = client.post(place)
    assert ASKS in words(page)
    assert Marketplace.objects.exists()
    answered(client, page, place)
    assert not Marketplace.objects.exists()


def test_a_receiver_gets_another_signing_secret_after_the_password_alone(client, world):
    secret = signature.new_secret()
    crm = world.receiver("https://crm.example.com/hook", secret)
    place = reverse("admin:integrations_integration_do_new_secret", args=[crm.pk])
    page = client.post(place)
    assert ASKS in words(page)
    crm.refresh_from_db()
    assert crm.secret() == secret
    fresh = answered(client, page, place)
    crm.refresh_from_db()
    assert crm.secret() != secret
    assert crm.secret() in fresh.content.decode()


def test_an_integration_is_deleted_after_the_password_alone(client):
    integration = factories.connected("acme", name="Art Academy")
    place = reverse("admin:integrations_integration_delete", args=[integration.pk])
    assert ASKS not in words(client.get(place))
    page = client.post(place)
    assert Integration.objects.exists()
    answered(client, page, place)
    assert not Integration.objects.exists()


def test_a_person_is_added_after_the_password_and_what_was_typed_is_kept(client):
    place = reverse("admin:auth_user_add")
    form = {"name": 'Dana "<b>" Sample', "email": "dana@example.com", "role": people.OWNER}
    page = client.post(place, form)
    assert ASKS in words(page)
    assert User.objects.count() == 1
    assert "link-field" in answered(client, page, place).content.decode()
    made = User.objects.get(username="dana@example.com")
    assert (made.is_superuser, made.get_full_name()) == (True, form["name"])


def test_a_person_is_added_after_one_code(mia):
    client = _whose_code_is_old(mia)
    place = reverse("admin:auth_user_add")
    form = {"name": "Dana Sample", "email": "dana@example.com", "role": people.OWNER}
    page = client.post(place, form)
    assert "link-field" in answered(client, page, place, code(mia, seconds=30)).content.decode()
    assert User.objects.filter(username="dana@example.com").exists()
    assert not AuditEntry.objects.filter(act=Act.CONFIRM_FAILED).exists()


@pytest.mark.parametrize("owner", [True, False])
def test_a_link_is_made_after_the_password_alone(client, owner: bool):
    one = person("" if owner else "Viewer", is_superuser=owner)
    place = reverse("admin:auth_user_do_new_link", args=[one.pk])
    page = client.post(place)
    assert ASKS in words(page)
    assert "link-field" in answered(client, page, place).content.decode()


def test_a_person_is_switched_on_again_after_the_password_alone(client):
    sam = person("Viewer", is_active=False)
    place = reverse("admin:auth_user_do_switch_on", args=[sam.pk])
    page = client.post(place)
    assert not User.objects.get(pk=sam.pk).is_active
    answered(client, page, place)
    assert User.objects.get(pk=sam.pk).is_active


def test_what_a_group_may_do_is_changed_after_the_password_alone(client):
    viewer = Group.objects.get(name="Viewer")
    before = set(viewer.permissions.all())
    may = Permission.objects.get(codename="erase_eventlog")
    place = reverse("admin:auth_group_change", args=[viewer.pk])
    page = client.post(place, {"name": "Viewer", "permissions": [may.pk]})
    assert ASKS in words(page)
    assert set(viewer.permissions.all()) == before
    answered(client, page, place)
    assert set(viewer.permissions.all()) == {may}
    client.logout()
    client.force_login(User.objects.get(username="mia@example.com"))
    place = reverse("admin:auth_group_delete", args=[viewer.pk])
    page = client.post(place, {"post": "yes"})
    assert Group.objects.filter(pk=viewer.pk).exists()
    answered(client, page, place)
    assert not Group.objects.filter(pk=viewer.pk).exists()


def test_a_recovery_code_that_confirms_is_recorded_and_said(client, mia, account):
    recovery = add(mia)[0]
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = Authenticator.objects.get().persistent_id
    session.save()
    place = reverse("admin:samcart-address", args=[account.pk])
    page = answered(client, client.post(place), place, recovery)
    assert "Recovery codes left: 9." in words(page)
    assert AuditEntry.objects.filter(act=Act.RECOVERY_CODE_USED).count() == 1


def test_the_present_password_cannot_be_found_by_trying_to_change_it(client, mia):
    place = reverse("admin:password_change")
    form = {"new_password1": "another good one 77", "new_password2": "another good one 77"}
    for _ in range(5):
        assert "was entered incorrectly" in words(client.post(place, form | {"old_password": "x"}))
    page = client.post(place, form | {"old_password": PASSWORD})
    assert "Too many tries for this account." in words(page)
    assert User.objects.get().check_password(PASSWORD)
    failed = AuditEntry.objects.filter(act=Act.CONFIRM_FAILED, number=str(mia.pk))
    assert failed.count() == 5


def test_a_person_becomes_an_owner_after_the_password_alone(client):
    sam = person("Viewer", email="sam@example.com")
    place = reverse("admin:auth_user_change", args=[sam.pk])
    form = {"name": "Sam", "email": "sam@example.com", "role": people.OWNER}
    page = client.post(place, form)
    assert not User.objects.get(pk=sam.pk).is_superuser
    answered(client, page, place)
    assert User.objects.get(pk=sam.pk).is_superuser


def test_who_opens_a_page_comes_to_it_after_the_password(client):
    place = reverse("admin:second-factor")
    page = client.get(place)
    assert ASKS in words(page)
    assert "Set up your second factor" in words(answered(client, page, place))


def test_who_has_a_second_factor_gives_a_code_and_not_the_password(mia, account):
    client = _whose_code_is_old(mia)
    place = reverse("admin:samcart-new-secret", args=[account.pk])
    page = client.post(place)
    assert "The code that your app shows now, or a recovery code" in words(page)
    answered(client, page, place)
    assert account.webhook_secrets.count() == 1
    answered(client, page, place, code(mia, seconds=30))
    assert account.webhook_secrets.count() == 2


def test_it_holds_for_a_quarter_of_an_hour(client, account, monkeypatch):
    place = reverse("admin:samcart-new-secret", args=[account.pk])
    confirmed(client)
    now = time.time()
    for later, asks in ((15 * 60 - 5, False), (15 * 60 + 5, True)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert (ASKS in words(client.post(place, follow=True))) is asks


def test_signing_in_counts(mia, account):
    client = Client()
    client.post("/admin/login/", {"username": mia.username, "password": PASSWORD})
    client.post(reverse("admin:samcart-new-secret", args=[account.pk]))
    assert account.webhook_secrets.count() == 2


def test_the_password_is_tried_a_few_times_only(client, account):
    place = reverse("admin:samcart-new-secret", args=[account.pk])
    page = client.post(place)
    for _ in range(5):
        answered(client, page, place, "wrong")
    assert "Too many tries for this account." in words(answered(client, page, place))
    assert account.webhook_secrets.count() == 1


def test_what_is_kept_meanwhile_is_escaped_and_carries_no_token(client, account):
    place = reverse("admin:samcart-new-secret", args=[account.pk])
    page = client.post(place, {"x": '"><script>alert(1)</script>', "csrfmiddlewaretoken": "abc"})
    text = markup(page)
    assert "<script>alert" not in text
    assert 'value="abc"' not in text
    assert hidden(page)["x"] == '"><script>alert(1)</script>'


def test_a_person_is_erased_after_the_password_alone(client, account):
    customer = factories.CustomerFactory.create()
    place = reverse("admin:erase-person")
    page = client.post(place, {"customer": customer.pk})
    assert ASKS in words(page)
    assert Customer.objects.filter(pk=customer.pk).exists()
    answered(client, page, place)
    assert not Customer.objects.filter(pk=customer.pk).exists()


def test_all_data_of_a_person_is_handed_out_after_the_password_alone(client, account):
    customer = factories.CustomerFactory.create(email="dana@example.com")
    place = reverse("admin:integrations_customer_do_download_data", args=[customer.pk])
    page = client.post(place)
    assert ASKS in words(page)
    ready = answered(client, page, place)
    assert "Your file is ready" in words(ready)
    assert "dana@example.com" in client.post(place).content.decode()
