"""The four actions: read, decide, write, and read again when in doubt. All idempotent.

How many calls each takes (README has the table): two for a brand-new buyer, two for a
plain enrollment of a known one, one when nothing is to be done, at most four where an
open behavior of Thinkific must be found out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from integrations.errors import Refused, Retry
from integrations.models import Destination
from integrations.thinkific import bundles, courses, users
from integrations.thinkific.session import Session
from rules.models import Action

# In so many attempts the signup fields are tried; the course is given by then.
FIELD_ATTEMPTS = 3


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
    attempt: int = 1


def create_course_enrollment(session: Session, order: Order) -> str:
    """Full access to the course without an end. Returns what happened, as one sentence."""
    user = users.ensure(session, order.fields)
    given = courses.open_up(session, user, order.destination_id)
    said = "Enrolled in" if given else "Was already enrolled in"
    return _with_notes(session, user, order, f"{said} {order.destination}.")


def create_bundle_enrollment(session: Session, order: Order) -> str:
    """Full access to every course of the bundle without an end."""
    user = users.ensure(session, order.fields)
    given = bundles.open_up(session, user, order.destination_id, order.course_ids)
    said = "Enrolled in" if given else "Was already enrolled in"
    return _with_notes(session, user, order, f"{said} {order.destination}.")


def expire_course_enrollment(session: Session, order: Order) -> str:
    """Access to the course ends now; progress is kept."""
    return _expire(session, order, courses.close)


def expire_bundle_enrollment(session: Session, order: Order) -> str:
    """Access to every course of the bundle ends now; progress is kept."""
    return _expire(session, order, bundles.close)


def _expire(
    session: Session, order: Order, close: Callable[[Session, users.User, int], courses.Closed]
) -> str:
    user = users.find(session)
    if user is None:
        return "There is no student with this e-mail on the site, so no access had to be ended."
    closed = close(session, user, order.destination_id)
    if closed is courses.Closed.NEVER and users.from_memory(session):
        # The remembered user may be gone, and the e-mail and its access another user's.
        present = users.look_up(session)
        if present is not None and present.id != user.id:
            closed = close(session, present, order.destination_id)
    return {
        courses.Closed.NOW: f"Access to {order.destination} ended.",
        courses.Closed.BEFORE: f"Access to {order.destination} had already ended.",
        courses.Closed.NEVER: f"Was not enrolled in {order.destination}; nothing to end.",
    }[closed]


def _with_notes(session: Session, user: users.User, order: Order, sentence: str) -> str:
    """Fill changed signup fields last: a refused one must never cost the course."""
    notes = list(user.notes)
    try:
        notes += users.fill(session, order.fields)
    except Retry as error:
        if order.attempt < FIELD_ATTEMPTS:
            raise
        notes.append(
            f"Thinkific could not fill the signup fields ({error.status or 'no answer'}); Admit "
            "sends them again with this student's next purchase."
        )
    if session.replaced:
        notes.append(
            "The student's account had been deleted in Thinkific; what the old one held is gone."
        )
    if user.administrator:
        notes.append(
            "This e-mail is a Thinkific administrator; its enrollments do not show. "
            "Test with another address."
        )
    return " ".join([sentence, *notes])


ACTIONS: dict[Action, Callable[[Session, Order], str]] = {
    Action.CREATE_COURSE_ENROLLMENT: create_course_enrollment,
    Action.EXPIRE_COURSE_ENROLLMENT: expire_course_enrollment,
    Action.CREATE_BUNDLE_ENROLLMENT: create_bundle_enrollment,
    Action.EXPIRE_BUNDLE_ENROLLMENT: expire_bundle_enrollment,
}


def carry_out(action: Action, session: Session, order: Order) -> str:
    """Carry the action out; returns one sentence that says what happened.

    "Not found" may be said of the course or bundle, of a remembered user who is gone and is then
    looked up or made again, or of a user whom the site has but does not know everywhere yet.
    Raises what Visit raises.
    """
    while True:
        try:
            return ACTIONS[action](session, order)
        except Refused as error:
            if not (error.status == 404 or error.says("could not be found")):
                raise
            if _is_gone(action, session, order, error):
                session.note_gone(action.destination_kind, order.destination_id)
                message = _gone(action, order)
                raise Refused(message, status=error.status, details=error.details) from error
            if session.thinkific_user is None:
                raise
            if not users.from_memory(session):
                raise _not_known_yet(error) from error
        session.set_aside()


def _is_gone(action: Action, session: Session, order: Order, error: Refused) -> bool:
    """Whether the site does not have the course or bundle.

    Of a bundle it says so when asked for it. A course of the new builder is hidden from that
    question and still sold, so there Thinkific's own words to the enrollment count; where it says
    them of the student in one breath, nobody knows which of the two is meant.
    """
    if error.says("user could not be found"):
        return False
    if action.destination_kind == Destination.Kind.BUNDLE:
        return not _is_there(session, f"/bundles/{order.destination_id}")
    return error.says("course could not be found")


def _is_there(session: Session, path: str) -> bool:
    try:
        session.get(path)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True


def _not_known_yet(error: Refused) -> Retry:
    said = f" ({error.details[0].rstrip('.')})" if error.details else ""
    return Retry(
        f"Thinkific has this student, but answers that something was not found{said}. It may "
        "not know a new student everywhere yet. Admit tries again by itself.",
        status=error.status,
        in_doubt=False,
    )


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
