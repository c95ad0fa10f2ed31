"""What a student had before a purchase, as far as only its ending can tell.

The action of a Product Purchased notes what it finds open (see `before_admit`). It notes nothing if
the purchase was refunded first, while the site was paused or after that action had failed. And it
knows nothing of a course that is added to a bundle after its sale. In both cases the action of the
refund tells by the age of what it finds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

from django.db.models import Min

from events.access import grant_runs
from events.access.before_admit import AT_THE_SAME_TIME, is_by_us
from events.access.sale import Sale
from events.models import Grant, RuleRun
from integrations.thinkific.attempt import GivenBefore
from rules.triggers import Trigger


def told(
    runs: Sequence[RuleRun], grants: Mapping[int, Grant], mine: Mapping[int, Sequence[Grant]]
) -> dict[int, GivenBefore]:
    """Return, by pk of the run, which access is older than the purchase that it ends.

    Only for runs that end a bundle, or what Admit has never opened for their student. `grants` are
    those of the runs, and `mine` those of their students. Takes one query, or none without such a
    run.
    """
    bought: dict[int, list[set[int]]] = {}
    for run in runs:
        grant = grants.get(run.grant_id or 0)
        by_rule = run.spec.ends_access and not run.ends_all and run.event.trigger is not None
        if by_rule and grant is not None:
            bought[run.pk] = _bought(run, grant, mine.get(run.pk, ()))
    began = _began(set().union(*chain.from_iterable(bought.values())))
    found = {}
    for pk, purchases in bought.items():
        if purchases and all(rows & began.keys() for rows in purchases):
            first = min(began[row] for row in set().union(*purchases) if row in began)
            found[pk] = GivenBefore(first - AT_THE_SAME_TIME, _ours(mine[pk]))
    return found


def _began(grants: set[int]) -> dict[int, datetime]:
    """Return when the purchases of these grants began, as far as Admit saw it.

    Any event but Product Purchased continues a purchase that may be from before Admit.
    """
    if not grants:
        return {}
    giving = grant_runs.giving(grants).filter(event__trigger=Trigger.PRODUCT_PURCHASED).order_by()
    return dict(giving.values_list("grant").annotate(Min("received_at")))


def _bought(run: RuleRun, ended: Grant, mine: Sequence[Grant]) -> list[set[int]]:
    """Return the grants of each purchase that may have given it; none if that cannot be told."""
    parts, sale = ended.parts | {run.target}, Sale.of(ended)
    about = [row for row in mine if row.parts & parts]
    if not any(is_by_us(row) for row in about):
        bought = [row for row in about if row.source == Grant.Source.PURCHASE and row.opened_at]
        same = {row.pk for row in bought if row.pk == ended.pk or sale.is_same(Sale.of(row))}
        return [same] if same else []
    if not ended.course_ids:
        return []  # what is found open may be this
    # A course may have come with any bundle that Admit has opened, though it is none of its parts.
    return [{row.pk} for row in mine if row.course_ids and is_by_us(row)]


def _ours(mine: Sequence[Grant]) -> frozenset[str]:
    """Return the courses and bundles that Admit has opened: what is found open may be this."""
    return frozenset().union(*(row.parts for row in mine if is_by_us(row)))
