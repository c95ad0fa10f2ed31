"""`manage.py apply_config`: apply the configuration of a YAML file."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from integrations import audit, credentials
from integrations.audit import Act
from rules import configuration
from rules.configuration.document import LARGEST


class Command(BaseCommand):
    help = (
        "Brings accounts, integrations, mappings and rules up to a YAML file; a second run "
        "changes nothing. Example: manage.py apply_config school.yaml --dry-run"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="YAML, as export_config writes it")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="print what would be changed, and change none of it; sites may be read, and their "
            "calls are recorded",
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="delete what is not in the file: rules, mappings, and courses entered by hand",
        )

    def handle(self, *, file: str, dry_run: bool, prune: bool, **_: Any) -> None:
        raw = _read(file)
        try:
            report = configuration.apply(
                raw, os.environ, dry_run=dry_run, prune=prune, progress=self._progress
            )
        except configuration.Faulty as error:
            raise CommandError(
                "\n  ".join([f"Nothing of {file} was applied.", *error.faults])
            ) from None
        self._tell(report, dry_run=dry_run)

    def _progress(self, name: str) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"Reading {name} ...", self.style.NOTICE)

    def _tell(self, report: configuration.ApplyReport, *, dry_run: bool) -> None:
        for change in report.changes:
            self.stdout.write(change)
        if report.left:
            self.stdout.write("Not in the file (kept; --prune deletes them):")
            for text in report.left:
                self.stdout.write(f"  {text}")
        if report.kept:
            self.stdout.write("Not in the file (kept, because rules use it):")
            for text in report.kept:
                self.stdout.write(f"  {text}")
        number = len(report.changes)
        counted = f"{number} change{'' if number == 1 else 's'}"
        if not number:
            self.stdout.write("Nothing to change.")
        elif dry_run:
            self.stdout.write(f"Dry run: {counted} to make, nothing was changed.")
        else:
            self.stdout.write(f"Done: {counted}.")
        for marketplace in () if dry_run else report.new_addresses:
            audit.record(Act.ADDRESS_SHOWN, marketplace)
            self.stdout.write(f"Give SamCart this address as Notify URL of {marketplace}:")
            self.stdout.write(f"  {credentials.webhook_address(marketplace)}")


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be read: {error.strerror or error}. Name a YAML file.", returncode=2
        ) from None
