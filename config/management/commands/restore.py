"""`manage.py restore`: check a backup, or replace the database by it."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, transaction

from config.backup import archive, examining, folder, restoring
from config.backup.errors import BackupError
from integrations import audit
from integrations.audit import Act

NEXT = """Restored. Now:
1. manage.py migrate
2. manage.py erase_person --reapply, so that no person erased since comes back
3. Start Admit, and look at People: roles, passwords, second factors and who is switched off are
   those of then.
4. Compare with SamCart's orders since {made_at}: later ones are not in it."""


class Command(BaseCommand):
    help = (
        "Put a backup in the place of the database, while Admit is stopped; --check only tries it. "
        "Example: manage.py restore --check var/backups/admit-20261128T033000Z.tar.gz"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--check", action="store_true", help="open it into a temporary database; change nothing"
        )
        parser.add_argument(
            "--identity", type=Path, metavar="FILE", help="the secret key of an encrypted backup"
        )
        parser.add_argument(
            "--replace", action="store_true", help="also when the database has events"
        )

    def handle(self, **options: Any) -> None:
        try:
            with folder.working() as room:
                self._restore(room, options)
        except BackupError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"The backup could not be read ({error}).") from None

    def _restore(self, room: Path, options: dict[str, Any]) -> None:
        backup = archive.read(options["file"], room, identity=options["identity"])
        if not options["check"]:
            restoring.check_target(backup, replacing=options["replace"])
        found = examining.examine(backup)
        for finding in found:
            self.stdout.write(finding.sentence)
        if not all(finding.good for finding in found):
            raise CommandError("This backup would not restore all of it.")
        if options["check"]:
            self.stdout.write("It can be restored.")
            return
        restoring.restore(backup)
        self._record(options["file"].name)
        self.stdout.write(NEXT.format(made_at=backup.manifest.made_at))

    def _record(self, file: str) -> None:
        """Record the restore in the restored database, whose audit ends at the backup."""
        try:
            with transaction.atomic():
                audit.record(Act.RESTORED, note=file)
        except DatabaseError:
            self.stdout.write("This backup is too old to have an audit: the restore is not in it.")
