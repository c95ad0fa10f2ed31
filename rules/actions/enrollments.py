"""The actions that give and end access: read, decide, write, read again. All are idempotent.

The usual number of calls is two to enroll a new or known buyer, and one if nothing is to be done.
docs/design.md has a table of all situations.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from django.utils.translation import gettext_lazy as _

from integrations.errors import Refused, Retry
from integrations.models import Destination, Integration
from integrations.sentences import Said, Text, joined, say
from integrations.thinkific import answers, bundles, courses, users
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Get, Steps
from rules.actions.endings import expire_bundle_enrollment, expire_course_enrollment
from rules.actions.spec import ActionInput, ActionOutcome, ActionSpec, Effect, PlannedCall

Action = Callable[[Attempt, ActionInput], Steps[ActionOutcome]]
# Error code: the site does not have the course or bundle.
GONE = "gone"
# The same for one that the site no longer lists, if the action failed at every attempt.
UNLISTED = "unlisted"
# After this many attempts the signup fields are given up. The course is already given by then.
FIELD_ATTEMPTS = 3


def create_course_enrollment(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    """Give full access to the course without an end date."""
    user = yield from users.ensure(attempt, action_input.fields)
    given = yield from courses.open_up(attempt, user, action_input.destination_id)
    outcome = _enrolled(action_input, given=given)
    return (yield from _with_notes(attempt, user, action_input, outcome))


def create_bundle_enrollment(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    """Give full access to every course of the bundle without an end date.

    With `action_input.only`, give only these courses, one by one.
    """
    user = yield from users.ensure(attempt, action_input.fields)
    given = False
    if action_input.only is None:
        given = yield from bundles.open_up(
            attempt, user, action_input.destination_id, action_input.course_ids
        )
    for number in action_input.only or ():
        given = (yield from courses.open_up(attempt, user, number)) or given
    outcome = _enrolled(action_input, given=given)
    return (yield from _with_notes(attempt, user, action_input, outcome))


def _enrolled(action_input: ActionInput, *, given: bool) -> ActionOutcome:
    name = action_input.destination
    if given:
        return ActionOutcome("enrolled", say("Enrolled in {name}.", name=name))
    return ActionOutcome("already_enrolled", say("Was already enrolled in {name}.", name=name))


def _with_notes(
    attempt: Attempt, user: users.User, action_input: ActionInput, outcome: ActionOutcome
) -> Steps[ActionOutcome]:
    """Fill changed signup fields and add notes to the outcome.

    The fields come last, so that a refused field never prevents access to the course.
    """
    notes = list(user.notes)
    try:
        notes += yield from users.fill(attempt, action_input.fields)
    except Retry:
        if action_input.attempt < FIELD_ATTEMPTS:
            raise
        notes.append(
            say(
                "Thinkific could not fill the signup fields. Admit sends them again with this "
                "student's next purchase."
            )
        )
    if attempt.replaced:
        notes.append(
            say(
                "The student's account had been deleted in Thinkific; what the old one held is "
                "gone."
            )
        )
    if user.administrator:
        notes.append(
            say(
                "This e-mail is a Thinkific administrator; its enrollments do not show. "
                "Test with another address."
            )
        )
    return replace(outcome, message=joined([outcome.message, *notes]))


def _run(
    action: Action,
    effect: Effect,
    target: Destination.Kind,
    attempt: Attempt,
    action_input: ActionInput,
) -> Steps[ActionOutcome]:
    """Run the action's steps, and find out what is missing if the site answers "not found".

    It can be the course or bundle; a remembered user who was deleted, and is then looked up or
    created again; or a new user whom not every part of the site knows yet.
    """
    while True:
        try:
            outcome = yield from action(attempt, action_input)
        except Refused as error:
            if not (error.status == 404 or error.says("could not be found")):
                raise
            if (yield from _is_gone(target, action_input, error)):
                attempt.note_gone(target.value, action_input.destination_id)
                message = _gone(effect, action_input)
                raise Refused(
                    message, status=error.status, code=GONE, details=error.details
                ) from error
            if attempt.account is None:
                raise
            if not users.from_memory(attempt):
                raise _not_known_yet(error) from error
            attempt.set_aside()
        else:
            if action_input.said_gone and effect is Effect.GIVES:
                attempt.note_gone(target.value, action_input.destination_id, gone=False)
            return outcome


def _is_gone(target: Destination.Kind, action_input: ActionInput, error: Refused) -> Steps[bool]:
    """Return whether the site does not have the course or bundle.

    A bundle can be looked up. A course of Thinkific's new course builder cannot, even while it is
    sold, so for courses the enrollment's error decides. If that error also names the student, it
    does not tell which of the two is missing, and the answer is False.
    """
    if error.says("user could not be found"):
        return False
    if target == Destination.Kind.BUNDLE:
        return not (yield from _is_there(f"/bundles/{action_input.destination_id}"))
    return error.says("course could not be found")


def _is_there(path: str) -> Steps[bool]:
    try:
        yield Get(path)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True


def _not_known_yet(error: Refused) -> Retry:
    return Retry(
        answers.not_found(error.details),
        status=error.status,
        code="student_not_known_yet",
        in_doubt=False,
    )


def _gone(effect: Effect, action_input: ActionInput) -> Said:
    if action_input.missing:
        do = say("Correct the number in its rules.")
        if effect is Effect.GIVES:
            do = say(
                "Correct the number in its rules, or choose another course for them, and retry "
                "what failed."
            )
        return joined([action_input.missing, do])
    if effect is Effect.GIVES:
        return say(
            "{name} is gone from Thinkific, so nobody can be enrolled in it. Choose another "
            "course for its rules, and retry what failed.",
            name=action_input.destination,
        )
    return say(
        "{name} is gone from Thinkific, so Admit cannot end the access to it. Look at the student "
        "in Thinkific, and end there what is left of it.",
        name=action_input.destination,
    )


def _planned_calls(
    effect: Effect, target: Destination.Kind, *, known: bool, fills_fields: bool = False, **__: str
) -> list[PlannedCall]:
    """Return the calls in order, as far as they are known without asking Thinkific.

    `known` tells whether Admit remembers the customer as a student of the site, `fills_fields`
    whether the order has signup field values that a known student does not have yet.
    """
    bundle = target == Destination.Kind.BUNDLE
    where = "/bundles/ID/enrollments" if bundle else "/enrollments"
    what = say("the bundle") if bundle else say("the course")
    look = PlannedCall(say("Check whether the student has {what}", what=what), f"GET {where}")
    if effect is Effect.ENDS:
        change = "/bundles/ID/enrollments" if bundle else "/enrollments/ID"
        ended = say("End the access to {what}, if there is any", what=what)
        end = PlannedCall(ended, f"PUT {change}")
        first = [] if known else [PlannedCall(_("Find the student by e-mail"), "GET /users")]
        return [*first, look, end]
    enroll = PlannedCall(say("Enroll the student in {what}", what=what), f"POST {where}")
    if not known:
        make = PlannedCall(_("Create the student, with the signup fields"), "POST /users")
        return [make, enroll]
    open_ = PlannedCall(_("Check that each course of the bundle is open"), f"GET {where}")
    fields = [PlannedCall(_("Fill the changed signup fields"), "PUT /users/ID")]
    then = fields if fills_fields else []
    if not bundle:
        return [look, enroll, *then]
    alone = PlannedCall(_("Note which of its courses the student has already"), "GET /enrollments")
    return [look, alone, enroll, open_, *then]


def _spec(
    key: str,
    label: Text,
    effect: Effect,
    target: Destination.Kind,
    action: Action,
    *,
    opposite: str,
) -> ActionSpec:
    gives = effect is Effect.GIVES
    return ActionSpec(
        key=key,
        label=label,
        app=Integration.App.THINKIFIC,
        effect=effect,
        target=target,
        run=partial(_run, action, effect, target),
        in_words=_in_words(effect, target),
        in_short=_("enroll in {name}") if gives else _("end access to {name}"),
        planned_calls=partial(_planned_calls, effect, target),
        opposite=opposite,
    )


def _in_words(effect: Effect, target: Destination.Kind) -> Text:
    gives = effect is Effect.GIVES
    if target is Destination.Kind.BUNDLE:  # nobody knows that from its name
        if gives:
            return _("enroll the customer in the bundle {place}")
        return _("end the customer's access to the bundle {place}")
    return (
        _("enroll the customer in {place}") if gives else _("end the customer's access to {place}")
    )


_COURSE, _BUNDLE = Destination.Kind.COURSE, Destination.Kind.BUNDLE
SPECS = (
    _spec(
        "create_course_enrollment",
        _("Create Course Enrollment"),
        Effect.GIVES,
        _COURSE,
        create_course_enrollment,
        opposite="expire_course_enrollment",
    ),
    _spec(
        "expire_course_enrollment",
        _("Expire Course Enrollment"),
        Effect.ENDS,
        _COURSE,
        expire_course_enrollment,
        opposite="create_course_enrollment",
    ),
    _spec(
        "create_bundle_enrollment",
        _("Create Bundle Enrollment"),
        Effect.GIVES,
        _BUNDLE,
        create_bundle_enrollment,
        opposite="expire_bundle_enrollment",
    ),
    _spec(
        "expire_bundle_enrollment",
        _("Expire Bundle Enrollment"),
        Effect.ENDS,
        _BUNDLE,
        expire_bundle_enrollment,
        opposite="create_bundle_enrollment",
    ),
)
