"""Buyers who have all that the rules give for a purchase now, and purchases that are settled."""

from collections.abc import Iterable, Sequence

from events.access import event_student, revocations
from events.access.sentences import holds
from events.models import EventLog, Grant
from events.reports import rules_now
from events.reports.access import held_access
from events.reports.earlier.earlier_buyers import customers_of
from integrations.sentences import Said, say
from rules.listing import listed
from rules.models import Rule

# A rule, and the grant that gives what the rule would give.
Given = tuple[Rule, Grant]


def settled(events: Sequence[EventLog]) -> set[int]:
    """Return the IDs of those purchases for which nothing is owed anymore.

    The purchase was refunded or canceled since, or the buyer has all that the rules give now.
    """
    ended = revocations.later_endings(events)
    return {*ended, *sentences([event for event in events if event.pk not in ended])}


def sentences(events: Sequence[EventLog]) -> dict[int, Said]:
    """Return {event ID: what gives its buyer already all that the rules give now}.

    Events whose buyer lacks something are left out.
    """
    held = held_access.held(customers_of(events)) if events else {}
    # Most buyers have nothing, and then they cannot have all that the rules give.
    fitting = rules_now.fitting([event for event in events if held.get(event.customer_id or 0)])
    found = {
        event.pk: all_given(event, fitting[event.pk], held[event.customer_id or 0])
        for event in events
        if event.pk in fitting
    }
    return {pk: sentence(each) for pk, each in found.items() if each}


def sentence(found: Sequence[Given]) -> Said:
    """Say that the buyer has all of it already, and what gives it.

    If other purchases give it, this one should hold it too, because those may be refunded.
    """
    sources = listed([*dict.fromkeys(holds(grant) for _, grant in found)])
    return say("Already has {courses} through {sources}.", courses=names(found), sources=sources)


def given(event: EventLog, rules: Iterable[Rule], mine: held_access.OfOne) -> list[Given]:
    """Return those of these rules that give what the buyer has, each with the grant that gives it.

    `mine` is what the buyer has. A bundle gives the courses in it.
    """
    found = []
    for rule in rules:
        grant = mine.get((rule.integration_id, rule.target))
        if grant is None or not rule.spec.gives_access:
            continue
        if not event_student.names_another(event, rule.integration):
            found.append((rule, grant))
    return found


def all_given(event: EventLog, rules: Sequence[Rule], mine: held_access.OfOne) -> list[Given]:
    """Return the same if the buyer has all that these rules give, else an empty list."""
    found = given(event, rules, mine)
    return found if len(found) == sum(not rule.spec.passes_on for rule in rules) else []


def names(found: Iterable[Given]) -> str:
    """Return the names of what is given, each once, as a list in words."""
    return listed([*dict.fromkeys(_name(rule, grant) for rule, grant in found)])


def _name(rule: Rule, grant: Grant) -> str:
    return grant.name if grant.target == rule.target else str(rule.destination)
