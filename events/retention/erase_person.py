"""Erasing a person: what goes, what stays, and what keeps that person from coming back.

Type, time and outcome of what happened stay, without anything that says whose it was. What SamCart
sends about one of the old sales afterwards is not carried out. A new sale is served as usual.
"""

import logging
import time
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from events.access import erasures, history
from events.access.lock import lock
from events.deciding import anonymous, inbox
from events.models import (
    ComparisonFinding,
    Delivery,
    EventLog,
    EventTerm,
    Grant,
    RuleRun,
    event_status,
)
from events.models.runs import UNFINISHED
from events.receiving import spool
from events.reports import mentions
from events.reports.mentions import Closed
from events.reports.person import Person
from events.retention import rewriting
from integrations import audit
from integrations.audit import ERASED, Act, Subject
from integrations.models import ApiCall, AuditEntry, Customer, ThinkificUser
from integrations.secrets import SecretUnreadable
from integrations.sentences import say, say_count
from rules.listing import listed

log = logging.getLogger(__name__)
Status = RuleRun.Status
# What is said of an event or action whose person was erased, and the code of such an action.
NOTE = _("The data of the person was erased.")
CODE = "erased"
# How long unread deliveries are read first, and how long a running action is waited for.
READ_SECONDS = 10.0
WAIT_SECONDS = 0.0


@dataclass
class Erased:
    """How many rows were erased; `left` are sentences about what could not be."""

    events: int = 0
    actions: int = 0
    payloads: int = 0
    exchanges: int = 0
    grants: int = 0
    customers: int = 0
    mentions: int = 0
    files: int = 0
    left: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What was done, for the person who did it."""
        erased = [
            say_count(self.customers, "1 customer", "{number} customers"),
            say_count(self.events, "1 event", "{number} events"),
            say_count(self.actions, "1 action", "{number} actions"),
            say_count(self.payloads, "1 payload", "{number} payloads"),
            say_count(self.exchanges, "1 exchange", "{number} exchanges"),
            say_count(self.grants, "1 grant", "{number} grants"),
        ]
        return [
            say("Erased: {what}.", what=listed(erased)),
            say(
                "Taken out of {rows} and {files}.",
                rows=say_count(self.mentions, "1 other row", "{number} other rows"),
                files=say_count(self.files, "1 file of the spool", "{number} files of the spool"),
            ),
        ]


def erase(whom: Person, *, wait: float = WAIT_SECONDS) -> Erased:
    """Erase the person for good. Thinkific is not called.

    `wait` is for how many seconds an action under way may go on first. Raises ValueError with a
    sentence when it cannot be done now; then it may be tried again.
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
        _erase_rows(whom, done)
        _record(whom, done)
    _erase_files(whom, done)
    if sentence := rewriting.rewrite():
        done.left.append(sentence)
    log.info("person_erased", extra={"events": done.events, "actions": done.actions})
    return done


def _record(whom: Person, done: Erased) -> None:
    """The audit says that a person was erased, by whom and how much it was, not who it was."""
    numbers = ", ".join(str(each.pk) for each in whom.customers)
    counts = {"events": done.events, "actions": done.actions, "payloads": done.payloads}
    audit.record(Act.ERASED, Subject("customer", numbers[:40], ERASED), after=counts)


def _read_what_waits() -> None:
    """Read what came in before, which would count as a new sale afterwards."""
    spool.drain(seconds=READ_SECONDS)
    inbox.process(until=time.monotonic() + READ_SECONDS)


def _wait_for_runs(whom: Person, seconds: float) -> None:
    until = time.monotonic() + seconds
    while whom.runs().filter(status=Status.RUNNING).exists() and time.monotonic() < until:
        time.sleep(0.5)


