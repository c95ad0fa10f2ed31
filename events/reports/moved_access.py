"""The sentence that says who moved access to another e-mail, and what has ended there since."""

from collections.abc import Mapping
from dataclasses import replace

from events.access import moves
from events.models import EventLog
from events.reports import ended_access
from events.reports.sentence import QUIET, Code, Sentence
from events.reports.standing import Standing, standings
from integrations.models import Customer
from integrations.sentences import format_day, joined, say
from integrations.who import shown_who

Told = list[tuple[Standing, Sentence]]


def sentence(facts: Mapping[str, str], away: EventLog) -> Sentence:
    """Return the sentence for access that this event moved away; `facts` are a name and course."""
    person = shown_who(away.author) or say("a person")
    text = say(
        "{name} has no access to {course}: {person} moved it on {day}.",
        person=person,
        day=format_day(away.received_at),
        **facts,
    )
    to = moves.moved_to(away)
    text = joined([text, away.reason])
    return Sentence(QUIET, text, Code.MOVED, event=away.pk, customer=to.pk if to else None)


def with_what_ended(told: Told) -> Told:
    """Return the same; a sentence about a move also says how the access has ended there, if so."""
    to = {sentence.customer for _, sentence in told if sentence.code == Code.MOVED}
    there = {
        pk: {(each.integration, each.target): each for each in standings(customer)}
        for pk, customer in Customer.objects.in_bulk(to - {None}).items()
    }
    return [
        (each, _with(sentence, there[sentence.customer].get((each.integration, each.target))))
        if sentence.code == Code.MOVED and sentence.customer in there
        else (each, sentence)
        for each, sentence in told
    ]


def _with(moved: Sentence, there: Standing | None) -> Sentence:
    if there is None or there.given or there.is_open:
        return moved
    how = ended_access.day_or_cause(there)
    if how is None:
        return moved
    by_hand, what = how
    ended = (
        say("It ended there on {day}.", day=what)
        if by_hand
        else say("It ended there with {cause}.", cause=what)
    )
    return replace(moved, text=joined([moved.text, ended]), ended_there=there)
