"""What a customer still has by rules that were changed or deleted since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.access import revocations
from events.access.sale import Sale
from events.execution import rule_history
from events.models import Grant, RuleRun
from events.reports import rules_now
from events.reports.access.open_access import gives_the_same, giving_runs
from events.reports.changed_rules import in_place
from events.reports.changed_rules.left_behind import gives_instead
from integrations.models import AuditEntry, Customer, Destination
from rules.history import rule_changes
from rules.models import Rule


@dataclass(frozen=True, slots=True)
class LeftWithCustomer:
    """An action of a changed or deleted rule, and the rules to run `instead` for its event.

    `still_given` says that a rule gives the same for the event now, so that what the others give
    comes in addition, and nobody can be moved. `change` is the change after which its own rule gave
    it no more, if the audit knows it and it was no undo.
    """

    run: RuleRun
    instead: Sequence[Rule]
    still_given: bool = False
    change: AuditEntry | None = None


def of_customer(customer: Customer) -> list[LeftWithCustomer]:
    """Return what changed or deleted rules gave this customer, each with the rules to run instead.

    Rules to run instead give a course or bundle that this very purchase does not give yet, though
    another purchase may. There are none for what a deleted rule gave and no rule gives now. What
    several actions of a purchase gave is returned once. Purchases that were refunded or canceled
    since, and what a person lets the buyer keep, are left out.
    """
    runs = giving_runs().filter(customer=customer, grant__state=Grant.State.ACTIVE)
    runs = runs.select_related("event__product", "rule__destination", "grant")
    gave = list(runs.order_by("-received_at", "-pk"))
    elsewhere = [run for run in gave if _may_be_behind(run)]
    if not elsewhere:
        return []
    events = list({run.event_id: run.event for run in elsewhere}.values())
    ran = {(run.event_id, run.form) for run in RuleRun.objects.filter(event__in=events)}
    has = {(Sale.of(run.event), run.integration_id, run.target) for run in gave}
    back, fitting = revocations.later_endings(events), rules_now.fitting(events)
    of_deleted = any(run.rule is None for run in elsewhere)
    everywhere = in_place.deleted_everywhere() if of_deleted else set()
    told: set[int | None] = set()
    found: dict[object, tuple[RuleRun, list[Rule]]] = {}
    for run in elsewhere:
        if run.event_id in back:
            continue
        fit = fitting.get(run.event_id, [])
        if run.rule is None and run.grant:
            fit = in_place.of_deleted([run.grant], fit, everywhere)
        instead, sale = gives_instead(run.event, run.rule, fit, ran), Sale.of(run.event)
        instead = [each for each in instead if (sale, each.integration_id, each.target) not in has]
        if instead or (run.grant_id not in told and _is_behind(run, fitting)):
            told.add(run.grant_id)
            # After a move was undone, two actions gave the same. One that names its rule says more.
            same = (run.grant_id, sale, *(each.pk for each in instead))
            if same not in found or found[same][0].rule is None:
                found[same] = (run, instead)
    return [
        LeftWithCustomer(run, instead, _is_given(run, fitting), _change(run))
        for run, instead in found.values()
    ]


def _is_behind(run: RuleRun, fitting: Mapping[int, Sequence[Rule]]) -> bool:
    """Whether a deleted rule gave it for a purchase, and no rule gives it now.

    Actions by hand and undone ones have no rule either, so the audit is asked as well.
    """
    if run.rule or not run.grant or run.grant.source != Grant.Source.PURCHASE:
        return False
    return not _is_given(run, fitting) and rule_history.is_deleted(run)


def _is_given(run: RuleRun, fitting: Mapping[int, Sequence[Rule]]) -> bool:
    return any(gives_the_same(rule, run) for rule in fitting.get(run.event_id, ()))


def _change(run: RuleRun) -> AuditEntry | None:
    """Return the change after which the action's rule gave something else."""
    if run.rule_id is None:
        return None
    place = Destination.objects.of_target(run.integration_id, run.target)
    return rule_changes.away_from(run.rule_id, list(place.values_list("pk", flat=True)))


def _may_be_behind(run: RuleRun) -> bool:
    """Whether its rule was deleted or gives something else now, and no person lets it be kept."""
    if run.grant is None or run.grant.kept_at is not None:
        return False
    rule = run.rule
    if rule is None:
        return True
    return rule.enabled and run.event.is_for(rule) and run.form != RuleRun.form_of(rule)