def _check(whom: Person) -> None:
    """Raises ValueError while something of the person is under way."""
    if whom.runs().filter(status=Status.RUNNING).exists():
        raise ValueError(say("An action for this person is under way. Try again in a minute."))
    for delivery in Delivery.objects.filter(state=Delivery.State.NEW).iterator(100):
        try:
            is_hers = mentions.names(whom.redactor, delivery)
        except SecretUnreadable:
            continue
        if is_hers:
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
    done.mentions += audit.forget(
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


def _erase_rows(whom: Person, done: Erased) -> None:
    """Erase the person's own rows, inside the caller's transaction."""
    events = list(whom.events().values_list("pk", flat=True))
    others = RuleRun.objects.filter(event__in=events, customer__isnull=False)
    others = others.exclude(customer__in=whom.customers)
    shared = set(others.values_list("event", flat=True)) | _others_hold(whom, events)
    hers = list(whom.runs().values_list("pk", flat=True))
    changed = set(RuleRun.objects.filter(pk__in=hers).values_list("event", flat=True))
    done.exchanges = ApiCall.objects.filter(run_id__in=hers).delete()[0]
    done.actions = _erase_runs(hers)
    done.payloads = _erase_payloads(whom)
    done.events = _erase_events(whom, events, shared)
    EventTerm.objects.filter(event__in=events).delete()
    event_status.show(changed)
    undone = EventLog.objects.filter(pk__in=events, status__in=["waiting", "failed", "held"])
    undone.exclude(pk__in=changed).update(status=EventLog.Status.SKIPPED)
    done.grants = whom.grants().count()
    _erase_findings(whom)
    done.customers = len(whom.customers)
    Customer.objects.filter(pk__in=[each.pk for each in whom.customers]).delete()


def _erase_findings(whom: Person) -> None:
    """The findings without a customer, by the address or the student's number in Thinkific."""
    hers = Q(pk__in=[])
    for address in whom.addresses:
        hers |= Q(email__iexact=address)
    users = ThinkificUser.objects.filter(customer__in=whom.customers)
    for site, user in users.values_list("integration", "user_id"):
        hers |= Q(comparison__integration=site, user_id=user)
    ComparisonFinding.objects.filter(hers, customer=None).delete()


def _others_hold(whom: Person, events: list[int]) -> set[int]:
    """The events by which somebody else's grants are decided."""
    grants = Grant.objects.filter(event__in=events).exclude(customer__in=whom.customers)
    return {pk for pk in grants.values_list("event", flat=True) if pk}


def _erase_runs(hers: list[int]) -> int:
    runs = RuleRun.objects.filter(pk__in=hers)
    open_runs = runs.filter(Q(status__in=UNFINISHED) | Q(status__in=[Status.FAILED, Status.HELD]))
    open_runs.update(
        status=Status.SKIPPED,
        code=CODE,
        next_attempt_at=None,
        finished_at=Coalesce("finished_at", Now()),
    )
    return runs.update(customer=None, message=say(NOTE), message_id=None)


def _erase_payloads(whom: Person) -> int:
    """Remove what SamCart sent. Another person's access stays with the event and its actions."""
    number = 0
    for delivery in whom.deliveries():
        number += delivery.body_removed_at is None
        anonymous.remove_payload(delivery)
    return number


def _erase_events(whom: Person, events: list[int], shared: set[int]) -> int:
    whose = {
        "customer": None,
        "samcart_customer_id": "",
        "email_as_sent": "",
        "name_as_sent": "",
        "gave_nothing": False,
        "dealt_with_at": Coalesce("dealt_with_at", Now()),
    }
    alone = EventLog.objects.filter(pk__in=set(events) - shared)
    alone.update(
        **whose,
        order_id="",
        subscription_id="",
        transaction_id="",
        custom_fields=[],
        reason=say(NOTE),
        author_note="",
    )
    for event in EventLog.objects.filter(pk__in=shared):
        # Another one's address says whose access it is about.
        fields = [each for each in event.custom_fields if "@" in str(each.get("value", ""))]
        EventLog.objects.filter(pk=event.pk).update(
            **whose,
            custom_fields=whom.redactor.data(fields),
            reason=whom.redactor.data(event.reason),
            author_note=whom.redactor.data(event.author_note),
        )
    return len(events)


def _erase_files(whom: Person, done: Erased) -> None:
    """Delete what was set aside in the spool of this machine; the rest of it was read before."""
    try:
        for file, spooled in spool.opened():
            if mentions.names(whom.redactor, spooled.delivery):
                file.unlink(missing_ok=True)
                done.files += 1
    except OSError:
        done.left.append(
            say("The spool folder cannot be read: look into SPOOL_DIR, then erase again.")
        )
    if spool.counts()["not_ours"]:
        done.left.append(
            say("Files of the spool that no key of this server opens were left as they are.")
        )
