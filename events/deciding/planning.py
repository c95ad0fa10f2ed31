"""Make the run of a rule for an event, held if a person must look at it first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from events.access.decisions import Decisions
from events.access.event_student import STUDENT_EMAIL, BadStudentEmail
from events.deciding.reading import LineItem
from events.models import EventLog, RuleRun
from integrations.models import Customer, Integration
from integrations.samcart.normalize import MAX_EMAIL_LENGTH
from integrations.samcart.parser import SaleEvent
from integrations.sentences import joined, say
from rules.models import Rule
from rules.triggers import Trigger

PAID = {"", "charged", "fulfilled"}
REFUNDS = {Trigger.PRODUCT_REFUNDED, Trigger.PRODUCT_PARTIALLY_REFUNDED}
WITHDRAWN = _("It was sent to a withdrawn address.")


@dataclass(frozen=True, slots=True)
class Whom:
    """For whom a rule runs.

    `problem` says why the address of the student, `entered` in the order, is unusable.
    """

    customer: Customer | None
    problem: str = ""
    entered: str = ""


def plan(event: EventLog, rule: Rule, line: SaleEvent, whom: Whom) -> RuleRun:
    """Return the run of a rule for an event, not saved: a copy of all that it will do."""
    run = RuleRun(
        event=event,
        rule=rule,
        customer=whom.customer,
        received_at=event.received_at,
        code="not_started",
        next_attempt_at=event.received_at + timedelta(seconds=settings.RETRY_DELAYS[0]),
        **RuleRun.copy_of(rule),
    )
    # A receiver reads the line's status itself, so passing on is not held because of it.
    held = must_be_held(event, "" if rule.spec.passes_on else line.line_status)
    if whom.problem:
        run.status, run.code, run.message = RuleRun.Status.FAILED, STUDENT_EMAIL, whom.problem
    elif run.customer is None and not rule.spec.passes_on:
        run.status, run.code, run.message = RuleRun.Status.FAILED, "no_email", line.email_problem
    elif held:
        run.status, run.code, run.message = RuleRun.Status.HELD, "held", held
    return run


def plan_all(
    event: EventLog, rules: Iterable[Rule], line: LineItem, decisions: Decisions
) -> list[RuleRun]:
    """Return the runs of these rules for an event, not saved, each decided on the ledger.

    An unusable student address is kept in the event, so that a search for it finds the event.
    """
    rules = list(rules)
    sites = {rule.integration_id: rule.integration for rule in rules if rule.target}
    if sites:
        decisions.begin(event, asks=any(rule.ends_all for rule in rules))
    students = {pk: _student(event, site, decisions) for pk, site in sites.items()}
    entered = next((each.entered for each in students.values() if each.entered), "")
    if event.customer is not None:
        event.email_as_sent = entered[:MAX_EMAIL_LENGTH]
    payer = Whom(event.customer)
    runs = [
        plan(event, rule, line.sale, students[rule.integration_id] if rule.target else payer)
        for rule in rules
    ]
    for run in runs:
        if run.target and run.status == RuleRun.Status.WAITING:
            decisions.decide(event, run)
    return runs


def _student(event: EventLog, site: Integration, decisions: Decisions) -> Whom:
    try:
        return Whom(decisions.student(event, site))
    except BadStudentEmail as error:
        return Whom(None, error.message, error.entered)


def must_be_held(event: EventLog, line_status: str) -> str:
    """Say why a person must release the event's runs first; "" if they may go."""
    status = line_status.casefold()
    if event.withdrawn:
        return joined([WITHDRAWN, say("Release it if you know the sender.")])
    if event.trigger == Trigger.PRODUCT_PURCHASED and status not in PAID:
        return say(
            "SamCart reports this line as {status}, not as Charged. "
            "Release it if the customer has paid.",
            status=line_status,
        )
    if event.trigger in REFUNDS and status in PAID - {""}:
        # The body may repeat all lines of the order, each with its own status.
        return say(
            "SamCart sent a refund, and reports this line as {status}: it may be paid for as "
            "before. Release it if this line was refunded.",
            status=line_status,
        )
    return ""
