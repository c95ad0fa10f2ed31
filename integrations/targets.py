"""The word for a course or bundle of a site: "course:501" or "bundle:8001".

Runs, grants and the ledger name in this form what they are about, and rows store it. It is made and
taken apart here only; two queries of `events/reports` make it in SQL.
"""

from typing import NamedTuple, Self


class Target(NamedTuple):
    """A course or bundle by its kind, a value of `Destination.Kind`, and its number in Thinkific.

    >>> str(Target("course", 501))
    'course:501'
    """

    kind: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the target that was written as `text`. Raises ValueError for any other text."""
        kind, _, number = text.partition(":")
        return cls(kind, int(number))

    @property
    def is_course(self) -> bool:
        return self.kind == "course"

    @property
    def is_bundle(self) -> bool:
        return self.kind == "bundle"

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"


def course_target(number: int) -> str:
    """Return the written target of the course with this number in Thinkific: "course:501"."""
    return str(Target("course", number))


def bundle_target(number: int) -> str:
    """Return the written target of the bundle with this number in Thinkific: "bundle:8001"."""
    return str(Target("bundle", number))
