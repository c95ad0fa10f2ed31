"""Why a student has a course or bundle, or has not: one sentence, with a code that stays."""

from collections.abc import Mapping, Sequence

from events.access import sentences
from events.access.ledger import BY_HAND, Verdict
from events.deciding import revocations
from events.execution import wait_reasons
from events.models import EventLog, Grant, RuleRun
from events.models.runs import DISMISSED
from events.reports import pending_endings
from events.reports.sentence import (
    BAD,
    GOOD,
    QUIET,
    WAIT,
    Code,
    Sentence,
    happening,
    of_order,
    upper,
    when,
)
from events.reports.standing import Standing, standings
from integrations.models import Customer, Destination
from rules.listing import listed

Status, Source = RuleRun.Status, Grant.Source
CLOSED = {"ended", "had_ended"}


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
    if about.pending and not about.grants:
        return pending_endings.lines(about)[0]  # of access from before Admit
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
    left = None if paid else about.unpaid[holders[-1].pk]
    if left is not None and not any(run.event_id == left.pk for run in about.pending):
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
    paid = [row for row in about.given if row.pk not in about.unpaid]
    row = (paid or about.given)[-1]
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
        if row.event and row.event.by_hand == EventLog.ByHand.GIVE:
            how = f"{author or 'a person'} had given it until {day}"
    text = f"{name} has no access to {about.name}: {how}."
    give = _to_give(about, row) if row.because == BY_HAND else None
    return Sentence(QUIET, text, Code.ENDED, event=row.event_id, give=give)


def _to_give(about: Standing, row: Grant) -> tuple[int, int] | None:
    """What [Give access] gives, where no event opens it again by itself."""
    kind, _, number = row.target.partition(":")
    same = Destination.objects.filter(integration=row.integration_id, kind=kind, gone_at=None)
    found = same.filter(external_id=number).values_list("pk", flat=True).first()
    return (about.customer.pk, found) if found else None


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
    how = [f"through {listed([*orders])}"] if orders else []
    how += [_by_hand(about, row) for row in holders if row.source == Source.HAND]
    since = [f"since {when(known[0])}"] if known else []
    until = f" until {sentences.day(end)}" if (end := holders[0].until) else ""
    return " ".join([*since, " and ".join(how or [f"from before Admit{until}"])])


def _by_hand(about: Standing, row: Grant) -> str:
    """ "by hand until 5 May (mia@example.com)" """
    ends_at = pending_endings.last_moment(about, row)
    until = f" until {sentences.day(ends_at)}" if ends_at else ""
    author = f" ({row.event.author})" if row.event and row.event.author else ""
    return f"by hand{until}{author}"


def _order(about: Standing, row: Grant) -> str:
    """What gives it; of another customer, who is the same student, with the address."""
    other = f" of {row.customer.readable_email}" if row.customer_id != about.customer.pk else ""
    return f"{sentences.holds(row)}{other}"


def _open(run: RuleRun, code: Code, what: str, waiting: str) -> Sentence:
    """What an action is to do, and how it is with it."""
    states = {Status.FAILED: "failed", Status.HELD: "is held"}
    state = states.get(Status(run.status), "is waiting")
    kind = BAD if run.status == Status.FAILED else WAIT
    text = f"{what} {state}{of_order(run.event)}. {waiting}".strip()
    return Sentence(kind, text, code, run=run.pk)
