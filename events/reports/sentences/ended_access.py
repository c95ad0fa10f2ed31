"""The sentence that says how access has ended, and how it is given again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.timezone import localtime

from events.access import ended_by_hand, revocations, sentences
from events.access.ledger import BY_HAND, BY_HAND_AFTER
from events.models import Grant, RuleRun
from events.models.runs import DISMISSED
from events.reports import batches
from events.reports.access.standing import Standing
from events.reports.sentences.leads import EnterOrder, GiveAccess, GiveBack, Lead
from events.reports.sentences.sentence import QUIET, WAIT, Code, Sentence, cause
from integrations.models import Destination
from integrations.sentences import LONG, Said, Text, format_day, joined, say
from integrations.who import shown_who
from rules.triggers import TAKES_BACK


@dataclass(frozen=True, slots=True)
class Ending:
    """How access ended: on a day if only a person ended it, else with a cause.

    Both are there if it ended on a later day than the refund or cancellation. `never_given` says
    that this came before it was given.
    """

    day: Said | None
    cause: Said | None
    never_given: bool = False


def to_give_back(found: Iterable[Standing]) -> Mapping[int, RuleRun]:
    """Return {grant ID: the action with which it ended} for what can be given back.

    A person ended it, or a rule did after a refund or cancellation.
    """
    endings = [run for each in found for run in each.runs if run.spec.ends_access]
    ended = ended_by_hand.can_be_given_back(endings)
    return {row.pk: run for run in endings for row in ended.get(run.pk, ())}


def sentence(
    name: str,
    about: Standing,
    row: Grant,
    given_back: Mapping[int, RuleRun],
    done: batches.Done,
) -> Sentence:
    """Return the sentence for access that this grant gave until it ended.

    `given_back` is what `to_give_back` returns, and `done` the acts of batches on the events of all
    actions that ended access.
    """
    ending = (run for run in reversed(about.runs) if run.spec.ends_access)
    run = next((run for run in ending if run.code == DISMISSED), None)
    facts = {"name": name, "course": about.name}
    if about.is_open and run is not None:
        text = say(
            "{name} still has {course}: {cause} should have ended the access, but did not.",
            cause=sentences.cause(row),
            **facts,
        )
        return Sentence(WAIT, joined([text, run.message]), Code.ENDING, run=run.pk)
    text, back = _how_it_ended(about, row, facts, done), given_back.get(row.pk)
    leads: list[Lead] = []
    give = _to_give(about, row) if row.because == BY_HAND or back is not None else None
    if give is not None:
        leads.append(give if back is None else GiveBack(about.customer.pk, back.pk))
    if row.product_id and _is_taken_back(about, row):
        leads.append(EnterOrder(about.customer.pk, row.product_id))
    return Sentence(QUIET, text, Code.ENDED, event=row.event_id, leads=(*leads,))


def who_ended(about: Standing, row: Grant, done: batches.Done) -> tuple[Text, Said] | None:
    """Return the person who ended this grant last, by hand or as one of several, and the day.

    None if that is not known. `done` has the acts of batches on the events of all endings.
    """
    endings = [run for run in about.runs if run.spec.ends_access]
    for run in sorted(endings, key=lambda run: -run.pk):
        mine = run.grant_id == row.pk
        if run.event.ends_by_hand and (mine or row.is_given_back):
            return shown_who(run.event.author), format_day(run.event.received_at)
        if mine and (act := batches.last_ending(run, done)):
            return shown_who(act.who), format_day(act.at)
    return None


def _is_taken_back(about: Standing, row: Grant) -> bool:
    """Return whether the purchase that gave it was refunded or canceled."""
    return row.because.removeprefix(BY_HAND_AFTER) in TAKES_BACK or row.pk in about.unpaid


def _how_it_ended(about: Standing, row: Grant, facts: dict[str, str], done: batches.Done) -> Said:
    if about.never_gave(row):
        return _before_it_was_given(about, row, facts)
    left = about.unpaid.get(row.pk)
    if row.because.startswith(BY_HAND_AFTER):
        ended, why = who_ended(about, row, done), sentences.cause(row)
        return _after(facts, ended, why)
    if row.because != BY_HAND:
        why = sentences.cause(row)
        return say("{name} has no access to {course}: {cause} ended it.", cause=why, **facts)
    person = (shown_who(row.event.author) if row.event else "") or say("a person")
    facts |= {"person": person, "day": format_day(row.ended_at or row.decided_at)}
    if row.event and row.event.is_gift:
        if row.event.reason:  # it ended before its day
            return joined([say("{name} has no access to {course}.", **facts), row.event.reason])
        return say("{name} has no access to {course}: {person} had given it until {day}.", **facts)
    if left is not None:
        return _after(facts, (facts["person"], facts["day"]), cause(left))
    return say("{name} has no access to {course}: {person} ended it on {day}.", **facts)


def _before_it_was_given(about: Standing, row: Grant, facts: dict[str, str]) -> Said:
    left = about.unpaid.get(row.pk)
    if row.because == BY_HAND and left is None:
        return say(
            "{name} has no access to {course}: {person} ended it on {day}, before it was given.",
            person=(shown_who(row.event.author) if row.event else "") or say("a person"),
            day=format_day(row.ended_at or row.decided_at),
            **facts,
        )
    return say(
        "{name} has no access to {course}: {cause} came before it was given.",
        cause=sentences.cause(row) if left is None else cause(left),
        **facts,
    )


def _after(facts: dict[str, str], ended: tuple[Text, Text] | None, why: Said) -> Said:
    if ended is None:
        return say(
            "{name} has no access to {course}: a person ended it after {cause}.", cause=why, **facts
        )
    person, day = ended
    return say(
        "{name} has no access to {course}: {person} ended it on {day}, after {cause}.",
        **facts | {"person": person, "day": day, "cause": why},
    )


def _to_give(about: Standing, row: Grant) -> GiveAccess | None:
    """Return the offer to give it again, if the course exists."""
    same = Destination.objects.of_target(row.integration_id, row.target)
    found = same.filter(gone_at=None).values_list("pk", flat=True).first()
    return GiveAccess(about.customer.pk, found) if found else None


def how_it_ended(about: Standing, pattern: str = "") -> Ending | None:
    """Return the day on which it ended, the cause, or both; None if the access is not over.

    The day has the form of `pattern`, as in `format_day`.
    """
    row = about.ended
    if row is None:
        return None
    why = about.unpaid.get(row.pk)
    if why is not None and row.is_kept_after(why.received_at):
        why = None  # a person let the buyer keep it then, so it is not what ended it
    never = about.never_gave(row)
    if row.because == BY_HAND and why is None:
        return Ending(format_day(row.ended_at or row.decided_at, pattern), None, never)
    if never:
        return Ending(None, cause(why) if why else sentences.cause(row), never)
    came = why.received_at if why else row.ended_at or row.decided_at
    over = about.closed_at
    is_later = over is not None and localtime(over).date() > localtime(came).date()
    day = format_day(over, pattern) if over and is_later else None
    return Ending(day, cause(why) if why else sentences.cause(row))


def by_ending(over: Iterable[tuple[str, Standing]]) -> dict[Ending, list[str]]:
    """Group the names of what has ended by the result of `how_it_ended`."""
    endings: dict[Ending, list[str]] = {}
    for name, each in over:
        if how := how_it_ended(each, LONG):
            endings.setdefault(how, []).append(name)
    return endings


def opens_again(course: str, left: Sequence[Grant]) -> Said:
    """Say what giving back this course means; `left` are the grants that a person ended."""
    events = [each for back in ended_by_hand.taken_back(left).values() for each in back]
    facts = {"course": course, "site": left[0].integration}
    if not events:
        return say(
            "This opens {course} on {site} again, as if nobody had ended it: if a purchase gave "
            "it, a later refund or cancellation ends it.",
            **facts,
        )
    return say(
        "This opens {course} on {site} again although {why}: the access counts as kept on "
        "purpose, and only a later refund or cancellation ends it.",
        why=revocations.sentence(events[-1]),
        **facts,
    )
