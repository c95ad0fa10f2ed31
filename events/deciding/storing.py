"""From a reading to its rows: events with their verdicts, and the runs that follow."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from django.db.models import CharField

from events.deciding import passing_on, repeats, revocations
from events.deciding.planning import WITHDRAWN, plan
from events.deciding.reading import LineItem, Reading, RuleBook
from events.models import Delivery, EventLog, RuleRun, RuleTexts
from integrations import queries
from integrations.models import Customer, Product
from integrations.queries import Parameter, Query
from integrations.samcart.parser import SaleEvent
from rules.engine import Reason
from rules.triggers import Trigger

log = logging.getLogger(__name__)
Status = EventLog.Status
# Two events may come for one delinquency (SamCart's help page): Cancel and Delinquent.
SAME_HAPPENING = timedelta(minutes=10)
_EVENTS = Query(lambda: EventLog.objects.filter(delivery=Parameter("delivery")))
_CUSTOMER = Query(lambda: Customer.objects.filter(email=Parameter("email", CharField())))
_TEXTS = Query(lambda: RuleTexts.objects.filter(digest=Parameter("digest", CharField())))


@dataclass(slots=True)
class LookupCache:
    """What one transaction has looked up: the next delivery in it mostly needs the same rows."""

    products: dict[tuple[int, str, str], Product] = field(default_factory=dict)
    texts: dict[str, RuleTexts] = field(default_factory=dict)


def store(reading: Reading, found: LookupCache) -> None:
    """Write the delivery's events and runs, inside the caller's transaction.

    A delivery that is read again keeps its rows, and what was decided stays as it is. `found`
    is the transaction's own.
    """
    delivery = reading.delivery
    known = {event.line: event for event in _EVENTS.all(delivery=delivery.pk)}
    for event in known.values():
        event.delivery = delivery
    if reading.unreadable:
        event = known.get(0) or _new(delivery, 0)
        _explain(event, Status.UNREADABLE, reading.unreadable)
        event.save()
        return
    first = repeats.first_of(delivery)
    if first is not None:
        Delivery.objects.filter(pk=delivery.pk).update(repeat_of=first)
    assert reading.book is not None
    passed_on = passing_on.rules_that_did(delivery.pk) if known else set()
    for number, line in enumerate(reading.lines):
        event = known.get(number) or _new(delivery, number)
        if event.pk is None or not event.runs.exists():
            _store_line(event, line, first, reading.book, found, passed_on)
    if first is None:
        repeats.part_again(delivery)


def set_aside(delivery: Delivery, error: Exception) -> None:
    """Note that our own code failed on this delivery, inside the caller's transaction."""
    # Only the kind of error: its text may quote what a customer entered.
    kind = type(error).__name__
    log.error("delivery_set_aside", extra={"delivery": delivery.pk, "error": kind})
    event = delivery.events.filter(line=0).first() or _new(delivery, 0)
    _explain(
        event,
        Status.FAILED,
        f"Admit itself failed on this event ({kind}); nothing was done. "
        "It is kept: call your technician, who can have it read again after an update.",
    )
    event.save()


def _new(delivery: Delivery, line: int) -> EventLog:
    return EventLog(
        delivery=delivery,
        line=line,
        marketplace_id=delivery.marketplace_id,
        received_at=delivery.received_at,
    )


def _explain(event: EventLog, status: EventLog.Status, reason: str) -> None:
    event.status = status
    if event.delivery.withdrawn and not reason.startswith(WITHDRAWN):
        reason = f"{WITHDRAWN} {reason}".strip()
    event.reason = reason


def _store_line(
    event: EventLog,
    line: LineItem,
    first: Delivery | None,
    book: RuleBook,
    found: LookupCache,
    passed_on: set[int],
) -> None:
    _fill(event, line, found)
    event.gave_nothing = False
    runs: list[RuleRun] = []
    if event.trigger is None:
        _explain(event, Status.UNKNOWN_TYPE, _unknown(event.delivery, line.sale))
    elif first is not None:
        _explain(
            event,
            Status.REPEAT,
            f"The same as what was received at {first.received_at:%H:%M:%S} UTC; "
            "nothing was done again.",
        )
    else:
        event.rule_texts = _texts(book, found)
        runs = _plan_runs(event, line, passed_on)
    if event.pk is None:
        queries.add(event)
    else:
        event.save()
    event.add_search_terms()
    for run in runs:
        run.event = event
        queries.insert(run)


def _fill(event: EventLog, line: LineItem, found: LookupCache) -> None:
    sale = line.sale
    event.trigger = line.trigger
    event.raw_type = sale.type
    event.order_id = sale.order_id
    event.subscription_id = sale.subscription_id
    event.transaction_id = sale.transaction_id
    event.samcart_customer_id = sale.customer_id
    event.ordered_at = sale.ordered_at
    event.custom_fields = [asdict(each) for each in sale.custom_fields]
    # Read again, it may be months old: names are taken from it the first time only. And who
    # knows but a withdrawn address renames nobody.
    trusted = event.pk is None and not event.delivery.withdrawn
    event.customer = _customer(sale, rename=trusted)
    if event.customer is None:
        event.email_as_sent = sale.email_as_sent
        event.name_as_sent = f"{sale.first_name} {sale.last_name}".strip()
    event.product = _product(event.marketplace_id, sale, found, rename=trusted)


