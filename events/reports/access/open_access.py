"""Actions that gave access that is open now, and whether a rule still gives it."""

from collections.abc import Mapping, Sequence

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from events.models import Grant, RuleRun
from events.models.event_log import ACCOUNT
from events.models.runs import RuleRunQuerySet
from rules import actions
from rules.fired import runs_for
from rules.models import Rule
from rules.triggers import TAKES_BACK


def giving_runs() -> RuleRunQuerySet:
    """Return all actions that give access."""
    return RuleRun.objects.filter(action__in=actions.giving_access())


def runs_with_open_access() -> RuleRunQuerySet:
    """Return the actions that gave a purchase access that is open now."""
    still = giving_runs().filter(
        grant__state=Grant.State.ACTIVE,
        grant__source=Grant.Source.PURCHASE,
    )
    return still.select_related(
        "event", "event__customer", "event__delivery", "grant__customer"
    ).defer("event__delivery__sealed_body", "event__delivery__query")


def of_purchase(grants: QuerySet[Grant] | None = None) -> Q:
    """Return a condition on events: their purchase has one of these grants, or access that is open.

    For events with a product that name an order or a subscription.
    """
    if grants is None:
        grants = Grant.objects.active().filter(source=Grant.Source.PURCHASE)
    same = grants.filter(marketplace=OuterRef("marketplace"), product=OuterRef("product"))
    of_order = same.filter(~Q(order_id=""), order_id=OuterRef("order_id"))
    of_subscription = same.filter(
        ~Q(subscription_id=""), subscription_id=OuterRef("subscription_id")
    )
    return Q(Exists(of_order)) | Q(Exists(of_subscription))


def given_by_a_rule_now() -> Exists:
    """Return a condition: a rule that is on would give, for the action's event, what it gave."""
    place = Q(product=None) | Q(product=OuterRef("event__product"))
    # Expressions, so that SQLite finds the product's rules first. An account or a site may have
    # thousands, and with plain columns SQLite would walk through all of them.
    rules = Rule.objects.alias(account=ACCOUNT, site=Coalesce("integration", 0))
    same = rules.filter(
        place,
        runs_for(OuterRef("event__trigger")),
        enabled=True,
        account=OuterRef("event__marketplace"),
        site=OuterRef("integration"),
        action=OuterRef("action"),
        destination__external_id=OuterRef("destination_id"),
    )
    return Exists(same)


def grants_due(runs: Sequence[RuleRun], fitting: Mapping[int, Sequence[Rule]]) -> set[int | None]:
    """Return the IDs of the grants of these actions that rules still give for their events.

    `fitting` has the rules that fit now, by event ID. What a refund gave again is due only by a
    rule for that refund, not by one for the purchase.
    """
    again = {run.grant_id: run.received_at for run in runs if run.event.trigger in TAKES_BACK}
    return {
        run.grant_id
        for run in runs
        if run.received_at >= again.get(run.grant_id, run.received_at)
        and any(gives_the_same(each, run) for each in fitting.get(run.event_id, ()))
    }


def gives_the_same(rule: Rule, run: RuleRun) -> bool:
    """Return whether the rule gives the course or bundle that the action is about."""
    same = (rule.integration_id, rule.target) == (run.integration_id, run.target)
    return rule.spec.gives_access and same
