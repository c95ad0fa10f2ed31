"""A missed order, entered by hand. The rules decide on it as on a Product Purchased of now."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from events.access import history
from events.access.by_hand import Author
from events.access.decisions import Decisions
from events.access.lock import lock
from events.access.sale import Sale
from events.deciding import passing_on, storing
from events.deciding.intake import Intake
from events.deciding.reading import LineItem, RuleBook
from events.models import EventLog
from events.queue.wake import wake
from integrations import audit
from integrations.audit import Act
from integrations.models import Customer, Marketplace, Product
from integrations.samcart.normalize import NO_EMAIL, examine_email, strip_invisible
from integrations.samcart.parser import SaleEvent
from integrations.sentences import say
from rules import engine
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class Order:
    """What a person enters; IDs as `normalize_id` writes them, "" where there is none."""

    product: Product
    order_id: str
    email: str
    subscription_id: str = ""
    first_name: str = ""
    last_name: str = ""


def enter(order: Order, author: Author) -> EventLog:
    """Store the order as an event, let the rules decide on it, and queue the runs.

    Raises ValueError with a sentence if the order is in the log already, or the address is
    unusable.
    """
    email, problem = examine_email(order.email)
    if problem:
        raise ValueError(problem)
    history.check()
    account = order.product.marketplace
    book = RuleBook(account)
    sale = _sale(
        order.product,
        order.order_id,
        order.subscription_id,
        email=email,
        as_sent=strip_invisible(order.email),
        first_name=order.first_name,
        last_name=order.last_name,
    )
    with transaction.atomic():
        lock()
        _refuse_known(order)
        known = {each.email: each for each in Customer.objects.filter(email=email)}
        intake = Intake(customers=known)
        purchase = Sale(account.pk, order.product.pk, order.order_id, order.subscription_id)
        intake.decisions = Decisions([purchase], flush=intake.write)
        event = _event(account, author)
        storing.store_line(event, _line(sale, book), None, book, intake, set())
        intake.write()
        entered = {"product": str(order.product), "order": order.order_id, "email": order.email}
        audit.record(Act.ORDER_ENTERED, event, after=entered, note=author.reason)
        wake()
    return event


def _event(account: Marketplace, author: Author) -> EventLog:
    return EventLog(
        by_hand=EventLog.ByHand.ORDER,
        author=author.name[:150],
        author_note=author.reason,
        marketplace=account,
        received_at=timezone.now(),
    )


def line_of(event: EventLog, book: RuleBook) -> LineItem:
    """Return the entered order as a line, with the verdicts of the rules as they are now."""
    customer = event.customer
    sale = _sale(
        event.product,
        event.order_id,
        event.subscription_id,
        email=customer.email if customer else "",
        problem="" if customer else say(NO_EMAIL),
    )
    return _line(sale, book)


def _sale(
    product: Product | None,
    order_id: str,
    subscription_id: str,
    *,
    email: str,
    as_sent: str = "",
    problem: str = "",
    first_name: str = "",
    last_name: str = "",
) -> SaleEvent:
    return SaleEvent(
        type="",
        kind=product.kind if product else "",
        product_id=product.external_id if product else "",
        product_name=product.name if product else "",
        email=email,
        email_as_sent=as_sent,
        email_problem=problem,
        first_name=first_name,
        last_name=last_name,
        customer_id="",
        order_id=order_id,
        subscription_id=subscription_id,
        transaction_id="",
        custom_fields=(),
    )


def _line(sale: SaleEvent, book: RuleBook) -> LineItem:
    trigger = Trigger.PRODUCT_PURCHASED
    product = (sale.kind, sale.product_id) if sale.product_id else None
    verdicts = engine.decide(engine.EventFacts(frozenset({trigger}), product), book.rules)
    return LineItem(sale, trigger, passing_on.without_passing_on(verdicts))


def _refuse_known(order: Order) -> None:
    known = EventLog.objects.filter(
        order_id=order.order_id, product=order.product, trigger=Trigger.PRODUCT_PURCHASED
    )
    if known.exists():
        raise ValueError(
            say(
                "Order {order} with this product is in the log already. Find it there: if "
                "something is missing, run its rules again.",
                order=order.order_id,
            )
        )
