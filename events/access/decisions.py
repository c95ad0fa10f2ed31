"""Deciding on the ledger: finds the grants that events are about, changes and writes them.

For many events with one look; see `events.access.ledger` for what is decided.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from events.access import ledger, lock, pending, sentences, students
from events.access.ledger import Change, Sale, Verdict
from events.models import EventLog, Grant, History, RuleRun
from integrations.models import Customer, Destination, Marketplace
from rules.triggers import Trigger

Status = RuleRun.Status
AMBIGUOUS = "ambiguous"
# The columns that a decision changes.
DECIDED = (
    "subscription_id",
    "customer",
    "state",
    "decided_at",
    "because",
    "event",
    "opened_at",
    "ended_at",
)
# The strongest first: what an event about several purchases comes to.
STRONGEST = (
    Verdict.ENDS,
    Verdict.LATE,
    Verdict.ENDED_BEFORE,
    Verdict.GAVE_NOTHING,
    Verdict.UNKNOWN_PURCHASE,
)


class Decisions:
    """The grants of some sales as they stand in this transaction, which holds the lock.

    Call `begin` for each event before anything else. `flush` writes what the caller has noted of
    earlier events: the log must know them before it is asked.
    """

    def __init__(self, sales: Iterable[Sale], *, flush: Callable[[], None] = lambda: None) -> None:
        named = [sale for sale in sales if sale.is_named]
        orders = {sale.order_id for sale in named} - {""}
        subscriptions = {sale.subscription_id for sale in named} - {""}
        found = Grant.objects.filter(
            Q(order_id__in=orders) | Q(subscription_id__in=subscriptions)
        ).select_related("customer")
        self._rows: list[Grant] = []
        self._was_active: set[int] = set()
        self._know(found if named else ())
        self._flush = flush
        self._new: list[Grant] = []
        self._changed: dict[int, Grant] = {}

    def begin(self, event: EventLog, *, asks: bool) -> None:
        """Get ready for an event; `asks` says that its rules ask for more than its purchase.

        A purchase needs to know nothing of the log, so that many are written together.
        """
        if asks or event.trigger != Trigger.PRODUCT_PURCHASED:
            self._flush()

    def student(self, event: EventLog) -> Customer | None:
        """Whose access the event is about: the one whom the first event of its purchase named."""
        rows = self._of(event)
        if rows:
            return rows[0].customer
        sale = Sale.of(event)
        if event.trigger == Trigger.PRODUCT_PURCHASED or not sale.is_named:
            return event.customer
        named = [each for each in self._log(sale) if each.customer is not None]
        return named[0].customer if named else event.customer

    def decide(self, event: EventLog, run: RuleRun, *, sure: bool = False) -> None:
        """Let a waiting run change the ledger. It ends at once where nothing is left to be done.

        It is held where it is not clear which purchase the event is about, unless a person is
        `sure`.
        """
        if not sure and (unclear := self.unclear(event, run)):
            run.status, run.code, run.message = Status.HELD, AMBIGUOUS, unclear
            return
        if not sure and pending.wait(event, run, self._change(event, run), self._of(event)):
            return
        verdict, row = self.change(event, run)
        if run.spec.gives_access:
            pending.look_again(self._of(event), event)
        if not verdict.is_carried_out:
            run.status, run.code = Status.SKIPPED, verdict.value
            run.message = sentences.nothing_to_do(verdict, run, row)
            run.finished_at, run.next_attempt_at = timezone.now(), None

    def change(self, event: EventLog, run: RuleRun) -> tuple[Verdict, Grant]:
        """Let a run change the ledger: what that comes to, and the run's grant."""
        rows = self._of(event)
        change = self._change(event, run)
        decide = self._give if run.spec.gives_access else self._end
        verdict, run.grant = decide(event, run, change, rows)
        return verdict, run.grant

    def force(self, event: EventLog, run: RuleRun) -> None:
        """Do what the run says, whatever was decided: a person wants it."""
        rows = self._of(event)
        change = self._change(event, run, by_hand=True)
        row = run.grant or next(filter(change.is_of, rows), None) or self._row(event, run, rows)
        if run.spec.gives_access:
            ledger.open_it(row, change)
            self._note(row)
        else:
            for each in {row, *filter(change.includes, rows)}:
                ledger.end_it(each, change)
                self._note(each)
        run.grant = row

    def write(self) -> None:
        """Write the grants that are new or changed; their events must have been written."""
        Grant.objects.bulk_create(self._new)
        for row in self._changed.values():
            # A worker may have seen it in Thinkific meanwhile.
            opened = row.is_active and row.pk not in self._was_active
            row.save(update_fields=[*DECIDED, *(["seen_at"] if opened else [])])
        self._was_active = {row.pk for row in self._rows if row.pk and row.is_active}
        self._new, self._changed = [], {}

    def _give(
        self, event: EventLog, run: RuleRun, change: Change, rows: list[Grant]
    ) -> tuple[Verdict, Grant]:
        verdict, row = ledger.give(change, rows, self._row(event, run, rows))
        self._note(row)
        return verdict, row

    def _end(
        self, event: EventLog, run: RuleRun, change: Change, rows: list[Grant]
    ) -> tuple[Verdict, Grant]:
        found: dict[Verdict, Grant] = {}
        for group in list(ledger.by_source(rows).values()) or [[]]:
            verdict, row = self._end_one(event, run, change, group)
            found.setdefault(verdict, row)
        if run.ends_all and run.customer is not None:
            others = self._all_of(run.customer, change, without=rows)
            for group in ledger.by_source(others).values():
                self._end_one(event, run, replace(change, of_purchase=False), group)
        verdict = next(each for each in STRONGEST if each in found)
        row = found[verdict]
        if run.ends_all:
            return Verdict.ENDS, row
        if verdict is Verdict.UNKNOWN_PURCHASE:
            verdict = self._judge_unknown(event)
        return verdict, row

    def _end_one(
        self, event: EventLog, run: RuleRun, change: Change, group: list[Grant]
    ) -> tuple[Verdict, Grant]:
        """End what one source gives; the verdict and its row for this very course or bundle."""
        verdict, touched = ledger.end(change, group, self._row(event, run, group))
        for row in touched:
            self._note(row)
        return verdict, next(filter(change.is_of, touched))

    def _judge_unknown(self, event: EventLog) -> Verdict:
        """What to do about a purchase that gave nothing as far as the ledger knows."""
        purchased = Trigger.PRODUCT_PURCHASED
        if event.trigger == purchased or any(
            each.trigger == purchased for each in self._log(Sale.of(event))
        ):
            return Verdict.GAVE_NOTHING
        if event.ordered_at is None or event.ordered_at < _known_since(event.marketplace_id):
            return Verdict.BEFORE_ADMIT
        return Verdict.UNKNOWN_PURCHASE

    def unclear(self, event: EventLog, run: RuleRun) -> str:
        """Why a person must say which purchase an ending event is about, "" when it is clear."""
        if not run.spec.ends_access:
            return ""
        sale, rows = Sale.of(event), self._of(event)
        if not sale.is_named:
            open_ones = [each for each in rows if each.is_active]
            if len({each.opened_at for each in open_ones}) > 1:
                return (
                    "SamCart named no order, and the customer has bought this more than once. "
                    "Release it if the access is to end."
                )
        elif event.trigger == Trigger.PRODUCT_REFUNDED and not sale.subscription_id and rows:
            bought = {
                (each.product_id, each.transaction_id)
                for each in self._log(sale)
                if each.trigger == Trigger.PRODUCT_PURCHASED and each.transaction_id
            }
            if len(bought) > len({product for product, _ in bought}):
                return (
                    f"Order {sale.order_id} has this product more than once, and SamCart does not "
                    "say which one was refunded. Release it if the access is to end."
                )
        return ""

    def _of(self, event: EventLog) -> list[Grant]:
        """The grants of the purchase, or of the purchases, that the event is about."""
        sale = Sale.of(event)
        if not sale.is_named:
            return self._of_product(event)
        rows = [row for row in self._rows if sale.is_same(Sale.of(row))]
        if sale.subscription_id and len(ledger.by_source(rows)) == 1:
            for row in rows:
                if not row.subscription_id:
                    row.subscription_id = sale.subscription_id
                    self._note(row)
        return rows

    def _of_product(self, event: EventLog) -> list[Grant]:
        """An event that names no purchase is about the customer's own of the product."""
        if event.trigger in {None, Trigger.PRODUCT_PURCHASED} or event.customer is None:
            return []  # each is a purchase of its own; what is done by hand is about none
        same = Grant.objects.filter(
            source=Grant.Source.PURCHASE,
            customer=event.customer,
            marketplace=event.marketplace_id,
            product=event.product_id,
        ).select_related("customer")
        return self._know(same)

    def _all_of(self, student: Customer, change: Change, *, without: list[Grant]) -> list[Grant]:
        """What else gives the student some of this, whatever gave it."""
        found = Grant.objects.filter(
            customer__in=students.same_user(change.integration, student),
            integration=change.integration,
        )
        mine = {row.pk for row in without}
        return [row for row in self._know(found) if row.pk not in mine and change.touches(row)]

    def _know(self, found: Iterable[Grant]) -> list[Grant]:
        """These rows, each as the one object that stands for it here."""
        found = list(found)
        known = {row.pk: row for row in self._rows}
        new = [row for row in found if row.pk not in known]
        self._rows += new
        self._was_active |= {row.pk for row in new if row.is_active}
        known |= {row.pk: row for row in new}
        return [known[row.pk] for row in found]

    def _log(self, sale: Sale) -> list[EventLog]:
        """The events of a purchase so far, in receipt order; none of a withdrawn address."""
        ids = Q()
        if sale.order_id:
            ids |= Q(order_id=sale.order_id)
        if sale.subscription_id:
            ids |= Q(subscription_id=sale.subscription_id)
        found = logged(ids, marketplace=sale.marketplace) if sale.is_named else ()
        return [each for each in found if sale.is_same(Sale.of(each))]

    def _change(self, event: EventLog, run: RuleRun, *, by_hand: bool = False) -> Change:
        assert run.integration_id is not None
        return Change(
            run.integration_id,
            run.target,
            frozenset([run.target, *(f"course:{n}" for n in _courses(run))]),
            ledger.BY_HAND if by_hand else str(event.trigger),
            timezone.now() if by_hand else event.received_at,
            event,
        )

    def _row(self, event: EventLog, run: RuleRun, rows: list[Grant]) -> Grant:
        """A new row for what the run gives or ends, of the purchase that has these rows."""
        sale = Sale.of(rows[0] if rows else event)
        return Grant(
            marketplace_id=sale.marketplace,
            product_id=sale.product or event.product_id,
            order_id=sale.order_id,
            subscription_id=sale.subscription_id,
            product_name=event.product.name if event.product else "",
            customer=rows[0].customer if rows else run.customer,
            integration=run.integration,
            target=run.target,
            name=run.destination_name,
            course_ids=_courses(run),
        )

    def _note(self, row: Grant) -> None:
        """Remember that this row must be written."""
        if row.pk is not None:
            self._changed[row.pk] = row
        elif row.state and not any(row is each for each in self._new):
            self._new.append(row)
            self._rows.append(row)


