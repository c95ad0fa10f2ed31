"""/healthz and /readyz, as a load balancer or a monitor asks them."""

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from integrations.models import Integration, WebhookSecret
from tests import factories, live

KEYS = "FIELD_ENCRYPTION_KEYS do not open the stored secrets.\n"


def answer(client, path: str = "/readyz", **extra: str) -> tuple[int, str]:
    found = client.get(path, **extra)
    assert found["Content-Type"].startswith("text/plain")
    return found.status_code, found.content.decode()


@pytest.mark.django_db
def test_both_are_well_in_a_working_installation(client):
    factories.IntegrationFactory()
    assert answer(client, "/healthz") == (200, "alive\n")
    assert answer(client) == (200, "ready\n")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_they_answer_whoever_asks_by_number(client, path: str):
    assert answer(client, path, HTTP_HOST="10.1.2.3:8000")[0] == 200
    assert client.get("/admin/", HTTP_HOST="10.1.2.3:8000").status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Integration, WebhookSecret])
def test_one_secret_that_cannot_be_opened_is_not_ready(world, client, settings, model):
    (row,) = model.objects.all()
    sealed = "sealed_secret" if model is Integration else "sealed"
    other = Fernet(Fernet.generate_key()).encrypt(b"secret").decode()
    model.objects.filter(pk=row.pk).update(**{sealed: other})
    # A newer one that opens does not hide it.
    if model is Integration:
        factories.IntegrationFactory()
    assert answer(client) == (503, KEYS)
    assert answer(client, "/healthz")[0] == 200


@pytest.mark.django_db
def test_an_older_key_still_counts(world, client, settings):
    newer = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [newer, *settings.FIELD_ENCRYPTION_KEYS]
    assert answer(client) == (200, "ready\n")
    settings.FIELD_ENCRYPTION_KEYS = [newer]
    assert answer(client) == (503, KEYS)


@pytest.mark.django_db
def test_a_missing_migration_is_not_ready(client):
    newest = MigrationRecorder(connection).migration_qs.filter(app="events").last()
    assert newest is not None
    newest.delete()
    status, said = answer(client)
    assert (status, said) == (
        503,
        "The database is older than the program: run manage.py migrate.\n",
    )


@pytest.mark.django_db(transaction=True)
def test_a_database_out_of_reach_is_not_ready(client, monkeypatch):
    connection.close()

    def refuse(self: BaseDatabaseWrapper) -> None:
        raise DatabaseError("could not connect to server: dana@example.com")

    monkeypatch.setattr(BaseDatabaseWrapper, "connect", refuse)
    assert answer(client) == (503, "The database cannot be reached.\n")
    assert answer(client, "/healthz") == (200, "alive\n")


def test_a_running_server_fails_closed_with_another_key_and_heals_with_the_right_one(tmp_path):
    other = Fernet.generate_key().decode()
    with live.installation(tmp_path) as admit:
        running = admit.start(
            "up", "--bind", f"127.0.0.1:{admit.port}", "--no-worker", FIELD_ENCRYPTION_KEYS=other
        )

        def says() -> tuple[int, str]:
            try:
                return admit.request("GET", "/readyz")
            except OSError:
                return 0, ""

        status, said = live.until(lambda: (found := says())[0] and found)
        assert (status, said) == (503, KEYS)
        # What SamCart sends is kept all the same: it comes but once.
        assert admit.sell("dana@example.com") == 200
        assert running.terminate() == 0
        admit.up("--no-worker")
