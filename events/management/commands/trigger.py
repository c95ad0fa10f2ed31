"""`manage.py trigger`: send a sample event through the real webhook."""

import time
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from events.models import EventLog
from events.receiving import sample_sale, samples
from events.reports import plain_events
from integrations import audit, credentials
from integrations.audit import Act, Subject
from integrations.models import Marketplace
from integrations.secrets import SecretUnreadable
from integrations.sentences import say
from rules.triggers import Trigger, from_address

WAIT_SECONDS = 60.0


class Command(BaseCommand):
    help = (
        "Sends a sample SamCart event to the webhook, waits, and prints what came of it. "
        "Example: manage.py trigger product_purchased --product 1048001 --email me@example.com"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("trigger", metavar="TRIGGER", help="such as product_purchased")
        parser.add_argument("--product", required=True, metavar="ID", help="SamCart's product ID")
        parser.add_argument("--email", default="sample.buyer@example.com")
        parser.add_argument("--order", type=int, default=None, metavar="N", help="order number")
        parser.add_argument("--marketplace", metavar="NAME", help="when there is more than one")
        parser.add_argument("--url", help="where Admit listens (default: PUBLIC_URL)")

    def handle(self, **options: Any) -> None:
        trigger = from_address(options["trigger"])
        if trigger is None:
            known = ", ".join(Trigger.values)
            raise CommandError(
                f"{options['trigger']} is no trigger. There are: {known}.", returncode=2
            )
        order = options["order"] if options["order"] is not None else int(time.time())
        body = samples.body(
            trigger, product=options["product"], email=options["email"], order=order
        )
        address = webhook(options["marketplace"], options["url"])
        if not samples.has_type(trigger):
            address = f"{address}{trigger.value}/"
        audit.record(Act.EVENT_MADE, Subject("trigger", name=say(trigger.label)))
        try:
            events = sample_sale.wait_for(sample_sale.send(address, body), WAIT_SECONDS)
        except sample_sale.NotReceived as error:
            raise CommandError(str(error)) from None
        if not events:
            raise CommandError(
                "It was received, but no worker has read it yet. Is `manage.py up` running?"
            )
        for event in events:
            self.stdout.write("\n".join(plain_events.in_words(event)))
        if any(event.status in sample_sale.UNFINISHED for event in events):
            self.stdout.write("It continues by itself; see it again with manage.py events.")
        if any(event.status == EventLog.Status.FAILED for event in events):
            raise CommandError("It failed; the reason is above.")


def webhook(marketplace: str | None, url: str | None) -> str:
    """Return the address of the account's webhook, at `url` or PUBLIC_URL. Raises CommandError."""
    if url and not is_web_address(url):
        raise CommandError(
            f"--url takes an address such as http://127.0.0.1:8000; not {url}.", returncode=2
        )
    if url and "/hooks/samcart/" in url:
        return url.rstrip("/") + "/"
    accounts = Marketplace.objects.order_by("pk")
    chosen = accounts.filter(name=marketplace) if marketplace else accounts
    if chosen.count() != 1:
        names = ", ".join(accounts.values_list("name", flat=True)) or "none yet: manage.py setup"
        raise CommandError(f"Name one SamCart account with --marketplace. There are: {names}.")
    try:
        address = credentials.webhook_address(chosen.get())
    except SecretUnreadable as error:
        raise CommandError(str(error)) from None
    if not address:
        raise CommandError(f"{chosen.get()} has no webhook secret yet.")
    return url.rstrip("/") + urlsplit(address).path if url else address


def is_web_address(url: str) -> bool:
    """Whether `url` is an HTTP or HTTPS address to which a POST can be sent."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
        return known and url.isascii() and url.isprintable() and (parts.port or 1) > 0
    except ValueError:
        return False
