"""`manage.py events`: list what came in, newest first."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.models import Delivery, EventLog
from events.reports import plain_events
from integrations.samcart.parser import normalize_email

# Related rows are read for this many events at a time: SQLite limits the values in one query.
FETCHED_AT_ONCE = 200


class Command(BaseCommand):
    help = (
        "What SamCart sent and what was done about it, newest first. "
        "Example: manage.py events --email dana@example.com --limit 5"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object per line")
        parser.add_argument("--email", help="of this customer only")
        parser.add_argument("--order", help="of this SamCart order only")
        parser.add_argument("--limit", type=int, default=50, help="at most so many (50)")

    def handle(self, **options: Any) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit takes a whole number of at least 1.", returncode=2)
        for entry in newest(options["limit"], email=options["email"], order=options["order"]):
            if options["json"]:
                data = (
                    plain_events.as_data(entry)
                    if isinstance(entry, EventLog)
                    else plain_events.unread(entry)
                )
                self.stdout.write(json.dumps(data))
            else:
                self.stdout.write(_in_words(entry))


def newest(limit: int, *, email: str | None, order: str | None) -> list[EventLog | Delivery]:
    """Return events, and deliveries from which no event was read yet, newest first."""
    events = EventLog.objects.select_related("product", "customer", "rule_texts")
    if email:
        events = events.filter(customer__email=normalize_email(email) or email.strip().casefold())
    if order:
        events = events.filter(order_id=order.strip())
    read = events.prefetch_related("runs__integration", "runs__customer").order_by(
        "-received_at", "-pk"
    )
    found: list[EventLog | Delivery] = list(read[:limit].iterator(FETCHED_AT_ONCE))
    if not email and not order:
        unread = Delivery.objects.filter(state=Delivery.State.NEW, events=None).defer("sealed_body")
        found += unread.order_by("-received_at", "-pk")[:limit]
        found.sort(key=lambda entry: entry.received_at, reverse=True)
    return found[:limit]


def _in_words(entry: EventLog | Delivery) -> str:
    when = f"{timezone.localtime(entry.received_at):%d %b %H:%M:%S}"
    if isinstance(entry, Delivery):
        return f"{when} {plain_events.NOT_READ}"
    return f"{when} #{entry.pk} " + "\n".join(plain_events.in_words(entry))
