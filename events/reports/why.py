"""Why a student has a course or bundle, or has not: one sentence, with a code that stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils import timezone

from events.access import sentences
from events.access.ledger import BY_HAND, Verdict
from events.deciding import revocations
from events.execution import wait_reasons
from events.models import EventLog, Grant, RuleRun
from events.models.runs import DISMISSED
from events.reports.standing import Standing, standings
from integrations.models import Customer
from rules.triggers import Trigger

Status, Source = RuleRun.Status, Grant.Source
CLOSED = {"ended", "had_ended"}
GOOD, WAIT, BAD, QUIET = "good", "wait", "bad", "quiet"


class Code(StrEnum):
    """What a sentence says, however it is worded."""

    HAS = "has"
    KEPT = "kept"  # has it, though another purchase that gave it has ended
    GIVING_AGAIN = "giving_again"  # has it, and an action that gives it once more is not done
    NOT_ENDED = "not_ended"  # has it, though what gave it was refunded or canceled
    ENDING = "ending"  # has it, and the action that ends it is not done
    OWED = "owed"  # paid for, and not in Thinkific yet
    LOST = "lost"  # given to an account that was deleted
    ENDED = "ended"
    BARRED = "barred"  # ended before its purchase arrived
    MOVED = "moved"  # a person moved it to another e-mail
    NOT_GIVEN = "not_given"
    NOT_CONNECTED = "not_connected"  # given on a site that is not connected any more
    GAVE_NOTHING = "gave_nothing"  # paid for, and no rule gives anything for it
    RULE_EXISTS = "rule_exists"  # paid for, and a rule gives something now
    BESIDES = "besides"  # an action that changes no access is not done
    NO_WORKER = "no_worker"
    NOT_UNDERSTOOD = "not_understood"
    ADMINISTRATOR = "administrator"
    OF_ANOTHER = "of_another"  # an event that is about another student's access
    PAID_BY = "paid_by"  # what another customer paid for
    STUDENT_EMAIL = "student_email"  # paid for, and the student's address cannot be used
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; `kind` is good, wait, bad or quiet. At most one of the numbers leads on."""

    kind: str
    text: str
    code: str
    run: int | None = None
    event: int | None = None
    product: int | None = None
    integration: int | None = None
    customer: int | None = None
    enroll: int | None = None  # an event whose rules are to be run now


def of_customer(customer: Customer) -> list[tuple[Standing, Sentence]]:
    """The state of each course and bundle for the customer, and why, newest first."""
    found = standings(customer)
    undecided = [each.undecided for each in found]
    waiting = wait_reasons.reasons([run for run in undecided if run is not None])
    return [(each, _sentence(each, waiting)) for each in found]


def called(customer: Customer) -> str:
    """How sentences call the customer."""
    return customer.first_name.strip()[:60] or "The customer"


def besides(run: RuleRun) -> Sentence:
    """What changes no access, and is not done yet."""
    what = f"{run.spec.label}, {run.destination_name}: it"
    return _open(run, Code.BESIDES, what, wait_reasons.reason(run))


def _sentence(about: Standing, waiting: Mapping[int, str]) -> Sentence:
    name, run = called(about.customer), about.undecided
    if run is not None:
        return _undecided(name, about, run, waiting[run.pk])
    if about.seen:
        return _has(name, about)
    if about.given:
        return _owed(name, about)
    if about.ended is not None and about.ended.opened_at:
        return _ended(name, about, about.ended)
    return _never_given(name, about)


def _undecided(name: str, about: Standing, run: RuleRun, waiting: str) -> Sentence:
    code, what = {
        (True, True): (Code.GIVING_AGAIN, f"{name} has {about.name}; giving it once more"),
        (True, False): (Code.OWED, f"{name} does not have {about.name} yet: it"),
        (False, True): (Code.ENDING, f"{name} still has {about.name}: ending it"),
        (False, False): (Code.ENDED, f"{name} has no access to {about.name}; ending it"),
    }[run.spec.gives_access, about.is_open]
    return _open(run, code, what, waiting)


def _has(name: str, about: Standing) -> Sentence:
    paid = [row for row in about.seen if row.pk not in about.unpaid]
    holders = paid or about.seen
    since = f"{name} has {about.name} {_since(about, holders)}"
    if not paid:
        left = about.unpaid[holders[-1].pk]
        return Sentence(
            WAIT,
            f"{since}, though {revocations.sentence(left)}: nothing ended the access. If it shall "
            "end, make a rule for that event, then run its rules.",
            Code.NOT_ENDED,
            event=left.pk,
        )
    code, over = Code.HAS, about.ended
    first = holders[0].opened_at
    if over is not None and over.opened_at and over.ended_at and first and over.ended_at > first:
        keeps = "keeps" if len(holders) == 1 else "keep"
        code, since = Code.KEPT, f"{since}, which {keeps} it open after {sentences.cause(over)}"
    return Sentence(
        GOOD,
        f"{since}. If it does not open, it is the sign-in: on Thinkific's sign-in page press "
        "Forgot password?",
        code,
    )


