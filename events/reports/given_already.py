"""Buyers who have all that the rules give for a purchase now, and purchases that are settled."""

from collections.abc import Iterable, Sequence

from events.access import event_student, revocations
from events.access.sentences import holds
from events.models import EventLog, Grant
from events.reports import rules_now, standing
from events.reports.earlier_buyers import customers_of
from integrations.sentences import Said, say
from rules.listing import listed
from rules.models import Rule


def settled(events: Sequence[EventLog]) -> set[int]:
    """Return the IDs of those purchases for which nothing is owed any more.

    The purchase was refunded or canceled since, or the buyer has all that the rules give now.
    """
    ended = revocations.later_endings(events)
    return {*ended, *sentences([event for event in events if event.pk not in ended])}


def sentences(events: Sequence[EventLog]) -> dict[int, Said]:
    """Return {event ID: what gives its buyer already all that the rules give now}.

    Events whose buyer lacks something are left out.
    """
    held = standing.held(customers_of(events)) if events else {}
    # Most buyers have nothing, and then they cannot have all that the rules give.
    fitting = rules_now.fitting([event for event in events if held.get(event.customer_id or 0)])
    found = {
        event.pk: by_grants(event, fitting[event.pk], held)
        for event in events
        if event.pk in fitting
    }
    return {pk: sentence(grants) for pk, grants in found.items() if grants}


def sentence(found: Sequence[Grant]) -> Said:
    """Say that the buyer has all of it already, and what gives it.

    If other purchases give it, this one should hold it too, because those may be refunded.
    """
    sources = listed([*dict.fromkeys(holds(grant) for grant in found)])
    return say("Already has {courses} through {sources}.", courses=names(found), sources=sources)


def by_grants(event: EventLog, rules: Sequence[Rule], held: standing.Held) -> list[Grant]:
    """Return the grants that give the buyer all that these rules give; none if one is missing."""
    mine = held.get(event.customer_id or 0, {})
    found = []
    for rule in rules:
        if rule.spec.passes_on:
            continue
        grant = mine.get((rule.integration_id, rule.target))
        if not rule.spec.gives_access or grant is None:
            return []
        if event_student.names_another(event, rule.integration):
            return []
        found.append(grant)
    return found


def names(grants: Iterable[Grant]) -> str:
    """Return the names of what these grants give, each once, as a list in words."""
    return listed([*dict.fromkeys(grant.name for grant in grants)])
