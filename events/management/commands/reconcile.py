"""`manage.py reconcile`: compare what Thinkific shows with what was paid for."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils import timezone

from events.comparison import comparing
from events.execution.enroll_again import enroll_again
from events.execution.retry_by_hand import retried_sentence
from events.models import ComparisonFinding, ComparisonRun
from events.reports import comparison
from events.reports.comparison import Row
from integrations.models import Integration

BY = "manage.py reconcile"
WAIT_SECONDS = 0.5
CHUNK = 200


class Command(BaseCommand):
    help = (
        "Compares the courses that rules and purchases give with what Thinkific shows. Nothing is "
        "changed without --apply. It goes on where it was if it is interrupted. "
        'Example: manage.py reconcile --site "Art Academy"'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--site", metavar="NAME", help="of this integration only")
        parser.add_argument(
            "--apply",
            action="store_true",
            help="enroll those who paid and were never seen with access in Thinkific",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object per line")

    def handle(self, *, site: str | None, **options: Any) -> None:
        chosen = _chosen(site)
        if not chosen:
            self.stdout.write("No integration with courses is turned on: nothing to compare.")
        failed = [each.name for each in chosen if not self._compare(each, **options)]
        if failed:
            names = ", ".join(failed)
            raise CommandError(f"{len(failed)} of {len(chosen)} not compared: {names}.")

    def _compare(self, site: Integration, *, apply: bool, json: bool, **_: Any) -> bool:
        run = self._finish(comparing.start(site, by=BY))
        if run is None or run.finished_at is None:
            why = run.message if run else "The comparison was deleted meanwhile."
            self.stderr.write(f"{site}: not compared. {why}")
            return False
        queued, left = enroll_again(comparison.never_seen(run)) if apply else (0, {})
        if json:
            self._write_json(run, queued, left)
        else:
            self._write(run)
            if apply:
                self.stdout.write(f"Enrolled again: {retried_sentence(queued, left)}")
        return True

    def _finish(self, run: ComparisonRun) -> ComparisonRun | None:
        """Continue the comparison, along with the worker, until it is done or has stopped.

        Return None if it was deleted meanwhile.
        """
        said = ""
        while True:
            comparing.go_on(only=[run.pk], until=time.monotonic() + WAIT_SECONDS)
            found = ComparisonRun.objects.select_related("integration").filter(pk=run.pk).first()
            if found is None or found.finished_at or found.has_stopped:
                return found
            telling = found.message or comparison.progress(found)
            if telling != said and self.stderr.isatty():
                self.stderr.write(f"{found.integration}: {telling}", self.style.NOTICE)
            said = telling
            if found.next_at and found.next_at > timezone.now():
                time.sleep(WAIT_SECONDS)

    def _write(self, run: ComparisonRun) -> None:
        self.stdout.write(f"{run.integration}: {comparison.summary(run)}")
        for kind in (each for each in comparison.KINDS if each != comparison.Kind.BEFORE):
            for row in _rows(run.findings.filter(kind=kind)):
                self.stdout.write(f"  {kind.label}: {row.sentence()}")
        for what, why in run.left_out:
            self.stdout.write(f"  Not compared: {what}. {why}")

    def _write_json(self, run: ComparisonRun, queued: int, left: dict[str, int]) -> None:
        site = {"integration": run.integration.name}
        for kind in comparison.KINDS:
            for row in _rows(run.findings.filter(kind=kind)):
                self.stdout.write(json.dumps(site | row.as_data()))
        assert run.finished_at is not None
        summary = {
            "kind": "summary",
            "finished_at": run.finished_at.isoformat(timespec="seconds"),
            **comparison.counts(run),
            "not_compared": [{"what": what, "why": why} for what, why in run.left_out],
            "queued": queued,
            "skipped": left,
        }
        self.stdout.write(json.dumps(site | summary))


def _rows(findings: QuerySet[ComparisonFinding]) -> Iterator[Row]:
    """Yield the rows of these findings, with at most CHUNK in memory."""
    last = 0
    while chunk := list(
        findings.select_related("customer").filter(pk__gt=last).order_by("pk")[:CHUNK]
    ):
        yield from comparison.rows(chunk)
        last = chunk[-1].pk


def _chosen(name: str | None) -> list[Integration]:
    there = list(comparison.sites().filter(enabled=True))
    chosen = [each for each in there if name is None or each.name == name]
    if name is not None and not chosen:
        names = ", ".join(each.name for each in there) or "none"
        raise CommandError(
            f"There is no integration {name} with courses that is on. There are: {names}.",
            returncode=2,
        )
    return chosen
