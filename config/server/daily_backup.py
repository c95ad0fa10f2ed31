"""The backup that `manage.py up` makes each day at BACKUP_AT.

Unlike a cron job it cannot be forgotten, runs in a container as well, and is made later if the
machine was off at that time. It runs in a process of its own, so that its time and memory do not
burden the workers.
"""

import logging
import time
from datetime import datetime, timedelta
from datetime import time as time_of_day

from django.conf import settings
from django.utils import timezone

from config.server.program import Program
from events.alerts.finding import last_backup

log = logging.getLogger(__name__)
AGAIN_SECONDS = 3600.0


class DailyBackup:
    """Starts the backup when it is due, and once an hour again while it fails."""

    def __init__(self) -> None:
        self._program = Program("backup", env={})
        self._not_before = 0.0

    def watch(self) -> None:
        """Start it if it is due, and note how it ended."""
        code = self._program.exit_code
        if code is not None:
            self._program.end()
            if code:
                log.error("backup_failed", extra={"code": code})
        elif not self._program.started and time.monotonic() >= self._not_before and _due():
            self._not_before = time.monotonic() + AGAIN_SECONDS
            self._program.start()

    def end(self) -> None:
        """Stop a running backup; the next start makes up for it."""
        self._program.end()


def _due() -> bool:
    if settings.BACKUP_AT is None:
        return False
    made = last_backup()
    return made is None or made < _last_time(settings.BACKUP_AT, timezone.localtime())


def _last_time(at: time_of_day, now: datetime) -> datetime:
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
