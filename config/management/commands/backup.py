"""`manage.py backup`: write one file with all that a new machine needs, except the keys."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.backup import making
from config.backup.errors import BackupError
from integrations import audit
from integrations.audit import Act


class Command(BaseCommand):
    help = (
        "Write the database and the spool into one file in BACKUP_DIR while Admit runs, and delete "
        "old ones by BACKUP_KEEP. `up` does it each day at BACKUP_AT. Example: manage.py backup"
    )

    def handle(self, **options: Any) -> None:
        try:
            file = making.make()
        except BackupError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(
                f"The backup could not be written ({error.strerror or error}). Look at the disk of "
                f"{settings.BACKUP_DIR}."
            ) from None
        audit.record(Act.BACKED_UP, note=file.name)
        self.stdout.write(f"{file} ({file.stat().st_size:,} bytes)")
        if not settings.BACKUP_RECIPIENT:
            self.stdout.write("It is not encrypted: BACKUP_RECIPIENT is not set.")
        self.stdout.write("FIELD_ENCRYPTION_KEYS are not in it. Keep a copy of .env elsewhere.")