def _owed(name: str, about: Standing) -> Sentence:
    """What is due and not in Thinkific, and nothing is going on for it."""
    row = about.given[-1]
    if row.seen_at is None:
        gave = [run.pk for run in about.runs if run.grant_id == row.pk and run.spec.gives_access]
        what = "Retry its action." if gave else "Run the event's rules again."
        text = f"{name} may not have {about.name}, due {_since(about, [row])}. {what}"
        event = None if gave else row.event_id
        return Sentence(WAIT, text, Code.OWED, run=gave[-1] if gave else None, event=event)
    text = (
        f"{name} has no access to {about.name}: it was given on {when(row.opened_at)} "
        f"through {_order(about, row)} to an account that was deleted in Thinkific"
    )
    if left := about.unpaid.get(row.pk):
        taken_back = f"{text}; {revocations.sentence(left)}."
        return Sentence(QUIET, taken_back, Code.ENDED, event=left.pk)
    text = f"{text}. To give it to the new account, run the event's rules again."
    return Sentence(WAIT, text, Code.LOST, event=row.event_id)


def _ended(name: str, about: Standing, row: Grant) -> Sentence:
    ending = (run for run in reversed(about.runs) if run.spec.ends_access)
    run = next((run for run in ending if run.code == DISMISSED), None)
    if about.is_open and run is not None:
        return Sentence(
            WAIT,
            f"{name} still has {about.name}, though {sentences.cause(row)} was to end it; the "
            f"access was not ended. {run.message}",
            Code.ENDING,
            run=run.pk,
        )
    how = f"{sentences.cause(row)} ended it"
    if row.because == BY_HAND:
        day = sentences.day(row.ended_at or row.decided_at)
        author = row.event.author if row.event else ""
        how = f"{author or 'a person'} ended it on {day}"
    text = f"{name} has no access to {about.name}: {how}."
    return Sentence(QUIET, text, Code.ENDED, event=row.event_id)


def _never_given(name: str, about: Standing) -> Sentence:
    """What was never opened, or of which no grant is left."""
    done = [run for run in about.runs if run.status == Status.DONE]
    run = (done or about.runs or (None,))[-1]
    nothing = f"{name} has no access to {about.name}"
    code, text = Code.NOT_GIVEN, f"{name}: {about.name} was not given. {run.message if run else ''}"
    moved = [each for each in about.runs if each.event.by_hand == EventLog.ByHand.MOVE_AWAY]
    if moved:
        to = f"{moved[-1].event.reason[:1].lower()}{moved[-1].event.reason[1:]}"
        text = f"{nothing}: on {sentences.day(moved[-1].received_at)} it was {to}"
        return Sentence(QUIET, text, Code.MOVED, event=moved[-1].event_id)
    if about.ended is not None and any(each.code == Verdict.BARRED for each in about.runs):
        cause = sentences.cause(about.ended)
        code, text = Code.BARRED, f"{nothing}: {cause} was received before its purchase."
    elif run is None or not done:
        pass  # it was dismissed, or nothing had to end
    elif run.spec.ends_access and run.code in CLOSED:
        code, text = Code.ENDED, f"{nothing}: {happening(run)} ended it."
    elif run.spec.ends_access:
        text = f"{nothing}. {upper(happening(run))}: {run.message}"
    else:
        text = f"{name} got {about.name} on {when(run.finished_at)}{of_order(run.event)}"
        text += f", but the site {run.site} is not connected any more" * (run.integration is None)
        text += ". Look in Thinkific whether it still opens."
        return Sentence(WAIT, text, Code.NOT_CONNECTED, run=run.pk)
    return Sentence(QUIET, text.strip(), code, run=run.pk if run else None)


def _since(about: Standing, holders: Sequence[Grant]) -> str:
    """ "since 3 May 12:28 through order 1183 and order 1190" """
    known = [row.opened_at for row in holders if row.source != Source.BEFORE]
    orders = dict.fromkeys(_order(about, row) for row in holders if row.source == Source.PURCHASE)
    how = [f"through {' and '.join(orders)}"] if orders else []
    hands = [row.event for row in holders if row.source == Source.HAND]
    how += [f"by hand ({hand.author})" if hand and hand.author else "by hand" for hand in hands]
    since = [f"since {when(known[0])}"] if known else []
    until = f" until {sentences.day(end)}" if (end := holders[0].until) else ""
    return " ".join([*since, " and ".join(how or [f"from before Admit{until}"])])


def _order(about: Standing, row: Grant) -> str:
    """What gives it; of another customer, who is the same student, with the address."""
    other = f" of {row.customer.readable_email}" if row.customer_id != about.customer.pk else ""
    return f"{sentences.holds(row)}{other}"


def happening(run: RuleRun) -> str:
    """ "the refund of order 1183 on 3 May" """
    trigger, order = run.event.trigger, run.event.order_id
    unnamed = "a person" if run.event.by_hand else "an event"
    what = Trigger(trigger).wording.happening if trigger else unnamed
    return f"{what}{f' of order {order}' if order else ''} on {sentences.day(run.received_at)}"


def _open(run: RuleRun, code: Code, what: str, waiting: str) -> Sentence:
    """What an action is to do, and how it is with it."""
    states = {Status.FAILED: "failed", Status.HELD: "is held"}
    state = states.get(Status(run.status), "is waiting")
    kind = BAD if run.status == Status.FAILED else WAIT
    text = f"{what} {state}{of_order(run.event)}. {waiting}".strip()
    return Sentence(kind, text, code, run=run.pk)


def upper(text: str) -> str:
    """The text as the beginning of a sentence."""
    return f"{text[:1].upper()}{text[1:]}"


def of_order(event: EventLog) -> str:
    """ " (order 1183)" """
    return f" (order {event.order_id})" if event.order_id else ""


def when(moment: datetime | None) -> str:
    """ "3 May 12:28" """
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b %H:%M}"
