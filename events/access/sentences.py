"""Sentences that tell people what the ledger decided."""

from collections.abc import Sequence
from datetime import datetime

from events.access import going_on
from events.access.ledger import BY_HAND, BY_HAND_AFTER, Judgment
from events.models import EventLog, Grant, RuleRun
from integrations.sentences import Said, Text, format_day, joined, say
from integrations.who import shown_who
from rules.listing import listed
from rules.triggers import Trigger


def nothing_to_do(judgment: Judgment, run: RuleRun, row: Grant, other: Grant | None = None) -> Said:
    """Say why a run that the ledger skipped at once changes nothing in Thinkific.

    `other` is a grant from another source that gives what the run was to end.
    """
    match judgment:
        case Judgment.BARRED:
            return say("Nothing was given: {cause} had ended this purchase.", cause=cause(row))
        case Judgment.LATE if run.spec.gives_access:
            return say(
                "Nothing was given: {cause} was received later and ended it.", cause=cause(row)
            )
        case Judgment.LATE:
            return say(
                "Nothing was ended: {cause} was received later and gives access.", cause=cause(row)
            )
        case Judgment.LET_KEEP:
            return say("Nothing was ended: {why}.", why=let_keep([row]))
        case Judgment.ENDED_BY_HAND:
            day = format_day(row.decided_at)
            return say("Nothing was given: a person ended this access on {day}.", day=day)
        case Judgment.ENDED_BEFORE:
            return _ended_before(row, other)
        case Judgment.UNKNOWN_PURCHASE:
            later = say(
                "If it arrives later, it gives no access to {course}.", course=run.destination_name
            )
            return joined([_unknown(run.event), later])
        case _:
            return say(
                "This purchase gave no access to {course}, so nothing had to end.",
                course=run.destination_name,
            )


def paid_in_full(last_payment: EventLog) -> Said:
    """Say why the cancellation of a limited subscription ends nothing."""
    return say(
        "Nothing was ended: the last payment was made on {day}, so the subscription is paid in "
        "full.",
        day=format_day(last_payment.received_at),
    )


def _ended_before(row: Grant, other: Grant | None) -> Said:
    facts = {"course": row.name, "cause": cause(row)}
    if other is None:
        return say("The access to {course} had ended already, with {cause}.", **facts)
    return say(
        "What this purchase gave of {course} had ended already, with {cause}. It stays open "
        "through {holder}.",
        holder=holds(other),
        **facts,
    )


def let_keep(rows: Sequence[Grant]) -> Said:
    """Say "Rita let the buyer keep Ink on 3 May (A friend)", or that she gave it back.

    The grants are of one decision.
    """
    kept = rows[0]
    facts = {
        "person": shown_who(kept.kept_by) or say("a person"),
        "courses": listed([*dict.fromkeys(row.name for row in rows)]),
        "day": format_day(kept.kept_at or kept.decided_at),
    }
    if kept.is_given_back:
        told = say("{person} gave the buyer {courses} back on {day}", **facts)
    else:
        told = say("{person} let the buyer keep {courses} on {day}", **facts)
    return joined([told, f"({kept.kept_note})"]) if kept.kept_note else told


def not_due(row: Grant) -> Said:
    """Say why a run that was to give access has nothing to do anymore."""
    if row.state == Grant.State.WAIVED:
        return say("Nothing to do: a person dismissed this access.")
    return say("Nothing was given: {cause} came first.", cause=cause(row))


def holds(row: Grant) -> Said:
    """Say what gives access: "order 1183", "the purchase of Watercolor"."""
    if row.source == Grant.Source.HAND:
        return say("access given by hand")
    if row.source == Grant.Source.BEFORE:
        return say("access from before Admit")
    if row.order_id:
        return say("order {number}", number=row.order_id)
    if row.product_name:
        return say("the purchase of {product}", product=row.product_name)
    return say("another purchase")


def given_by_hand(event: EventLog) -> Said:
    """Say "Course Two is given to dana@example.com now, until 5 May.", or what that waits for."""
    run, customer = event.runs.select_related("integration").order_by("pk")[0], event.customer
    assert customer is not None
    facts = {"course": run.destination_name, "email": customer.readable_email}
    if until := _last_day(event):
        given = say("{course} is given to {email} now, until {day}.", day=until, **facts)
        waits = say("{course} will be given to {email} until {day}.", day=until, **facts)
    else:
        given = say("{course} is given to {email} now.", **facts)
        waits = say("{course} will be given to {email}.", **facts)
    if not going_on.needs_a_person(run):
        return given
    return joined([waits, say("This {goes_on}.", goes_on=going_on.goes_on(run))])


def ended_by_hand(event: EventLog) -> Said:
    """Say "The access to Course Two is being ended." """
    course = event.runs.get().destination_name
    if until := _last_day(event):
        return say("The access to {course} ends on {day}.", course=course, day=until)
    return say("The access to {course} is being ended.", course=course)


def last_day_changed(event: EventLog) -> Said:
    """Say "The last day of Course Two is 5 May now." """
    run = event.runs.order_by("-pk")[0]
    day = _last_day(event) or format_day(event.received_at)
    return say("The last day of {course} is {day} now.", course=run.destination_name, day=day)


def _last_day(event: EventLog) -> Said | None:
    """Say "5 May"; None if the access has no last day."""
    moments = (run.next_attempt_at for run in event.runs.all() if run.is_pending)
    return next((format_day(moment) for moment in moments if moment), None)


def cause(row: Grant) -> Said:
    """Say what decided the grant's state: "the refund of order 1183 on 3 May"."""
    if row.because == BY_HAND:
        return say("a person's decision on {day}", day=format_day(row.decided_at))
    what = Trigger(row.because.removeprefix(BY_HAND_AFTER)).wording.happening
    return happening(what, row.order_id, row.ended_at or row.decided_at)


def happening(what: Text, order: str, moment: datetime) -> Said:
    """Say "the refund of order 1183 on 3 May"."""
    if order:
        return say(
            "{what} of order {number} on {day}", what=what, number=order, day=format_day(moment)
        )
    return say("{what} on {day}", what=what, day=format_day(moment))


def _unknown(event: EventLog) -> Said:
    if event.order_id:
        return say(
            "Admit knows no purchase of order {number}, so nothing had to end.",
            number=event.order_id,
        )
    if event.subscription_id:
        return say(
            "Admit knows no purchase of subscription {number}, so nothing had to end.",
            number=event.subscription_id,
        )
    return say("Admit knows no purchase of this kind, so nothing had to end.")
