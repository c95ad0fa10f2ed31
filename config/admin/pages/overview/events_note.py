"""What the overview says beside its number of events."""

from collections.abc import Iterator

from events.reports.counting import format_count
from events.reports.dashboard import EventCounts
from integrations.sentences import Said, joined, say, say_count


def events_note(came: EventCounts, *, not_in: int = 0) -> str:
    """Return what became of the events. All is well only if no buyer is `not_in`.

    An event that matched no rule is not among them once a person ended access because of it.
    """
    if not came.events:
        return say("None received")
    if became := joined(_became(came), by=", "):
        return became
    if not_in:
        return say_count(
            not_in,
            "All understood, but 1 buyer has no access",
            "All understood, but {number} buyers have no access",
            number=format_count(not_in),
        )
    return say("All understood")


def _became(came: EventCounts) -> Iterator[Said]:
    if n := came.no_rule:
        yield say_count(n, "1 matched no rule", "{number} matched no rule", number=format_count(n))
    if n := came.not_understood:
        yield say_count(n, "1 not understood", "{number} not understood", number=format_count(n))
    if n := came.repeats:
        yield say_count(n, "1 sent twice", "{number} sent twice", number=format_count(n))
