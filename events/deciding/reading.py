"""Read deliveries: what the bytes say, and a verdict for every rule. In no transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from django.db import Error

from events.access import erasures
from events.deciding import anonymous, rule_texts
from events.models import Delivery
from events.receiving import canary
from integrations.models import Marketplace
from integrations.samcart.parser import SaleEvent, Unreadable, normalize_type
from integrations.secrets import SecretUnreadable
from integrations.sentences import write
from integrations.sources import READERS
from rules import engine
from rules.fired import fired_by
from rules.models import NOTHING, NamedType, Rule
from rules.triggers import Trigger, from_address, from_type


class RuleBook:
    """What deciding needs to know about one marketplace, read once for a whole batch."""

    def __init__(self, marketplace: Marketplace) -> None:
        self.parse = READERS[marketplace.source]
        self.rules = Rule.objects.for_deciding(marketplace.pk)
        named = NamedType.objects.filter(marketplace=marketplace)
        self.names = dict(named.values_list("type", "trigger"))
        self.sentences = {str(rule.pk): write(rule.sentence()) for rule in self.rules}
        self.digest = rule_texts.digest_of(self.sentences)


@dataclass(frozen=True, slots=True)
class LineItem:
    """One product or course of a delivery, its trigger, and a verdict for every rule.

    `is_erased` says that the sale is of somebody whose data was erased; `sale` does not name them
    anymore.
    """

    sale: SaleEvent
    trigger: Trigger | None
    verdicts: Sequence[engine.Verdict] = ()
    is_erased: bool = False
    # A person said that events of its type mean nothing.
    is_nothing: bool = False

    @property
    def changes_access(self) -> bool:
        """Whether a rule runs that gives or ends access."""
        return any(verdict.runs and verdict.rule.target for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery says: its lines, or why there are none."""

    delivery: Delivery
    book: RuleBook | None = None
    lines: Sequence[LineItem] = ()
    unreadable: str = ""
    canary: bool = False
    fault: Exception | None = None  # our bug, not the sender's mistake
    is_sealed: bool = False  # no key of ours opens it; another worker may have the one that does


def read_all(deliveries: Iterable[Delivery]) -> list[Reading]:
    """Read each of the deliveries, with the rules as they are now."""
    books: dict[int, RuleBook] = {}
    readings = [read(delivery, books) for delivery in deliveries]
    sales = [line.sale for reading in readings for line in reading.lines]
    erased = erasures.erased_among(
        {address for sale in sales for address in anonymous.addresses(sale)}
    )
    return [_without(erased, reading) for reading in readings] if erased else readings


def read(delivery: Delivery, books: dict[int, RuleBook]) -> Reading:
    """Parse the bytes and decide. Raises database errors only, whatever was sent."""
    try:
        if delivery.marketplace_id not in books:
            books[delivery.marketplace_id] = RuleBook(delivery.marketplace)
        book = books[delivery.marketplace_id]
        body = delivery.body
        if canary.is_one(delivery, body):
            return _read_canary(delivery, book, body)
        sales = book.parse(body, delivery.content_type, delivery.content_encoding)
        return Reading(delivery, book, [_evaluate_line(delivery, book, sale) for sale in sales])
    except Unreadable as error:
        return Reading(delivery, unreadable=error.reason)
    except SecretUnreadable:
        return Reading(delivery, is_sealed=True)
    except Error:
        raise
    except Exception as error:  # a bug of ours must not stop the others
        return Reading(delivery, fault=error)


def _without(erased: set[str], reading: Reading) -> Reading:
    """Return the reading without people whose erased sale it is. Their new sales stay."""
    lines = []
    for line in reading.lines:
        ids = anonymous.sale_ids(line.sale, reading.delivery)
        named = anonymous.addresses(line.sale) & erased
        gone = {address for address in named if erasures.has_sale(address, ids)}
        if gone:
            # It is not passed on, and its actions are for other people only.
            others = [verdict for verdict in line.verdicts if verdict.rule.target]
            sale = anonymous.remove_addresses(line.sale, gone)
            line = replace(line, sale=sale, verdicts=others, is_erased=True)
        lines.append(line)
    return replace(reading, lines=lines)


def _read_canary(delivery: Delivery, book: RuleBook, body: bytes) -> Reading:
    """Parse and decide as for a purchase, and keep only whether that went well."""
    try:
        book.parse(body, delivery.content_type, delivery.content_encoding)
        engine.decide(engine.EventFacts(frozenset({Trigger.PRODUCT_PURCHASED}), None), book.rules)
    except Exception as error:
        return Reading(delivery, canary=True, fault=error)
    return Reading(delivery, canary=True)


def _evaluate_line(delivery: Delivery, book: RuleBook, sale: SaleEvent) -> LineItem:
    trigger = _trigger(delivery, book, sale)
    if trigger is None:
        named = "" if delivery.address_trigger else book.names.get(normalize_type(sale.type))
        return LineItem(sale, None, is_nothing=named == NOTHING)
    product = (sale.kind, sale.product_id) if sale.product_id else None
    facts = engine.EventFacts(frozenset(fired_by(trigger)), product)
    return LineItem(sale, trigger, engine.decide(facts, book.rules))


def _trigger(delivery: Delivery, book: RuleBook, sale: SaleEvent) -> Trigger | None:
    """Return the trigger that the address names; else the type's, known or named by a person."""
    if delivery.address_trigger:
        return from_address(delivery.address_trigger)
    named = book.names.get(normalize_type(sale.type))
    return from_type(sale.type) or (Trigger(named) if named and named != NOTHING else None)