def _customer(sale: SaleEvent, *, rename: bool) -> Customer | None:
    if not sale.email:
        return None
    names = {"first_name": sale.first_name, "last_name": sale.last_name}
    told = {key: name for key, name in names.items() if name}
    told["email_as_sent"] = sale.email_as_sent
    customer = _CUSTOMER.first(email=sale.email)
    if customer is None:
        customer = Customer(email=sale.email, **told)
        queries.upsert(customer, key=("email",), fields=("email_as_sent",))
        customer.add_search_terms()
        return customer
    changed = [key for key, value in told.items() if getattr(customer, key) != value]
    if rename and changed:
        for key in changed:
            setattr(customer, key, told[key])
        customer.save(update_fields=changed)
    return customer


def _product(
    marketplace_id: int, sale: SaleEvent, found: LookupCache, *, rename: bool
) -> Product | None:
    if not sale.product_id:
        return None
    key = marketplace_id, sale.kind, sale.product_id
    product = found.products.get(key)
    if product is None or (rename and product.name != sale.product_name):
        product = found.products[key] = _look_up(*key, sale.product_name, rename=rename)
    return product


def _look_up(
    marketplace_id: int, kind: str, external_id: str, name: str, *, rename: bool
) -> Product:
    if not rename:
        same = Product.objects.filter(marketplace=marketplace_id, kind=kind)
        known = same.filter(external_id=external_id).first()
        if known is not None:
            return known
    return Product.objects.named(marketplace_id, kind, external_id, name)


def _plan_runs(event: EventLog, line: LineItem, passed_on: set[int]) -> list[RuleRun]:
    """The runs of the event (not saved); its verdicts, status and reason are written into it."""
    event.also_canceled = bool(line.verdicts_if_canceled) and not _just_canceled(event)
    verdicts = line.verdicts_if_canceled if event.also_canceled else line.verdicts
    verdicts = passing_on.once(verdicts, passed_on)
    event.verdicts = [[verdict.rule.pk, verdict.why.value] for verdict in verdicts]
    runs = [plan(event, verdict.rule, line.sale) for verdict in verdicts if verdict.runs]
    event.gave_nothing = all(run.spec.passes_on for run in runs)
    whys = {verdict.why for verdict in verdicts}
    status = event.status_of([run.status for run in runs])
    if not runs and Reason.OTHER_LINE in whys:
        status = Status.SKIPPED
    _explain(event, status, _reason(runs, whys))
    return runs


def _just_canceled(event: EventLog) -> bool:
    """Whether the Cancel of the same happening came already, so that its rules ran.

    Not when the access was given back since: then the subscription has failed again.
    """
    if not event.subscription_id:
        return False
    told = EventLog.objects.filter(
        marketplace=event.marketplace_id,
        subscription_id=event.subscription_id,
        trigger__in=[Trigger.SUBSCRIPTION_CANCELED, *revocations.GIVING_BACK],
        delivery__withdrawn=False,
        received_at__range=(event.received_at - SAME_HAPPENING, event.received_at),
    )
    newest = told.order_by("received_at", "pk").values_list("trigger", flat=True).last()
    return newest == Trigger.SUBSCRIPTION_CANCELED


def _texts(book: RuleBook, found: LookupCache) -> RuleTexts:
    if book.digest not in found.texts:
        known = _TEXTS.first(digest=book.digest)
        made = {"sentences": book.sentences}
        found.texts[book.digest] = (
            known or RuleTexts.objects.get_or_create(digest=book.digest, defaults=made)[0]
        )
    return found.texts[book.digest]


def _reason(runs: Sequence[RuleRun], whys: set[Reason]) -> str:
    if runs:
        stopped = (RuleRun.Status.FAILED, RuleRun.Status.HELD)
        return next((run.message for run in runs if run.status in stopped), "")
    if Reason.OTHER_LINE in whys:
        return "What SamCart sent is passed on once, with another line of the same delivery."
    if Reason.OFF in whys:
        return "What fits this event is turned off, so nothing was sent."
    return "No rule matched this event, so nothing was sent."


def _unknown(delivery: Delivery, sale: SaleEvent) -> str:
    if delivery.address_trigger:
        return (
            f'The address ends in "{delivery.address_trigger}", which is no trigger. '
            "Correct the address in SamCart; this event is kept."
        )
    if not sale.type:
        return "SamCart did not say what happened. Give this trigger an address of its own."
    return (
        f'SamCart calls this "{sale.type}", which Admit does not know. '
        "Say once which trigger it is, and it is read again."
    )
