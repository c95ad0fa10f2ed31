"""One person, by all her addresses: which rows are hers, and what else may be about her.

A person is the customers with the addresses that somebody names, in each of their spellings, and
the events that SamCart sent with such an address although it cannot be used. Two customers are
never taken for one person by themselves: `look_alikes` names those who may be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Q, QuerySet

from events.access.erasures import SaleIds
from events.models import Delivery, EventLog, Grant, RuleRun
from events.models.access import GrantQuerySet
from integrations.models import Customer, ThinkificUser
from integrations.redaction import Redactor
from integrations.samcart.normalize import normalize_email, strip_invisible

MAX_LOOK_ALIKES = 5


@dataclass(frozen=True)
class Person:
    """`addresses` are compared without capitals; `keys` are those under which sales are known."""

    customers: tuple[Customer, ...]
    addresses: frozenset[str]
    keys: frozenset[str]

    def events(self) -> QuerySet[EventLog]:
        """Those that name her as the customer."""
        unusable = Q(pk__in=[])
        for address in self.addresses:
            unusable |= Q(email_as_sent__iexact=address)
        return EventLog.objects.filter(
            Q(customer__in=self.customers) | Q(customer=None) & unusable
        ).distinct()

    def runs(self) -> QuerySet[RuleRun]:
        """What was done, or is to be, about her access, or with what SamCart sent of her."""
        nobodys = Q(customer=None, event__in=self.events())
        return RuleRun.objects.filter(Q(customer__in=self.customers) | nobodys)

    def grants(self) -> GrantQuerySet:
        """What she has or had access to."""
        return Grant.objects.filter(customer__in=self.customers)

    def deliveries(self) -> QuerySet[Delivery]:
        """What SamCart sent with her as the customer."""
        return Delivery.objects.filter(events__in=self.events()).distinct()

    def student_events(self) -> QuerySet[EventLog]:
        """Those of other customers about her access."""
        about = self.runs().values("event")
        return EventLog.objects.filter(pk__in=about).exclude(pk__in=self.events().values("pk"))

    def sales(self) -> list[SaleIds]:
        """Each sale that names her, by all its numbers."""
        found = {
            sale_of(event)
            for events in (self.events(), self.student_events())
            for event in events.select_related("delivery").defer("delivery__sealed_body")
        }
        grants = self.grants().values_list("marketplace", "order_id", "subscription_id")
        return [*found, *(SaleIds(*numbers) for numbers in grants)]

    @cached_property
    def redactor(self) -> Redactor:
        """Takes her out of texts."""
        names = [(each.first_name, each.last_name) for each in self.customers]
        sent = self.events().exclude(name_as_sent="").values_list("name_as_sent", flat=True)
        words = [word for name in names for word in (*name, " ".join(name))]
        return Redactor(self.addresses, [*words, *sent])


def find(emails: Iterable[str]) -> Person:
    """The person with these addresses, who may have no customer at all."""
    addresses: set[str] = set()
    keys: set[str] = set()
    customers = []
    for text in emails:
        entered = strip_invisible(text)
        email = normalize_email(entered)
        addresses |= {entered.casefold(), email} - {""}
        keys |= {email or entered.lower()} - {""}
        customer = Customer.objects.filter(email=email).first() if email else None
        if customer is not None:
            customers.append(customer)
    return _of(customers, addresses, keys)


def of(customers: Iterable[Customer], unusable: Iterable[str] = ()) -> Person:
    """The person, or the persons, with these customers and unusable addresses."""
    texts = [text.strip() for text in unusable]
    return _of(
        list(customers),
        {text.casefold() for text in texts},
        {text.lower() for text in texts},
    )


def sale_of(event: EventLog) -> SaleIds:
    """The sale that the event is about."""
    return SaleIds(
        event.marketplace_id,
        event.order_id,
        event.subscription_id,
        event.transaction_id,
        event.delivery.body_digest if event.delivery else "",
    )


def _of(customers: list[Customer], addresses: set[str], keys: set[str]) -> Person:
    for customer in customers:
        spellings = (customer.email, customer.email_as_sent, customer.readable_email)
        addresses |= {spelling.casefold() for spelling in spellings}
        keys.add(customer.email)
    return Person(tuple(customers), frozenset(addresses), frozenset(keys))


def look_alikes(person: Person) -> list[Customer]:
    """Other customers who may be the same person: one Thinkific user, or one SamCart customer."""
    same = Q(pk__in=[])
    users = ThinkificUser.objects.filter(customer__in=person.customers)
    for site, user in users.values_list("integration", "user_id"):
        same |= Q(thinkific_users__integration=site, thinkific_users__user_id=user)
    numbers = person.events().exclude(samcart_customer_id="")
    for account, number in numbers.values_list("marketplace", "samcart_customer_id").distinct():
        same |= Q(events__marketplace=account, events__samcart_customer_id=number)
    others = Customer.objects.filter(same).exclude(pk__in=[each.pk for each in person.customers])
    found = list(others.distinct().order_by("email")[: MAX_LOOK_ALIKES + 1])
    # A number that so many share says nothing: test sales have one for all.
    return found if len(found) <= MAX_LOOK_ALIKES else []
