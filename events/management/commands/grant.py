"""`manage.py grant`: give a customer access by hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.access import by_hand, event_student, sentences
from events.access.by_hand import Author
from events.management import by_hand_arguments
from integrations import audit
from integrations.finding import lookup
from integrations.samcart.normalize import examine_email, strip_invisible


class Command(BaseCommand):
    help = (
        "Gives a customer a course or bundle beside what the purchases give. "
        "Example: manage.py grant dana@example.com 'Course Two' --reason 'Won it' "
        "--until 2026-12-31"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        by_hand_arguments.add_arguments(parser, last_day="--until")

    def handle(self, **options: Any) -> None:
        email, problem = examine_email(options["email"])
        if problem:
            raise CommandError(problem)
        try:
            site = lookup.integration(options["integration"])
            course = lookup.destination(site, options["course"])
            customer = event_student.find_or_make(email, strip_invisible(options["email"]))
            author = Author(audit.actor().who, options["reason"])
            event = by_hand.give(customer, course, author, options["until"])
        except (LookupError, ValueError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(sentences.given_by_hand(event))
