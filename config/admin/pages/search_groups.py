"""What the one search finds of each kind: customers, orders, products, courses, rules, schools."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.urls import reverse

from config.admin.parts import badges, params
from config.admin.parts.buttons import BACK, page_of
from events.models import EventLog
from events.reports import activity_search
from events.reports.customers import customer_access
from integrations.finding import search
from integrations.models import Customer, Destination, Integration, Product
from integrations.product_names import former_names, formerly_named
from integrations.sentences import Text, joined, say
from rules.every_product import means_every_product
from rules.models import Rule
from rules.triggers import Trigger

Named = TypeVar("Named", Product, Destination, Integration)


@dataclass(frozen=True, slots=True)
class Hit:
    """A line of the results. `exact`: it has exactly the name or number that was typed.

    `more_url` is the page of what `more` names. `access` says whether the customer can get in.
    """

    url: str
    label: Text
    more: str = ""
    exact: bool = False
    more_url: str = ""
    access: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one kind. `url` is the list that shows all of them, "" if there is none."""

    title: str
    hits: Sequence[Hit]
    url: str = ""

    @property
    def is_exact(self) -> bool:
        return any(hit.exact for hit in self.hits)


def _customers(word: str, most: int) -> Group:
    exact = search.exact(word)
    # Only what an index finds: names and addresses that begin with the word.
    found = [exact] if exact else search.customers(word, most=most, anywhere=False)
    hits = [
        Hit(
            page_of(each),
            badges.brief(each.readable_email),
            badges.brief(each.name),
            each == exact,
            access=_access(each) if each == exact else "",
        )
        for each in found
    ]
    return Group(say("Customers"), hits, _list("integrations_customer", q=word))


def _access(customer: Customer) -> str:
    """Return the first line of the customer's page."""
    lines = customer_access.describe(customer).lines
    return lines[0].text if lines else ""


def _orders(word: str, most: int) -> Group:
    found = list(_newest(activity_search.of_order(word), most))
    by_number = bool(found)
    if not by_number:
        # Else by an e-mail address that could not be used.
        pks = activity_search.as_sent(word, most=most, anywhere=False)
        found = list(_newest(EventLog.objects.filter(pk__in=pks), most)) if pks else []
    hits = [
        Hit(
            page_of(event),
            say(
                "Order {number}: {what}",
                number=badges.brief(event.order_id),
                what=event.what_happened or say("Unknown event"),
            ),
            _of_whom(event),
            exact=by_number or is_same(word, event.email_as_sent),
            more_url=page_of(event.customer) if event.customer else "",
        )
        for event in found
    ]
    return Group(say("Orders"), hits, _list("events_eventlog", q=word))


def _of_whom(event: EventLog) -> str:
    """Return "Dana Whitfield · dana@example.com"; only the address as sent if it is unusable."""
    customer = event.customer
    if event.as_sent or customer is None:
        return badges.brief(event.as_sent)
    return of_name(customer)


def _newest(events: QuerySet[EventLog], most: int) -> QuerySet[EventLog]:
    return events.select_related("product", "customer").order_by("-pk")[:most]


def _products(word: str, most: int) -> Group:
    named = Q(name__icontains=word) | Q(external_id=word[:64])
    rows = list(_shortest(Product.objects.filter(named | formerly_named(word)), most))
    renamed = [each for each in rows if word.casefold() not in each.name.casefold()]
    former = former_names(word, renamed)
    found = [
        Hit(
            page_of(each),
            badges.brief(each.name),
            _number(each, former.get(each.pk, "")),
            exact=is_same(word, each.name) or word == each.external_id,
        )
        for each in rows
    ]
    return Group(say("Products"), found, _list("integrations_product", q=word))


def _number(product: Product, former: str) -> str:
    """Return the SamCart ID, and the former name by which the product was found, if any."""
    number = badges.brief(product.external_id)
    if not former:
        return number
    return joined([number, say("formerly {name}", name=badges.brief(former))], " · ")


def _courses(word: str, most: int) -> Group:
    number = params.row_id(word)
    named = Q(name__icontains=word) | (Q() if number is None else Q(external_id=number))
    rows = Destination.objects.filter(named).select_related("integration")
    found = [
        Hit(
            page_of(each),
            badges.destination(each),
            f"{each.external_id} · {each.integration}",
            is_same(word, each.name) or each.external_id == number,
        )
        for each in _shortest(rows, most)
    ]
    return Group(say("Courses and bundles"), found, _list("integrations_destination", q=word))


def _rules(word: str, most: int) -> Group:
    named = Q(product__name__icontains=word) | Q(destination__name__icontains=word)
    # What is sent to a Notify URL has no course, so its receiver is looked for.
    named |= Q(destination=None, integration__name__icontains=word)
    named |= Q(trigger__in=_triggers(word))
    if means_every_product(word):
        named |= Q(product=None)
    rows = Rule.objects.filter(named).with_names().order_by("pk")[:most]
    # Who changes one comes back to these results, and not to the list of all rules.
    back = urlencode({BACK: f"{reverse('admin:search')}?{urlencode({'q': word})}"})
    found = [Hit(f"{page_of(each)}?{back}", badges.rule_text(each.sentence())) for each in rows]
    return Group(say("Rules"), found)


def _triggers(word: str) -> list[Trigger]:
    """Return the triggers with this word in their name."""
    return [each for each in Trigger if word.casefold() in str(each.label).casefold()]


def _integrations(word: str, most: int) -> Group:
    rows = Integration.objects.filter(Q(name__icontains=word) | Q(site__icontains=word))
    found = [
        Hit(
            page_of(each),
            badges.brief(each.name),
            badges.brief(each.site),
            is_same(word, each.name),
        )
        for each in _shortest(rows, most)
    ]
    return Group(say("Integrations"), found)


def _shortest(rows: QuerySet[Named], most: int) -> QuerySet[Named]:
    """Return some of these, the shortest name first: a full match before names that contain it."""
    return rows.order_by(Length("name"), "name", "pk")[:most]


def is_same(word: str, name: str) -> bool:
    return word.casefold() == name.casefold()


def _list(name: str, **asked: str) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{urlencode(asked)}"


def of_name(customer: Customer) -> str:
    return joined([badges.brief(customer.name), badges.brief(customer.readable_email)], " · ")


# Each kind with the permission to see it.
KINDS: Sequence[tuple[str, Callable[[str, int], Group]]] = (
    ("integrations.view_customer", _customers),
    ("events.view_eventlog", _orders),
    ("integrations.view_product", _products),
    ("integrations.view_destination", _courses),
    ("rules.view_rule", _rules),
    ("integrations.view_integration", _integrations),
)
