"""The sentence that says who moved access to another e-mail, and what has become of it there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from events.access import moves
from events.access.sale import Sale
from events.models import EventLog, Grant, RuleRun
from events.reports.access.standing import Standing, standings
from events.reports.sentences import ended_access
from events.reports.sentences.sentence import QUIET, Code, Sentence
from integrations.models import Customer
from integrations.sentences import format_day, joined, say
from integrations.who import shown_who
from rules.actions.endings import STILL_GIVEN
from rules.listing import listed

Told = list[tuple[Standing, Sentence]]
# (integration ID, "course:501").
Place = tuple[int | None, str]


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


def what_kept_it_open(ending: RuleRun, facts: Mapping[str, str]) -> Sentence | None:
    """Return the sentence for what this action left open and a person moved away since.

    Another purchase gave it, too, and that was moved. None if it is not so.
    """
    if ending.code != STILL_GIVEN:
        return None
    away = EventLog.objects.filter(
        by_hand=EventLog.ByHand.MOVE_AWAY,
        customer=ending.customer_id,
        received_at__gte=ending.received_at,
    )
    last = away.order_by("-received_at", "-pk").first()
    return sentence(facts, last) if last else None


def ended_elsewhere(grant: Grant, customer: Customer) -> bool:
    """Return whether this ended at another address, before a person moved it to this customer."""
    bought = grant.event and grant.event.customer_id
    return grant.seen_at is None and bought != customer.pk


def with_what_became_of_it(told: Told) -> Told:
    """Return the same; a sentence about a move also says what has become of the access there.

    It may have ended, and buyers may have been moved to another course.
    """
    to = {sentence.customer for _, sentence in told if sentence.code == Code.MOVED}
    there = {
        pk: standings(customer) for pk, customer in Customer.objects.in_bulk(to - {None}).items()
    }
    # What was moved itself and is open there is in the place of nothing.
    moved = {(each.integration, each.target) for each, one in told if one.code == Code.MOVED}
    return [
        (each, _with(sentence, each, there[sentence.customer], moved))
        if sentence.code == Code.MOVED and sentence.customer in there
        else (each, sentence)
        for each, sentence in told
    ]


def _with(
    moved: Sentence, each: Standing, there: Sequence[Standing], besides: Collection[Place]
) -> Sentence:
    place = (each.integration, each.target)
    same = next((one for one in there if (one.integration, one.target) == place), None)
    if same is None or same.given or same.is_open:
        return moved
    if waived := [row for row in same.grants if row.state == Grant.State.WAIVED]:
        others = [one for one in there if (one.integration, one.target) not in besides]
        return _replaced(moved, waived, others)
    how = ended_access.how_it_ended(same)
    if how is None:
        return moved
    if how.day and how.cause:
        ended = say("It ended there on {day}, after {cause}.", day=how.day, cause=how.cause)
    elif how.day:
        ended = say("It ended there on {day}.", day=how.day)
    else:
        ended = say("It ended there with {cause}.", cause=how.cause)
    return replace(moved, text=joined([moved.text, ended]), ended_there=same)


def _replaced(moved: Sentence, waived: Sequence[Grant], there: Sequence[Standing]) -> Sentence:
    """Return the sentence for access that was ended there when its rule had changed.

    `waived` are its grants. Their purchases may give something else `there` that was not moved.
    """
    sales = [Sale.of(row) for row in waived]
    names = tuple(
        one.name
        for one in there
        if any(Sale.of(row).is_same(sale) for row in one.given for sale in sales)
    )
    now = (
        say("That address has {courses} in its place now.", courses=listed(names))
        if names
        else say("Nothing of it is open there anymore.")
    )
    return replace(moved, text=joined([moved.text, now]), instead_there=names)
