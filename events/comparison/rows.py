"""Findings as rows: what was read of a site, compared with the ledger."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from events.comparison import differences, scope
from events.comparison.differences import Compared, Kind
from events.models import ComparisonFinding, ComparisonRun, Grant, RuleRun
from events.models.runs import DELAYED, UNFINISHED
from integrations.models import Customer, ThinkificUser
from integrations.thinkific.enrollment_list import Enrollment, Student


@dataclass(slots=True)
class People:
    """Who the students of a page are in Admit: customers by Thinkific user and by e-mail."""

    by_user: dict[int, set[int]]
    by_email: dict[str, int]
    administrators: set[int]
    grants: dict[int, list[Grant]] = field(default_factory=dict)

    def customers_of(self, shown: Enrollment) -> set[int]:
        mine = {self.by_email[shown.email]} if shown.email in self.by_email else set()
        return mine | self.by_user.get(shown.user_id, set())

    def grants_of(self, customers: Iterable[int]) -> list[Grant]:
        return [row for customer in sorted(customers) for row in self.grants.get(customer, ())]


@dataclass(frozen=True, slots=True)
class DifferingEnrollment:
    """An enrollment that differs from the ledger, and the customers who are its student."""

    shown: Enrollment
    result: Compared
    customers: Collection[int]


@dataclass(frozen=True, slots=True)
class PageResult:
    """What a page that was requested at `asked_at` shows.

    `seen` are the customers who have the course as they should. `alone` are those of the grants
    behind it that give only this course.
    """

    asked_at: datetime
    seen: Collection[int]
    alone: Collection[int]
    differing: Sequence[DifferingEnrollment]


def compare_page(run: ComparisonRun, page: Iterable[Enrollment], asked_at: datetime) -> PageResult:
    """Compare the enrollments of a page with the ledger. Reads only."""
    shown = list(page)
    people = _people(run.integration_id, shown)
    since = scope.take_over(run.integration)
    seen: set[int] = set()
    alone: set[int] = set()
    differing = []
    for each in shown:
        customers = people.customers_of(each)
        grants = people.grants_of(customers)
        result = differences.compare(each, grants, run.integration_id, take_over=since)
        if result.is_seen and result.grant is not None:
            seen |= customers
            # The list of one course cannot show that a whole bundle is there.
            alone |= {result.grant.pk} if not result.grant.course_ids else set()
        elif result.kind is not None and each.user_id not in people.administrators:
            differing.append(DifferingEnrollment(each, result, customers))
    # Skip students with an action under way: the next comparison sees them, or they are asked about
    # alone.
    whom = {customer for each in differing for customer in each.customers}
    busy = _busy(run.integration_id, whom, asked_at)
    differing = [each for each in differing if not busy.intersection(each.customers)]
    return PageResult(asked_at, seen, alone, differing)


def write_page(run: ComparisonRun, page: PageResult) -> None:
    """Record what a page of the current course shows. Call it inside a transaction."""
    number, _ = run.course
    _of(run, page.seen, number).delete()
    owed = Grant.objects.owed().filter(pk__in=page.alone, opened_at__lt=page.asked_at)
    owed.update(seen_at=page.asked_at)
    for each in page.differing:
        if each.result.holds:
            _note(run, each)
    new = [_finding(run, each) for each in page.differing if not each.result.holds]
    ComparisonFinding.objects.bulk_create(new, ignore_conflicts=True)


def _people(site: int, shown: Sequence[Enrollment]) -> People:
    known = ThinkificUser.objects.filter(
        integration=site, user_id__in={each.user_id for each in shown}
    )
    by_user: dict[int, set[int]] = {}
    administrators = set()
    for user in known:
        by_user.setdefault(user.user_id, set()).add(user.customer_id)
        if user.administrator:
            administrators.add(user.user_id)
    emails = Customer.objects.filter(email__in={each.email for each in shown} - {""})
    people = People(by_user, dict(emails.values_list("email", "pk")), administrators)
    whom = {*people.by_email.values()}.union(*by_user.values())
    for row in Grant.objects.filter(integration=site, customer__in=whom):
        people.grants.setdefault(row.customer_id, []).append(row)
    return people


def _of(run: ComparisonRun, customers: Collection[int], course: int) -> QuerySet[ComparisonFinding]:
    """Return the findings about these customers to whom the ledger gives the course."""
    kinds = [Kind.UNSEEN, Kind.MISSING, Kind.ENDS]
    return run.findings.filter(course_id=course, customer__in=customers, kind__in=kinds)


def _as_shown(differs: DifferingEnrollment) -> dict[str, Any]:
    """Return the columns of a finding that say what Thinkific shows."""
    shown = differs.shown
    return {
        "kind": differs.result.kind,
        "user_id": shown.user_id,
        "email": shown.email,
        "shows": differences.SHOWS[shown.access],
        "since": shown.since,
        "until": shown.until,
    }


def _note(run: ComparisonRun, differs: DifferingEnrollment) -> None:
    """Update the finding of a listed student for whom Thinkific shows something else."""
    listed = _of(run, differs.customers, differs.shown.course_id).filter(kind=Kind.UNSEEN)
    listed.update(**_as_shown(differs), found_at=Now())


def _finding(run: ComparisonRun, differs: DifferingEnrollment) -> ComparisonFinding:
    """Return a finding about a student to whom the ledger does not give the course."""
    number, name = run.course
    grant = differs.result.grant
    return ComparisonFinding(
        comparison=run,
        course_id=number,
        name=name,
        customer_id=grant.customer_id if grant else min(differs.customers, default=None),
        grant=grant,
        **_as_shown(differs),
    )


def _busy(site: int, customers: Collection[int], asked_at: datetime) -> set[int]:
    """Return the customers whose actions at the site are unfinished or ended since `asked_at`."""
    if not customers:
        return set()
    open_ones = Q(status__in=UNFINISHED) | Q(finished_at__gte=asked_at)
    runs = RuleRun.objects.filter(open_ones, integration=site, customer__in=customers)
    runs = runs.exclude(status=RuleRun.Status.WAITING, code=DELAYED)
    return {customer for customer in runs.values_list("customer", flat=True) if customer}


# Asking


def next_to_ask(run: ComparisonRun) -> ComparisonFinding | None:
    """Return the finding of the next student who was not seen, or None. Reads only."""
    unseen = run.findings.filter(kind=Kind.UNSEEN)
    return unseen.select_related("customer", "grant").order_by("pk").first()


def is_settled(run: ComparisonRun, finding: ComparisonFinding) -> bool:
    """Whether the unseen grant is no longer due, or was seen since the comparison began."""
    grant = finding.grant
    return (
        grant is None
        or not grant.is_active
        or (grant.seen_at is not None and grant.seen_at >= run.started_at)
    )


def answer(finding: ComparisonFinding, student: Student) -> None:
    """Record what Thinkific said about the student."""
    kind, shows = differences.compare_asked(student)
    if kind is None or student.administrator:
        finding.delete()
        return
    finding.kind, finding.shows, finding.user_id = kind, shows, student.user_id
    finding.found_at = timezone.now()
    if student.enrollment is not None:
        finding.since, finding.until = student.enrollment.since, student.enrollment.until
    finding.save(update_fields=["kind", "shows", "user_id", "since", "until", "found_at"])
