"""The four actions: read, decide, write, and read again when in doubt. All idempotent.

How many calls each takes (README has the table): two for a brand-new buyer, two for a
plain enrolment of a known one, one when nothing is to be done, at most four where an
open behaviour of Thinkific must be found out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from integrations.errors import Refused
from integrations.thinkific import bundles, courses, users
from integrations.thinkific.visit import Visit
from rules.models import Action


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: the course or bundle, its courses, and the signup fields to fill."""

    destination_id: int
    destination: str
    course_ids: tuple[int, ...] = ()
    fields: dict[int, str] = field(default_factory=dict)


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
        return ACTIONS[action](visit, order)
    except Refused as error:
        if not users.may_be_outdated(visit, error):
            raise
        visit.forget()
        return ACTIONS[action](visit, order)
