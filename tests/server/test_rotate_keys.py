"""`manage.py rotate_keys` seals stored secrets again with the first encryption key."""

import io
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from config.models import Authenticator
from events.models import AlertChannel
from integrations import credentials, secrets
from integrations.models import Integration, Marketplace, WebhookSecret
from tests.support import factories
from tests.support.second_factor import begun

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
HOOK = "a-webhook-secret-of-35-characters-x"


@pytest.fixture
def shop(transactional_db, settings):
    """Two integrations and two webhook secrets, sealed with OLD; NEW stands in front now."""
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    for name in ("Art Academy", "Zoo"):
        factories.connected(name.split()[0].lower(), name=name)
    marketplace = Marketplace.objects.create(name="Main shop")
    credentials.add_webhook_secret(marketplace)
    credentials.add_webhook_secret(marketplace, HOOK)
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    return marketplace


def rotate() -> str:
    out = io.StringIO()
    call_command("rotate_keys", stdout=out)
    return out.getvalue()


def sealed() -> list[str]:
    found = list(Integration.objects.order_by("pk").values_list("sealed_secret", flat=True))
    return found + list(WebhookSecret.objects.order_by("pk").values_list("sealed", flat=True))


def test_every_secret_opens_with_the_new_key_alone(shop, settings):
    versions = list(Integration.objects.values_list("secret_version", flat=True))
    assert (
        rotate() == "Re-encrypted 4 secrets: 2 API keys, 0 signing secrets and 2 webhook secrets.\n"
    )
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert [each.secret() for each in Integration.objects.all()] == [factories.KEY] * 2
    assert credentials.webhook_secret(shop) == HOOK
    assert list(Integration.objects.values_list("secret_version", flat=True)) == versions


def test_one_that_no_key_opens_is_named_and_left_alone(shop, settings):
    lost = Fernet(Fernet.generate_key()).encrypt(factories.KEY.encode()).decode()
    Integration.objects.filter(name="Zoo").update(sealed_secret=lost)
    WebhookSecret.objects.filter(digest=secrets.digest(HOOK)).update(sealed=lost)
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("rotate_keys", stdout=out)
    assert caught.value.returncode == 1
    assert (
        out.getvalue()
        == "Re-encrypted 2 secrets: 1 API key, 0 signing secrets and 1 webhook secret.\n"
    )
    message = str(caught.value)
    assert "API key of Zoo: cannot be opened" in message
    assert "webhook secret of Main shop (20" in message
    assert "Art Academy" not in message
    assert sealed().count(lost) == 2
    for secret in (factories.KEY, HOOK, OLD, NEW, lost):
        assert secret not in message + out.getvalue()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert Integration.objects.get(name="Art Academy").secret() == factories.KEY


def meanwhile(table: str, change):
    """Runs `change` once, between the reading of the first sealed value and its writing."""
    ran: list[bool] = []

    def wrapper(execute, sql, params, many, context):
        if sql.startswith(f'UPDATE "{table}"') and not ran:
            ran.append(True)
            change()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper), ran


def test_a_key_that_is_entered_meanwhile_is_not_overwritten(shop, settings):
    def enter() -> None:
        # As a server does that has not been restarted yet and knows the old key only.
        settings.FIELD_ENCRYPTION_KEYS = [OLD]
        credentials.save(Integration.objects.get(name="Art Academy"), "a-new-key-of-the-site")
        settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]

    wrapper, ran = meanwhile("integrations_integration", enter)
    with wrapper:
        assert rotate().startswith("Re-encrypted 4 secrets")
    assert ran
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert Integration.objects.get(name="Art Academy").secret() == "a-new-key-of-the-site"


def test_signing_secrets_of_receivers_go_along(transactional_db, settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    crm: Any = factories.ReceiverFactory.create(name="My CRM")
    secret = crm.secret()
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert "0 API keys, 1 signing secret and 0 webhook secrets" in rotate()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert Integration.objects.get().secret() == secret
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    with pytest.raises(CommandError, match="signing secret of My CRM: cannot be opened"):
        call_command("rotate_keys", stdout=io.StringIO())


def test_channels_of_alerts_go_along(transactional_db, settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    mia = get_user_model().objects.create_user("mia@example.com")
    AlertChannel.objects.create(person=mia, kind="slack", sealed_address=secrets.seal("https://x"))
    AlertChannel.objects.create(person=mia, kind="email")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert "and 1 address for alerts." in rotate()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets.reveal(AlertChannel.objects.get(kind="slack").sealed_address) == "https://x"


def test_one_that_is_deleted_meanwhile_is_no_fault(shop):
    wrapper, ran = meanwhile(
        "integrations_webhooksecret",
        lambda: WebhookSecret.objects.filter(digest=secrets.digest(HOOK)).delete(),
    )
    with wrapper:
        assert (
            rotate()
            == "Re-encrypted 3 secrets: 2 API keys, 0 signing secrets and 1 webhook secret.\n"
        )
    assert ran


def test_without_any_secret_there_is_nothing_to_do(transactional_db):
    assert (
        rotate() == "Re-encrypted 0 secrets: 0 API keys, 0 signing secrets and 0 webhook secrets.\n"
    )


def test_the_secret_of_a_second_factor_opens_with_the_new_key_alone(shop, settings):
    person = User.objects.create_user("mia@example.com")
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    before = begun(person).key()
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert rotate().endswith(" and 1 second factor.\n")
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert Authenticator.objects.get(user=person).key() == before
