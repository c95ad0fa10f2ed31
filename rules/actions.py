"""The four actions: read, decide, write, and read again when in doubt. All idempotent.

How many calls each takes (README has the table): two for a brand-new buyer, two for a
plain enrolment of a known one, one when nothing is to be done, at most four where an
open behaviour of Thinkific must be found out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from integrations.errors import Refused
from integrations.models import Destination
from integrations.thinkific import bundles, courses, users
from integrations.thinkific.visit import Visit
from rules.models import Action


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: the course or bundle, its courses, and the signup fields to fill.

    `said_gone`: the site has said before that there is no such course or bundle.
    """

    destination_id: int
    destination: str
    course_ids: tuple[int, ...] = ()
    fields: dict[int, str] = field(default_factory=dict)
    said_gone: bool = False


def create_course_enrollment(visit: Visit, order: Order) -> str:
    """Full access to the course without an end. Returns what happened, as one sentence."""
    user = users.ensure(visit, order.fields)
    given = courses.open_up(visit, user, order.destination_id)
    said = "Enrolled in" if given else "Was already enrolled in"
    return _with_notes(visit, user, order, f"{said} {order.destination}.")


def create_bundle_enrollment(visit: Visit, order: Order) -> str:
    """Full access to every course of the bundle without an end."""
    user = users.ensure(visit, order.fields)
    given = bundles.open_up(visit, user, order.destination_id, order.course_ids)
    said = "Enrolled in" if given else "Was already enrolled in"
    return _with_notes(visit, user, order, f"{said} {order.destination}.")


def expire_course_enrollment(visit: Visit, order: Order) -> str:
    """Access to the course ends now; progress is kept."""
    return _expire(visit, order, courses.close)


def expire_bundle_enrollment(visit: Visit, order: Order) -> str:
    """Access to every course of the bundle ends now; progress is kept."""
    return _expire(visit, order, bundles.close)


def _expire(
    visit: Visit, order: Order, close: Callable[[Visit, users.User, int], courses.Closed]
) -> str:
    user = users.find(visit)
    if user is None:
        return "There is no student with this e-mail on the site, so no access had to be ended."
    closed = close(visit, user, order.destination_id)
    if closed is courses.Closed.NEVER and users.from_memory(visit):
        # The remembered user may be gone, and the e-mail and its access another user's.
        present = users.look_up(visit)
        if present is not None and present.id != user.id:
            closed = close(visit, present, order.destination_id)
    return {
        courses.Closed.NOW: f"Access to {order.destination} ended.",
        courses.Closed.BEFORE: f"Access to {order.destination} had already ended.",
        courses.Closed.NEVER: f"Was not enrolled in {order.destination}; nothing to end.",
    }[closed]


def _with_notes(visit: Visit, user: users.User, order: Order, sentence: str) -> str:
    """Fill changed signup fields last: a refused one must never cost the course."""
    notes = list(user.notes)
    try:
        users.fill(visit, order.fields)
    except Refused as error:
        notes.append(f"Thinkific did not take the signup fields: {error.message}")
    if user.administrator:
        notes.append(
            "This e-mail is a Thinkific administrator; its enrollments do not show. "
            "Test with another address."
        )
    return " ".join([sentence, *notes])


ACTIONS: dict[Action, Callable[[Visit, Order], str]] = {
    Action.CREATE_COURSE_ENROLLMENT: create_course_enrollment,
    Action.EXPIRE_COURSE_ENROLLMENT: expire_course_enrollment,
    Action.CREATE_BUNDLE_ENROLLMENT: create_bundle_enrollment,
    Action.EXPIRE_BUNDLE_ENROLLMENT: expire_bundle_enrollment,
}


def carry_out(action: Action, visit: Visit, order: Order) -> str:
    """Carry the action out; returns one sentence that says what happened.

    A remembered user that is gone from the site is forgotten once and looked up again.
    Raises what Visit raises.
    """
    try:
        try:
            return ACTIONS[action](visit, order)
        except Refused as error:
            if not users.forget_gone(visit, error):
                raise
        return ACTIONS[action](visit, order)
    except Refused as error:
        if not _is_gone(action, error):
            raise
        visit.note_gone(action.destination_kind, order.destination_id)
        raise Refused(_gone(action, order), status=error.status, details=error.details) from error


def _is_gone(action: Action, error: Refused) -> bool:
    """Whether the site does not have the course or bundle. Only a bundle stands in a path."""
    bundle = action.destination_kind == Destination.Kind.BUNDLE
    return error.says("course could not be found") or (bundle and error.status == 404)


def _gone(action: Action, order: Order) -> str:
    if action.gives_access:
        return (
            f"{order.destination} is gone from Thinkific, so nobody can be enrolled in it. "
            "Refresh the integration, then edit the rule and retry."
        )
    return (
        f"{order.destination} is gone from Thinkific, so Admit cannot end the access to it. "
        "Look at the student in Thinkific, and end there what is left of it."
    )
