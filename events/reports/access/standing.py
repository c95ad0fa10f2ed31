"""The state of each course and bundle for a student, read from the grants and their actions.

`standings(customer)[0]` has, for example, `name`, `is_open`, `given` and `pending`.
A bundle of which a course has ended is told without it, or by its courses. What a person changed
in Thinkific itself is not seen here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from events.access import ledger, revocations, students
from events.access.sale import Sale
from events.models import EventLog, Grant, RuleRun
from events.models.runs import UNFINISHED
from events.reports.access import bundle_parts
from integrations.models import Customer, ThinkificUser
from integrations.sentences import say
from rules.actions.endings import NOT_THERE, STILL_GIVEN

Status, Source = RuleRun.Status, Grant.Source
UNDECIDED = (*UNFINISHED, Status.FAILED, Status.HELD)
# The codes of actions that ended access, or found it ended.
CLOSED = {"ended", "had_ended"}
# At most this many rows are read, the newest; nobody has that many.
MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """A course or bundle of one student on a site, with the grants and actions that concern it.

    `grants` gave it, give it or are marks that it ended; `runs` are the student's, oldest first.
    `lost` are the IDs of grants whose access is gone with a deleted account. `unpaid` has, by ID,
    the refund or cancellation of grants that are still active or that a person ended by hand after
    it. `instead_of` is the newest grant of another course that its purchases were to give first,
    and which was never there.
    """

    customer: Customer
    name: str
    integration: int | None
    site: str
    target: str
    grants: tuple[Grant, ...]
    runs: tuple[RuleRun, ...]
    lost: Collection[int]
    unpaid: Mapping[int, EventLog]
    instead_of: Grant | None = None

    @property
    def gave_nothing(self) -> bool:
        """Whether no purchase gave it, so that its actions had nothing to end."""
        only_marks = not any(row.is_active or row.opened_at for row in self.grants)
        codes = {run.code for run in self.runs}
        return only_marks and codes == {ledger.Judgment.GAVE_NOTHING}

    @property
    def given(self) -> list[Grant]:
        """The grants that give it now, oldest first."""
        found = bundle_parts.given(self.grants, self.integration, self.target)
        return sorted(found, key=lambda row: row.opened_at or row.decided_at)

    @property
    def seen(self) -> list[Grant]:
        """Those of `given` that were seen in Thinkific on the student's present account."""
        return [row for row in self.given if row.seen_at and row.pk not in self.lost]

    @property
    def held(self) -> list[Grant]:
        """The grants that give it now, if it is open in Thinkific: seen, or never closed."""
        return self.seen or (self.given if self.is_open else [])

    @property
    def not_ended(self) -> EventLog | None:
        """The refund or cancellation of what gives it, if nothing else gives it."""
        held = self.held
        unpaid = [self.unpaid[row.pk] for row in held if row.pk in self.unpaid]
        return unpaid[-1] if unpaid and len(unpaid) == len(held) else None

    @property
    def ended(self) -> Grant | None:
        """The grant that ended last; a mark only if nothing was ever given."""
        over = [row for row in self.grants if row.ended_at]
        return max(over, key=lambda row: (bool(row.opened_at), row.ended_at), default=None)

    def never_gave(self, row: Grant) -> bool:
        """Whether this grant, which ended, gave nothing: its actions came too late, or failed.

        What an action gave or ended without an answer from Thinkific was there, if only briefly.
        """
        giving = [run for run in self.runs if run.grant_id == row.pk and run.spec.gives_access]
        if row.opened_at is None:  # a mark: the ending was received before the purchase
            return any(run.code == ledger.Judgment.BARRED for run in giving)
        # What was moved here may have been given to another customer.
        moved = any(run.event.by_hand == EventLog.ByHand.MOVE_HERE for run in giving)
        if row.seen_at or moved or any(run.status == Status.DONE for run in giving):
            return False
        since = [run for run in self.runs if run.received_at >= row.opened_at]
        ended = {run.code for run in since if run.spec.ends_access}
        too_late = all(run.status == Status.SKIPPED for run in giving)
        return bool(giving) and "ended" not in ended and (too_late or bool(ended & NOT_THERE))

    @property
    def closed_at(self) -> datetime | None:
        """When an action closed it in Thinkific last; None if none did."""
        done = [run.finished_at for run in self.runs if run.code == "ended" and run.finished_at]
        return max(done, default=None)

    @property
    def waiving_run(self) -> RuleRun | None:
        """The action that ended it last, if the grant was waived and so does not say when."""
        over = self.ended.ended_at if self.ended else None
        ended = [(run.finished_at, run) for run in self.runs if run.code in CLOSED]
        done = [(at, run) for at, run in ended if at and (not over or at > over)]
        last = max(done, key=lambda each: each[0], default=None)
        return last[1] if last and is_waived(last[1]) else None

    @property
    def is_open(self) -> bool:
        """Whether the student can open it in Thinkific, as far as Admit knows."""
        row = self.ended
        if self.seen or row is None or row.seen_at is None or row.pk in self.lost:
            return bool(self.seen)
        # It was closed before it ended in the ledger if its rule had changed.
        return not any(
            run.finished_at >= (row.seen_at if run.grant_id == row.pk else row.ended_at)
            for run in self.runs
            if run.status == Status.DONE and run.finished_at and row.ended_at
            if run.spec.ends_access and run.code != STILL_GIVEN
        )

    @property
    def pending(self) -> list[RuleRun]:
        """Endings that wait for their day or for a person, if there is something to end."""
        waiting = [run for run in self.runs if run.is_pending]
        return [run for run in waiting if self.given or run.grant_id is None]

    @property
    def undecided(self) -> RuleRun | None:
        """The newest unfinished, failed or held action that would still change something."""
        owed = set() if self.seen else {row.pk for row in self.given}
        # If another purchase gives it, an ending for these grants would change nothing.
        ended = {row.pk for row in self.grants if row.ended_at} if self.seen else set()
        over = False
        for run in reversed(self.runs):
            over = over or run.status == Status.DONE
            settled = run.spec.ends_access and run.grant_id in ended
            if run.is_pending:
                continue
            if run.status in UNDECIDED and not settled and (not over or run.grant_id in owed):
                return run
        return None


