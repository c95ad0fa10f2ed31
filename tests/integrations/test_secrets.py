"""Secrets at rest and in transit: sealed in the database, and never shown or logged."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from events.models import RuleRun
from integrations import credentials, secrets
from integrations.models import Integration, WebhookSecret
from integrations.thinkific.sandbox import Fault
from tests.support import factories
from tests.support.pages import save_site, signed_in


@pytest.fixture
def at_work(world):
    """Everything that handles a secret has handled one: calls, refusals, pages, log lines."""
    boss = signed_in(is_superuser=True)
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell("10_product")
    world.settle()
    shown = boss.post(reverse("admin:samcart-address", args=[world.marketplace.pk]))
    assert shown.status_code == 200
    save_site(boss, world.integration, secret=factories.KEY)
    world.sandbox.faults.add(Fault("status", status=401, body={"error": factories.KEY}))
    world.sell("10_product", customer__email="refused@example.com")
    world.settle()
    world.sandbox.faults.add(
        Fault("status", status=422, body=f"<p>{factories.KEY}</p>", times=None)
    )
    save_site(boss, world.integration, secret=factories.KEY)
    world.settle()
    assert world.post(b"{}", secret=world.secret[:-1] + "!").status_code == 404
    return world


def stored() -> Iterator[bytes]:
    """All that lies in the database, as bytes."""
    if connection.vendor == "sqlite":
        file = str(connection.settings_dict["NAME"])
        for name in (file, f"{file}-wal"):
            if Path(name).exists():
                # By another process: closing the file in this one would drop SQLite's locks.
                yield subprocess.run(["cat", name], capture_output=True, check=True).stdout
        return
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(table)} t")  # noqa: S608
            yield "\n".join(row[0] for row in cursor.fetchall()).encode()


def test_no_secret_lies_open_in_the_database(at_work):
    lying = b"\n".join(stored())
    assert b"dana@example.com" in lying  # we look at the right place
    for secret in (factories.KEY, at_work.secret):
        assert secret.encode() not in lying
        assert secret.encode().hex().encode() not in lying
    assert factories.KEY[-4:].encode() in lying  # "ends in", for people


def test_no_log_line_tells_a_secret_or_a_customer(at_work, capfd, caplog):
    caplog.clear()
    at_work.sell("10_product", customer__email="third@example.com")
    at_work.later()
    at_work.post(b"{}", secret="a-wrong-secret-of-some-length")
    lines = capfd.readouterr().err + "\n".join(record.getMessage() for record in caplog.records)
    assert "run_ended" in lines
    told = [factories.KEY, at_work.secret, "a-wrong-secret", "@example.com", "Dana"]
    assert [secret for secret in told if secret in lines] == []


def test_export_tells_no_secret(at_work, tmp_path):
    file = tmp_path / "config.yaml"
    call_command("export_config", str(file))
    text = file.read_text(encoding="utf-8")
    assert "Art Academy" in text
    assert [secret for secret in (factories.KEY, at_work.secret) if secret in text] == []


def test_with_other_keys_everything_waits_and_nothing_is_sent(world, settings, client, tmp_path):
    settings.SPOOL_DIR = tmp_path
    world.rule("product_purchased", "create_course_enrollment", world.course())
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    world.sell("10_product")  # is kept: it comes but once
    (run,) = world.settle()
    assert run.status == "waiting"
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS" in run.message
    assert world.calls() == []
    assert client.get("/readyz").status_code == 503
    with pytest.raises(secrets.SecretUnreadable, match="give the integration a new one"):
        world.integration.secret()


def test_the_right_keys_let_what_waited_go_on(world, settings):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    right = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    world.sell("10_product")
    world.settle()
    # Entered again under the keys of now, as the sentence says.
    credentials.save(Integration.objects.get(), factories.KEY)
    (run,) = world.later()
    assert run.status == "done"
    assert right != settings.FIELD_ENCRYPTION_KEYS


def test_what_is_sealed_is_opened_by_any_key_and_sealed_by_the_first(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [old]
    sealed = secrets.seal("a secret")
    assert "a secret" not in sealed
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert secrets.reveal(sealed) == "a secret"
    again = secrets.reseal(sealed)
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert secrets.reveal(again) == "a secret"
    with pytest.raises(secrets.SecretUnreadable):
        secrets.reveal(sealed)
    for broken in ("", "gAAAAA", "not a token", sealed[:-4]):
        with pytest.raises(secrets.SecretUnreadable):
            secrets.reveal(broken)


def test_a_webhook_secret_is_found_by_its_digest_alone(world):
    row = WebhookSecret.objects.get()
    assert world.secret not in row.digest + row.sealed
    assert row.digest == secrets.digest(world.secret)
    assert len({secrets.fresh() for _ in range(100)}) == 100
    assert min(len(secrets.fresh()) for _ in range(100)) >= 43  # 32 bytes


def test_no_stored_call_tells_the_key(at_work):
    from integrations.models import ApiCall

    assert ApiCall.objects.filter(status__in=[401, 422]).count() >= 2
    for call in ApiCall.objects.all():
        whole = f"{call.url} {call.request_text} {call.response_text} {call.error}"
        assert factories.KEY not in whole
    assert RuleRun.objects.filter(message__contains=factories.KEY).count() == 0
