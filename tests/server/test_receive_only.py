"""While an update migrates, SamCart's events are kept without the database."""

import http.client
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from config import health
from events.models import Delivery
from events.receiving import spool, spool_contents, spool_folder
from integrations import webhook_secrets
from tests.support import live


@pytest.fixture
def receive_only(settings, tmp_path) -> None:
    settings.RECEIVE_ONLY = True
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.MIDDLEWARE = [
        "events.receiving.views.receive_first",
        "config.health.only_receiving",
    ]


@pytest.mark.django_db(transaction=True)
def test_an_event_goes_to_the_spool_without_any_query(world, receive_only):
    webhook_secrets.remember_all()
    path = f"/hooks/samcart/{world.secret}/"

    def refuse(*_: Any) -> None:
        raise AssertionError("the database was asked")

    with connection.execute_wrapper(refuse):
        answer = Client().post(path, b"{}", content_type="application/json")
        assert answer.status_code == 200
        page = Client().get("/admin/")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
    assert page.content.decode() == f"{health.RECEIVES_ONLY}\n"
    assert Client().get("/healthz").status_code == 200
    assert Client().get("/readyz").status_code == 503
    (file,) = spool_contents.paths()
    # Its address is known, so that no cap for strangers holds it up.
    assert file.suffix == spool_folder.KNOWN
    assert b"{}" not in file.read_bytes()
    assert spool.drain(seconds=10) == 1
    assert Delivery.objects.count() == 1


@pytest.mark.slow
def test_receive_only_serves_the_webhook_alone_and_up_brings_it_in(tmp_path):
    with live.installation(tmp_path) as admit:
        running = admit.start("up", "--bind", f"127.0.0.1:{admit.port}", "--receive-only")

        def serves() -> bool:
            try:
                return admit.request("GET", "/healthz")[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        live.until(serves, what=running.output())
        # Not even its file is needed.
        file = tmp_path / "live.sqlite3"
        file.rename(tmp_path / "away")
        assert admit.sell("dana@example.com") == 200
        (tmp_path / "away").rename(file)
        assert running.terminate() == 0, running.output()
        assert [kept.suffix for kept in (tmp_path / "spool").iterdir()] == [spool_folder.KNOWN]


@pytest.mark.django_db
def test_a_program_older_than_its_database_does_not_start_nor_migrate():
    assert not health.overtaken()
    MigrationRecorder(connection).record_applied("events", "9999_later")
    assert health.overtaken()
    with pytest.raises(CommandError, match="older than the database"):
        call_command("up", "--no-web")
    with pytest.raises(SystemCheckError, match="older than the database"):
        call_command("migrate", skip_checks=False)


@pytest.mark.django_db
def test_a_migration_that_was_squashed_does_not_make_the_program_old():
    MigrationRecorder(connection).record_applied("events", "0001_before_it_was_squashed")
    MigrationRecorder(connection).record_applied("app_of_somebody", "0001_first")
    assert not health.overtaken()
