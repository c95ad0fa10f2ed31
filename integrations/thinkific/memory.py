"""Loads the state of an attempt from the database, and writes back what its steps learned."""

from collections.abc import Mapping

from django.db.models.functions import Now
from django.utils import timezone

from integrations import queries
from integrations.models import Customer, Integration, Intent, ThinkificUser
from integrations.queries import Parameter, Query
from integrations.thinkific.attempt import (
    Accepted,
    Account,
    Attempt,
    Doubt,
    Gone,
    Note,
    Person,
    Remembered,
    Settled,
)

# The columns that tell a customer on a site.
_WHO = ("integration_id", "customer_id")
_INTENTS = Query(
    lambda: Intent.objects.filter(integration=Parameter("site"), customer=Parameter("customer"))
)
_THINKIFIC_USER = Query(
    lambda: ThinkificUser.objects.filter(
        integration=Parameter("site"), customer=Parameter("customer")
    )
)


class Memory:
    """The rows behind an attempt: the Thinkific user, the intents, and what is gone."""

    def __init__(
        self, integration: Integration, customer: Customer | None, labels: Mapping[int, str]
    ) -> None:
        self.integration = integration
        self.customer = customer
        self._intents: dict[str, Intent] = {}
        self.attempt = self._begin(labels)

    def write(self) -> None:
        """Write every note of the attempt, inside the caller's transaction; it keeps them."""
        for note in self.attempt.notes:
            self._write_note(note)

    def intend(self, target: str) -> Intent:
        """Write that a POST for this target is about to be sent; see `begin_doubt`."""
        intent = Intent(
            integration=self.integration,
            customer=self.customer,
            target=target,
            sent_at=timezone.now(),
        )
        queries.upsert(intent, key=(*_WHO, "target"), fields=("accepted", "sent_at"))
        return intent

    def begin_doubt(self, intent: Intent) -> None:
        """The intent is committed: from now on the POST may have been carried out."""
        self._intents[intent.target] = intent
        self.attempt.doubts[intent.target] = Doubt(intent.sent_at)

    def _begin(self, labels: Mapping[int, str]) -> Attempt:
        customer, now = self.customer, timezone.now()
        if customer is None:
            return Attempt(Person(""), now)
        who = {"site": self.integration.pk, "customer": customer.pk}
        self._intents = {intent.target: intent for intent in _INTENTS.all(**who)}
        known = _THINKIFIC_USER.first(**who)
        return Attempt(
            Person(customer.email, customer.email_as_sent, customer.first_name, customer.last_name),
            now,
            account=_account_of(known) if known else None,
            doubts={
                target: Doubt(intent.sent_at, intent.accepted)
                for target, intent in self._intents.items()
            },
            labels=labels,
            send_welcome_email=self.integration.send_welcome_email,
        )

    def _write_note(self, note: Note) -> None:
        here = {"integration": self.integration, "customer": self.customer}
        match note:
            case Remembered(account, replaces):
                found = {
                    "user_id": account.user_id,
                    "administrator": account.administrator,
                    "fields_known": dict(account.fields),
                }
                # A new object each time: one whose transaction was undone keeps an id that another
                # row may have got meanwhile.
                queries.upsert(ThinkificUser(**here, **found), key=_WHO, fields=tuple(found))
                if replaces:
                    ThinkificUser.objects.filter(**here).update(since=Now())
            case Accepted(target):
                Intent.objects.filter(**here, target=target).update(accepted=True)
            case Settled(target):
                queries.delete(self._intents[target])
            case Gone(kind, number, gone):
                there = self.integration.destinations.filter(kind=kind, external_id=number)
                if gone:
                    there.filter(gone_at=None).update(gone_at=Now())
                else:
                    there.update(gone_at=None)


def _account_of(known: ThinkificUser) -> Account:
    return Account(known.user_id, known.administrator, dict(known.fields_known))
