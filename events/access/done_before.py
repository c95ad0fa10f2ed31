"""What the actions from before the ledger left in Thinkific."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from events.access import ledger, students
from events.models import EventLog, Grant, RuleRun
from integrations.models import Destination
from integrations.targets import course_target

FIELDS = (
    "pk",
    "event_id",
    "customer_id",
    "integration_id",
    "grant_id",
    "action",
    "destination_id",
    "target",
    "status",
    "received_at",
    "finished_at",
)


@dataclass(frozen=True, slots=True)
class _Done:
    """An action that was carried out, and when."""

    run: RuleRun
    at: datetime

    @property
    def gives(self) -> bool:
        return self.run.spec.gives_access


class DoneBefore:
    """All actions done for the Thinkific users behind the students of these grants.

    `deciding` is {action's pk: grant} for actions whose grant is not written yet.
    """

    def __init__(self, grants: Sequence[Grant], deciding: Mapping[int, Grant]) -> None:
        self._same = students.same_users((row.integration_id, row.customer_id) for row in grants)
        self._deciding = deciding
        self._last_done: dict[tuple[int, int, str], _Done] = {}
        customers = set().union(*self._same.values()) if self._same else set()
        # Do not filter by status: SQLite would walk through every action ever done.
        found = RuleRun.objects.filter(customer__in=customers).exclude(target="").only(*FIELDS)
        done = [
            _Done(run, run.finished_at)
            for run in found
            if run.status == RuleRun.Status.DONE and run.finished_at is not None
        ]
        bundles = _bundles([each.run for each in done])
        for each in done:
            courses = bundles.get((each.run.integration_id, each.run.target), ())
            for course in _courses(each.run.target, courses):
                self._note(course, each)

    def _note(self, course: str, done: _Done) -> None:
        key = done.run.integration_id or 0, done.run.customer_id or 0, course
        before = self._last_done.get(key)
        if before is None or before.at <= done.at:
            self._last_done[key] = done

    def held_since(self, row: Grant) -> datetime | None:
        """Return since when Thinkific holds the whole grant; None if part was ended or missing."""
        last = self._last(row)
        if not all(done is not None and done.gives for done in last):
            return None
        return min(done.at for done in last if done is not None)

    def reopen(self, row: Grant, ended_at: datetime | None) -> None:
        """Reopen a grant that ended, if a person gave it again after `ended_at`."""
        mine = [
            done
            for done in self._last(row)
            if done
            and done.gives
            and ended_at
            and done.at > ended_at
            and self._is_of(row, done.run)
        ]
        if row.state != Grant.State.ENDED or not mine:
            return
        last = max(mine, key=lambda done: done.at)
        event = EventLog.objects.get(pk=last.run.event_id)
        change = ledger.Change(
            row.integration_id, row.target, row.parts, ledger.BY_HAND, last.at, event
        )
        ledger.open_it(row, change)
        row.seen_at = self.held_since(row)

    def _is_of(self, row: Grant, run: RuleRun) -> bool:
        """Whether the action gave this grant for an event no later than the one that ended it."""
        grant = self._deciding.get(run.pk)
        same = grant is row if grant else row.pk is not None and run.grant_id == row.pk
        return same and run.received_at <= row.decided_at

    def _last(self, row: Grant) -> list[_Done | None]:
        """Return, for each course of the grant, the last action carried out."""
        customers = self._same[row.integration_id, row.customer_id]
        return [
            self._newest((row.integration_id, who, course) for who in customers)
            for course in _courses(row.target, row.course_ids)
        ]

    def _newest(self, keys: Iterable[tuple[int, int, str]]) -> _Done | None:
        found = [self._last_done[key] for key in keys if key in self._last_done]
        return max(found, key=lambda done: done.at, default=None)


def _courses(target: str, courses: Sequence[int]) -> frozenset[str]:
    """Return a bundle's courses; the target itself if they are unknown or it is a course."""
    return frozenset(course_target(number) for number in courses) or frozenset([target])


def _bundles(runs: Sequence[RuleRun]) -> dict[tuple[int | None, str], Sequence[int]]:
    """Return {(site, "bundle:7"): courses} for the bundles of these actions."""
    of_bundles = [run for run in runs if run.spec.target == Destination.Kind.BUNDLE]
    numbers = {run.destination_id or 0 for run in of_bundles}
    if not numbers:
        return {}
    rows = Destination.objects.filter(kind=Destination.Kind.BUNDLE, external_id__in=numbers)
    return {(row.integration_id, row.target): row.course_ids for row in rows}
