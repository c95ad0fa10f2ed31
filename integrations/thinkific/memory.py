"""Read and write what is remembered about customers on their sites, for many at once.

These are the rows behind attempts: Thinkific users, intents, and which courses are gone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from integrations.calls.findings import Finding
from integrations.models import Customer, Integration, Intent, ThinkificUser
from integrations.thinkific.attempt import (
    Accepted,
    Account,
    Attempt,
    Doubt,
    FoundEnded,
    FoundOpen,
    Gone,
    Note,
    Opened,
    Person,
    Remembered,
    Settled,
)

NO_LABELS: Mapping[int, str] = {}
# The fields of a remembered user that are overwritten.
_USER_FIELDS = ("user_id", "administrator", "fields_known")


@dataclass(slots=True)
class Memory:
    """What is remembered about one customer on one site. Without a customer, only the site."""

    integration: Integration
    customer: Customer | None
    known: ThinkificUser | None = None
    intents: dict[str, Intent] = field(default_factory=dict)

    def attempt(self, labels: Mapping[int, str] = NO_LABELS) -> Attempt:
        """Return a new attempt that knows what is remembered."""
        connected = self.integration.connection == Integration.Connection.CONNECTED
        customer, now = self.customer, timezone.now()
        if customer is None:
            return Attempt(Person(""), now, of_customer=False, connected=connected)
        return Attempt(
            Person(customer.email, customer.email_as_sent, customer.first_name, customer.last_name),
            now,
            account=_account_of(self.known) if self.known else None,
            doubts={
                target: Doubt(intent.sent_at, intent.accepted)
                for target, intent in self.intents.items()
            },
            labels=labels,
            send_welcome_email=self.integration.send_welcome_email,
            connected=connected,
        )


def read(whom: Iterable[tuple[Integration, Customer | None]]) -> list[Memory]:
    """Return what is remembered about these customers on these sites, in order. Two queries."""
    memories = [Memory(integration, customer) for integration, customer in whom]
    found = {
        (each.integration.pk, each.customer.pk): each
        for each in memories
        if each.customer is not None
    }
    if found:
        here = {
            "integration__in": {site for site, _ in found},
            "customer__in": {customer for _, customer in found},
        }
        for user in ThinkificUser.objects.filter(**here):
            if memory := found.get((user.integration_id, user.customer_id)):
                memory.known = user
        for intent in Intent.objects.filter(**here):
            if memory := found.get((intent.integration_id, intent.customer_id)):
                memory.intents[intent.target] = intent
    return memories


def intend(posts: Iterable[tuple[Memory, str]]) -> list[Intent]:
    """Store that a POST is about to be sent for each target. After the commit, `begin_doubt`."""
    intents = [
        Intent(
            integration=memory.integration,
            customer=memory.customer,
            target=target,
            sent_at=timezone.now(),
        )
        for memory, target in posts
    ]
    return Intent.objects.bulk_create(
        intents,
        update_conflicts=True,
        unique_fields=["integration", "customer", "target"],
        update_fields=["accepted", "sent_at"],
    )


def begin_doubt(memory: Memory, attempt: Attempt, intent: Intent) -> None:
    """Note that the intent is committed, so that from now on the POST may be carried out."""
    memory.intents[intent.target] = intent
    attempt.doubts[intent.target] = Doubt(intent.sent_at)


def write(learned: Iterable[tuple[Memory, Iterable[Note]]]) -> None:
    """Store every note in the caller's transaction, which may be rolled back and repeated.

    Findings about a site as a whole, FoundOpen, FoundEnded and Opened are left to the caller.
    """
    users: dict[tuple[int, int], ThinkificUser] = {}
    replaced: list[ThinkificUser] = []
    settled: list[Intent] = []
    for memory, notes in learned:
        for note in notes:
            match note:
                case Remembered(account, replaces):
                    # A new object each time: after a rollback, an object keeps an ID that another
                    # row may have got meanwhile.
                    user = _user_of(memory, account)
                    users[user.integration_id, user.customer_id] = user
                    replaced += [user] if replaces else []
                case Accepted(target):
                    _same([memory.intents[target]]).update(accepted=True)
                case Settled(target):
                    settled.append(memory.intents[target])
                case Gone():
                    _mark_gone(memory.integration, note)
                case Finding() | FoundOpen() | FoundEnded() | Opened():
                    pass  # the app or the ledger handles these
    if users:
        ThinkificUser.objects.bulk_create(
            users.values(),
            update_conflicts=True,
            unique_fields=["integration", "customer"],
            update_fields=_USER_FIELDS,
        )
    for user in replaced:
        same = {"integration": user.integration_id, "customer": user.customer_id}
        ThinkificUser.objects.filter(**same).update(since=Now())
    if settled:
        _same(settled).delete()


def _same(intents: Collection[Intent]) -> QuerySet[Intent]:
    """Return the intents' rows, but not rows of a later POST that another worker may be sending."""
    times = {intent.sent_at for intent in intents}
    return Intent.objects.filter(pk__in=[intent.pk for intent in intents], sent_at__in=times)


def _mark_gone(integration: Integration, note: Gone) -> None:
    there = integration.destinations.filter(kind=note.kind, external_id=note.number)
    if note.gone:
        there.filter(gone_at=None).update(gone_at=Now())
    else:
        there.update(gone_at=None)


def _user_of(memory: Memory, account: Account) -> ThinkificUser:
    return ThinkificUser(
        integration=memory.integration,
        customer=memory.customer,
        user_id=account.user_id,
        administrator=account.administrator,
        fields_known=dict(account.fields),
    )


def _account_of(known: ThinkificUser) -> Account:
    return Account(known.user_id, known.administrator, dict(known.fields_known))
