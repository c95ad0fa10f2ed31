"""Who still has what a rule gave before it was changed, pointed to another course or deleted."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from events.access import revocations
from events.access.other_grants import OtherGrants, gives_all
from events.execution import gone_destinations, rerun, rule_history
from events.models import EventLog, Grant, RuleRun
from events.reports import rules_now
from events.reports.access.open_access import (
    given_by_a_rule_now,
    giving_runs,
    grants_due,
    runs_with_open_access,
)
from events.reports.changed_rules import in_place
from events.reports.earlier.batch_preview import Line
from integrations.sentences import joined, say
from integrations.targets import course_target
from rules.listing import listed
from rules.models import Rule

# At most this many accesses are looked at, the newest; the others follow when these are moved.
MAX_RUNS = 500


@dataclass(frozen=True, slots=True)
class LeftBehindPurchase:
    """A purchase, by its event, with the grants that a rule gave it and no rule gives anymore.

    `gives` are the rules that give the purchase something instead. `ending` is the event that
    refunded or canceled it since, though the access stayed. `still_given` are the IDs of those
    `grants` whose access stays open, because something else gives it.
    """

    event: EventLog
    grants: Sequence[Grant]
    gives: Sequence[Rule] = ()
    why_not: str = ""
    ending: EventLog | None = None
    still_given: Collection[int] = ()

    @property
    def gets(self) -> str:
        """The names of what the purchase gets instead, "" for nothing."""
        return listed([str(rule.destination) for rule in self.gives])

    @property
    def line(self) -> Line:
        """The purchase as a page shows it."""
        old = listed([grant.name for grant in self.grants if grant.pk not in self.still_given])
        still_given = listed([grant.name for grant in self.grants if grant.pk in self.still_given])
        if self.gets and old:
            what = say("Give {new}, end {old}", new=self.gets, old=old)
        elif self.gets or old:
            what = say("Give {new}", new=self.gets) if self.gets else say("End {old}", old=old)
        else:
            what = say("Nothing changes in Thinkific")
        if still_given:
            stays = say("kept through something else: {courses}", courses=still_given)
            what = joined([what, stays], by="; ")
        if self.ending is not None:
            what = joined([what, revocations.sentence(self.ending)], by="; ")
        return Line(self.event, self.grants[0].customer, what, self.why_not)


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """The purchases left behind by one rule, newest first, or by deleted rules (None).

    With `more` there are over MAX_RUNS. `still` are the newest actions that gave somebody what a
    rule gives now as well.
    """

    rule: Rule | None
    rows: Sequence[LeftBehindPurchase]
    more: bool = False
    still: Sequence[RuleRun] = ()

    @property
    def customers(self) -> int:
        return len({grant.customer_id for grant in self.grants})

    @property
    def taken_back(self) -> int:
        """The number of these customers who were refunded or canceled since."""
        return len({row.grants[0].customer_id for row in self.rows if row.ending})

    @property
    def grants(self) -> list[Grant]:
        """The grants of these purchases that no rule gives anymore."""
        return [grant for row in self.rows for grant in row.grants]

    @property
    def courses(self) -> list[str]:
        """The names of the courses and bundles of these grants."""
        return [*dict.fromkeys(grant.name for grant in self.grants)]

    @property
    def moves(self) -> bool:
        """Whether some of them can be moved; refunded buyers cannot."""
        return any(row.gives and not row.why_not for row in self.rows)

    @property
    def still_given(self) -> int:
        """The number of customers of whom some access stays open when they are moved."""
        return len({row.grants[0].customer_id for row in self.rows if row.still_given})

    @property
    def is_gone(self) -> bool:
        """Whether Thinkific has none of these courses anymore. Takes one query."""
        places = {(grant.integration_id, grant.target) for grant in self.grants}
        return len(gone_destinations.among(places)) == len(places)


def left_behind(number: int) -> LeftBehind:
    """Return the purchases left behind by the rule with this ID, also a deleted one.

    Changes nothing and takes a handful of queries. What a later refund ended, or another rule gives
    too, is left out.
    """
    rules = Rule.objects.select_related("product", "integration", "destination")
    return of_runs(rules.filter(pk=number).first(), _gave(number))


def by_deleted_rules(products: Collection[int]) -> LeftBehind:
    """Return the purchases of these products that are left behind by deleted rules."""
    of_products = runs_with_open_access().filter(rule=None, event__product__in=products)
    behind = of_products.filter(~given_by_a_rule_now(), grant__isnull=False, grant__kept_at=None)
    gave = list(behind.order_by("-received_at", "-pk")[: MAX_RUNS + 1])
    return of_runs(None, gave) if gave else LeftBehind(None, [])


def kept_runs(number: int, products: Collection[int]) -> list[RuleRun]:
    """Return the actions of the rule with this ID whose access a person lets buyers keep.

    With `products`, those of all deleted rules for these products instead.
    """
    kept = runs_with_open_access().filter(grant__kept_at__isnull=False)
    runs = kept.order_by("-received_at", "-pk")
    if products:
        return list(runs.filter(rule=None, event__product__in=products)[:MAX_RUNS])
    return [*runs.filter(rule=number)[:MAX_RUNS], *rule_history.of_deleted(number, runs)[:MAX_RUNS]]


def kept_of(event: int) -> RuleRun | None:
    """Return the newest action for this event whose access a person lets the buyer keep."""
    runs = runs_with_open_access().filter(grant__kept_at__isnull=False, event=event)
    return runs.order_by("-pk").first()


def of_runs(rule: Rule | None, gave: list[RuleRun]) -> LeftBehind:
    """Return the purchases left behind by a rule (None: by deleted rules); `gave` are its actions.

    `gave` must be sorted, newest first. Access that a person lets the buyer keep is left out.
    """
    more, gave = len(gave) > MAX_RUNS, gave[:MAX_RUNS]
    every = list(
        giving_runs().filter(grant__in={run.grant_id for run in gave}).select_related("event")
    )
    fitting = rules_now.fitting(list({run.event_id: run.event for run in every}.values()))
    due = grants_due(every, fitting)
    still = {run.grant_id: run for run in reversed(gave) if run.grant_id in due}
    has = [run for run in reversed(still.values()) if run.grant and run.grant.seen_at]
    behind = _behind(gave, due)
    return LeftBehind(rule, _rows(rule, behind, _instead(rule, behind, fitting)), more, has)


@dataclass(slots=True)
class _Behind:
    """An event and the grants, by their IDs, that its rules gave and none gives anymore."""

    event: EventLog
    grants: dict[int, Grant]


def _behind(gave: Iterable[RuleRun], due: Container[int | None]) -> dict[int, _Behind]:
    """Return, by event ID, the grants that are not `due` by a rule and that nobody keeps.

    `gave` are sorted, newest first. A grant is listed once, with the newest event that gave it.
    """
    found: dict[int, _Behind] = {}
    listed_already: set[int] = set()
    for run in gave:
        grant = run.grant
        if grant is None or grant.kept_at is not None or grant.pk in listed_already:
            continue
        if grant.pk not in due:
            listed_already.add(grant.pk)
            found.setdefault(run.event_id, _Behind(run.event, {})).grants[grant.pk] = grant
    return found


def _instead(
    rule: Rule | None, behind: Mapping[int, _Behind], fitting: Mapping[int, Sequence[Rule]]
) -> dict[int, list[Rule]]:
    """Return, by event ID, the rules that give the purchase something in place of these grants."""
    ran = {(run.event_id, run.form) for run in giving_runs().filter(event__in=behind)}
    may_give = _in_place(behind, fitting) if rule is None and behind else fitting
    return {
        pk: gives_instead(each.event, rule, may_give.get(pk, ()), ran)
        for pk, each in behind.items()
    }


def _rows(
    rule: Rule | None, behind: Mapping[int, _Behind], instead: Mapping[int, Sequence[Rule]]
) -> list[LeftBehindPurchase]:
    events = [each.event for each in behind.values()]
    obstacles = rerun.obstacles(events) if events else {}
    endings = revocations.later_endings(events)
    return [
        LeftBehindPurchase(
            event=each.event,
            grants=list(each.grants.values()),
            gives=instead[pk],
            why_not=_why_not(rule, obstacles.get(pk, "") if instead[pk] else ""),
            ending=endings.get(pk),
        )
        for pk, each in behind.items()
    ]


def _in_place(
    behind: Mapping[int, _Behind], fitting: Mapping[int, Sequence[Rule]]
) -> Mapping[int, Sequence[Rule]]:
    """Return, by event ID, the fitting rules that may give something in place of deleted rules."""
    everywhere = in_place.deleted_everywhere()
    return {
        pk: in_place.of_deleted(each.grants.values(), fitting.get(pk, ()), everywhere)
        for pk, each in behind.items()
    }


def with_still_given(found: LeftBehind) -> LeftBehind:
    """Return `found` with the `still_given` of each row once all who can be moved were moved."""
    others = OtherGrants([grant for row in found.rows if not row.why_not for grant in row.grants])
    rows = [
        row
        if row.why_not
        else replace(
            row,
            still_given={
                grant.pk
                for grant in row.grants
                if others.give(grant) or _is_given_by(row.gives, grant)
            },
        )
        for row in found.rows
    ]
    return replace(found, rows=rows)


def _is_given_by(rules: Iterable[Rule], grant: Grant) -> bool:
    """Whether what these rules give is what this grant gives as well, such as its bundle."""
    parts: set[str] = set()
    for rule in rules:
        if rule.destination and rule.integration_id == grant.integration_id:
            parts |= {rule.target, *map(course_target, rule.destination.course_ids)}
    return gives_all(parts, grant.target, grant.parts)


def _gave(number: int) -> list[RuleRun]:
    """Return the rule's actions whose access is open, at most about MAX_RUNS + 1.

    Those whose access no rule gives now come first.
    """
    still = runs_with_open_access()
    of_rule = still.filter(rule=number).order_by("-received_at", "-pk")
    behind = list(of_rule.filter(~given_by_a_rule_now(), grant__kept_at=None)[: MAX_RUNS + 1])
    behind += rule_history.of_deleted(number, still.filter(grant__kept_at=None))
    behind.sort(key=lambda run: (run.received_at, run.pk), reverse=True)
    due = of_rule.filter(given_by_a_rule_now())[: max(0, MAX_RUNS + 1 - len(behind))]
    return [*behind, *due]


def gives_instead(
    event: EventLog,
    rule: Rule | None,
    fitting: Sequence[Rule],
    ran: Container[tuple[int, object]],
) -> list[Rule]:
    """Return the rules that would give the event something new now.

    That is the rule itself; or, if it is deleted or no longer fits the event, all that fit.
    """
    mine = [each for each in fitting if each == rule] or fitting
    return [
        each
        for each in mine
        if each.spec.gives_access and (event.pk, RuleRun.form_of(each)) not in ran
    ]


def _why_not(rule: Rule | None, obstacle: str) -> str:
    if rule is not None and not rule.enabled:
        return say("the rule is turned off: turn it on first")
    return obstacle
