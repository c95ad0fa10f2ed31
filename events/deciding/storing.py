"""Store a reading as rows: events with their verdicts, and the runs that follow."""

import logging
from collections import Counter
from dataclasses import asdict

from django.db.models.functions import Now

from events.access import pending
from events.access.left_open import leaves_open
from events.deciding import anonymous, passing_on, repeats
from events.deciding.intake import Intake
from events.deciding.planning import WITHDRAWN, plan_all
from events.deciding.reading import LineItem, Reading, RuleBook
from events.models import Canary, Delivery, EventLog, RuleRun
from events.models.runs import DELAYED
from integrations.samcart.parser import SaleEvent
from integrations.sentences import Said, joined, say, say_count
from rules.engine import Reason
from rules.triggers import NEEDS_NO_RULE, RENEWS, Trigger

log = logging.getLogger(__name__)
Status = EventLog.Status
# What reading sets. The other columns are a person's, who may write them while an event is read
# again.
READ = (
    "trigger",
    "raw_type",
    "product",
    "customer",
    "status",
    "gave_nothing",
    "left_open",
    "reason",
    "order_id",
    "subscription_id",
    "transaction_id",
    "samcart_customer_id",
    "custom_fields",
    "verdicts",
    "rule_texts",
    "ordered_at",
    "email_as_sent",
    "name_as_sent",
)


def store(reading: Reading, intake: Intake) -> None:
    """Collect the delivery's events and runs in the intake. Call it inside a transaction.

    A delivery that is read again keeps its rows and decisions. Events that exist already are saved
    at once, new rows by `intake.write`.
    """
    delivery = reading.delivery
    known = {event.line: event for event in intake.events.get(delivery.pk, ())}
    for event in known.values():
        event.delivery = delivery
    if reading.unreadable:
        event = known.get(0) or _new(delivery, 0)
        _explain(event, Status.UNREADABLE, reading.unreadable)
        _keep(event, intake)
        return
    first = _first_of(delivery, intake)
    assert reading.book is not None
    passed_on = passing_on.rules_that_passed_on(delivery.pk) if known else set()
    for number, line in enumerate(reading.lines):
        event = known.get(number) or _new(delivery, number)
        if event.pk is None or not event.runs.exists():
            store_line(event, line, first, reading.book, intake, passed_on)
    if any(line.is_erased for line in reading.lines):
        anonymous.remove_payload(delivery)
    if first is None and intake.has_later_repeat(delivery):
        intake.write()
        intake.to_reread |= repeats.reread_later_repeats(delivery)


def note_canary(reading: Reading) -> None:
    """Record that a worker read the canary, and delete it. Call it inside a transaction."""
    ours = Canary.objects.filter(digest=reading.delivery.body_digest)
    step = Canary.Step.RULES if reading.fault else Canary.Step.PASSED
    ours.update(read_at=Now(), step=step)
    reading.delivery.delete()


def set_aside(delivery: Delivery, error: Exception) -> None:
    """Record that our own code failed on this delivery. Call it inside a transaction."""
    # Log only the kind of error: its text may quote what a customer entered.
    kind = type(error).__name__
    log.error("delivery_set_aside", extra={"delivery": delivery.pk, "error": kind})
    event = delivery.events.filter(line=0).first() or _new(delivery, 0)
    _explain(
        event,
        Status.FAILED,
        say(
            "Admit itself failed on this event ({kind}); nothing was done. "
            "It is kept: call your technician, who can have it read again after an update.",
            kind=kind,
        ),
    )
    event.save(update_fields=READ if event.pk else None)


def _first_of(delivery: Delivery, intake: Intake) -> Delivery | None:
    """Return the delivery that this one repeats, or None. Records this one as a repeat."""
    if delivery.body_digest not in intake.repeated:
        return None
    intake.write()
    first = repeats.first_of(delivery)
    if first is not None:
        Delivery.objects.filter(pk=delivery.pk).update(repeat_of=first)
        intake.note_repeat(delivery)
    return first


def _keep(event: EventLog, intake: Intake) -> None:
    if event.pk is None:
        intake.new_events.append(event)
        return
    intake.write()  # its customer may be new
    event.save(update_fields=READ)
    event.add_search_terms()


def _new(delivery: Delivery, line: int) -> EventLog:
    return EventLog(
        delivery=delivery,
        line=line,
        marketplace_id=delivery.marketplace_id,
        received_at=delivery.received_at,
    )


def _explain(event: EventLog, status: EventLog.Status, reason: str) -> None:
    event.status = status
    if event.withdrawn and not reason.startswith(str(WITHDRAWN)):
        reason = joined([WITHDRAWN, reason])
    event.reason = reason


