"""What one transaction of the inbox looks up for many deliveries, and writes at its end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Max
from django.utils import timezone

from events.access.decisions import Decisions
from events.access.sale import Sale
from events.deciding import rule_texts
from events.deciding.reading import Reading, RuleBook
from events.deciding.repeats import WINDOW
from events.models import Delivery, EventLog, EventTerm, RuleRun, RuleTexts
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Customer, Product, SearchTerm
from integrations.samcart.parser import SaleEvent
from integrations.who import SAMCART


@dataclass(slots=True)
class Intake:
    """Rows that were found or made for some deliveries.

    New customers, events and runs are collected here and written together by `write`. Call `write`
    before a query that must see what earlier deliveries brought.
    """

    events: dict[int, list[EventLog]] = field(default_factory=dict)  # by delivery
    customers: dict[str, Customer] = field(default_factory=dict)  # by e-mail
    products: dict[tuple[int, str, str], Product] = field(default_factory=dict)
    texts: dict[str, RuleTexts] = field(default_factory=dict)  # by digest
    # Digests of bodies that came more than once since ten minutes before these deliveries.
    repeated: set[str] = field(default_factory=set)
    newest_repeat: datetime | None = None  # when the newest stored repeat was received
    to_reread: set[int] = field(default_factory=set)  # deliveries to read again
    new_customers: list[Customer] = field(default_factory=list)
    new_events: list[EventLog] = field(default_factory=list)
    new_runs: list[RuleRun] = field(default_factory=list)
    decisions: Decisions = field(init=False)

    def __post_init__(self) -> None:
        self.decisions = Decisions((), flush=self.write, find=self.student)

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> "Intake":
        """Return an intake with what these readings need, by one query for each kind of row."""
        deliveries = [reading.delivery for reading in readings]
        intake = cls(
            customers={each.email: each for each in _customers(readings)},
            repeated=_repeated(deliveries),
        )
        for event in EventLog.objects.filter(delivery__in=[each.pk for each in deliveries]):
            intake.events.setdefault(event.delivery_id or 0, []).append(event)
        return intake

    def look_for_grants(self, readings: Iterable[Reading]) -> None:
        """Load the grants that these readings may be about. Call it inside the transaction."""
        sales = [
            Sale(
                reading.delivery.marketplace_id,
                None,
                line.sale.order_id,
                line.sale.subscription_id,
            )
            for reading in readings
            for line in reading.lines
            if line.changes_access
        ]
        self.decisions = Decisions(sales, flush=self.write, find=self.student)

    def look_for_repeats(self, since: datetime) -> None:
        """Find when the newest repeat since then was received. Call it inside the transaction."""
        repeats = EventLog.objects.filter(status=EventLog.Status.REPEAT, received_at__gte=since)
        self.newest_repeat = repeats.aggregate(newest=Max("received_at"))["newest"]

    def has_later_repeat(self, delivery: Delivery) -> bool:
        """Whether a repeat is stored that was received no earlier than this delivery."""
        return self.newest_repeat is not None and delivery.received_at <= self.newest_repeat

    def note_repeat(self, delivery: Delivery) -> None:
        """Remember that this delivery is a repeat."""
        self.newest_repeat = max(filter(None, [self.newest_repeat, delivery.received_at]))

    def customer(self, sale: SaleEvent, *, rename: bool) -> Customer | None:
        """Return the customer of the sale, a new one if needed; None if it has no address.

        With `rename`, a known customer gets the names that the sale gives.
        """
        if not sale.email:
            return None
        names = {"first_name": sale.first_name, "last_name": sale.last_name}
        told = {key: name for key, name in names.items() if name}
        told["email_as_sent"] = sale.email_as_sent
        customer = self.customers.get(sale.email)
        if customer is None:
            customer = self.customers[sale.email] = Customer(email=sale.email, **told)
            self.new_customers.append(customer)
            return customer
        changed = [key for key, value in told.items() if getattr(customer, key) != value]
        if rename and changed:
            for key in changed:
                setattr(customer, key, told[key])
            if customer.pk is not None:
                customer.save(update_fields=changed)
        return customer

    def student(self, email: str, entered: str) -> Customer:
        """Return the customer with an address that the order names besides its payer's."""
        customer = self.customers.get(email) or Customer.objects.filter(email=email).first()
        if customer is None:
            customer = Customer(email=email, email_as_sent=entered)
            self.new_customers.append(customer)
        self.customers[email] = customer
        return customer

    def product(self, marketplace: int, sale: SaleEvent, *, rename: bool) -> Product | None:
        """Return the product of the sale, a new one if needed; None if the sale names none.

        With `rename`, a known product gets the name that the sale gives.
        """
        if not sale.product_id:
            return None
        key = marketplace, sale.kind, sale.product_id
        product = self.products.get(key)
        if product is None or (rename and product.name != sale.product_name):
            product = self.products[key] = _product(*key, sale.product_name, rename=rename)
        return product

    def rule_texts(self, book: RuleBook) -> RuleTexts:
        """Return the row with the rules' current sentences, which is stored once."""
        if book.digest not in self.texts:
            self.texts[book.digest] = rule_texts.stored(book.sentences)
        return self.texts[book.digest]

    def write(self) -> None:
        """Write the new rows. Call it inside a transaction."""
        if self.new_customers:
            # A page may have added the same customer meanwhile.
            Customer.objects.bulk_create(
                self.new_customers,
                update_conflicts=True,
                unique_fields=["email"],
                update_fields=["email_as_sent"],
            )
        EventLog.objects.bulk_create(self.new_events)
        self.decisions.write()
        RuleRun.objects.bulk_create(self.new_runs)
        SearchTerm.objects.bulk_create(
            [term for each in self.new_customers for term in each.new_search_terms()],
            ignore_conflicts=True,
        )
        EventTerm.objects.bulk_create(
            [term for each in self.new_events for term in each.new_search_terms()],
            ignore_conflicts=True,
        )
        self.new_customers, self.new_events, self.new_runs = [], [], []


def _customers(readings: Iterable[Reading]) -> Iterable[Customer]:
    emails = {line.sale.email for reading in readings for line in reading.lines}
    return Customer.objects.filter(email__in=emails - {""}) if emails else ()


def _repeated(deliveries: Sequence[Delivery]) -> set[str]:
    since = min(each.received_at for each in deliveries) - WINDOW
    same = Delivery.objects.filter(
        body_digest__in={each.body_digest for each in deliveries}, received_at__gte=since
    )
    counted = same.values_list("body_digest").annotate(number=Count("pk")).filter(number__gt=1)
    return {digest for digest, _ in counted.order_by()}


def _product(marketplace: int, kind: str, external_id: str, name: str, *, rename: bool) -> Product:
    same = Product.objects.filter(marketplace=marketplace, kind=kind)
    known = same.filter(external_id=external_id).first()
    if known is None:
        return Product.objects.named(marketplace, kind, external_id, name)
    if rename and (former := known.follow(name)):
        _note_renamed(known, former)
    return known


def _note_renamed(product: Product, former: str) -> None:
    """Write down that SamCart calls it otherwise now; names that come and go, once a day."""
    lately = AuditEntry.objects.filter(
        who=SAMCART,
        act=Act.PRODUCT_CHANGED,
        kind=Product._meta.model_name,
        number=str(product.pk),
        at__gte=timezone.now() - timedelta(days=1),
        after__name=product.name,
    )
    if lately.exists():
        return
    with audit.acting(lambda: audit.Actor(SAMCART)):
        audit.record(
            Act.PRODUCT_CHANGED, product, before={"name": former}, after={"name": product.name}
        )
