"""`manage.py status`: say what waits, whether the worker works, and how each site is connected."""

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count
from django.db.models.functions import Now

from events.alerts import finding
from events.alerts.sentences import sentence
from events.models import Delivery, History, RuleRun, Worker
from events.receiving import spool_contents
from events.reports import dashboard
from events.reports.system import backlog
from integrations.calls import rate_limit
from integrations.models import ApiCall, Integration


class Command(BaseCommand):
    help = "What waits, whether the worker works, and each site. Example: manage.py status --json"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="as one JSON object")
        parser.add_argument(
            "--check",
            action="store_true",
            help="only what is wrong, and then exit code 1; nothing while all is well",
        )

    def handle(self, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        found = status()
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        seen = found["worker_seen_seconds"]
        self.stdout.write(
            "The worker was never seen: start it with manage.py up."
            if seen is None
            else f"The worker was seen {seen:.0f} s ago."
        )
        self.stdout.write(f"{found['deliveries_waiting']} deliveries wait to be read.")
        self._say_history(found["history"])
        if any(found["spool"].values()):
            self.stdout.write(
                f"Spooled on this machine: {found['spool']['waiting']} wait for the database, "
                f"{found['spool']['set_aside']} were set aside, and "
                f"{found['spool']['not_ours']} cannot be opened with FIELD_ENCRYPTION_KEYS."
            )
        runs = ", ".join(f"{number} {name}" for name, number in found["runs"].items())
        self.stdout.write(f"Actions: {runs}.")
        if found["oldest_due_seconds"] is not None:
            self.stdout.write(f"The oldest one due waits for {found['oldest_due_seconds']:.0f} s.")
        for site in found["integrations"]:
            waits = site["paused_until"] and site["connection"] != Integration.Connection.REFUSED
            paused = f", paused until {site['paused_until']}" if waits else ""
            self.stdout.write(
                f"{site['name']}: {site['connection']}{paused}, "
                f"{site['calls_last_minute']} calls in the last minute."
            )

    def _check(self) -> None:
        problems = finding.lasting()
        for problem in problems:
            self.stdout.write(sentence(problem))
        if problems:
            sys.exit(1)

    def _say_history(self, history: dict[str, int] | None) -> None:
        if history is None:
            return
        self.stdout.write(
            f"History: {history['read']:,} of {history['events']:,} events read, "
            f"actions of no certain purchase: {history['unclear']:,}, "
            f"students who paid and may have lost access: {history['stranded']:,}."
        )


def status() -> dict[str, Any]:
    """Return what `status --json` prints: seconds are floats, times ISO 8601.

    The spool is that of this machine.
    """
    counts = dict(RuleRun.objects.values_list("status").annotate(Count("pk")).order_by())
    oldest = backlog.oldest_due_seconds()
    silent = Worker.objects.silence()
    return {
        "worker_seen_seconds": None if silent is None else round(silent, 1),
        "deliveries_waiting": Delivery.objects.filter(state=Delivery.State.NEW).count(),
        "history": _history(),
        "spool": spool_contents.counts(),
        "runs": {name.value: counts.get(name, 0) for name in RuleRun.Status},
        "oldest_due_seconds": None if oldest is None else round(oldest, 1),
        "problems": [
            {"code": each.code.value, "subject": each.subject, "sentence": sentence(each)}
            for each in finding.lasting()
        ],
        "integrations": [_site(site) for site in Integration.objects.order_by("name")],
    }


def _history() -> dict[str, int] | None:
    """Return how far the events from before the ledger are read; None if there were none."""
    history = History.objects.first()
    if history is None:
        return None
    return {
        "events": history.events,
        "read": history.read,
        "unclear": history.unclear,
        "stranded": dashboard.stranded() if history.done_at else 0,
    }


def _site(site: Integration) -> dict[str, Any]:
    why, seconds = rate_limit.blocked_for(site.pk)
    until = datetime.now(UTC) + timedelta(seconds=seconds) if why and seconds else None
    lately = ApiCall.objects.filter(integration=site, sent_at__gt=Now() - timedelta(minutes=1))
    return {
        "name": site.name,
        "connection": site.connection if site.enabled else "off",
        "paused_until": until.isoformat(timespec="seconds") if until else None,
        "calls_last_minute": lately.count(),
    }
