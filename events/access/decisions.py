"""Decide on the ledger: find the grants that events are about, change them and write them.

Many events share one query. `events.access.ledger` holds the rules for what is decided.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum

from events.access import (
    ambiguity,
    event_student,
    holdings,
    ledger,
    lock,
    other_students,
    pending,
    revocations,
    sentences,
)
from events.access.book import Book, change_of, courses_of, known_since, log_of
from events.access.ledger import Change, Judgment
from events.access.sale import Sale
from events.models import EventLog, Grant, RuleRun
from integrations.models import Customer, Integration
from rules.triggers import CANCELS, Trigger

Status = RuleRun.Status
AMBIGUOUS = "ambiguous"
# Strongest first: which judgment counts if an event is about several purchases.
STRONGEST = (
    Judgment.ENDS,
    Judgment.LET_KEEP,
    Judgment.LATE,
    Judgment.ENDED_BEFORE,
    Judgment.GAVE_NOTHING,
    Judgment.UNKNOWN_PURCHASE,
)


class Settled(IntEnum):
    """What is settled about a run before the ledger decides on it. Each value settles more."""

    NOTHING = 0  # nothing beyond that its event came
    RIGHT = 1  # a person said it is right, so it is neither unclear nor one ending too many
    DUE = 2  # its day has come, too
    ANYWAY = 3  # a person wants it whatever the ledger says


class Decisions:
    """The grants of some sales as they stand in this transaction, which must hold the lock.

    Call `begin` for each event first. `flush` writes what the caller has collected about earlier
    events, which must be in the database when `log` reads the events of a purchase so far.
    """

    def __init__(
        self,
        sales: Iterable[Sale],
        *,
        flush: Callable[[], None] = lambda: None,
        find: event_student.Find = event_student.find_or_make,
        log: event_student.Log = log_of,
    ) -> None:
        self._book = Book(sales)
        self._flush, self._find, self._log = flush, find, log
        self._endings: list[RuleRun] = []  # for the other students of an order

    def begin(self, event: EventLog, *, asks: bool) -> None:
        """Prepare for an event. `asks` says that its rules look beyond its own purchase.

        A plain purchase does not need the log, so many purchases can be written together.
        """
        if asks or event.trigger != Trigger.PRODUCT_PURCHASED:
            self._flush()

    def student(self, event: EventLog, integration: Integration) -> Customer | None:
        """Return the student of the event at the integration. Raises event_student.BadStudentEmail.

        Call it for all integrations of an event before anything is decided on the event.
        """
        rows = self.grants_of(event)
        found = event_student.resolve(event, integration, rows, self._log, self._find)
        if found is not None and found.pk is None and event.trigger != Trigger.PRODUCT_PURCHASED:
            self._flush()  # the student's grants are looked up by pk
        return found

    def grants_of(self, event: EventLog) -> list[Grant]:
        """Return the grants of the purchase or purchases that the event is about."""
        return self._book.of(event)

    def decide(self, event: EventLog, run: RuleRun, settled: Settled = Settled.NOTHING) -> None:
        """Let a waiting run change the ledger, or skip it if there is nothing to do in Thinkific.

        Unless `settled` rules it out, the run is held if it is unclear which purchase the event is
        about, and it waits if it is an ending that `pending.wait` makes wait.
        """
        right = settled >= Settled.RIGHT
        if not right and (unclear := self.unclear(event, run)):
            run.status, run.code, run.message = Status.HELD, AMBIGUOUS, unclear
            return
        if paid := self._last_payment(event, run):
            run.skip(Judgment.PAID_IN_FULL, sentences.paid_in_full(paid))
            return
        change, rows = change_of(event, run), self.grants_of(event)
        if settled < Settled.DUE and pending.wait(event, run, change, rows, right=right):
            return
        judged = self.change(event, run)
        judgment, row = judged[0]
        if run.spec.ends_access:
            also = [row for each, row in judged if each is Judgment.ENDS]
            self._endings += other_students.endings(event, run, also)
        if not judgment.is_carried_out:
            ended = judgment == Judgment.ENDED_BEFORE
            other = self._other_holder(run, change, rows) if ended else None
            run.skip(judgment.value, sentences.nothing_to_do(judgment, run, row, other))

    def _last_payment(self, event: EventLog, run: RuleRun) -> EventLog | None:
        """Return the last payment of the subscription that the run would end; None if none came."""
        if event.trigger not in CANCELS or not run.spec.ends_access:
            return None
        return next(filter(revocations.is_last_payment, self._log(Sale.of(event))), None)

    def _other_holder(self, run: RuleRun, change: Change, rows: list[Grant]) -> Grant | None:
        """Return the student's grant from another source that gives what the run was to end."""
        if run.customer is None:
            return None
        others = self._book.all_of(run.customer, change, without=rows)
        return ledger.holder(others, change.integration, change.target)

    def change(self, event: EventLog, run: RuleRun) -> list[tuple[Judgment, Grant]]:
        """Let a run change the ledger. Return the judgments on each purchase, strongest first.

        The first is about the run's grant. The run is carried out for the student of that.
        """
        rows = self.grants_of(event)
        change = change_of(event, run)
        decide = self._give if run.spec.gives_access else self._end
        judged = decide(event, run, change, rows)
        judgment, run.grant = judged[0]
        if run.grant.opened_at or (judgment is Judgment.ENDS and not run.ends_all):
            run.customer = run.grant.customer
        return judged

    def force(self, event: EventLog, run: RuleRun) -> None:
        """Do what the run says whatever was decided, because a person wants it."""
        rows = self.grants_of(event)
        change = change_of(event, run, by_hand=True)
        own = self._book.know([run.grant]) if run.grant else filter(change.is_of, rows)
        row = next(iter(own), None) or self._row(event, run, rows)
        if run.spec.gives_access:
            ledger.open_it(row, change)
            self._book.note(row)
        else:
            others = [each for each in rows if change.includes(each) and each is not row]
            ended = [each for each in others if each.is_active]
            run.customer = row.customer
            self._endings += other_students.endings(event, run, ended)
            for each in [row, *others]:
                ledger.end_it(each, change)
                self._book.note(each)
            self._end_others(event, run, [row, *rows])
        run.grant = row

    def write(self) -> None:
        """Write new and changed grants, and endings for other students than the runs have.

        Their events must have been written.
        """
        self._book.write()
        RuleRun.objects.bulk_create(self._endings)
        self._endings = []

    def _give(
        self, event: EventLog, run: RuleRun, change: Change, rows: list[Grant]
    ) -> list[tuple[Judgment, Grant]]:
        continues = not rows and event.trigger != Trigger.PRODUCT_PURCHASED
        if continues and self._judge_unknown(event) is Judgment.BEFORE_ADMIT:
            self._take_over(run, change)
        judgment, row = ledger.give(change, rows, self._row(event, run, rows))
        if row.opened_at is None and run.customer is not None:
            row.customer = run.customer  # nothing was known of the student when it ended
        self._book.note(row)
        return [(judgment, row)]

    def _end(
        self, event: EventLog, run: RuleRun, change: Change, rows: list[Grant]
    ) -> list[tuple[Judgment, Grant]]:
        groups = list(ledger.by_source(rows).values()) or [[]]
        found = [self._end_one(event, run, change, group) for group in groups]
        found.sort(key=lambda each: STRONGEST.index(each[0]))
        self._end_others(event, run, rows)
        judgment, row = found[0]
        if run.ends_all:
            judgment = Judgment.ENDS
        elif judgment is Judgment.UNKNOWN_PURCHASE:
            judgment = self._judge_unknown(event)
        if judgment is Judgment.BEFORE_ADMIT:
            self._take_over(run, change)
        return [(judgment, row), *found[1:]]

    def _end_one(
        self, event: EventLog, run: RuleRun, change: Change, group: list[Grant]
    ) -> tuple[Judgment, Grant]:
        """End what one source gives. Return the judgment and the grant that it is about."""
        judgment, touched = ledger.end(change, group, self._row(event, run, group))
        for row in touched:
            self._book.note(row)
        return judgment, next(filter(change.is_of, touched), touched[0])

    def _end_others(self, event: EventLog, run: RuleRun, rows: list[Grant]) -> None:
        """End what else gave it when the event came, if the run's rule ends that, too.

        A course in a bundle that a person gave stays in the grant; `due` leaves it out.
        """
        if not run.ends_all or run.customer is None:
            return
        change = replace(change_of(event, run), of_purchase=False)
        others = self._book.all_of(run.customer, change, without=rows)
        for group in ledger.by_source(others).values():
            _, touched = ledger.end(change, group, self._row(event, run, group))
            is_purchase = group[0].source == Grant.Source.PURCHASE
            for row in touched:
                if is_purchase or row in group:  # only a purchase can have a mark
                    self._book.note(row)

    def _take_over(self, run: RuleRun, change: Change) -> None:
        """End the student's grants from before Admit: this purchase from before Admit gave them."""
        found = Grant.objects.active().filter(
            source=Grant.Source.BEFORE, customer=run.customer, integration=change.integration
        )
        for row in self._book.know(found):
            if change.touches(row):
                ledger.end_it(row, change)
                self._book.note(row)

    def _judge_unknown(self, event: EventLog) -> Judgment:
        """Judge an event whose purchase gave nothing as far as the ledger knows."""
        purchased = Trigger.PRODUCT_PURCHASED
        if event.trigger == purchased or any(
            each.trigger == purchased for each in self._log(Sale.of(event))
        ):
            return Judgment.GAVE_NOTHING
        if event.ordered_at is None or event.ordered_at < known_since(event.marketplace_id):
            return Judgment.BEFORE_ADMIT
        return Judgment.UNKNOWN_PURCHASE

    def unclear(self, event: EventLog, run: RuleRun) -> str:
        """Say why a person must choose the purchase that an ending is about; "" if it is clear."""
        if not run.spec.ends_access:
            return ""
        return ambiguity.reason(event, self.grants_of(event), self._log)

    def _row(self, event: EventLog, run: RuleRun, rows: list[Grant]) -> Grant:
        """Return an unsaved grant for what the run gives or ends.

        `rows` are its purchase's grants.
        """
        sale = Sale.of(rows[0] if rows else event)
        here = [row for row in rows if row.integration_id == run.integration_id]
        return Grant(
            marketplace_id=sale.marketplace,
            product_id=sale.product or event.product_id,
            order_id=sale.order_id,
            subscription_id=sale.subscription_id,
            product_name=event.product.name if event.product else "",
            customer=here[0].customer if here else run.customer,
            integration=run.integration,
            target=run.target,
            name=run.destination_name,
            course_ids=courses_of(run),
        )


def decide_alone(run: RuleRun, settled: Settled = Settled.NOTHING) -> None:
    """Decide on one run later than on its event. The run is changed, but not saved.

    Call it inside a transaction; it takes the lock.
    """
    lock.lock()
    event = EventLog.objects.select_related("customer", "product").get(pk=run.event_id)
    if event.trigger is None:
        holdings.decide(run, event, anyway=settled is Settled.ANYWAY)
        return
    decisions = Decisions([Sale.of(event)])
    assert run.integration is not None
    with suppress(event_student.BadStudentEmail):  # keep the customer that a person has set
        run.customer = decisions.student(event, run.integration) or run.customer
    if settled is Settled.ANYWAY:
        decisions.force(event, run)
    else:
        decisions.decide(event, run, settled)
    decisions.write()
