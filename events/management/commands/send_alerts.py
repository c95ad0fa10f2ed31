"""`manage.py send_alerts`: look once for what is wrong, and send the messages that are due.

The workers do this each minute. `up` calls it when they do not.
"""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from events.alerts import delivery, rounds

SECONDS = 60.0


class Command(BaseCommand):
    help = "Look for what is wrong and send the alerts that are due. Example: manage.py send_alerts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quiet", action="store_true", help="say nothing")

    def handle(self, **options: Any) -> None:
        looked = rounds.look()
        sent = delivery.send_due(until=time.monotonic() + SECONDS)
        if not options["quiet"]:
            found = f"{len(rounds.open_alerts())} open" if looked else "looked at a moment ago"
            self.stdout.write(f"Alerts: {found}. Messages tried: {sent}.")
