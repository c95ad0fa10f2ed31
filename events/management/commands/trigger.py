"""`manage.py trigger`: a sample sale through the real webhook."""

import hashlib
import http.client
import time
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from events import samples, story
from events.models import Delivery, EventLog, RuleRun
from integrations import budget, connect
from integrations.models import Marketplace
from integrations.secrets import SecretUnreadable
from rules.triggers import Trigger, from_address

WAIT_SECONDS = 60.0
# A pause of the site that is still waited for.
LONGEST_PAUSE = 5.0
UNFINISHED = {EventLog.Status.WAITING}


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
        sent = send(address if samples.has_type(trigger) else f"{address}{trigger.value}/", body)
        events = wait_for(sent, WAIT_SECONDS)
        if not events:
            raise CommandError(
                "It was received, but no worker has read it yet. Is `manage.py up` running?"
            )
        for event in events:
            self.stdout.write("\n".join(story.in_words(event)))
        if any(event.status in UNFINISHED for event in events):
            self.stdout.write("It goes on by itself; see it again with manage.py events.")
        if any(event.status == EventLog.Status.FAILED for event in events):
            raise CommandError("It failed; the reason stands above.")


def webhook(marketplace: str | None, url: str | None) -> str:
    """The address of the account's webhook, at `url` or PUBLIC_URL. Raises CommandError."""
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
        address = connect.webhook_address(chosen.get())
    except SecretUnreadable as error:
        raise CommandError(str(error)) from None
    if not address:
        raise CommandError(f"{chosen.get()} has no webhook secret yet.")
    return url.rstrip("/") + urlsplit(address).path if url else address


def is_web_address(url: str) -> bool:
    """Whether a POST can be sent there."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
        return known and url.isascii() and url.isprintable() and (parts.port or 1) > 0
    except ValueError:
        return False


def send(address: str, body: bytes) -> Delivery:
    """POST the body as SamCart would; the delivery that was stored. Raises CommandError."""
    parts = urlsplit(address)
    https = parts.scheme == "https"
    connection_type = http.client.HTTPSConnection if https else http.client.HTTPConnection
    connection = connection_type(parts.hostname or "", parts.port, timeout=30)
    where = f"{parts.scheme}://{parts.netloc}"
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            status, said = response.status, _plain_line(response)
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(
            f"Admit does not answer at {where} ({type(error).__name__}). Is `manage.py up` running?"
        ) from None
    finally:
        connection.close()
    if status != 200:
        raise CommandError(f"The webhook at {where} answered {status} instead of 200. {said}")
    digest = hashlib.sha256(body).hexdigest()
    delivery = Delivery.objects.filter(body_digest=digest).order_by("pk").last()
    if delivery is None:
        raise CommandError(f"{where} took the event, but into another database than this one.")
    return delivery


def _plain_line(response: http.client.HTTPResponse) -> str:
    """What our webhook says beside its status; what another server says is a page of HTML."""
    if not (response.getheader("Content-Type") or "").startswith("text/plain"):
        return "Is that Admit's address?"
    line = response.read(200).decode("utf-8", "replace").strip()
    return "".join(sign for sign in line if sign.isprintable())


def wait_for(delivery: Delivery, seconds: float) -> list[EventLog]:
    """The delivery's events once nothing of them waits, or as they are after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        events = list(delivery.events.select_related("product", "customer").order_by("line"))
        if events and not any(event.status in UNFINISHED for event in events):
            return events
        if time.monotonic() > until or any(_stuck(run) for e in events for run in e.runs.all()):
            return events
        time.sleep(0.1)


def _stuck(run: RuleRun) -> bool:
    """Whether it waits for longer than anybody wants to look on."""
    if run.status != RuleRun.Status.WAITING or run.integration is None:
        return False
    _, pause = budget.blocked_for(run.integration.pk)
    return run.attempts > 0 or pause > LONGEST_PAUSE or not run.integration.enabled
