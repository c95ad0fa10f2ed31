"""Makes runs as the inbox would leave them, and runs several workers at once without a cluster."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any, TypeVar

from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone

from config.logging import LineFormatter
from events.execution import due_work
from events.execution.claiming import claims
from events.execution.loop import Loop
from events.execution.senders import Senders
from events.models import Delivery, EventLog, Grant, RuleRun
from integrations.models import CallBudget, Customer, Destination, Integration, Marketplace
from rules.actions import Action
from tests.support import factories

T = TypeVar("T")
START = timezone.now() - timedelta(days=1)


def event(customer: Customer | None, *, at: float = 0, order: str = "", **facts: Any) -> EventLog:
    """Add an event received `at` seconds after START, with a delivery that was read."""
    marketplace, _ = Marketplace.objects.get_or_create(name="Main shop")
    received = START + timedelta(seconds=at)
    delivery = Delivery.objects.create(
        marketplace=marketplace,
        sealed_body=b"{}",
        body_digest="",
        state=Delivery.State.READ,
        received_at=received,
    )
    facts.setdefault("trigger", "product_purchased")
    return EventLog.objects.create(
        delivery=delivery,
        marketplace=marketplace,
        customer=customer,
        order_id=order,
        received_at=received,
        status=EventLog.Status.WAITING,
        **facts,
    )


def run(
    destination: Destination,
    customer: Customer | None = None,
    *,
    at: float = 0,
    order: str = "",
    trigger: str = "product_purchased",
    of: EventLog | None = None,
    **facts: Any,
) -> RuleRun:
    """Add a run that is due now; by default for a new customer and event."""
    customer = customer or (of and of.customer) or factories.CustomerFactory.create()
    of = of or event(customer, at=at, order=order, trigger=trigger)
    facts.setdefault("action", Action.CREATE_COURSE_ENROLLMENT)
    facts.setdefault("next_attempt_at", START)
    return RuleRun.objects.create(
        event=of,
        customer=customer,
        integration=destination.integration,
        received_at=of.received_at,
        destination_id=destination.external_id,
        destination_name=destination.name,
        target=destination.target,
        site=destination.integration.site,
        rule_sentence="",
        **facts,
    )


def grant(of: RuleRun, *, days: float = 0, **facts: Any) -> Grant:
    """Add the active grant of a giving run, decided some days ago and not seen in Thinkific."""
    assert of.customer is not None
    assert of.integration is not None
    at = timezone.now() - timedelta(days=days)
    made = Grant.objects.create(
        **{
            "marketplace": of.event.marketplace,
            "product": of.event.product,
            "order_id": of.event.order_id,
            "customer": of.customer,
            "integration": of.integration,
            "target": of.target,
            "name": of.destination_name,
            "state": Grant.State.ACTIVE,
            "decided_at": at,
            "opened_at": at,
            "because": of.event.trigger,
            "event": of.event,
        }
        | facts
    )
    RuleRun.objects.filter(pk=of.pk).update(grant=made)
    return made


def again(found: RuleRun) -> RuleRun:
    """Return the run as it is stored now, without anything from memory."""
    return RuleRun.objects.get(pk=found.pk)


def let_lapse(*found: RuleRun) -> None:
    """Let the lease of these runs end, as if their worker had died."""
    past = Now() - timedelta(seconds=1)
    RuleRun.objects.filter(pk__in=[each.pk for each in found]).update(lease_until=past)


def end_pause(integration: Integration) -> None:
    """End the site's pause now; the site stays paused until it was asked."""
    CallBudget.objects.filter(pk=integration.pk).update(blocked_until=0)


def claim(limit: int, **how: Any) -> list[RuleRun]:
    """Claim up to that many due runs, as a worker does; see `claims`."""
    return [run for runs_of_site in claims(limit, **how) for run in runs_of_site]


def loop(*, until: float = float("inf")) -> Loop:
    """Return a worker's loop that claims nothing by itself; its calls may start until then."""
    return Loop(Senders(16), claim_until=0.0, call_until=until)


def carry_out(*claimed: RuleRun, until: float = float("inf")) -> None:
    """Carry out claimed runs, as a worker does."""
    worker = loop(until=until)
    worker.claimed += claimed
    worker.finish()


def work() -> int:
    """Ask sites whose pause is over, claim and carry out once; return the number of runs."""
    for site in due_work.sites_to_ask():
        ask(site)
    claimed = claim(8)
    for each in claimed:
        carry_out(each)
    return len(claimed)


def ask(site: Integration) -> None:
    """Ask a paused site whether it is open, if its pause is over and nobody else is asking."""
    worker = loop()
    worker.ask_paused(site)
    worker.finish()


def drain() -> int:
    """Ask, claim and carry out until nothing is due; return the number of attempts."""
    attempts = 0
    while done := work():
        attempts += done
    return attempts


def at_once(*jobs: Callable[[], T]) -> list[T]:
    """Run the jobs at once, each in its own thread and connection; return their results."""
    barrier = Barrier(len(jobs))

    def alone(job: Callable[[], T]) -> T:
        try:
            connection.ensure_connection()
            barrier.wait(10)
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(alone, job) for job in jobs]]


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """Collect the lines that go to standard error, as `manage.py up` writes them."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.setFormatter(LineFormatter())
    logging.getLogger().addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def nothing_personal() -> Iterator[list[str]]:
    """Like `log_lines`, but fail if a line contains an e-mail, a name or a key."""
    with log_lines() as lines:
        yield lines
    told = [line for line in lines if any(word in line for word in ("@", "Dana", factories.KEY))]
    assert not told
