"""Compare a site with the ledger: a long read that gives way to buyers and survives a crash.

Each step asks Thinkific at most one question and makes one short transaction. Whoever takes the
lease continues where the comparison's row says.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Collection
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.access import history
from events.comparison import rows, scope
from events.comparison.differences import Kind
from events.comparison.lease import Lease, LeaseLost, claim
from events.models import ComparisonFinding, ComparisonRun
from integrations import audit
from integrations.audit import Act
from integrations.errors import Refused
from integrations.models import Integration
from integrations.sentences import say
from integrations.thinkific import enrollment_list
from integrations.thinkific.explain import FAULTS

log = logging.getLogger(__name__)
Phase = ComparisonRun.Phase
# A longer list is taken for one that never ends.
MAX_PAGES = 4000
# A stopped comparison that was begun longer ago than this starts over.
STALE = timedelta(days=1)
# Seconds between checks of whether the older history is read: until then its access has no grants.
HISTORY_SECONDS = 30.0
TURNED_OFF = _("The integration is turned off. Turn it on, then continue.")
OURS = _("Admit itself failed, not Thinkific. Call your technician.")


def start(site: Integration, *, by: str) -> ComparisonRun:
    """Start to compare the site, or resume its unfinished comparison.

    Nothing is read from Thinkific yet.
    """
    with transaction.atomic():
        stopped = ComparisonRun.objects.filter(integration=site, finished_at=None, next_at=None)
        stopped.filter(started_at__lt=Now() - STALE).delete()
        stopped.update(next_at=Now(), failures=0, message="")
    courses = [[number, name] for number, name in scope.courses_of_rules(site).items()]
    begun = {"started_by": by, "courses": courses, "next_at": Now()}
    found, _made = ComparisonRun.objects.get_or_create(
        integration=site, finished_at=None, defaults=begun
    )
    audit.record(Act.COMPARED, site)
    return found


def due() -> QuerySet[ComparisonRun]:
    """Return the comparisons that are due to continue."""
    return ComparisonRun.objects.due()


def go_on(
    *,
    until: float = float("inf"),
    only: Collection[int] | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> int:
    """Continue the comparisons that are due, or `only` these. Return the number of steps made.

    Stops at `until` (monotonic seconds), or as soon as `enough` returns True.
    """
    steps = 0

    def is_time() -> bool:
        return time.monotonic() >= until or enough()

    while not is_time():
        chosen = ComparisonRun.objects.due()
        lease = claim(chosen if only is None else chosen.filter(pk__in=only))
        if lease is None:
            break
        try:
            while not (lease.is_over or is_time()):
                _step(lease)
                steps += 1
        except LeaseLost:
            log.warning("comparison_lost", extra={"comparison": lease.run.pk})
        else:
            if not lease.is_over:
                lease.release()
    return steps


def _step(lease: Lease) -> None:
    """Make one step. Raises LeaseLost, and OperationalError or InterfaceError from the database."""
    try:
        _go_one_step(lease)
    except FAULTS as error:
        lease.put_off(error)
    except (LeaseLost, OperationalError, InterfaceError):
        raise
    except Exception as error:
        # A database error may quote a row, so it is not logged.
        told = None if isinstance(error, DatabaseError) else error
        log.error("comparison_broke", extra={"comparison": lease.run.pk}, exc_info=told)
        lease.stop(say(OURS))


def _go_one_step(lease: Lease) -> None:
    run = lease.run
    if not run.integration.enabled:
        lease.stop(say(TURNED_OFF))
    elif (unread := history.unread()) is not None:
        lease.wait(history.sentence(unread), HISTORY_SECONDS)
    elif run.phase == Phase.LISTING:
        _list(lease)
    elif run.position < len(run.courses):
        _read_page(lease)
    else:
        finding = rows.next_to_ask(run)
        if finding is None:
            _finish(lease)
        else:
            _ask(lease, finding)


def _list(lease: Lease) -> None:
    listed = scope.list_some(lease.run)
    with lease.writing() as run:
        if listed is None:
            run.phase = Phase.READING
        else:
            scope.write_listed(run, listed)


def _read_page(lease: Lease) -> None:
    number, name = lease.run.course
    asked_at = timezone.now()
    steps = enrollment_list.page(number, lease.run.page, asked_at)
    try:
        page = lease.session().carry_out(steps)
    except Refused as error:
        with lease.writing() as run:
            run.left_out = [*run.left_out, [name, error.message]]
            run.findings.filter(course_id=number, kind=Kind.UNSEEN).delete()
            _next_course(run)
        return
    digest = hashlib.sha256(repr(page.ids).encode()).hexdigest()
    came_before = digest == lease.run.page_digest
    result = rows.compare_page(lease.run, page.enrollments, asked_at)
    with lease.writing() as run:
        if not came_before:
            rows.write_page(run, result)
            run.enrollments += len(page.enrollments)
        if page.following is None or came_before or page.following > MAX_PAGES:
            _next_course(run)
        else:
            run.page, run.page_digest = page.following, digest


def _next_course(run: ComparisonRun) -> None:
    run.position, run.page, run.page_digest = run.position + 1, 1, ""
    if run.position == len(run.courses):
        run.phase = Phase.ASKING


def _ask(lease: Lease, finding: ComparisonFinding) -> None:
    """Ask about one student who was not seen: a list may miss somebody, or change meanwhile."""
    assert finding.customer is not None
    if rows.is_settled(lease.run, finding):
        with lease.writing():
            finding.delete()
        return
    session = lease.session(finding.customer)
    steps = enrollment_list.of_student(session.attempt, finding.course_id)
    try:
        student = session.carry_out(steps)
    except Refused as error:
        with lease.writing() as run:
            run.left_out = [
                *run.left_out,
                [f"{finding.student}, {finding.name}", error.message],
            ]
            finding.delete()
        return
    with lease.writing():
        rows.answer(finding, student)


def _finish(lease: Lease) -> None:
    with lease.writing() as run:
        run.phase, run.finished_at = Phase.DONE, timezone.now()
        finished = ComparisonRun.objects.exclude(finished_at=None)
        finished.filter(integration=run.integration, pk__lt=run.pk).delete()
    lease.is_over = True
    log.info("compared", extra={"integration": lease.run.integration_id})
