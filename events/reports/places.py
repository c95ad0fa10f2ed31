"""What one customer's runs touch: each course and bundle, with what happened to it in order."""

from collections.abc import Iterable
from dataclasses import dataclass

from events.models import RuleRun
from integrations.models import Destination

Status = RuleRun.Status


@dataclass(frozen=True, slots=True)
class Place:
    """A course or bundle on a site, with the runs that touch it, oldest first."""

    name: str
    integration: int | None
    target: str
    runs: tuple[RuleRun, ...]
    # The numbers of those whose access went with an account that was deleted in Thinkific.
    gone: frozenset[int] = frozenset()

    @property
    def newest(self) -> RuleRun:
        return self.runs[-1]

    @property
    def has(self) -> bool:
        """Whether what last really happened gave access, which the account still has."""
        settled = self.settled
        return settled is not None and settled.spec.gives_access and not self.lost

    @property
    def lost(self) -> bool:
        """Whether what was given went with an account that was deleted in Thinkific."""
        return self.settled is not None and self.settled.pk in self.gone

    @property
    def given(self) -> list[RuleRun]:
        """What really gave access, one after the other."""
        done = [run for run in self.runs if run.status == Status.DONE]
        return [run for run in done if run.spec.gives_access]

    @property
    def settled(self) -> RuleRun | None:
        """What last really happened."""
        return next((run for run in reversed(self.runs) if run.status == Status.DONE), None)

    @property
    def open(self) -> RuleRun | None:
        """The newest one that is not over, or failed, after what really happened."""
        undecided = {Status.WAITING, Status.RUNNING, Status.FAILED, Status.HELD}
        for run in reversed(self.runs):
            if run.status == Status.DONE:
                return None
            if run.status in undecided:
                return run
        return None


def by_place(runs: list[RuleRun], gone: frozenset[int]) -> list[Place]:
    """One for each course and bundle; ending a bundle ends its courses too.

    `gone` are the numbers of runs whose access went with an account that was deleted.
    """
    runs = [run for run in runs if run.target]  # the others change no access
    inside = _courses_of_bundles(runs)
    keys = {(run.integration_id, run.target): _name(run, of=runs) for run in runs}
    places = []
    for (site, target), name in keys.items():
        touching = [
            run
            for run in runs
            if run.integration_id == site
            and (run.target == target or target in inside.get((site, run.target), ()))
        ]
        places.append(Place(name, site, target, tuple(touching), gone))
    return sorted(places, key=lambda place: (place.newest.received_at, place.newest.pk))[::-1]


def _name(run: RuleRun, *, of: list[RuleRun]) -> str:
    """The site is named only where there are several."""
    if len({each.site for each in of}) == 1:
        return run.destination_name
    return f"{run.destination_name} on {run.integration or run.site}"


def _courses_of_bundles(runs: Iterable[RuleRun]) -> dict[tuple[int | None, str], set[str]]:
    bundles = {
        run.destination_id
        for run in runs
        if run.destination_id is not None and run.target.startswith("bundle:")
    }
    if not bundles:
        return {}
    rows = Destination.objects.filter(kind=Destination.Kind.BUNDLE, external_id__in=bundles)
    return {
        (row.integration_id, f"bundle:{row.external_id}"): {f"course:{n}" for n in row.course_ids}
        for row in rows
    }
