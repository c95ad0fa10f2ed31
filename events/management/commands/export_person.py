"""`manage.py export_person EMAIL`: write all that Admit holds about one person, as JSON."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.reports.personal_data import person, person_data
from integrations import audit
from integrations.audit import Act, Subject


class Command(BaseCommand):
    help = (
        "Writes all data of one person as JSON: from every table, payload and call, and from the "
        "spool of this machine. Example: manage.py export_person dana@example.com --to dana.json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="+", help="each address of the person")
        parser.add_argument("--to", metavar="FILE", help="a new file, for you alone to read")

    def handle(self, **options: Any) -> None:
        somebody = person.find(options["email"])
        text = person_data.as_json(somebody)
        name = ", ".join(sorted(somebody.addresses))
        audit.record(Act.EXPORTED, Subject("customer", name=name[:500]))
        if options["to"]:
            _write(Path(options["to"]), text)
            self.stdout.write(f"Written to {options['to']}. It holds personal data: keep it safe.")
        else:
            self.stdout.write(text, ending="")
        for each in person.look_alikes(somebody):
            self.stderr.write(f"Maybe the same person: {each.email}. If so, name that one as well.")


def _write(file: Path, text: str) -> None:
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from None
    with os.fdopen(number, "w", encoding="utf-8") as out:
        out.write(text)
