"""The sentence for a course or bundle while an action about it is not done yet."""

from django.utils.translation import gettext_lazy as _

from events.execution import wait_reasons
from events.models import EventLog, RuleRun
from events.reports.access.standing import Standing, is_waived
from events.reports.sentences.sentence import Code, Sentence, of_open_action
from integrations.sentences import Text, joined

Status = RuleRun.Status
GIVING_AGAIN: dict[str, Text] = {
    Status.FAILED: _("{name} has {course}; giving it once more failed{order}."),
    Status.HELD: _("{name} has {course}; giving it once more waits for you{order}."),
    Status.WAITING: _("{name} has {course}; giving it once more is waiting{order}."),
    Status.RUNNING: _("{name} has {course}; it is being given once more{order}."),
}
OWED: dict[str, Text] = {
    Status.FAILED: _("{name} does not have {course} yet: it failed{order}."),
    Status.HELD: _("{name} does not have {course} yet: it waits for you{order}."),
    Status.WAITING: _("{name} does not have {course} yet: it is waiting{order}."),
    Status.RUNNING: _("{name} does not have {course} yet: it is being given now{order}."),
}
ENDING: dict[str, Text] = {
    Status.FAILED: _("{name} still has {course}: ending it failed{order}."),
    Status.HELD: _("{name} still has {course}: ending it waits for you{order}."),
    Status.WAITING: _("{name} still has {course}: ending it is waiting{order}."),
    Status.RUNNING: _("{name} still has {course}: it is being ended now{order}."),
}
ENDS_NOW: dict[str, Text] = {
    Status.WAITING: _("{name}'s access to {course} ends in a moment{order}."),
}
ENDED: dict[str, Text] = {
    Status.FAILED: _("{name} has no access to {course}; ending it failed{order}."),
    Status.HELD: _("{name} has no access to {course}; ending it waits for you{order}."),
    Status.WAITING: _("{name} has no access to {course}; ending it is waiting{order}."),
    Status.RUNNING: _("{name} has no access to {course}; ending it is under way{order}."),
}


def sentence(name: str, about: Standing, run: RuleRun, waiting: str) -> Sentence:
    """Say how the student's access stands; `waiting` says what the action waits for."""
    code, texts = {
        (True, True): (Code.GIVING_AGAIN, GIVING_AGAIN),
        (True, False): (Code.OWED, OWED),
        (False, True): (Code.ENDING, ENDING),
        (False, False): (Code.ENDED, ENDED),
    }[run.spec.gives_access, _is_still_open(about, run)]
    waiting = joined([run.event.reason, waiting]) if _is_moved(run) else waiting
    if code == Code.ENDING and wait_reasons.is_next(run):
        texts = ENDS_NOW
    return of_open_action(run, code, texts, name, about.name, waiting)


def _is_moved(run: RuleRun) -> bool:
    """Whether the action ends access that a person moved to another address."""
    return run.event.by_hand == EventLog.ByHand.MOVE_AWAY


def _is_still_open(about: Standing, run: RuleRun) -> bool:
    """Whether the student can open it until this action, which is not done yet, ends it.

    No grant gives anymore what a person moved away or undid, and yet it is open in Thinkific.
    """
    if about.is_open or run.spec.gives_access:
        return about.is_open
    if _is_moved(run):
        return any(each.spec.gives_access and each.status == Status.DONE for each in about.runs)
    return bool(is_waived(run) and run.grant and run.grant.seen_at)