def store_line(
    event: EventLog,
    line: LineItem,
    first: Delivery | None,
    book: RuleBook,
    intake: Intake,
    passed_on: set[int],
) -> None:
    """Collect the line's event and runs in the intake. `first` is the delivery that it repeats."""
    _fill(event, line, intake)
    event.gave_nothing = event.left_open = False
    runs: list[RuleRun] = []
    if line.is_erased:
        event.rule_texts = intake.rule_texts(book)
        runs = _plan_for_others(event, line, intake, passed_on)
    elif line.is_nothing:
        _explain(event, Status.SKIPPED, _nothing(line.sale))
    elif event.trigger is None:
        assert event.delivery is not None
        _explain(event, Status.UNKNOWN_TYPE, _unknown(event.delivery, line.sale))
    elif first is not None:
        _explain(event, Status.REPEAT, _same_as(first))
    else:
        event.rule_texts = intake.rule_texts(book)
        runs = _plan_runs(event, line, intake, passed_on)
    _keep(event, intake)
    intake.new_runs += runs


def _fill(event: EventLog, line: LineItem, intake: Intake) -> None:
    sale = line.sale
    event.trigger = line.trigger
    event.raw_type = sale.type
    event.order_id = sale.order_id
    event.subscription_id = sale.subscription_id
    event.transaction_id = sale.transaction_id
    event.samcart_customer_id = sale.customer_id
    event.ordered_at = sale.ordered_at
    event.custom_fields = [asdict(each) for each in sale.custom_fields]
    # An event that is read again may be months old, so names are taken from it only the first time.
    # And someone who only knows a withdrawn address must not be able to rename customers.
    trusted = event.pk is None and not event.withdrawn
    event.customer = intake.customer(sale, rename=trusted)
    if event.customer is None:
        event.email_as_sent = sale.email_as_sent
        event.name_as_sent = f"{sale.first_name} {sale.last_name}".strip()
    assert event.marketplace_id is not None
    event.product = intake.product(event.marketplace_id, sale, rename=trusted)


def _plan_runs(
    event: EventLog, line: LineItem, intake: Intake, passed_on: set[int]
) -> list[RuleRun]:
    """Return the event's runs, not saved. Sets the verdicts, status and reason of the event."""
    verdicts = passing_on.passing_on_once(line.verdicts, passed_on)
    event.verdicts = [[verdict.rule.pk, verdict.why.value] for verdict in verdicts]
    if event.trigger in RENEWS:
        if any(run.code == DELAYED for run in intake.new_runs):
            intake.write()  # the event may pay for what one of them is to end
        pending.look_again(event)
    runs = plan_all(event, [each.rule for each in verdicts if each.runs], line, intake.decisions)
    if line.is_erased:
        runs = [run for run in runs if run.customer is not None]
    event.gave_nothing = all(run.spec.passes_on for run in runs)
    is_refund = event.trigger == Trigger.PRODUCT_REFUNDED
    event.left_open = is_refund and leaves_open(event, runs, intake.decisions.grants_of(event))
    whys = Counter(verdict.why for verdict in verdicts)
    # What an action says may change by tomorrow, so the event does not copy it.
    if runs:
        _explain(event, event.status_of([run.status for run in runs]), "")
    else:
        _explain(event, *_without_rule(event.trigger, whys))
    return runs


def _plan_for_others(
    event: EventLog, line: LineItem, intake: Intake, passed_on: set[int]
) -> list[RuleRun]:
    """Return the runs for other people, such as the student, of an erased person's sale."""
    runs = _plan_runs(event, line, intake, passed_on) if event.trigger else []
    if not runs:
        _explain(event, Status.SKIPPED, say(anonymous.NOTHING_DONE))
        event.order_id = event.subscription_id = event.transaction_id = ""
    event.gave_nothing = False
    return runs


def _without_rule(trigger: str | None, whys: Counter[Reason]) -> tuple[EventLog.Status, Said]:
    """Return the status of an event for which no rule ran, and say why none did."""
    if Reason.OTHER_LINE in whys:
        text = say("What SamCart sent is passed on once, with another line of the same delivery.")
        return Status.SKIPPED, text
    if Reason.OFF in whys:
        text = say_count(
            whys[Reason.OFF],
            "The rule that matches this event was turned off, so nothing was sent.",
            "The rules that match this event were turned off, so nothing was sent.",
        )
        return Status.NO_RULE, text
    if trigger == Trigger.SUBSCRIPTION_COMPLETED:
        return Status.NOTED, say("The plan is paid in full. No rule is needed for that.")
    if trigger in NEEDS_NO_RULE:
        return Status.NOTED, say("The subscription was charged. No rule is needed for that.")
    return Status.NO_RULE, say("No rule matched this event, so nothing was sent.")


def _nothing(sale: SaleEvent) -> Said:
    return say(
        'SamCart calls this "{type}". A person said that this means nothing to Admit, so nothing '
        "is done.",
        type=sale.type,
    )


def _same_as(first: Delivery) -> Said:
    return say(
        "The same as what was received at {time} UTC; nothing was done again.",
        time=f"{first.received_at:%H:%M:%S}",
    )


def _unknown(delivery: Delivery, sale: SaleEvent) -> str:
    if delivery.address_trigger:
        return say(
            'The address ends in "{end}", which is no trigger. '
            "Correct the address in SamCart; this event is kept.",
            end=delivery.address_trigger,
        )
    if not sale.type:
        return say("SamCart did not say what happened. Give this trigger an address of its own.")
    return say(
        'SamCart calls this "{type}", which Admit does not know. '
        "Say once which trigger it is, and it is read again.",
        type=sale.type,
    )