def logged(*which: Q, **facts: Any) -> QuerySet[EventLog]:
    """These events in receipt order; no repeats, and none of a withdrawn address."""
    trusted = Q(delivery=None) | Q(delivery__withdrawn=False)
    events = EventLog.objects.filter(trusted, *which, **facts)
    events = events.exclude(status=EventLog.Status.REPEAT)
    return events.select_related("customer").order_by("received_at", "pk")


def decide_alone(run: RuleRun, *, anyway: bool = False) -> None:
    """Decide on one run that was held, or that a person wants whatever was decided.

    Inside a transaction. The run is changed, and not saved.
    """
    lock.lock()
    event = EventLog.objects.select_related("customer", "product").get(pk=run.event_id)
    if event.trigger is None and run.grant_id is None:
        return  # done by hand, and it changes no grant of this student
    decisions = Decisions([Sale.of(event)])
    run.customer = decisions.student(event) or run.customer
    if anyway:
        decisions.force(event, run)
    else:
        decisions.decide(event, run, sure=True)
    decisions.write()


def waive(runs: Iterable[RuleRun]) -> None:
    """A person dismissed these runs: what they were to give is not owed any more."""
    giving = [run.pk for run in runs if run.spec.gives_access]
    Grant.objects.filter(runs__in=giving).owed().update(state=Grant.State.WAIVED)


def _known_since(account: int | None) -> datetime:
    """Since when every sale of the account is known to the ledger.

    Events that are older than the ledger may have been removed before it read them.
    """
    accounts = Marketplace.objects.filter(pk__in=[account])
    began = History.objects.values_list("began_at", flat=True)
    return max([*accounts.values_list("created_at", flat=True), *began])


def _courses(run: RuleRun) -> list[int]:
    """The courses of the bundle that the run is about, as the catalog knows them."""
    if run.spec.target != Destination.Kind.BUNDLE or run.destination_id is None:
        return []
    rows = Destination.objects.filter(
        integration=run.integration_id,
        kind=Destination.Kind.BUNDLE,
        external_id=run.destination_id,
    )
    return sorted(set(chain.from_iterable(rows.values_list("course_ids", flat=True))))
