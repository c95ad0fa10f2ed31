"""Find which rows belong to one person, by all addresses of the person.

A person is the customers with the given addresses, in each of their spellings, and the events that
SamCart sent with such an address although it cannot be used. Two customers are never joined
automatically: `look_alikes` names those who may be the same person.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Q, QuerySet

from events.access.erasures import SaleIds
from events.models import Delivery, EventLog, EventTerm, Grant, RuleRun
from events.models.access import GrantQuerySet
from integrations.finding import search
from integrations.models import Customer, ThinkificUser
from integrations.redaction import Redactor
from integrations.samcart.normalize import normalize_email, strip_invisible
from integrations.search_terms import fold

MAX_LOOK_ALIKES = 5


@dataclass(frozen=True)
class Person:
    """One person, or several.

    `addresses` are casefolded; `keys` are the addresses as the list of erased persons has them.
    """

    customers: tuple[Customer, ...]
    addresses: frozenset[str]
    keys: frozenset[str]

    def events(self) -> QuerySet[EventLog]:
        """Return the events that name the person as the customer."""
        unusable = Q(pk__in=self._of_no_customer, customer=None)
        return EventLog.objects.filter(Q(customer__in=self.customers) | unusable)

    @cached_property
    def _of_no_customer(self) -> list[int]:
        """The IDs of events that SamCart sent with one of the addresses in an unusable form."""
        found: list[int] = []
        for address in self.addresses:
            terms = EventTerm.objects.filter(search.begins(fold(address)))
            sent = EventLog.objects.filter(pk__in=list(terms.values_list("event", flat=True)))
            same = sent.filter(email_as_sent__iexact=address, customer=None)
            found += same.values_list("pk", flat=True)
        return found

    def runs(self) -> QuerySet[RuleRun]:
        """Return the actions on the person's access, and those that pass on the person's sales."""
        events = list(self.events().values_list("pk", flat=True))
        for_nobody = Q(customer=None, event__in=events)
        return RuleRun.objects.filter(Q(customer__in=self.customers) | for_nobody)

    def grants(self) -> GrantQuerySet:
        """Return the grants that the person has or had."""
        return Grant.objects.filter(customer__in=self.customers)

    def deliveries(self) -> QuerySet[Delivery]:
        """Return the deliveries that name the person as the customer."""
        of_events = self.events().exclude(delivery=None).values_list("delivery", flat=True)
        return Delivery.objects.filter(pk__in=list(of_events))

    def student_events(self) -> QuerySet[EventLog]:
        """Return events of other customers that are about this person's access."""
        about = set(self.runs().values_list("event", flat=True))
        own = set(self.events().values_list("pk", flat=True))
        return EventLog.objects.filter(pk__in=about - own)

    def sales(self) -> list[SaleIds]:
        """Return the IDs of each sale that names the person."""
        found = {
            sale_of(event)
            for events in (self.events(), self.student_events())
            for event in events.select_related("delivery").defer("delivery__sealed_body")
        }
        grants = self.grants().values_list("marketplace", "order_id", "subscription_id")
        return [*found, *(SaleIds(*numbers) for numbers in grants)]

    @cached_property
    def redactor(self) -> Redactor:
        """The redactor that takes the person out of texts."""
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
    """Return the person or persons with these customers and unusable addresses."""
    texts = [text.strip() for text in unusable]
    return _of(
        list(customers),
        {text.casefold() for text in texts},
        {text.lower() for text in texts},
    )


def sale_of(event: EventLog) -> SaleIds:
    """Return the IDs of the sale that the event is about."""
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
    """Return other customers who share a Thinkific user or a SamCart customer with the person."""
    same: set[int] = set()
    users = ThinkificUser.objects.filter(customer__in=person.customers)
    for site, user in users.values_list("integration", "user_id"):
        one_user = ThinkificUser.objects.filter(integration=site, user_id=user)
        same |= set(one_user.values_list("customer", flat=True))
    numbers = person.events().exclude(samcart_customer_id="").order_by()
    for account, number in numbers.values_list("marketplace", "samcart_customer_id").distinct():
        sent = EventLog.objects.filter(marketplace=account, samcart_customer_id=number)
        customers = sent.order_by().values_list("customer", flat=True).distinct()
        found = {pk for pk in customers[: MAX_LOOK_ALIKES + 2] if pk}
        # An ID that many customers share says nothing: all test sales have the same one.
        same |= found if len(found) <= MAX_LOOK_ALIKES else set()
    same -= {each.pk for each in person.customers}
    return list(Customer.objects.filter(pk__in=same).order_by("email"))
