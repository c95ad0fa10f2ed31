"""`manage.py explain`: say why a customer has a course, or does not."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.reports import plain_events
from events.reports.customers import customer_access
from events.reports.sentences import pending_endings, why
from events.reports.sentences.sentence import QUIET, Code, Sentence
from integrations.finding import search
from integrations.models import Customer
from integrations.targets import Target


class Command(BaseCommand):
    help = (
        "What a customer has, through which order and since when, and why the rest is missing. "
        "Example: manage.py explain dana@example.com --course 'Course Two'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--course", help="of this course or bundle only: its name or number")
        parser.add_argument("--json", action="store_true", help="one JSON object per line")

    def handle(self, **options: Any) -> None:
        customer = search.exact(options["email"])
        if customer is None:
            raise CommandError(
                f"Nothing was received for {options['email']}. Check the address on the SamCart "
                "order."
            )
        for line in _lines(customer, options["course"]):
            if options["json"]:
                data = {"code": line.code, "kind": line.kind, "sentence": line.text}
                self.stdout.write(json.dumps(data))
            else:
                self.stdout.write(plain_events.printable(line.text))


def _lines(customer: Customer, course: str | None) -> list[Sentence]:
    if not course:
        return list(customer_access.describe(customer).lines)
    word = course.strip().casefold()
    found = [
        line
        for each, sentence in why.of_customer(customer)
        if word in each.name.casefold() or word == str(Target.parse(each.target).number)
        for line in (sentence, *(pending_endings.lines(each) if each.grants else ()))
    ]
    text = f"Nothing that was received for {customer.readable_email} names {course}."
    return found or [Sentence(QUIET, text, Code.NOTHING)]
