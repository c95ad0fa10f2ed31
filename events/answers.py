"""Can she get in, and if not, why: the first line of a customer's page.

Worked out from what Admit did, in the order in which SamCart's events were received: the last
one decides. What somebody changed by hand in Thinkific is only known by asking there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from events import dealing, waiting
from events.models import EventLog, RuleRun
from integrations.models import Customer, Destination, Learner
from rules.models import Action
from rules.triggers import Trigger

Status = RuleRun.Status
GOOD, WAIT, BAD, QUIET = "good", "wait", "bad", "quiet"
ORDER = (BAD, WAIT, GOOD, QUIET)
# The newest of them decide; nobody has so many.
MOST = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence; `kind` is good, wait, bad or quiet. At most one of the numbers leads on."""

    kind: str
    text: str
    run: int | None = None
    product: int | None = None
    integration: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say to whoever asks, and what to write to the customer."""

    lines: tuple[Line, ...]
    reply: str


def answer(customer: Customer) -> Answer:
    """The sentences about this customer, the gravest first."""
    found = RuleRun.objects.filter(customer=customer).order_by("-received_at", "-pk")
    runs = list(found.select_related("event", "event__product", "integration")[:MOST])[::-1]
    name = customer.first_name.strip()[:60] or "The customer"
    places = _by_place(runs)
    said = [(_about(name, place), place) for place in places]
    lines = [line for line, _ in said]
    lines += _gave_nothing(customer)
    lines += _administrators(customer)
    lines.sort(key=lambda line: ORDER.index(line.kind))
    if not lines:
        lines = [Line(QUIET, _nothing(name, customer))]
    return Answer(tuple(lines), _reply(customer, said))


@dataclass(frozen=True, slots=True)
class _Place:
    """A course or bundle on a site, with the runs that touch it, oldest first."""

    name: str
    runs: tuple[RuleRun, ...]

    @property
    def newest(self) -> RuleRun:
        return self.runs[-1]

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


def _by_place(runs: list[RuleRun]) -> list[_Place]:
    """One for each course and bundle; ending a bundle ends its courses too."""
    inside = _courses_of_bundles(runs)
    keys = {(run.integration_id, run.target): run.destination_name for run in runs}
    places = []
    for (site, target), name in keys.items():
        touching = [
            run
            for run in runs
            if run.integration_id == site
            and (run.target == target or target in inside.get((site, run.target), ()))
        ]
        places.append(_Place(name, tuple(touching)))
    return sorted(places, key=lambda place: (place.newest.received_at, place.newest.pk))[::-1]


def _courses_of_bundles(runs: Iterable[RuleRun]) -> dict[tuple[int | None, str], set[str]]:
    bundles = {run.destination_id for run in runs if run.target.startswith("bundle:")}
    if not bundles:
        return {}
    rows = Destination.objects.filter(kind=Destination.Kind.BUNDLE, external_id__in=bundles)
    return {
        (row.integration_id, f"bundle:{row.external_id}"): {f"course:{n}" for n in row.course_ids}
        for row in rows
    }


def _about(name: str, place: _Place) -> Line:
    settled, undecided = place.settled, place.open
    has = settled is not None and Action(settled.action).gives_access
    if undecided is not None:
        return _undecided(name, place, undecided, has=has)
    if settled is None:
        return Line(QUIET, f"{name}: {place.name} was not given. {place.newest.message}")
    if has:
        return Line(
            GOOD,
            f"{name} has {place.name} since {_when(settled)}{_order(settled)}. If it does not "
            "open, it is the sign-in: on Thinkific's sign-in page press Forgot password?",
        )
    return Line(
        QUIET,
        f"{name} has no access to {place.name}: {_cause(settled)} ended it.",
        run=settled.pk,
    )


def _undecided(name: str, place: _Place, run: RuleRun, *, has: bool) -> Line:
    gives = Action(run.action).gives_access
    told = waiting.reason(run)
    kind = BAD if run.status == Status.FAILED else WAIT
    if run.status == Status.HELD:
        what = f"{place.name} is held{_order(run)}."
    elif gives and has:
        what = f"{name} has {place.name}; giving it once more {_state(run)}."
    elif gives:
        what = f"{name} does not have {place.name} yet: it {_state(run)}{_order(run)}."
    elif has:
        what = f"{name} still has {place.name}: ending it {_state(run)}{_order(run)}."
    else:
        what = f"{name} has no access to {place.name}; ending it {_state(run)}."
    return Line(kind, f"{what} {told}".strip(), run=run.pk)


def _state(run: RuleRun) -> str:
    return "failed" if run.status == Status.FAILED else "is waiting"


def _gave_nothing(customer: Customer) -> list[Line]:
    events = dealing.gave_nothing().filter(customer=customer).select_related("product")
    return [
        Line(
            WAIT,
            f"Paid for {event.product or 'something'}{_of_order(event)}, but no rule gives "
            "anything for it.",
            product=event.product_id,
        )
        for event in events.order_by("-received_at", "-pk")[:5]
    ]


def _administrators(customer: Customer) -> list[Line]:
    learners = Learner.objects.filter(customer=customer, administrator=True)
    return [
        Line(
            WAIT,
            f"This e-mail is an administrator of {learner.integration}; enrollments of "
            "administrators do not show in Thinkific. Test with another address.",
            integration=learner.integration_id,
        )
        for learner in learners.select_related("integration")
    ]


def _nothing(name: str, customer: Customer) -> str:
    if EventLog.objects.filter(customer=customer).exists():
        return f"{name} bought nothing that a rule gives access for. Look at the events below."
    days = settings.KEEP_EVENTS_DAYS
    if days and customer.created_at < timezone.now() - timedelta(days=days):
        return f"Nothing was received for {customer.email} in the last {days} days."
    return f"Nothing was received for {customer.email}."


def _when(run: RuleRun) -> str:
    moment = timezone.localtime(run.finished_at or run.received_at)
    return f"{moment.day} {moment:%b %H:%M}"


def _of_order(event: EventLog) -> str:
    return f" (order {event.order_id})" if event.order_id else ""


def _order(run: RuleRun) -> str:
    return _of_order(run.event)


def _cause(run: RuleRun) -> str:
    """ "Product Refunded of order 1183 on 3 May" """
    trigger = run.event.trigger
    what = Trigger(trigger).label if trigger else "an event"
    order = f" of order {run.event.order_id}" if run.event.order_id else ""
    day = timezone.localtime(run.received_at)
    return f"{what}{order} on {day.day} {day:%b}"


def _reply(customer: Customer, said: list[tuple[Line, _Place]]) -> str:
    """A few friendly lines to send to the customer; no word of how Admit works."""
    parts = [f"Hi {customer.first_name.strip()[:60] or 'there'},"]
    for line, place in said[:5]:
        site = place.newest.site
        if line.kind == GOOD:
            parts.append(
                f"you have access to {place.name}. Please sign in at https://{site}.thinkific.com "
                f"with {customer.email}. If you have no password yet, or forgot it, press "
                '"Forgot password?" there.'
            )
        elif line.kind == QUIET and place.settled is not None:
            parts.append(f"your access to {place.name} ended: {_cause(place.settled)}.")
        else:
            parts.append(f"we are looking after your access to {place.name}, and will write again.")
    if len(parts) == 1:
        parts.append(
            f"we found no course for {customer.email}. Could it be that you ordered with another "
            "e-mail address?"
        )
    return "\n\n".join(parts)
