"""Which calls to Thinkific an action makes, told beforehand. `rules.actions.enrollments` makes them."""

from dataclasses import dataclass

from integrations.models import Destination
from rules.models import Action


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call: in plain words, and as a technician writes it."""

    words: str
    technical: str


def plan(action: Action, *, known: bool, fills_fields: bool = False) -> list[PlannedCall]:
    """The calls in order, as far as can be told without asking Thinkific.

    `known`: whether Admit remembers the customer's student on that site. `fills_fields`:
    whether the order brings signup fields that a known student does not have yet.
    """
    bundle = action.destination_kind == Destination.Kind.BUNDLE
    where = "/bundles/ID/enrollments" if bundle else "/enrollments"
    what = "the bundle" if bundle else "the course"
    look = PlannedCall(f"Look whether the student has {what}", f"GET {where}")
    if not action.gives_access:
        change = "/bundles/ID/enrollments" if bundle else "/enrollments/ID"
        end = PlannedCall(f"End the access to {what}, if there is any", f"PUT {change}")
        first = [] if known else [PlannedCall("Find the student by e-mail", "GET /users")]
        return [*first, look, end]
    enroll = PlannedCall(f"Enroll the student in {what}", f"POST {where}")
    if not known:
        make = PlannedCall("Create the student, with the signup fields", "POST /users")
        return [make, enroll]
    after = (
        [PlannedCall(f"Look that each course of {what} is open", f"GET {where}")] if bundle else []
    )
    fields = (
        [PlannedCall("Fill the changed signup fields", "PUT /users/ID")] if fills_fields else []
    )
    return [look, enroll, *after, *fields]
