"""Courses and bundles that rules give although Thinkific does not have them anymore."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest

from config.admin.menu import allowed
from config.admin.pages.integrations import integration_links
from config.admin.pages.rules.courses import another_course
from config.admin.parts.badges import brief
from integrations.sentences import Said, say_count
from rules.broken_rules import BrokenRules

# At most this many are told; the others follow when these are dealt with.
MOST = 5


@dataclass(frozen=True, slots=True)
class MissingCourse:
    """The sentence about a course; `page`, with a link called `label`, replaces it in its rules.

    Both are empty for a person who may not change rules.
    """

    text: Said
    page: str = ""
    label: str = ""


def told(request: HttpRequest, found: Sequence[BrokenRules]) -> list[MissingCourse]:
    """Return a line for each course or bundle."""
    may, back = allowed(request, another_course.EDITS), request.get_full_path()
    return [
        MissingCourse(
            _sentence(each),
            integration_links.another_course(each.destination, back=back),
            another_course.choose_another(each.destination),
        )
        if may
        else MissingCourse(_sentence(each))
        for each in found[:MOST]
    ]


def _sentence(found: BrokenRules) -> Said:
    name = brief(found.destination.name)
    if found.destination.gone_at is None:
        return say_count(
            found.rules,
            "Thinkific no longer lists {name}; 1 rule still gives it.",
            "Thinkific no longer lists {name}; {number} rules still give it.",
            name=name,
        )
    return say_count(
        found.rules,
        "{name} is not in Thinkific; 1 rule still gives it.",
        "{name} is not in Thinkific; {number} rules still give it.",
        name=name,
    )
