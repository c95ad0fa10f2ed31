"""A sentence about a student's access, with a stable code, and the words that many of them use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from events.access import going_on, sentences
from events.models import EventLog, RuleRun
from events.reports.access.standing import Standing
from events.reports.sentences.leads import Lead, PressButtons
from integrations.models import Product
from integrations.sentences import Said, Text, format_time, joined, say
from rules.triggers import Trigger

GOOD, WAIT, BAD, QUIET = "good", "wait", "bad", "quiet"
SIGN_IN = _(
    "If it does not open, the problem is probably signing in: on Thinkific's sign-in page press "
    "Forgot password?"
)


class Code(StrEnum):
    """What a sentence says, whatever its wording."""

    HAS = "has"
    GONE = "gone"  # was given, and Thinkific does not have the course or bundle anymore
    STILL_GIVEN = "kept"  # has it, though another purchase that gave it has ended
    GIVING_AGAIN = "giving_again"  # has it, and an action that gives it once more is not done
    LET_KEEP = "let_keep"  # has it, though it was refunded or canceled, as a person decided
    NOT_ENDED = "not_ended"  # has it, though what gave it was refunded or canceled
    ENDS_LATER = "ends_later"  # has it, and an ending waits for its day or for a person
    ENDING = "ending"  # has it, and the action that ends it is not done
    OWED = "owed"  # paid for, and not in Thinkific yet
    LOST = "lost"  # given to an account that was deleted
    ENDED = "ended"
    REPLACED = "replaced"  # given by a rule that gives something else now, or was deleted
    BARRED = "barred"  # ended before its purchase arrived
    MOVED = "moved"  # a person moved it to another e-mail
    NOT_GIVEN = "not_given"
    NOT_CONNECTED = "not_connected"  # given on a site that is not connected anymore
    GAVE_NOTHING = "gave_nothing"  # paid for, and no rule gives anything for it
    ONLY_GLOBAL = "only_global"  # paid for, and only global rules gave something for it
    GETS_MORE_NOW = "gets_more_now"  # rules of the product give more than this purchase got
    RULE_EXISTS = "rule_exists"  # paid for, and a rule gives something now
    HAD_ALREADY = "had_already"  # paid for, and another purchase gives it
    RULE_CHANGED = "rule_changed"  # has what a rule gave that gives something else now
    BESIDES = "besides"  # an action that changes no access is not done
    NO_WORKER = "no_worker"
    NOT_UNDERSTOOD = "not_understood"
    ADMINISTRATOR = "administrator"
    OF_ANOTHER = "of_another"  # an event that is about another student's access
    PAID_BY = "paid_by"  # what another customer paid for
    STUDENT_EMAIL = "student_email"  # paid for, and the student's address cannot be used
    NOTHING = "nothing"


# The codes of sentences that say a student has it, and nothing but giving it again is to be done.
HAS = {Code.HAS, Code.STILL_GIVEN, Code.LET_KEEP, Code.GIVING_AGAIN}


@dataclass(frozen=True, slots=True)
class TakenAway:
    """Access that a person ended because its rule had changed, or by undoing what gave it.

    `product` is what was bought, None if that is not known, and `event` the ID of its purchase.
    `by_mistake` says that the rule gave it for a few days only.
    """

    at: datetime
    product: Product | None
    is_undone: bool
    event: int | None = None
    by_mistake: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; `kind` is good, wait, bad or quiet.

    `short` is `text` without its advice, for use after a sentence with the same advice; "" if it
    gives none. A page links to the action, event and customer of the sentence, then draws its
    `leads` in their order.
    """

    kind: str
    text: str
    code: str
    run: int | None = None
    event: int | None = None
    customer: int | None = None
    leads: tuple[Lead, ...] = ()
    needed: going_on.Need | None = None
    waits_for_site: bool = False  # for its key, or because it is off; so does what is given by hand
    ended_there: Standing | None = None  # what was moved to `customer`, if it has ended there
    # The names of what `customer` has in its place; None if nothing took its place.
    instead_there: tuple[str, ...] | None = None
    short: str = ""
    advises_sign_in: bool = False  # beyond what `short` says
    taken_away: TakenAway | None = None

    @property
    def advice(self) -> str:
        """The advice that `short` leaves out; "" if there is none."""
        return self.text.removeprefix(self.short).strip() if self.short else ""


def happening(run: RuleRun) -> Said:
    """ "the refund of order 1183 on 3 May" """
    event = run.event
    unnamed = say("a person") if event.by_hand else say("an event")
    what = Trigger(event.trigger).wording.happening if event.trigger else unnamed
    return sentences.happening(what, event.order_id, run.received_at)


def cause(event: EventLog) -> Said:
    """ "the refund of order 1183 on 3 May" """
    what = Trigger(event.trigger).wording.happening if event.trigger else say("an event")
    return sentences.happening(what, event.order_id, event.received_at)


def outcome(run: RuleRun) -> Said:
    """ "The refund of order 1183 on 3 May: access to Course Two ended." """
    return say("{event}: {outcome}", event=upper(happening(run)), outcome=run.message)


def of_open_action(
    run: RuleRun, code: Code, texts: Mapping[str, Text], name: str, course: str, waiting: str
) -> Sentence:
    """Say what an action that is not over is to do, and how it stands.

    `texts` has a text by status, `waiting` says what the action waits for.
    """
    kind = BAD if run.status == RuleRun.Status.FAILED else WAIT
    text = texts.get(run.status, texts[RuleRun.Status.WAITING])
    said = say(text, name=name, course=course, order=of_order(run.event))
    text = joined([said, waiting, next_attempt(run)])
    needed, site = going_on.needed(run), going_on.needs_a_person(run)
    leads = (PressButtons(run),)
    return Sentence(kind, text, code, run=run.pk, leads=leads, needed=needed, waits_for_site=site)


def next_attempt(run: RuleRun) -> str:
    """Return "The next attempt is at 23 Nov 14:02." for an action that waits to retry, else ""."""
    if not run.waits_to_retry or run.next_attempt_at is None:
        return ""
    return say("The next attempt is at {moment}.", moment=format_time(run.next_attempt_at))


def upper(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return f"{text[:1].upper()}{text[1:]}"


def of_order(event: EventLog) -> str:
    """Return text like " (order 1183)"; "" for an event without an order."""
    return say(" (order {number})", number=event.order_id) if event.order_id else ""
