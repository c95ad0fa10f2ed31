"""Who still has what a rule gave before it was changed, turned to another course or deleted."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from events.deciding import revocations
from events.execution import rerun, rule_history
from events.models import EventLog, Grant, RuleRun
from events.models.runs import RuleRunQuerySet
from events.reports import backfill
from events.reports.many import Line
from integrations.models import Customer
from integrations.sentences import say
from rules import actions
from rules.listing import listed
from rules.models import Rule

# So many accesses are looked at, the newest; the others follow when these are moved.
MOST = 500


@dataclass(frozen=True, slots=True)
class Behind:
    """A purchase with what the rule gave it and no rule gives any more, by its event.

    `gets` is what the rule gives now and the purchase has not got.
    """

    event: EventLog
    grants: Sequence[Grant]
    gets: str
    why_not: str = ""

    @property
    def line(self) -> Line:
        """As a page shows it."""
        old = listed([grant.name for grant in self.grants])
        if self.gets:
            what = say("Give {new}, end {old}", new=self.gets, old=old)
        else:
            what = say("End {old}", old=old)
        return Line(self.event, self.grants[0].customer, what, self.why_not)


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """All of a rule, the newest first; `more` than MOST are there.

    `still` are the newest actions by which somebody has what a rule gives now as well.
    """

    rule: Rule | None
    rows: Sequence[Behind]
    more: bool = False
    still: Sequence[RuleRun] = ()

    @property
    def customers(self) -> int:
        return len({grant.customer_id for row in self.rows for grant in row.grants})

    @property
    def courses(self) -> list[str]:
        """The names of what they have."""
        return [*dict.fromkeys(grant.name for row in self.rows for grant in row.grants)]


def left_behind(number: int) -> LeftBehind:
    """Those of the rule of this number, also of one that is deleted. Nothing is changed.

    A handful of queries. What a later refund ended, or another rule gives as well, is not in it.
    """
    rules = Rule.objects.select_related("product", "integration", "destination")
    rule = rules.filter(pk=number).first()
    gave = _gave(number)
    more, gave = len(gave) > MOST, gave[:MOST]
    grants = {run.grant_id: run.grant for run in gave if run.grant is not None}
    every = list(_giving().filter(grant__in=grants).select_related("event"))
    fitting = backfill.rules_now(list({run.event_id: run.event for run in every}.values()))
    due = {
        run.grant_id
        for run in every
        if any(_gives(each, run) for each in fitting.get(run.event_id, ()))
    }
    still = {run.grant_id: run for run in reversed(gave) if run.grant_id in due}
    of_event: dict[int, dict[int, Grant]] = {}
    for run in gave:
        if run.grant is not None and run.grant_id not in due:
            due.add(run.grant_id)  # a grant is told once, with the newest event that gave it
            of_event.setdefault(run.event_id, {})[run.grant.pk] = run.grant
    events = {run.event_id: run.event for run in gave if run.event_id in of_event}
    ran = {(run.event_id, run.form) for run in every}
    gets = {pk: _gets(each, rule, fitting.get(pk, ()), ran) for pk, each in events.items()}
    obstacles = rerun.obstacles(list(events.values())) if events else {}
    rows = [
        Behind(
            each,
            list(of_event[pk].values()),
            gets[pk],
            _why_not(rule, obstacles.get(pk, "") if gets[pk] else ""),
        )
        for pk, each in events.items()
    ]
    has = [run for run in reversed(still.values()) if run.grant and run.grant.seen_at]
    return LeftBehind(rule, rows, more, has)


def _giving() -> RuleRunQuerySet:
    return RuleRun.objects.filter(action__in=actions.giving_access())


def _gave(number: int) -> list[RuleRun]:
    """What the rule gave and is open, the newest first, one more than MOST."""
    still = _giving().filter(grant__state=Grant.State.ACTIVE, grant__source=Grant.Source.PURCHASE)
    still = still.select_related(
        "event", "event__customer", "event__delivery", "grant__customer"
    ).defer("event__delivery__sealed_body", "event__delivery__query")
    of_rule = list(still.filter(rule=number).order_by("-received_at", "-pk")[: MOST + 1])
    of_rule += rule_history.of_deleted(number, still)
    return sorted(of_rule, key=lambda run: (run.received_at, run.pk), reverse=True)


def _gives(rule: Rule, run: RuleRun) -> bool:
    same = (rule.integration_id, rule.target) == (run.integration_id, run.target)
    return rule.spec.gives_access and same


def _gets(
    event: EventLog,
    rule: Rule | None,
    fitting: Iterable[Rule],
    ran: Container[tuple[int, object]],
) -> str:
    """The name of what the rule gives for the event now, "" for nothing new."""
    for each in fitting:
        if each == rule and each.spec.gives_access:
            return "" if (event.pk, RuleRun.form_of(each)) in ran else str(each.destination)
    return ""


def _why_not(rule: Rule | None, obstacle: str) -> str:
    if rule is not None and not rule.enabled:
        return say("the rule is turned off: turn it on first")
    return obstacle


def of_customer(customer: Customer) -> list[RuleRun]:
    """What rules gave this customer that give something else now, which she has not got.

    One of a purchase that was refunded or canceled since is not in it.
    """
    runs = _giving().filter(customer=customer, rule__enabled=True, grant__state=Grant.State.ACTIVE)
    gave = list(
        runs.select_related("event__product", "rule__destination").order_by("-received_at", "-pk")
    )
    elsewhere = [run for run in gave if run.rule is not None and _leads_elsewhere(run, run.rule)]
    if not elsewhere:
        return []
    of_events = RuleRun.objects.filter(event__in={run.event_id for run in elsewhere})
    ran = {(run.event_id, run.form) for run in of_events}
    has = {(run.integration_id, run.target) for run in gave}
    back = revocations.ended_since([run.event for run in elsewhere])
    return [
        run
        for run in elsewhere
        if run.rule is not None
        and (run.event_id, RuleRun.form_of(run.rule)) not in ran
        and (run.rule.integration_id, run.rule.target) not in has
        and run.event_id not in back
    ]


def _leads_elsewhere(run: RuleRun, rule: Rule) -> bool:
    fits = rule.trigger == run.event.trigger and rule.product_id in {None, run.event.product_id}
    return fits and rule.spec.gives_access and run.form != RuleRun.form_of(rule)
