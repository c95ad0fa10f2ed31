"""`manage.py tidy`: do all housekeeping now. Workers do it once an hour."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from events.retention import housekeeping
from events.retention.policy import TASKS
from integrations import audit
from integrations.audit import Act

KEPT = (
    ("What SamCart sent", "KEEP_PAYLOADS_DAYS"),
    ("Exchanges with Thinkific", "KEEP_EXCHANGES_DAYS"),
    ("Events with their actions", "KEEP_EVENTS_DAYS"),
    ("Who changed what", "KEEP_AUDIT_DAYS"),
)


class Command(BaseCommand):
    help = (
        "Removes what is older than the KEEP_..._DAYS settings allow; what still waits is kept. "
        "Workers do it every hour. Example: manage.py tidy --dry-run"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")

    def handle(self, **options: Any) -> None:
        for what, setting in KEPT:
            self.stdout.write(f"{what}: {_kept(getattr(settings, setting))} ({setting}).")
        dry = options["dry_run"]
        removed = {}
        for task in TASKS:
            number = housekeeping.would_remove(task) if dry else self._remove(task)
            removed[task.name] = number
            be = "would be" if dry else ("was" if number == 1 else "were")
            what = task.one if number == 1 else task.many
            self.stdout.write(f"{number:,} {what} {be} removed.")
        if not dry and any(removed.values()):
            audit.record(Act.TIDIED, after={name: each for name, each in removed.items() if each})

    def _remove(self, task: Any) -> int:
        number = 0
        for _, removed in housekeeping.work_off(task):
            number += removed
            if self.stderr.isatty():
                self.stderr.write(f"\r{number:,} {task.many} ...", ending="")
        if number and self.stderr.isatty():
            self.stderr.write("")
        return number


def _kept(days: int) -> str:
    if not days:
        return "kept for ever"
    return f"kept for {days} day{'' if days == 1 else 's'}"
