"""What a comparison with Thinkific found, what came of it since, and how far a running one is."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet

from events.access import sentences
from events.execution import enroll_again
from events.models import ComparisonFinding, ComparisonRun, Grant, RuleRun
from integrations import app_registry
from integrations.finding.ordering import by_name
from integrations.models import Integration
from integrations.sentences import Said, format_day, joined, say, say_count

Kind, Shows = ComparisonFinding.Kind, ComparisonFinding.Shows
# The kinds that people read, the most urgent first.
KINDS = (Kind.MISSING, Kind.ENDS, Kind.UNEXPLAINED, Kind.BEFORE)


@dataclass(frozen=True, slots=True)
class Row:
    """A finding, its grant, the action that gives it, and why that cannot be given again."""

    finding: ComparisonFinding
    grant: Grant | None
    run: RuleRun | None
    why_not: str = ""

    @property
    def was_seen(self) -> bool:
        """Whether Thinkific was seen to hold it before, so that something changed there since."""
        return self.grant is not None and self.grant.seen_at is not None

    @property
    def source(self) -> str:
        """What gives the access, or what ended it; "" if no purchase ever gave it."""
        if self.grant is None:
            return ""
        if self.grant.state == Grant.State.ENDED:
            return sentences.cause(self.grant)
        return sentences.holds(self.grant)

    def as_data(self) -> dict[str, Any]:
        """Return the finding for JSON. Times are ISO 8601; what is not known is None or ""."""
        found = self.finding
        return {
            "kind": found.kind,
            "course": found.name,
            "course_id": found.course_id,
            "email": found.student,
            "user_id": found.user_id,
            "shows": found.shows,
            "since": _iso(found.since),
            "until": _iso(found.until),
            "source": self.source,
            "was_seen": self.was_seen,
            "why_not": self.why_not,
        }

    def sentence(self) -> str:
        """ "dana@example.com, Watercolor: not enrolled; order 1183 gives it." """
        shows = self.finding.get_shows_display()
        if self.finding.until is not None:
            shows = f"{shows} on {format_day(self.finding.until)}"
        about = f"{self.finding.student}, {self.finding.name}: {shows[:1].lower()}{shows[1:]}"
        if not self.source:
            return f"{about}."
        gives = self.grant is not None and self.grant.is_active
        then = f"{self.source} gives it" if gives else f"{self.source} ended it"
        if self.finding.kind == Kind.MISSING and self.was_seen:
            then += ", and it was seen before"
        return f"{about}; {then}."


def sites() -> QuerySet[Integration]:
    """Integrations that can be compared."""
    return Integration.objects.filter(app__in=app_registry.with_catalog()).order_by(by_name())


def last(site: Integration) -> ComparisonRun | None:
    """The last comparison of the site that was finished."""
    finished = site.comparisons.exclude(finished_at=None)
    return finished.select_related("integration").order_by("-pk").first()


def under_way(site: Integration) -> ComparisonRun | None:
    """The comparison of the site that is not finished, if there is one."""
    found = site.comparisons.filter(finished_at=None)
    return found.select_related("integration").first()


def counts(run: ComparisonRun) -> dict[str, int]:
    """How many findings there are of each kind."""
    found = run.findings.values_list("kind").annotate(number=Count("pk")).order_by()
    of_kind = dict(found)
    return {kind.value: of_kind.get(kind.value, 0) for kind in KINDS}


def rows(findings: Iterable[ComparisonFinding]) -> list[Row]:
    """These findings as they stand now."""
    found = list(findings)
    grants = Grant.objects.in_bulk({each.grant_id for each in found if each.grant_id})
    return [
        Row(each, grants.get(each.grant_id or 0), run, why_not)
        for each, run, why_not in enroll_again.with_runs(found)
    ]


def to_approve(run: ComparisonRun) -> QuerySet[ComparisonFinding]:
    """Return the findings that can be fixed by enrolling the student again."""
    return run.findings.filter(kind__in=[Kind.MISSING, Kind.ENDS]).select_related("customer")


def never_seen(run: ComparisonRun) -> QuerySet[ComparisonFinding]:
    """Return findings whose access was never seen in Thinkific: those are given without asking."""
    return to_approve(run).filter(kind=Kind.MISSING, grant__seen_at=None)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


# How far it is


def progress(run: ComparisonRun) -> Said:
    """ "Course 3 of 12: Watercolor, page 2. 1,250 enrollments read so far." """
    if run.phase == ComparisonRun.Phase.LISTING:
        return say("Listing what was paid for.")
    if run.phase == ComparisonRun.Phase.READING and run.position < len(run.courses):
        now = say(
            "Course {number} of {courses}: {course}, page {page}.",
            number=run.position + 1,
            courses=len(run.courses),
            course=run.course[1],
            page=run.page,
        )
    else:
        now = say_count(
            run.findings.filter(kind=Kind.UNSEEN).count(),
            "Asking for 1 student not seen in the lists.",
            "Asking for {number} students not seen in the lists.",
        )
    so_far = say_count(
        run.enrollments, "1 enrollment read so far.", "{number} enrollments read so far."
    )
    return joined([now, so_far])


def read_sentence(run: ComparisonRun) -> Said:
    """ "Read: 1,250 enrollments in 12 courses." """
    return say(
        "Read: {enrollments} in {courses}.",
        enrollments=say_count(run.enrollments, "1 enrollment", "{number} enrollments"),
        courses=say_count(len(run.courses), "1 course", "{number} courses"),
    )


def summary(run: ComparisonRun) -> str:
    """ "2 paid without access, 1 with access that no purchase explains." """
    found = counts(run)
    said = {
        Kind.MISSING: say("{number} paid without access", number=found[Kind.MISSING]),
        Kind.ENDS: say("{number} with another end date", number=found[Kind.ENDS]),
        Kind.UNEXPLAINED: say(
            "{number} with access that no purchase explains", number=found[Kind.UNEXPLAINED]
        ),
        Kind.BEFORE: say("{number} from before Admit", number=found[Kind.BEFORE]),
    }
    some = [said[kind] for kind in KINDS if found[kind]]
    return f"{', '.join(some)}." if some else say("Nothing differs.")
