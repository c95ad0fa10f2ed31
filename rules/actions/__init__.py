"""What a rule can do: ACTIONS has one spec for each action.

Code that needs to know something about an action asks its spec and never parses its key.
"""

from enum import StrEnum

from integrations.models import Destination
from integrations.sentences import Text
from rules.actions import enrollments, notify
from rules.actions.spec import (
    ActionInput,
    ActionOutcome,
    ActionSpec,
    Effect,
    Message,
    PlannedCall,
)

__all__ = [
    "ACTIONS",
    "Action",
    "ActionInput",
    "ActionOutcome",
    "ActionSpec",
    "Effect",
    "Message",
    "PlannedCall",
    "choices",
    "ending_access",
    "giving",
    "giving_access",
    "passing_on",
]


class Action(StrEnum):
    """The keys of the actions, for code that means one specific action."""

    CREATE_COURSE_ENROLLMENT = "create_course_enrollment"
    EXPIRE_COURSE_ENROLLMENT = "expire_course_enrollment"
    CREATE_BUNDLE_ENROLLMENT = "create_bundle_enrollment"
    EXPIRE_BUNDLE_ENROLLMENT = "expire_bundle_enrollment"
    SEND_HTTP_POST = "send_http_post"


ACTIONS: dict[str, ActionSpec] = {spec.key: spec for spec in (*enrollments.SPECS, notify.SPEC)}


def choices() -> list[tuple[str, Text]]:
    """Return (key, label) pairs for a model field."""
    return [(spec.key, spec.label) for spec in ACTIONS.values()]


def giving(destination: Destination) -> ActionSpec:
    """Return the action that gives access to this course or bundle."""
    return next(
        spec
        for spec in ACTIONS.values()
        if spec.gives_access
        and spec.app == destination.integration.app
        and spec.target == destination.kind
    )


def giving_access() -> list[str]:
    """Return the keys of the actions that give access."""
    return [spec.key for spec in ACTIONS.values() if spec.gives_access]


def ending_access() -> list[str]:
    """Return the keys of the actions that end access."""
    return [spec.key for spec in ACTIONS.values() if spec.ends_access]


def passing_on() -> list[str]:
    """Return the keys of the actions that pass on what SamCart sent."""
    return [spec.key for spec in ACTIONS.values() if spec.passes_on]
