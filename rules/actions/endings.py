"""The steps that end access, except to what something else still gives."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial

from integrations.sentences import YEAR, Said, format_day, joined, say, say_count
from integrations.targets import bundle_target, course_target
from integrations.thinkific import bundles, courses, users
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Steps
from rules.actions.spec import ActionInput, ActionOutcome
from rules.listing import listed

# Outcome code: the access stays because something else still gives it.
STILL_GIVEN = "kept"
# Outcome code: the course got back the end date that it had before the purchase.
PUT_BACK = "put_back"
# Outcome codes: the student had no enrollment that could end.
NOT_THERE = {"no_student", "was_not_enrolled"}


def expire_course_enrollment(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    """End access to the course now, unless something else gives it. Progress is kept."""
    if (by := action_input.still_given.get(course_target(action_input.destination_id))) is not None:
        return _still_given(action_input, {by})
    outcome = yield from _expire(
        attempt,
        action_input,
        partial(courses.close, until=action_input.until, given_before=action_input.given_before),
    )
    at = action_input.until.get(course_target(action_input.destination_id))
    return _put_back(action_input, at) if at and outcome.code == "ended" else outcome


def expire_bundle_enrollment(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    """End access to the bundle's courses now, except to those that something else gives."""
    if (by := action_input.still_given.get(bundle_target(action_input.destination_id))) is not None:
        return _still_given(action_input, {by})
    held = [
        by
        for number in action_input.course_ids
        if (by := action_input.still_given.get(course_target(number)))
    ]
    if held and len(held) == len(action_input.course_ids):
        return _still_given(action_input, set(held))
    outcome = yield from _expire(
        attempt,
        action_input,
        partial(
            bundles.close,
            still_given=action_input.still_given,
            gave=action_input.gave,
            until=action_input.until,
            given_before=action_input.given_before,
        ),
    )
    if not held:
        return outcome
    stays = _why_it_stays(say_count(len(held), "1 course", "{number} courses"), set(held))
    return replace(outcome, message=joined([outcome.message, stays]))


def _expire(
    attempt: Attempt,
    action_input: ActionInput,
    close: Callable[[Attempt, users.User, int], Steps[courses.Closed]],
) -> Steps[ActionOutcome]:
    user = yield from users.find(attempt)
    if user is None:
        return ActionOutcome(
            "no_student",
            say("There is no student with this e-mail on the site, so no access had to be ended."),
        )
    closed = yield from close(attempt, user, action_input.destination_id)
    if closed is courses.Closed.NEVER and users.from_memory(attempt):
        # The remembered user may have been deleted, and a new user may have this e-mail and access.
        present = yield from users.look_up(attempt)
        if present is not None and present.id != user.id:
            closed = yield from close(attempt, present, action_input.destination_id)
    name = action_input.destination
    return {
        courses.Closed.NOW: ActionOutcome("ended", say("Access to {name} ended.", name=name)),
        courses.Closed.PARTLY: ActionOutcome(
            "ended",
            say(
                "Access to {name} ended, except to what the student had before this purchase.",
                name=name,
            ),
        ),
        courses.Closed.KEPT: ActionOutcome(
            STILL_GIVEN, say("Kept {name}: the student had it before this purchase.", name=name)
        ),
        courses.Closed.BEFORE: ActionOutcome(
            "had_ended", say("Access to {name} had already ended.", name=name)
        ),
        courses.Closed.NEVER: ActionOutcome(
            "was_not_enrolled", say("Was not enrolled in {name}; nothing to end.", name=name)
        ),
    }[closed]


def _put_back(action_input: ActionInput, at: datetime) -> ActionOutcome:
    message = say(
        "Access to {name} ends on {day} again, as it did before this purchase.",
        name=action_input.destination,
        day=format_day(at, YEAR),
    )
    return ActionOutcome(PUT_BACK, message)


def _still_given(action_input: ActionInput, by: Collection[str]) -> ActionOutcome:
    return ActionOutcome(STILL_GIVEN, _why_it_stays(action_input.destination, by))


def _why_it_stays(what: str, by: Collection[str]) -> Said:
    """Say why access stays: "Kept Course Two: order 1183 and order 1190 still give it."."""
    return say_count(
        len(by),
        "Kept {what}: {orders} still gives it.",
        "Kept {what}: {orders} still give it.",
        what=what,
        orders=listed(sorted(by)),
    )
