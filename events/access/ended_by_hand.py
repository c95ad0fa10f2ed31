"""What persons ended, by hand, after a refund or by a rule that they ran, and is as they left it.

It can be given back.
"""

from collections.abc import Collection, Iterable

from django.db.models import Exists, F, OuterRef, Q

from events.access import ledger, students
from events.access.ledger import Sale
from events.models import EventLog, Grant, RuleRun
from rules.triggers import Trigger

# The triggers that take a purchase back, as events.deciding.revocations names them.
TAKING_BACK = (
    Trigger.PRODUCT_REFUNDED,
    Trigger.SUBSCRIPTION_CANCELED,
    Trigger.SUBSCRIPTION_DELINQUENT,
)


def as_left(endings: Collection[RuleRun]) -> dict[int, list[Grant]]:
    """Return {action ID: the grants that were ended with it, as they were left}.

    The actions are a person's, or those of rules that a person ran for earlier events. Those that
    ended nothing, or whose grants were decided on since or were refunded or canceled since, are
    left out. Grants that were moved to another account since do not count, so there may be none.
    Takes four queries.
    """
    whose = students.same_users((run.integration_id, run.customer_id) for run in endings)
    about = Q(event__in={run.event_id for run in endings})
    about |= Q(pk__in={run.grant_id for run in endings} - {None})
    # A later ending that a rule carries out sets only the time at which it was decided.
    as_left = Grant.objects.filter(
        Q(because=ledger.BY_HAND)
        | Q(because__startswith=ledger.BY_HAND_AFTER)
        | Q(because=F("event__trigger"), opened_at__isnull=False),
        about,
        state=Grant.State.ENDED,
        decided_at=F("ended_at"),
    )
    ended = _not_taken_back(as_left)
    by_run = {run: [grant for grant in ended if _ended(run, grant)] for run in endings}
    return {
        run.pk: [
            grant
            for grant in grants
            if grant.customer_id in whose[run.integration_id, run.customer_id]
        ]
        for run, grants in by_run.items()
        if grants
    }


def _ended(run: RuleRun, grant: Grant) -> bool:
    """Whether this action ended the grant. After a refund, the grant names the refund's event."""
    if grant.because.startswith(ledger.BY_HAND_AFTER):
        return grant.pk == run.grant_id
    of_event = grant.event_id == run.event_id
    return of_event and (grant.because == ledger.BY_HAND or grant.pk == run.grant_id)


def given_back(endings: Collection[int]) -> set[int]:
    """Return the IDs of those of these actions whose grant a person gave back since."""
    if not endings:
        return set()
    back = RuleRun.objects.filter(
        event__by_hand=EventLog.ByHand.GIVE_BACK,
        grant=OuterRef("grant"),
        received_at__gt=OuterRef("received_at"),
    )
    found = RuleRun.objects.filter(Exists(back), pk__in=endings)
    return set(found.values_list("pk", flat=True))


def _not_taken_back(grants: Iterable[Grant]) -> list[Grant]:
    """Return those of these ended grants whose purchases were not refunded or canceled since."""
    grants = list(grants)
    same = Q(order_id__in={row.order_id for row in grants if row.order_id})
    same |= Q(subscription_id__in={row.subscription_id for row in grants if row.subscription_id})
    events = EventLog.objects.filter(same).of_triggers(*TAKING_BACK)
    events = events.defer("verdicts", "custom_fields", "reason")
    back = [(Sale.of(event), event.received_at) for event in events]
    return [
        row
        for row in grants
        if not any(sale.is_same(Sale.of(row)) and at > row.decided_at for sale, at in back)
    ]
