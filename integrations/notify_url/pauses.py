"""Pauses of a receiver: which answers begin one, and how it ends.

A receiver has no question that concerns no message. So its pause is short, and the next message
finds out whether it is over.
"""

from integrations import rate_limit
from integrations.errors import LimitReached, OutsideError, Retry
from integrations.models import CallBudget, Integration, SiteAnswer

Blocked = CallBudget.Blocked
AWAY_SECONDS = 30.0


def interpret(integration: Integration, error: OutsideError) -> OutsideError:
    """What an error means for its message; the others wait where the receiver is to be left alone.

    That is where it gave no answer, or asked for a pause. The message itself counts the attempt
    and comes back by its schedule, or else a receiver that asks each time would never end it.
    """
    reached = error.status is not None
    state = Integration.Connection.CONNECTED if reached else Integration.Connection.UNREACHABLE
    # What the address of before did, or one with another secret, pauses nothing.
    same = Integration.objects.filter(pk=integration.pk, secret_version=integration.secret_version)
    if same.update(connection=state, connection_message="" if reached else error.message):
        _pause(integration, error)
    if isinstance(error, LimitReached):
        return Retry(
            error.message,
            status=error.status,
            code=error.code,
            in_doubt=False,
            seconds=error.seconds,
        )
    return error


def end(
    integration: Integration, /, *, until: float = float("inf"), impatient: bool = False
) -> SiteAnswer:
    """End the pause: the next message goes out."""
    rate_limit.unblock(integration.pk)
    return SiteAnswer.OPEN


def _pause(integration: Integration, error: OutsideError) -> None:
    match error:
        case LimitReached():
            rate_limit.block(integration.pk, Blocked.LIMIT, error.seconds)
        case Retry() if error.seconds is not None:
            rate_limit.block(integration.pk, Blocked.LIMIT, error.seconds)
        case Retry(status=None):
            rate_limit.block(integration.pk, Blocked.AWAY, AWAY_SECONDS)
