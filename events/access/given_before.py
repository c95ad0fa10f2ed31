"""What a student had before a purchase that Admit never carried out.

The action of a Product Purchased notes what it finds open (see `before_admit`). If the purchase was
refunded first, while the site was paused or after that action had failed, nothing was noted. Then
the action of the refund tells by the age of what it finds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import Min

from events.access import grant_runs
from events.access.before_admit import AT_THE_SAME_TIME, is_by_us
from events.access.sale import Sale
from events.models import Grant, RuleRun
from rules.triggers import Trigger


def moments(
    runs: Sequence[RuleRun], grants: Mapping[int, Grant], mine: Mapping[int, Sequence[Grant]]
) -> dict[int, datetime]:
    """Return, by pk of the run, the time before which what is open cannot be from its purchase.

    Only for runs that end what Admit has never opened for their student. `grants` are those of the
    runs, and `mine` those of their students. Takes one query, or none without such a run.
    """
    bought: dict[int, list[int]] = {}
    for run in runs:
        grant = grants.get(run.grant_id or 0)
        by_rule = run.spec.ends_access and not run.ends_all and run.event.trigger is not None
        if by_rule and grant is not None:
            bought[run.pk] = _never_opened(run, grant, mine.get(run.pk, ()))
    unseen = {pk for rows in bought.values() for pk in rows}
    if not unseen:
        return {}
    # Any other event continues a purchase for which the course may have been given before Admit.
    giving = grant_runs.giving(unseen).filter(event__trigger=Trigger.PRODUCT_PURCHASED).order_by()
    began = dict(giving.values_list("grant").annotate(Min("received_at")))
    return {
        run: min(began[pk] for pk in rows if pk in began) - AT_THE_SAME_TIME
        for run, rows in bought.items()
        if began.keys() & set(rows)
    }


def _never_opened(run: RuleRun, ended: Grant, mine: Sequence[Grant]) -> list[int]:
    """Return the grants of the purchase by which the run's target was due but never opened."""
    parts, sale = ended.parts | {run.target}, Sale.of(ended)
    about = [row for row in mine if row.parts & parts]
    if any(is_by_us(row) for row in about):
        return []  # what is found open may be this
    bought = [row for row in about if row.source == Grant.Source.PURCHASE and row.opened_at]
    return [row.pk for row in bought if row.pk == ended.pk or sale.is_same(Sale.of(row))]
