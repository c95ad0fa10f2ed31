"""Erase a person, and keep that person from coming back with a replay.

Type, time and outcome of what happened stay, without anything that says whose it was. If SamCart
sends one of the old sales again, nothing is done. A new sale is served as usual.
"""

import logging
import time

from django.db import transaction

from events.access import erasures, history
from events.access.lock import lock
from events.deciding import inbox
from events.models import Delivery, RuleRun
from events.receiving import spool, spool_contents
from events.reports.personal_data import mentions
from events.reports.personal_data.mentions import Closed
from events.reports.personal_data.person import Person
from events.retention import rewriting
from events.retention.own_rows import Erased, erase_rows
from integrations import audit, audit_erasure
from integrations.audit import ERASED, Act, Subject
from integrations.models import AuditEntry
from integrations.secrets import SecretUnreadable
from integrations.sentences import say, say_count

log = logging.getLogger(__name__)
Status = RuleRun.Status
# How long to read unread deliveries first, and how long to wait for a running action.
READ_SECONDS = 10.0
WAIT_SECONDS = 0.0


def erase(whom: Person, *, wait: float = WAIT_SECONDS) -> Erased:
    """Erase the person for good. Thinkific is not called.

    `wait` is how many seconds to wait for an action that is running. Raises ValueError with a
    sentence if it cannot be done now; it can be tried again later.
    """
    history.check()
    _read_what_waits()
    _wait_for_runs(whom, wait)
    _put_on_the_list(whom)
    done = Erased()
    _erase_mentions(whom, done)
    with transaction.atomic():
        lock()
        _check(whom)
        erase_rows(whom, done)
        _record(whom, done)
    _erase_files(whom, done)
    if sentence := rewriting.rewrite():
        done.left.append(sentence)
    log.info("person_erased", extra={"events": done.events, "actions": done.actions})
    return done


def _record(whom: Person, done: Erased) -> None:
    """Record who erased a person and how much, but not which person."""
    numbers = ", ".join(str(each.pk) for each in whom.customers)
    counts = {"events": done.events, "actions": done.actions, "payloads": done.payloads}
    audit.record(Act.ERASED, Subject("customer", numbers[:40], ERASED), after=counts)


def _read_what_waits() -> None:
    """Read what has come in already. Read after the erasure, it would count as a new sale."""
    spool.drain(seconds=READ_SECONDS)
    inbox.process(until=time.monotonic() + READ_SECONDS)


def _wait_for_runs(whom: Person, seconds: float) -> None:
    until = time.monotonic() + seconds
    while whom.runs().filter(status=Status.RUNNING).exists() and time.monotonic() < until:
        time.sleep(0.5)


def _check(whom: Person) -> None:
    """Raise ValueError if an action of the person is running or an event of theirs is unread."""
    if whom.runs().filter(status=Status.RUNNING).exists():
        raise ValueError(say("An action for this person is under way. Try again in a minute."))
    for delivery in Delivery.objects.filter(state=Delivery.State.NEW).iterator(100):
        try:
            is_named = mentions.is_mentioned(whom.redactor, delivery)
        except SecretUnreadable:
            continue
        if is_named:
            raise ValueError(say("An event of this person is being read. Try again in a minute."))


def _put_on_the_list(whom: Person) -> None:
    try:
        erasures.add(whom.keys, whom.sales())
    except OSError as error:
        raise ValueError(
            say(
                "Nothing was erased: ERASED_FILE cannot be written ({error}). Give its folder to "
                "the user that runs Admit, and look at the disk.",
                error=type(error).__name__,
            )
        ) from None
    except SecretUnreadable:
        raise ValueError(
            say(
                "Nothing was erased: the key of the list of the erased cannot be opened. Put the "
                "key that sealed it back into FIELD_ENCRYPTION_KEYS."
            )
        ) from None


def _erase_mentions(whom: Person, done: Erased) -> None:
    closed = Closed()
    own = set(whom.events().values_list("pk", flat=True))
    runs = set(whom.runs().values_list("pk", flat=True))
    for found in mentions.mentions(whom.redactor, own=own, own_runs=runs, closed=closed):
        if isinstance(found.row, AuditEntry):
            continue
        rows = type(found.row)._default_manager.filter(pk=found.row.pk)
        done.mentions += rows.update(**found.without)
    done.mentions += audit_erasure.forget(
        whom.redactor.addresses,
        beside=whom.redactor.words,
        about=[*whom.customers, *whom.events()],
    )
    if closed.number:
        done.left.append(
            say_count(
                closed.number,
                "1 payload could not be looked into: no key of this server opens it.",
                "{number} payloads could not be looked into: no key of this server opens them.",
            )
        )


def _erase_files(whom: Person, done: Erased) -> None:
    """Delete the person's files in this machine's spool, where only unreadable ones are left."""
    try:
        for file, spooled in spool_contents.opened():
            if mentions.is_mentioned(whom.redactor, spooled.delivery):
                file.unlink(missing_ok=True)
                done.files += 1
    except OSError:
        done.left.append(say("The spool folder cannot be read: check SPOOL_DIR, then erase again."))
    if spool_contents.counts()["not_ours"]:
        done.left.append(
            say("Files of the spool that no key of this server opens were left as they are.")
        )
