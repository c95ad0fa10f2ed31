"""Which rules give a purchase something in place of what a deleted rule gave."""

from collections.abc import Iterable, Sequence

from events.models import Grant
from integrations.models import Destination
from rules.history import deleted_giving
from rules.models import Rule

Places = set[tuple[int | None, str]]


def deleted_everywhere() -> Places:
    """Return (integration ID, course or bundle) of what deleted global rules gave.

    Takes two queries, or one if none was deleted.
    """
    gave = deleted_giving.everywhere()
    rows = Destination.objects.filter(pk__in=gave) if gave else ()
    return {(each.integration_id, each.target) for each in rows}


def of_deleted(grants: Iterable[Grant], fitting: Sequence[Rule], everywhere: Places) -> list[Rule]:
    """Return which of these `fitting` rules may replace the one that gave these grants.

    A global rule does not replace a rule of the product, because it gives its course in addition.
    It may replace another global rule. `everywhere` is what `deleted_everywhere` returns.
    """
    if any((grant.integration_id, grant.target) in everywhere for grant in grants):
        return [*fitting]
    return [rule for rule in fitting if rule.product_id]
