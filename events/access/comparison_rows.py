"""What was read of a site and what it comes to, as rows, inside the caller's transaction."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from events.access import comparison, comparison_scope
from events.access.comparison import Compared, Kind
from events.models import ComparisonFinding, ComparisonRun, Grant, RuleRun
from events.models.runs import DELAYED, UNFINISHED
from integrations.models import Customer, ThinkificUser
from integrations.thinkific.enrollment_list import Enrollment, Student


@dataclass(slots=True)
class People:
    """Who the students of a page are here: customers by Thinkific user and by e-mail."""

    by_user: dict[int, set[int]]
    by_email: dict[str, int]
    administrators: set[int]
    grants: dict[int, list[Grant]] = field(default_factory=dict)

    def customers_of(self, shown: Enrollment) -> set[int]:
        mine = {self.by_email[shown.email]} if shown.email in self.by_email else set()
        return mine | self.by_user.get(shown.user_id, set())

    def grants_of(self, customers: Iterable[int]) -> list[Grant]:
        return [row for customer in sorted(customers) for row in self.grants.get(customer, ())]


def compare_page(run: ComparisonRun, page: Iterable[Enrollment], *, asked_at: datetime) -> None:
    """Note what the enrollments of a page, asked for at this time, come to."""
    shown = list(page)
    people = _people(run.integration_id, shown)
    since = comparison_scope.take_over(run.integration)
    compared = [
        (each, comparison.compare(each, grants, run.integration_id, take_over=since))
        for each in shown
        for grants in [people.grants_of(people.customers_of(each))]
    ]
    seen = [(each, result) for each, result in compared if result.is_seen]
    _see(run, seen, people, asked_at)
    differing = [(each, result) for each, result in compared if result.kind is not None]
    # What an action changes meanwhile is for the next comparison, or is asked for alone.
    busy = _busy(
        run.integration_id,
        {customer for each, _ in differing for customer in people.customers_of(each)},
        asked_at,
    )
    new = []
    for each, result in differing:
        customers = people.customers_of(each)
        if customers & busy or each.user_id in people.administrators:
            continue
        if result.holds:
            _differs(run, each, result, customers)
        else:
            new.append(_finding(run, each, result, customers))
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


def _see(
    run: ComparisonRun,
    seen: Sequence[tuple[Enrollment, Compared]],
    people: People,
    asked_at: datetime,
) -> None:
    """Those who have what the ledger gives are no finding, and their grants are seen."""
    customers = {customer for each, _ in seen for customer in people.customers_of(each)}
    _of(run, customers, {each.course_id for each, _ in seen}).delete()
    # A bundle is seen only as a whole, which no list of one course shows.
    alone = [
        result.grant.pk
        for each, result in seen
        if result.grant is not None and result.grant.target == f"course:{each.course_id}"
    ]
    owed = Grant.objects.owed().filter(pk__in=alone, opened_at__lt=asked_at)
    owed.update(seen_at=asked_at)


def _of(
    run: ComparisonRun, customers: Collection[int], courses: Collection[int]
) -> QuerySet[ComparisonFinding]:
    """The findings of these customers that the ledger gives these courses."""
    return run.findings.filter(
        course_id__in=courses,
        customer__in=customers,
        kind__in=[Kind.UNSEEN, Kind.MISSING, Kind.ENDS],
    )


def _differs(
    run: ComparisonRun, shown: Enrollment, result: Compared, customers: Collection[int]
) -> None:
    """The student was listed, and Thinkific shows something else."""
    assert result.kind is not None
    unseen = _of(run, customers, [shown.course_id]).filter(kind=Kind.UNSEEN)
    unseen.update(
        kind=result.kind,
        user_id=shown.user_id,
        email=shown.email,
        shows=comparison.SHOWS[shown.access],
        since=shown.since,
        until=shown.until,
        found_at=Now(),
    )


def _finding(
    run: ComparisonRun, shown: Enrollment, result: Compared, customers: Collection[int]
) -> ComparisonFinding:
    """A finding of a student to whom the ledger gives nothing."""
    assert result.kind is not None
    return ComparisonFinding(
        comparison=run,
        kind=result.kind,
        course_id=shown.course_id,
        name=run.course[1],
        customer_id=result.grant.customer_id if result.grant else min(customers, default=None),
        grant=result.grant,
        user_id=shown.user_id,
        email=shown.email,
        shows=comparison.SHOWS[shown.access],
        since=shown.since,
        until=shown.until,
    )


def _busy(site: int, customers: Collection[int], asked_at: datetime) -> set[int]:
    """Those for whom an action at the site is not done, or was not yet when the page was read."""
    if not customers:
        return set()
    open_ones = Q(status__in=UNFINISHED) | Q(finished_at__gte=asked_at)
    runs = RuleRun.objects.filter(open_ones, integration=site, customer__in=customers)
    runs = runs.exclude(status=RuleRun.Status.WAITING, code=DELAYED)
    return {customer for customer in runs.values_list("customer", flat=True) if customer}


# Asking


def next_to_ask(run: ComparisonRun) -> ComparisonFinding | None:
    """The next student who was not seen, None when there is no more. Reads only."""
    unseen = run.findings.filter(kind=Kind.UNSEEN)
    return unseen.select_related("customer", "grant").order_by("pk").first()


def is_settled(run: ComparisonRun, finding: ComparisonFinding) -> bool:
    """Whether what was not seen is no longer due, or was seen since by an action."""
    grant = finding.grant
    return (
        grant is None
        or not grant.is_active
        or (grant.seen_at is not None and grant.seen_at >= run.started_at)
    )


def answer(finding: ComparisonFinding, student: Student) -> None:
    """Note what the student comes to."""
    kind, shows = comparison.compare_asked(student)
    if kind is None or student.administrator:
        finding.delete()
        return
    finding.kind, finding.shows, finding.user_id = kind, shows, student.user_id
    finding.found_at = timezone.now()
    if student.enrollment is not None:
        finding.since, finding.until = student.enrollment.since, student.enrollment.until
    finding.save(update_fields=["kind", "shows", "user_id", "since", "until", "found_at"])