def standings(customer: Customer) -> list[Standing]:
    """Return each course and bundle that the customer got, lost or waits for, newest first."""
    every, runs = _grants(customer), _runs(customer)
    replaced = _replaced(every, runs)
    grants = [row for row in every if row.pk not in replaced]
    newest = _newest(grants, runs)
    several = len({_site(each) for each in newest}) > 1
    asked = Grant.objects.filter(pk__in=[row.pk for row in grants])
    lost, unpaid = set(asked.lost().values_list("pk", flat=True)), taken_back(grants)
    found = []
    for last in newest:
        site, target = last.integration_id, last.target
        about = [row for row in grants if row.integration_id == site and target in row.parts]
        mine = {row.pk for row in about}
        before = [row for row in every if replaced.get(row.pk) in mine]
        standing = Standing(
            customer,
            name=_name(last, about, with_site=several),
            integration=site,
            site=_site(last),
            target=target,
            grants=tuple(about),
            runs=tuple(run for run in runs if run.grant_id in mine or _place(run) == _place(last)),
            lost=lost,
            unpaid=unpaid,
            instead_of=max(before, key=lambda row: row.pk, default=None),
        )
        found.append(standing)
    return found


def _grants(customer: Customer) -> list[Grant]:
    """Return the customer's grants, and those of the same Thinkific user's other addresses."""
    rows = Grant.objects.select_related("integration", "customer", "event")
    own = list(rows.filter(customer=customer).order_by("-decided_at", "-pk")[:MAX_ROWS])
    sites = ThinkificUser.objects.filter(customer=customer).values_list("integration", flat=True)
    seen = rows.active().filter(seen_at__isnull=False)
    for (site, who), same in students.same_users((each, customer.pk) for each in sites).items():
        own += seen.filter(integration=site, customer__in=same - {who})[:MAX_ROWS]
    return own


def _runs(customer: Customer) -> list[RuleRun]:
    runs = RuleRun.objects.filter(customer=customer).exclude(target="")
    runs = runs.select_related("event", "event__product", "integration")
    return list(runs.order_by("-received_at", "-pk")[:MAX_ROWS])[::-1]


def _replaced(grants: Sequence[Grant], runs: Sequence[RuleRun]) -> dict[int, int]:
    """Return {grant ID: ID of the grant in its place} where the action gives something else now.

    What such a grant was to give was never there, so it needs no sentence of its own.
    """
    acted = {run.grant_id for run in runs}
    targets = {(run.integration_id, run.target) for run in runs}
    found = {}
    for row in grants:
        waived = row.state == Grant.State.WAIVED and row.seen_at is None
        if not waived or row.pk in acted or (row.integration_id, row.target) in targets:
            continue
        same = [
            other.pk
            for other in grants
            if other.pk > row.pk and other.pk in acted and Sale.of(other).is_same(Sale.of(row))
        ]
        if same and Sale.of(row).is_named:
            found[row.pk] = max(same)
    return found


def _newest(grants: Sequence[Grant], runs: Sequence[RuleRun]) -> list[Grant | RuleRun]:
    """Return the last grant or action of each course and bundle, newest first."""
    things: list[Grant | RuleRun] = [*grants, *runs]
    found = {_place(each): each for each in sorted(things, key=_moment)}
    for bundle in bundle_parts.in_part(grants):
        found.pop(_place(bundle), None)
        for part in bundle_parts.told_of(bundle, grants, found.keys()):
            found.setdefault(_place(part), part)
    return sorted(found.values(), key=_moment, reverse=True)


def _moment(thing: Grant | RuleRun) -> datetime:
    return thing.decided_at if isinstance(thing, Grant) else thing.received_at


def _site(thing: Grant | RuleRun) -> str:
    return thing.site if isinstance(thing, RuleRun) else thing.integration.site


def _name(last: Grant | RuleRun, about: Sequence[Grant], *, with_site: bool) -> str:
    """Return the name of a course or bundle: its grants follow a new name, and actions do not."""
    if isinstance(last, Grant):
        name = last.name
    else:
        same = (row.name for row in about if row.target == last.target)
        name = next(same, last.destination_name)
    if not with_site:
        return name
    return say("{course} on {site}", course=name, site=last.integration or _site(last))


def _place(thing: Grant | RuleRun) -> tuple[int | None, str]:
    return thing.integration_id, thing.target


def is_waived(run: RuleRun) -> bool:
    """Whether the action ended access whose grant a person waived."""
    return bool(run.spec.ends_access and run.grant and run.grant.state == Grant.State.WAIVED)


def taken_back(grants: Sequence[Grant]) -> dict[int, EventLog]:
    """Return {grant ID: its refund or cancellation} for grants not paid for again since.

    Only for those that are active, and those that a person ended by hand after it.
    """
    asked = [row for row in grants if row.is_active or row.because == ledger.BY_HAND]
    found = revocations.of_grants(
        asked, lambda row, event: (event.received_at > row.decided_at) == row.is_active
    )
    return {pk: endings[-1] for pk, endings in found.items()}
