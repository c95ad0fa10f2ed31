"""What the overview says of actions that wait: when they are done, and what keeps them."""

from collections.abc import Iterator

from events.reports.counting import format_count
from events.reports.system import backlog
from integrations.sentences import Said, joined, say, say_count


def waiting_note(line: backlog.WaitingCounts, *, silent: bool) -> str:
    """Return when waiting actions will be done, as far as that is known."""
    ends = line.ends and say_count(
        line.ends,
        "1 ends access on a set day",
        "{number} end access on a set day",
        number=format_count(line.ends),
    )
    if not line.waiting:
        return ends or say("Nothing is waiting")
    if silent:
        return say("Nothing is being carried out: no worker is running")
    others = joined(filter(None, [*_held_up(line), ends]), by=", ")
    if not line.now:
        return others
    time = backlog.time_needed(line.now)
    if not others:
        return say("Done in {time}", time=time)
    soon = say("{number} done in {time}", number=format_count(line.now), time=time)
    return joined([soon, others], by=", ")


def _held_up(line: backlog.WaitingCounts) -> Iterator[Said]:
    """Yield how many actions wait for something other than their turn."""
    if line.off:
        yield say("{number} for an integration that is off", number=format_count(line.off))
    if line.rejected:
        yield say(
            "{number} for an integration whose key is rejected", number=format_count(line.rejected)
        )
    if line.paused:
        yield say("{number} for an integration that is paused", number=format_count(line.paused))
    if line.later:
        yield say("{number} to be tried again later", number=format_count(line.later))


def not_carried_out(unread: int, waiting: int) -> str:
    """Return how much is not read and not done while no worker runs; "" for nothing."""
    if not unread and not waiting:
        return ""
    return say_count(
        waiting,
        "{unread} received and not read, 1 action waiting.",
        "{unread} received and not read, {number} actions waiting.",
        unread=unread,
        number=format_count(waiting),
    )
