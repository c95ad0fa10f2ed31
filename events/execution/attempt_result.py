"""Work out how an attempt ended from what its steps came to."""

from django.db import InterfaceError, OperationalError

from events.execution import results
from events.execution.conversation import Conversation
from events.execution.loading import NotDue
from events.execution.results import Result
from events.execution.same_student import SameStudent
from events.models import RuleRun

Status = RuleRun.Status


def result_of(conversation: Conversation) -> Result:
    """Return how the run ended, even if what its steps came to breaks our code.

    The result is kept, because it is asked for again with each turn while the database is away.
    """
    if conversation.result is None:
        try:
            conversation.result = _result(conversation)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            conversation.error = error
            conversation.result = _result(conversation)
    return conversation.result


def _result(conversation: Conversation) -> Result:
    """Return how the run of a finished conversation ended."""
    error, run = conversation.error, conversation.run
    assert run is not None
    if error is None:
        outcome = conversation.outcome
        return Result(Status.DONE, outcome.code, outcome.message)
    if isinstance(error, NotDue):
        return Result(Status.SKIPPED, "not_due", error.message)
    if isinstance(error, SameStudent):
        return Result(Status.WAITING, "same_student", error.message, counts=False)
    calls, seconds = conversation.attempt.calls, conversation.answer_seconds
    return results.of_error(run, error, calls=calls, answer_seconds=seconds)
