"""Send the canary of an account through its public address, and follow it to its end.

It goes the way of SamCart's events: name, certificate, proxy, webhook, database, worker. Nobody is
given anything. One that fails is tried again after CANARY_SECONDS.
"""

import hashlib
import logging
import time
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from events.models import Canary, Delivery
from events.receiving import canary
from events.reports import simulation
from integrations import credentials, secrets, webhook_secrets
from integrations.calls import exchanges
from integrations.calls.exchanges import CallFault, Reply
from integrations.models import Marketplace
from integrations.secrets import SecretUnreadable
from rules.triggers import Trigger

log = logging.getLogger(__name__)
Step = Canary.Step
EVERY = timedelta(hours=1)
CALL_SECONDS = 20.0
LOOK_SECONDS = 0.1
_STEP_OF_FAULT = {
    CallFault.NO_ADDRESS: Step.DNS,
    CallFault.NO_CERTIFICATE: Step.CERTIFICATE,
    CallFault.NO_TLS: Step.CERTIFICATE,
}


class Failed(Exception):
    """A canary failed at this step.

    `detail` is the answer's status, what OpenSSL says, or the kind of error.
    """

    def __init__(self, step: Canary.Step, detail: str = "") -> None:
        super().__init__(step.label)
        self.step = step
        self.detail = detail


def due() -> Marketplace | None:
    """Return an account whose canary is due; None if there is none, or canaries are off."""
    if not settings.CANARY:
        return None
    accounts = Marketplace.objects.exclude(webhook_secrets=None)
    return accounts.filter(Q(canary=None) | Q(canary__next_at__lte=Now())).order_by("pk").first()


def go_on() -> None:
    """Send the canaries that are due, one after the other, and record what became of each."""
    while (account := due()) is not None:
        Canary.objects.get_or_create(marketplace=account, defaults={"next_at": Now()})
        lease = timedelta(seconds=2 * (CALL_SECONDS + settings.CANARY_SECONDS))
        mine = Canary.objects.filter(pk=account.pk, next_at__lte=Now())
        if not mine.update(next_at=Now() + lease):
            continue  # another machine has it
        row = Canary.objects.get(pk=account.pk)
        try:
            would_run = _try(account, row)
        except Failed as failure:
            _note_failure(row, failure)
        else:
            again = Now() + EVERY
            mine = Canary.objects.filter(pk=account.pk)
            mine.update(passed_at=Now(), next_at=again, step=Step.PASSED, detail="", failures=0)
            log.info("canary_passed", extra={"account": account.pk, "would_run": would_run})


def _note_failure(row: Canary, failure: Failed) -> None:
    is_new = not row.failures or row.step != failure.step
    row.step, row.detail = failure.step, failure.detail[:100]
    row.failures += 1
    row.next_at = Now() + timedelta(seconds=settings.CANARY_SECONDS)
    row.save(update_fields=["step", "detail", "failures", "next_at"])
    if is_new:
        facts = {"account": row.pk, "step": failure.step.value, "detail": failure.detail}
        log.warning("canary_failed", extra=facts)


def _try(account: Marketplace, row: Canary) -> int:
    """Send and follow a canary. Return how many actions a purchase would start. Raises Failed."""
    if not _unread(row):
        _send(account, row)
    _follow(row)
    try:
        return len(simulation.simulate(account, Trigger.PRODUCT_PURCHASED).runs)
    except Exception as error:
        raise Failed(Step.RULES, type(error).__name__) from error


def _unread(row: Canary) -> bool:
    """Whether the last canary arrived and still waits for a worker: more would be no use."""
    waiting = Delivery.objects.filter(body_digest=row.digest, state=Delivery.State.NEW)
    return bool(row.digest) and waiting.exists()


def _send(account: Marketplace, row: Canary) -> None:
    try:
        address = credentials.webhook_address(account)
    except SecretUnreadable:
        raise Failed(Step.ADDRESS) from None
    body = canary.body(account.pk)
    row.digest, row.read_at = hashlib.sha256(body).hexdigest(), None
    row.save(update_fields=["digest", "read_at"])
    headers = {
        "User-Agent": f"Admit/{settings.VERSION} (canary)",
        "Content-Type": "application/json",
    }
    reply = exchanges.ask("POST", address, headers=headers, body=body, seconds=CALL_SECONDS)
    if reply.status == HTTPStatus.NOT_FOUND and not _is_known(account):
        raise Failed(Step.SECRET)
    _judge(reply)


def _is_known(account: Marketplace) -> bool:
    """Whether the database has the address that was posted to; if so, another server said 404."""
    digest = secrets.digest(credentials.webhook_secret(account))
    return webhook_secrets.find(digest) is not None


def _judge(reply: Reply) -> None:
    """Raise Failed for anything but 200."""
    if reply.status is None:
        raise Failed(
            _STEP_OF_FAULT.get(reply.fault or CallFault.BROKEN_OFF, Step.CONNECTION), reply.detail
        )
    if reply.status != HTTPStatus.OK:
        raise Failed(Step.ANSWER, str(reply.status))


def _follow(row: Canary) -> None:
    """Wait until a worker has read it. Raises Failed."""
    until = time.monotonic() + settings.CANARY_SECONDS
    while True:
        row.refresh_from_db()
        if row.read_at is not None:
            break
        if time.monotonic() >= until:
            raise Failed(Step.WORKER if _unread(row) else Step.ARRIVAL)
        time.sleep(LOOK_SECONDS)
    if row.step == Step.RULES:
        raise Failed(Step.RULES)
