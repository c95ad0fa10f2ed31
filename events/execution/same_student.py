"""Customers who turn out to be one Thinkific user while a run of each is under way.

That was not known when the runs were claimed, so what is due was read for each customer alone. The
run that finds out begins again: by then they are known to be one student, whose runs go one at a
time.
"""

from collections.abc import Iterable, Mapping

from events.execution.conversation import Conversation
from integrations.models import ThinkificUser
from integrations.sentences import Said, say
from integrations.thinkific.attempt import Remembered

Found = Mapping[Conversation, int]


class SameStudent(Exception):
    """Another customer is the same Thinkific user."""

    @property
    def message(self) -> Said:
        """What it means for the run."""
        return say("Another customer is the same student in Thinkific, so this begins again.")


def found_out(conversations: Iterable[Conversation]) -> dict[Conversation, int]:
    """Return the Thinkific user that each conversation's customer has just turned out to be.

    Pass only those that are going to send more. An account that was just made for the customer is
    left out: it is no one else's.
    """
    found = {}
    for each in conversations:
        if each.run is None or each.attempt.user_is_new:
            continue
        known = {each.user, each.memory.known.user_id if each.memory.known else None}
        notes = each.attempt.notes
        users = [note.account.user_id for note in notes if isinstance(note, Remembered)]
        if users and users[-1] not in known:
            found[each] = users[-1]
    return found


def begin_again(found: Found) -> None:
    """Fail those whose Thinkific user is also another customer.

    Call it once findings are written.
    """
    if not found:
        return
    rows = ThinkificUser.objects.filter(
        integration__in={each.site for each in found}, user_id__in=set(found.values())
    )
    owners = set(rows.values_list("integration", "user_id", "customer"))
    for each, user in found.items():
        customer = each.memory.customer
        mine = (each.site, user, customer.pk if customer else None)
        if any(owner[:2] == mine[:2] and owner != mine for owner in owners):
            each.fail(SameStudent())


def remember(found: Found) -> None:
    """Keep the users, now that they are written, so that they are not found out again."""
    for each, user in found.items():
        each.user = user
