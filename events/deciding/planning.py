"""The run of a rule for an event, and what keeps it until a person has looked."""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings

from events.access.decisions import Decisions
from events.deciding.reading import LineItem
from events.models import EventLog, RuleRun
from integrations.models import Customer
from integrations.samcart.parser import SaleEvent
from rules.models import Rule
from rules.triggers import Trigger

PAID = {"", "charged", "fulfilled"}
REFUNDS = {Trigger.PRODUCT_REFUNDED, Trigger.PRODUCT_PARTIALLY_REFUNDED}
WITHDRAWN = "It was sent to a withdrawn address."


def plan(event: EventLog, rule: Rule, line: SaleEvent, student: Customer | None) -> RuleRun:
    """The run of a rule for an event (not saved): a copy of all that it will do.

    The student is whose access it changes: the first event of the purchase named them.
    """
    run = RuleRun(
        event=event,
        rule=rule,
        customer=student if rule.target else event.customer,
        received_at=event.received_at,
        code="not_started",
        next_attempt_at=event.received_at + timedelta(seconds=settings.RETRY_DELAYS[0]),
        **RuleRun.copy_of(rule),
    )
    # Of what is passed on, the receiver reads itself how the line stands.
    held = must_be_held(event, "" if rule.spec.passes_on else line.line_status)
    if run.customer is None and not rule.spec.passes_on:
        run.status, run.code = RuleRun.Status.FAILED, "no_email"
        run.message = f"{line.email_problem} So nobody could be enrolled or removed."
    elif held:
        run.status, run.code, run.message = RuleRun.Status.HELD, "held", held
    return run


def plan_all(
    event: EventLog, rules: Iterable[Rule], line: LineItem, decisions: Decisions
) -> list[RuleRun]:
    """The runs of these rules for an event (not saved), each decided on the ledger."""
    rules = list(rules)
    student = event.customer
    if any(rule.target for rule in rules):
        decisions.begin(event, asks=any(rule.ends_all for rule in rules))
        student = decisions.student(event)
    runs = [plan(event, rule, line.sale, student) for rule in rules]
    for run in runs:
        if run.target and run.status == RuleRun.Status.WAITING:
            decisions.decide(event, run)
    return runs


def must_be_held(event: EventLog, line_status: str) -> str:
    """Why a person must release the event's runs first, "" when they may go."""
    status = line_status.casefold()
    if event.withdrawn:
        return f"{WITHDRAWN} Release it if you know the sender."
    if event.trigger == Trigger.PRODUCT_PURCHASED and status not in PAID:
        return (
            f"SamCart reports this line as {line_status}, not as Charged. "
            "Release it if the customer has paid."
        )
    if event.trigger in REFUNDS and status in PAID - {""}:
        # A body that repeats all lines of the order tells of each how it stands.
        return (
            f"SamCart sent a refund, and reports this line as {line_status}: it may be paid for as "
            "before. Release it if this line was refunded."
        )
    return ""
