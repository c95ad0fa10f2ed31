"""The steps that end access, but only to what nothing else gives."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial

from integrations.thinkific import bundles, courses, users
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Steps
from rules.actions.spec import ActionInput, ActionOutcome
from rules.listing import listed

# Of a run that was to end what something else still gives.
KEPT = "kept"
# Of a run that put back the end date that the course had before the purchase.
PUT_BACK = "put_back"


def expire_course_enrollment(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    """Access to the course ends now, unless something else gives it; progress is kept."""
    if (by := action_input.kept.get(f"course:{action_input.destination_id}")) is not None:
        return _kept(action_input, {by})
    outcome = yield from _expire(
        attempt, action_input, partial(courses.close, until=action_input.until)
    )
    at = action_input.until.get(f"course:{action_input.destination_id}")
    return _put_back(action_input, at) if at and outcome.code == "ended" else outcome


def expire_bundle_enrollment(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    """Access to the bundle's courses ends now, but for those that something else gives."""
    if (by := action_input.kept.get(f"bundle:{action_input.destination_id}")) is not None:
        return _kept(action_input, {by})
    held = [
        by
        for number in action_input.course_ids
        if (by := action_input.kept.get(f"course:{number}"))
    ]
    if held and len(held) == len(action_input.course_ids):
        return _kept(action_input, set(held))
    outcome = yield from _expire(
        attempt,
        action_input,
        partial(
            bundles.close, keep=action_input.kept, gave=action_input.gave, until=action_input.until
        ),
    )
    if not held:
        return outcome
    courses_ = "1 course" if len(held) == 1 else f"{len(held)} courses"
    return replace(outcome, message=f"{outcome.message} Kept {courses_}: {_by(set(held))}.")


def _expire(
    attempt: Attempt,
    action_input: ActionInput,
    close: Callable[[Attempt, users.User, int], Steps[courses.Closed]],
) -> Steps[ActionOutcome]:
    user = yield from users.find(attempt)
    if user is None:
        return ActionOutcome(
            "no_student",
            "There is no student with this e-mail on the site, so no access had to be ended.",
        )
    closed = yield from close(attempt, user, action_input.destination_id)
    if closed is courses.Closed.NEVER and users.from_memory(attempt):
        # The remembered user may be gone, and the e-mail and its access another user's.
        present = yield from users.look_up(attempt)
        if present is not None and present.id != user.id:
            closed = yield from close(attempt, present, action_input.destination_id)
    return {
        courses.Closed.NOW: ActionOutcome("ended", f"Access to {action_input.destination} ended."),
        courses.Closed.BEFORE: ActionOutcome(
            "had_ended", f"Access to {action_input.destination} had already ended."
        ),
        courses.Closed.NEVER: ActionOutcome(
            "was_not_enrolled", f"Was not enrolled in {action_input.destination}; nothing to end."
        ),
    }[closed]


def _put_back(action_input: ActionInput, at: datetime) -> ActionOutcome:
    return ActionOutcome(
        PUT_BACK,
        f"Access to {action_input.destination} ends on {at.day} {at:%b %Y} again, as it did before "
        "this purchase.",
    )


def _kept(action_input: ActionInput, by: Collection[str]) -> ActionOutcome:
    return ActionOutcome(KEPT, f"Kept {action_input.destination}: {_by(by)}.")


def _by(by: Collection[str]) -> str:
    """ "order 1183 and order 1190 still give it" """
    several = len(by) > 1
    return f"{listed(sorted(by))} still {'give' if several else 'gives'} it"
