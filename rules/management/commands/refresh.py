"""`manage.py refresh`: read courses, bundles and signup fields from Thinkific."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from integrations import app_registry
from integrations.models import Integration
from integrations.thinkific import catalog
from integrations.thinkific.explain import FAULTS, explain
from rules import broken_rules
from rules.broken_rules import BrokenRules
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
            changes = catalog.refresh(integration)
        except FAULTS as error:
            self.stderr.write(f"{integration}: not refreshed. {explain(error)}")
            return False
        self.stdout.write(f"{integration}: refreshed. {changes.sentence()}")
        if changes.none_listed:
            self.stdout.write(str(catalog.NONE_LISTED))
        self._tell(broken_rules.gone(integration), "These can do nothing until they are edited")
        self._tell(broken_rules.unlisted(integration), "These keep running")
        return True

    def _tell(self, found: list[BrokenRules], then: str) -> None:
        """Print the rules whose course or bundle is gone or no longer listed."""
        if not found:
            return
        self.stdout.write(f"{broken_rules.sentence(found)}. {then}:")
        rules = Rule.objects.filter(destination__in=[each.destination.pk for each in found])
        for rule in rules.with_names().order_by("pk"):
            self.stdout.write(f"  {rule}")


def _chosen(name: str | None) -> list[Integration]:
    there = Integration.objects.filter(app__in=app_registry.with_catalog())
    everything = list(there.order_by("name"))
    chosen = [each for each in everything if name is None or each.name == name]
    if name is not None and not chosen:
        names = ", ".join(each.name for each in everything) or "none yet"
        raise CommandError(
            f"There is no integration {name} with courses. There are: {names}.", returncode=2
        )
    return chosen
