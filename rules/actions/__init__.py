"""What a rule can do: ACTIONS has one spec for each action.

Code that needs to know something about an action asks its spec, and never reads it from the key.
"""

from enum import StrEnum

from rules.actions import enrollments
from rules.actions.spec import ActionSpec, Effect, Order, Outcome, PlannedCall

__all__ = [
    "ACTIONS",
    "Action",
    "ActionSpec",
    "Effect",
    "Order",
    "Outcome",
    "PlannedCall",
    "choices",
    "giving_access",
]


class Action(StrEnum):
    """The keys of the actions, for code that means a certain one."""

    CREATE_COURSE_ENROLLMENT = "create_course_enrollment"
    EXPIRE_COURSE_ENROLLMENT = "expire_course_enrollment"
    CREATE_BUNDLE_ENROLLMENT = "create_bundle_enrollment"
    EXPIRE_BUNDLE_ENROLLMENT = "expire_bundle_enrollment"


ACTIONS: dict[str, ActionSpec] = {spec.key: spec for spec in enrollments.SPECS}


def choices() -> list[tuple[str, str]]:
    """Keys and labels, as a model's field takes them."""
    return [(spec.key, spec.label) for spec in ACTIONS.values()]


def giving_access() -> list[str]:
    """The keys of the actions that give access."""
    return [spec.key for spec in ACTIONS.values() if spec.gives_access]
