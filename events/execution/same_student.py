"""Customers who turn out to be one Thinkific user while a run of each is under way.

That was not known when the runs were claimed, so what is due was read for each customer alone. The
run that finds out begins again: then it is known that they are one student, whose runs go one at a
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
    """The Thinkific user that each customer has just turned out to be.

    Only of those who are going to send more; an account that was made for one is no one else's.
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
    """End those whose Thinkific user another customer is too; what they found is written."""
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
    """It is written: they are not asked again."""
    for each, user in found.items():
        each.user = user
