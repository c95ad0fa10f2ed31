"""`manage.py end`: end a customer's access by hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.access import by_hand, holdings, sentences
from events.access.by_hand import Author
from events.access.holdings import Holding
from events.management import by_hand_arguments
from integrations import audit
from integrations.finding import lookup, search


class Command(BaseCommand):
    help = (
        "Ends a customer's access to a course or bundle, whatever gave it. "
        "Example: manage.py end dana@example.com 'Course Two' --reason 'Charged back' "
        "--on 2026-12-31"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        by_hand_arguments.add_arguments(parser, last_day="--on")

    def handle(self, **options: Any) -> None:
        customer = search.exact(options["email"])
        if customer is None:
            raise CommandError(f"Nothing was received for {options['email']}.")
        held = holdings.of_customer(customer)
        author = Author(audit.actor().who, options["reason"])
        try:
            key = _chosen(held, options["course"], options["integration"]).key
            event = by_hand.end(customer, key, author, options["on"])
        except (LookupError, ValueError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(sentences.ended_by_hand(event))


def _chosen(held: list[Holding], course: str, integration: str) -> Holding:
    """Return the one access that is meant. Raises LookupError with a sentence."""
    if integration:
        site = lookup.integration(integration)
        held = [each for each in held if each.grants[0].integration_id == site.pk]
    firsts = [each.grants[0] for each in held]
    found = [
        each
        for each, row in zip(held, firsts, strict=True)
        if lookup.is_named(course, row.name, row.target)
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{row.name} ({row.target} on {row.integration})" for row in firsts)
    if found:
        raise LookupError(
            f"Several are called {course}. Say which one, such as {found[0].grants[0].target}, "
            f"or its --integration. The customer has: {known}."
        )
    has = f"has: {known}" if known else "has nothing now"
    raise LookupError(f"The customer has no access to {course}, as far as Admit knows, and {has}.")
