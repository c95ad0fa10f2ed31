"""`manage.py export_config`: write the configuration as YAML, without secrets."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rules import configuration


class Command(BaseCommand):
    help = (
        "Writes the configuration as YAML, without secrets, for apply_config. "
        "Example: manage.py export_config school.yaml"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="?", metavar="FILE", help="where to write it (default: to the screen)"
        )

    def handle(self, *, file: str | None, **_: Any) -> None:
        text = configuration.export()
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror or error}.") from None
        self.stdout.write(f"Wrote the configuration to {file}; it holds no secret.")
