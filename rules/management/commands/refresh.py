"""`manage.py refresh`: courses, bundles and signup fields from Thinkific."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from integrations.models import Destination, Integration
from integrations.thinkific import catalogue
from integrations.thinkific.explain import FAULTS, explain
from rules.models import Rule


class Command(BaseCommand):
    help = (
        "Reads courses, bundles and signup fields of one integration, or of all. "
        'Example: manage.py refresh "Art Academy"'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name", nargs="?", metavar="NAME", help="the integration's name (default: all)"
        )

    def handle(self, *, name: str | None, **_: Any) -> None:
        integrations = _chosen(name)
        if not integrations:
            self.stdout.write("There is no integration yet, so there is nothing to refresh.")
        failed = [each for each in integrations if not self._refresh(each)]
        if failed:
            names = ", ".join(each.name for each in failed)
            raise CommandError(f"{len(failed)} of {len(integrations)} not refreshed: {names}.")

    def _refresh(self, integration: Integration) -> bool:
        if self.stderr.isatty():
            self.stderr.write(f"Reading {integration} ...", self.style.NOTICE)
        try:
            changes = catalogue.refresh(integration)
        except FAULTS as error:
            self.stderr.write(f"{integration}: not refreshed. {explain(error)}")
            return False
        self.stdout.write(f"{integration}: refreshed. {changes.sentence()}")
        for kind in Destination.Kind:
            self._tell_lost(integration, kind)
        return True

    def _tell_lost(self, integration: Integration, kind: Destination.Kind) -> None:
        """Say which rules need a person because their course or bundle is gone."""
        lost = Rule.objects.filter(
            integration=integration, destination__kind=kind, destination__gone_at__isnull=False
        )
        rules = list(lost.select_related("product", "integration", "destination").order_by("pk"))
        if not rules:
            return
        gone = _counted(len({rule.destination_id for rule in rules}), f"removed {kind.value}")
        verb = "is" if gone.startswith("1 ") else "are"
        self.stdout.write(f"{gone} {verb} used by {_counted(len(rules), 'rule')}.")
        for rule in rules:
            self.stdout.write(f"  {rule}")


def _chosen(name: str | None) -> list[Integration]:
    everything = list(Integration.objects.order_by("name"))
    chosen = [each for each in everything if name is None or each.name == name]
    if name is not None and not chosen:
        names = ", ".join(each.name for each in everything) or "none yet"
        raise CommandError(f"There is no integration {name}. There are: {names}.", returncode=2)
    return chosen


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
