"""`manage.py events`: what came in, newest first."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from events import story
from events.models import EventLog
from integrations.samcart.payload import normalise_email


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
        events = EventLog.objects.select_related("product", "customer", "rule_texts")
        if options["email"]:
            email = normalise_email(options["email"]) or options["email"].strip().casefold()
            events = events.filter(customer__email=email)
        if options["order"]:
            events = events.filter(order_id=options["order"])
        newest = events.prefetch_related("runs").order_by("-received_at", "-pk")
        for event in newest[: max(0, options["limit"])]:
            if options["json"]:
                self.stdout.write(json.dumps(story.as_data(event), ensure_ascii=False))
            else:
                when = f"{event.received_at:%d %b %H:%M:%S} #{event.pk} "
                self.stdout.write(when + "\n".join(story.in_words(event)))
