"""What the ledger's verdicts say to people."""

from datetime import datetime

from django.utils import timezone

from events.access.ledger import BY_HAND, Verdict
from events.models import EventLog, Grant, RuleRun
from rules.triggers import Trigger

MOVED = "Nothing to do: a person moved this access to another e-mail."


def nothing_to_do(verdict: Verdict, run: RuleRun, row: Grant) -> str:
    """Why a run that the ledger ended at once changes nothing in Thinkific."""
    match verdict:
        case Verdict.BARRED:
            return f"Nothing was given: {cause(row)} had ended this purchase."
        case Verdict.LATE if run.spec.gives_access:
            return f"Nothing was given: {cause(row)} was received later and ended it."
        case Verdict.LATE:
            return f"Nothing was ended: {cause(row)} was received later and gives access."
        case Verdict.ENDED_BY_HAND:
            return f"Nothing was given: a person ended this access on {day(row.decided_at)}."
        case Verdict.ENDED_BEFORE:
            return f"The access to {row.name} had ended already, with {cause(row)}."
        case Verdict.UNKNOWN_PURCHASE:
            return (
                f"Admit knows no purchase {_named(run)}, so nothing had to end. If it arrives "
                f"later, it gives no access to {run.destination_name}."
            )
        case _:
            return f"This purchase gave no access to {run.destination_name}, so nothing had to end."


def not_due(row: Grant) -> str:
    """Why a run that was to give access finds that nothing is due any more."""
    if row.state == Grant.State.WAIVED:
        return "Nothing to do: a person dismissed this access."
    return f"Nothing to do: {cause(row)} has ended this access."


def holds(row: Grant) -> str:
    """What gives access: "order 1183", "the purchase of Watercolor"."""
    if row.source == Grant.Source.HAND:
        return "access given by hand"
    if row.source == Grant.Source.BEFORE:
        return "access from before Admit"
    if row.order_id:
        return f"order {row.order_id}"
    return f"the purchase of {row.product_name}" if row.product_name else "another purchase"


def given_by_hand(event: EventLog) -> str:
    """ "Course Two is given to dana@example.com now, until 5 May." """
    run, customer = event.runs.order_by("pk")[0], event.customer
    assert customer is not None
    until = _last_day(event)
    given = f"{run.destination_name} is given to {customer.readable_email} now"
    return f"{given}, until {until}." if until else f"{given}."


def ended_by_hand(event: EventLog) -> str:
    """ "The access to Course Two is ended now." """
    run, until = event.runs.get(), _last_day(event)
    access = f"The access to {run.destination_name}"
    return f"{access} ends on {until}." if until else f"{access} is ended now."


def _last_day(event: EventLog) -> str:
    """ "5 May", "" where the access has no last day."""
    moments = (run.next_attempt_at for run in event.runs.all() if run.is_pending)
    return next((day(moment) for moment in moments if moment), "")


def cause(row: Grant) -> str:
    """What decided the grant's state: "the refund of order 1183 on 3 May"."""
    if row.because == BY_HAND:
        return f"a person's decision on {day(row.decided_at)}"
    what = Trigger(row.because).wording.happening
    of_order = f" of order {row.order_id}" if row.order_id else ""
    return f"{what}{of_order} on {day(row.ended_at or row.decided_at)}"


def day(moment: datetime) -> str:
    """ "3 May", of a later year "3 May 2031" """
    local = timezone.localtime(moment)
    year = f" {local.year}" if local.year > timezone.localdate().year else ""
    return f"{local.day} {local:%b}{year}"


def _named(run: RuleRun) -> str:
    event = run.event
    if event.order_id:
        return f"of order {event.order_id}"
    return f"of subscription {event.subscription_id}" if event.subscription_id else "of this kind"
