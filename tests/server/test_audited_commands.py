"""Each command that changes something leaves an audit entry, or a reason is given here."""

import contextlib
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands
from django.utils import translation

from integrations.audit import Act
from integrations.models import AuditEntry
from rules.models import Rule
from rules.triggers import Trigger
from tests.support import factories, queued
from tests.support.shop import Shop

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
SHOWS = "It only shows something."
READS = "It reads from Thinkific; nothing of a person's making is changed."
WORKS = "It runs other programs, or a world of its own."
BY_ITSELF = "It does what the workers do by themselves."
FILE = """\
marketplaces: [{name: Main shop}, {name: Second shop}]
integrations: []
rules: []
"""
Way = Callable[[Shop, Path], Any]


def _retry(shop: Shop, folder: Path) -> None:
    run = queued.run(factories.DestinationFactory.create(), status="failed")
    call_command("retry", event=run.event_id)


def _reconcile(shop: Shop, folder: Path) -> None:
    # Turned off, it stops before anything is sent.
    shop.integration.enabled = True
    shop.integration.save()
    factories.DestinationFactory.create(integration=shop.integration)
    call_command("reconcile")


def _tidy(shop: Shop, folder: Path) -> None:
    from events.models import RuleTexts

    RuleTexts.objects.create(digest="x", sentences={})
    call_command("tidy")


def _new_password(shop: Shop, folder: Path) -> None:
    User.objects.create_superuser("ada@example.com")
    call_command("new_password")


def _apply(shop: Shop, folder: Path) -> None:
    file = folder / "admit.yaml"
    file.write_text(FILE)
    call_command("apply_config", str(file))


def _grant(shop: Shop, folder: Path) -> None:
    factories.DestinationFactory.create(integration=shop.integration, name="Course Two")
    call_command("grant", "dana@example.com", "Course Two", reason="Won it")


def _end(shop: Shop, folder: Path) -> None:
    _grant(shop, folder)
    call_command("end", "dana@example.com", "Course Two", reason="Charged back")


def _setup(shop: Shop, folder: Path) -> None:
    given = {"time_zone": "UTC", "email": "eve@example.com", "samcart": "Second shop"}
    call_command("setup", public_url="https://admit.example.com", **given)


LEAVES: dict[str, str | tuple[set[Act], Way]] = {
    "apply_config": (
        {Act.CONFIG_APPLIED, Act.ACCOUNT_ADDED, Act.ADDRESS_REPLACED, Act.ADDRESS_SHOWN},
        _apply,
    ),
    # It cannot be made inside of a test's transaction.
    "backup": "tests/server/test_backup.py looks at its entry.",
    "demo": WORKS,
    "makemessages": WORKS,
    "end": ({Act.ACCESS_ENDED}, _end),
    # It needs transactions that really commit.
    "erase_person": "tests/events/test_erase_person.py looks at its entry.",
    "events": SHOWS,
    "explain": SHOWS,
    "export_config": SHOWS,
    "export_person": (
        {Act.EXPORTED},
        lambda shop, folder: call_command("export_person", "dana@example.com"),
    ),
    "grant": ({Act.ACCESS_GIVEN}, _grant),
    "new_password": ({Act.LINK_MADE}, _new_password),
    "reconcile": ({Act.COMPARED}, _reconcile),
    "refresh": READS,
    "restore": "tests/server/test_backup.py looks at its entry.",
    "retry": ({Act.RUN_RETRIED}, _retry),
    "rotate_keys": ({Act.KEYS_ROTATED}, lambda shop, folder: call_command("rotate_keys")),
    "sandbox": WORKS,
    "send_alerts": BY_ITSELF,
    "setup": (
        {
            Act.PERSON_ADDED,
            Act.LINK_MADE,
            Act.ACCOUNT_ADDED,
            Act.ADDRESS_REPLACED,
            Act.ADDRESS_SHOWN,
        },
        _setup,
    ),
    "status": SHOWS,
    "tidy": ({Act.TIDIED}, _tidy),
    "trigger": (
        {Act.EVENT_MADE},
        lambda shop, folder: call_command(
            "trigger", "product_purchased", product="1", url="http://127.0.0.1:9"
        ),
    ),
    "up": WORKS,
}


def test_every_command_stands_in_the_table():
    ours = {"config", "events", "rules", "integrations"}
    mine = {apps.get_app_config(each).name for each in ("admit", *sorted(ours - {"config"}))}
    assert {name for name, app in get_commands().items() if app in mine} == set(LEAVES)


@pytest.mark.parametrize("name", [name for name, case in LEAVES.items() if isinstance(case, tuple)])
def test_what_a_command_does_is_recorded_with_the_user_of_the_system(
    shop, tmp_path, name, monkeypatch, capsys
):
    monkeypatch.setenv("LOGNAME", "deploy")
    monkeypatch.setenv("ADMIT_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setattr("sys.argv", ["manage.py", name, "--of", "dana@example.com"])
    case: Any = LEAVES[name]
    acts, do = case
    before = set(AuditEntry.objects.values_list("pk", flat=True))

    with contextlib.suppress(CommandError):
        do(shop, tmp_path)

    entries = AuditEntry.objects.exclude(pk__in=before)
    assert acts <= {Act(entry.act) for entry in entries}
    for entry in entries:
        assert (entry.who, entry.place) == ("deploy (command line)", f"manage.py {name}")
        assert "/hooks/" not in f"{entry.before} {entry.after} {entry.note}"


def test_the_trigger_of_a_sample_is_named_in_the_language_of_who_reads_the_entry(shop):
    with contextlib.suppress(CommandError):
        call_command("trigger", "product_purchased", product="1", url="http://127.0.0.1:9")
    english = AuditEntry.objects.get(act=Act.EVENT_MADE).name
    with translation.override("es"):
        assert AuditEntry.objects.get(act=Act.EVENT_MADE).name == str(
            Trigger.PRODUCT_PURCHASED.label
        )
        assert AuditEntry.objects.get(act=Act.EVENT_MADE).name != english


def test_a_dry_run_of_a_file_leaves_nothing(shop, tmp_path):
    file = tmp_path / "admit.yaml"
    file.write_text(FILE)
    before = AuditEntry.objects.count()
    call_command("apply_config", str(file), "--dry-run", stdout=StringIO())
    assert AuditEntry.objects.count() == before
    assert not Rule.objects.exists()
