"""/healthz and /readyz, as a load balancer or a monitor calls them."""

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.utils import translation

from config import health
from config.models import Session
from integrations.models import Integration, WebhookSecret
from tests.support import factories, live

KEYS = "FIELD_ENCRYPTION_KEYS do not open the stored secrets.\n"
NO_WRITE = f"{health.READ_ONLY}\n"
NO_FILE = f"{health.NO_SPOOL}\n"


@pytest.fixture(autouse=True)
def folder(settings, tmp_path) -> Path:
    settings.SPOOL_DIR = tmp_path / "spool"
    return settings.SPOOL_DIR  # type: ignore[no-any-return]


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Another program writes and does not end."""
    other: Any
    if connection.vendor == "sqlite":
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
    else:
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {Session._meta.db_table} IN SHARE MODE")
    try:
        yield
    finally:
        other.close()


@contextlib.contextmanager
def only_read() -> Iterator[None]:
    """The database gives what it has, and takes nothing."""
    on, off = {
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
        "postgresql": (
            "SET default_transaction_read_only = on",
            "SET default_transaction_read_only = off",
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(on)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(off)


@contextlib.contextmanager
def hurry(settings: Any) -> Iterator[None]:
    """The database is waited for no longer than a test may take."""
    connection.ensure_connection()  # no such short time is left for a new one
    usual, settings.STORE_SECONDS = settings.STORE_SECONDS, 0.3
    try:
        yield
    finally:
        settings.STORE_SECONDS = usual


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("hindrance", [locked, only_read])
def test_a_database_that_takes_no_write_is_not_ready(client, settings, hindrance):
    with hindrance(), hurry(settings):
        assert answer(client) == (503, NO_WRITE)
        assert answer(client, "/healthz") == (200, "alive\n")
    assert answer(client) == (200, "ready\n")


@pytest.mark.django_db(transaction=True)
def test_what_is_written_is_committed_and_leaves_nothing_behind(client, folder):
    asked: list[str] = []

    def note(execute, sql, *rest):
        asked.append(sql.split()[0])
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        assert answer(client) == (200, "ready\n")
    assert asked[-2:] == ["INSERT", "DELETE"]
    assert not connection.in_atomic_block
    assert not Session.objects.exists()
    assert list(folder.iterdir()) == []


@pytest.mark.django_db
def test_a_spool_folder_that_takes_no_file_is_not_ready(client, folder):
    folder.write_text("no folder")
    assert answer(client) == (503, NO_FILE)
    assert answer(client, "/healthz") == (200, "alive\n")


@pytest.mark.django_db(transaction=True)
def test_each_fault_has_its_sentence_and_no_sentence_tells_a_path(
    client, folder, settings, monkeypatch
):
    little = SimpleNamespace(free=99 * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: little)
    spool_full = "Less than 100 MB are free on the disk of the spool folder.\n"
    database_full = "Less than 100 MB are free on the disk of the database.\n"
    if connection.vendor != "sqlite":
        database_full = ""  # it may be on another machine
    assert answer(client) == (503, spool_full + database_full)
    settings.READY_FREE_MB = 99
    assert answer(client) == (200, "ready\n")
    settings.READY_FREE_MB = 100
    folder.rmdir()
    folder.write_text("no folder")
    with locked(), hurry(settings):
        status, said = answer(client)
    assert (status, said) == (503, NO_WRITE + NO_FILE + database_full)
    assert "/" not in said.replace(health.READ_ONLY, "")


@pytest.mark.django_db(transaction=True)
def test_a_monitor_is_answered_in_english_after_a_person_who_reads_spanish(client, settings):
    settings.READY_FREE_MB, settings.METRICS_TOKEN = 10**9, "token"
    with translation.override("es"):
        said = [
            answer(client)[1],
            client.get("/metrics", headers={"Authorization": "Bearer token"}).text,
        ]
        assert translation.get_language() == "es"
    assert ["the spool folder" in each for each in said] == [True, True]


@pytest.mark.django_db
def test_many_who_ask_at_once_make_it_prove_once(client, settings, monkeypatch):
    monkeypatch.setattr(health, "_proved", (float("-inf"), ""))
    settings.READY_SECONDS = 3600.0
    proofs: list[str] = []

    def prove() -> str:
        proofs.append("database")
        return ""

    monkeypatch.setattr(health, "_of_database", prove)
    said: list[str] = []
    askers = [threading.Thread(target=lambda: said.append(answer(client)[1])) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert said == ["ready\n"] * 20
    assert len(proofs) == 1


@pytest.mark.django_db
def test_an_answer_is_old_after_a_moment(client, settings, monkeypatch):
    monkeypatch.setattr(health, "_proved", (float("-inf"), "An old one."))
    settings.READY_SECONDS = 3600.0
    assert answer(client) == (200, "ready\n")
    at, _ = health._proved
    monkeypatch.setattr(health, "_proved", (at, "A new one."))
    assert answer(client) == (503, "A new one.\n")
    monkeypatch.setattr(health, "_proved", (at - 3600.0, "A new one."))
    assert answer(client) == (200, "ready\n")


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
