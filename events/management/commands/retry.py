"""`manage.py retry`: queue failed actions again."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from events.execution import retry_by_hand
from events.models import RuleRun
from events.queue import wake


class Command(BaseCommand):
    help = (
        "Queues failed actions again. "
        "Example: manage.py retry --failed; or of one event: manage.py retry --event 17"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--failed", action="store_true", help="every action that failed")
        parser.add_argument("--event", type=int, metavar="ID", help="those of this event")
        parser.add_argument("--run", type=int, metavar="ID", help="this one")

    def handle(self, **options: Any) -> None:
        queued, left = retry_by_hand.retry(self._chosen(**options))
        if queued:
            with transaction.atomic():
                wake.wake()
        self.stdout.write(retry_by_hand.retried_sentence(queued, left))

    def _chosen(self, *, failed: bool, event: int | None, run: int | None, **_: Any) -> Any:
        if not failed and event is None and run is None:
            raise CommandError("Say which: --failed, --event ID or --run ID.", returncode=2)
        chosen = RuleRun.objects.order_by("received_at", "pk")
        if failed:
            chosen = chosen.filter(status=RuleRun.Status.FAILED)
        if event is not None:
            chosen = chosen.filter(event__pk=event)
        if run is not None:
            chosen = chosen.filter(pk=run)
        if not failed and not chosen.exists():
            named = f"event {event}" if event is not None else f"action {run}"
            raise CommandError(f"There is no {named} with anything to retry.")
        return chosen
