"""Compare the ledger with Thinkific. Pure: enrollments and grants in, findings out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from events.access import ledger
from events.models import ComparisonFinding, Grant
from integrations.models import Destination
from integrations.targets import Target, course_target
from integrations.thinkific.courses import Access
from integrations.thinkific.enrollment_list import Enrollment, Student

Kind, Shows = ComparisonFinding.Kind, ComparisonFinding.Shows
SHOWS = {
    Access.FULL: Shows.FULL,
    Access.UNTIL: Shows.UNTIL,
    Access.PREVIEW: Shows.PREVIEW,
    Access.ENDED: Shows.ENDED,
}


@dataclass(frozen=True, slots=True)
class Compared:
    """How an enrollment compares with the ledger.

    `kind` is None if nothing differs. `grant` is the one that gives the course, or gave it last.
    `holds` says whether the ledger gives the course.
    """

    kind: ComparisonFinding.Kind | None
    grant: Grant | None = None
    holds: bool = False

    @property
    def is_seen(self) -> bool:
        """Whether the student has in Thinkific what the ledger gives."""
        return self.holds and self.kind is None


def compare(
    shown: Enrollment, grants: Sequence[Grant], site: int, *, take_over: datetime
) -> Compared:
    """Compare an enrollment with all grants of its student at the site, active or not.

    Access that began before `take_over` is from before Admit, unless a grant is for the course.
    """
    part = course_target(shown.course_id)
    holder = ledger.holder(filter(_has_no_end, grants), site, part)
    if holder is not None:
        return Compared(_of_held(shown), holder, holds=True)
    if ledger.holder(grants, site, part) is not None:
        return Compared(None)  # the grant has an end of its own, which the school may have changed
    if shown.access not in {Access.FULL, Access.UNTIL}:
        return Compared(None)
    about = [row for row in grants if row.integration_id == site and part in row.parts]
    if any(row.state == Grant.State.WAIVED for row in about):
        return Compared(None)  # it was paid for, and a person waived it
    last = max(about, key=lambda row: row.decided_at, default=None)
    if last is None and shown.since is not None and shown.since < take_over:
        return Compared(Kind.BEFORE)
    return Compared(Kind.UNEXPLAINED, last)


def compare_asked(
    student: Student,
) -> tuple[ComparisonFinding.Kind | None, ComparisonFinding.Shows]:
    """Compare the answer about one student to whom the ledger gives the course."""
    if student.user_id is None:
        return Kind.MISSING, Shows.NO_ACCOUNT
    if student.enrollment is None:
        return Kind.MISSING, Shows.NOT_ENROLLED
    return _of_held(student.enrollment), SHOWS[student.enrollment.access]


def given_by(grant: Grant, grants: Iterable[Grant]) -> list[int]:
    """Return the courses that this grant gives. `grants` are all of its student at the site.

    A course that several grants give counts for one of them only.
    """
    rows = list(filter(_has_no_end, grants))
    return [
        number
        for number in courses_of(grant)
        if (found := ledger.holder(rows, grant.integration_id, course_target(number))) is not None
        and found.pk == grant.pk
    ]


def courses_of(grant: Grant) -> list[int]:
    """Return the numbers of the courses that the grant is for: its own, or those of its bundle."""
    kind, number = Target.parse(grant.target)
    own = [number] if kind == Destination.Kind.COURSE else []
    return sorted({*own, *grant.course_ids})


def _has_no_end(grant: Grant) -> bool:
    return grant.until is None


def _of_held(shown: Enrollment) -> ComparisonFinding.Kind | None:
    match shown.access:
        case Access.FULL:
            return None
        case Access.UNTIL:
            return Kind.ENDS
        case _:
            return Kind.MISSING
