"""Which buyers of which products are owed access or were given nothing."""

from events.models import Grant
from events.reports.owed import promise


def owed() -> set[tuple[int | None, int | None]]:
    """Return (product ID, student ID) for owed access that the student has in no other way."""
    # The newest first, as for the Overview: only the first are checked for a refund.
    grants = Grant.objects.owed().filter(source=Grant.Source.PURCHASE).order_by("-decided_at")
    rows = list(grants.values_list("pk", "product", "customer", "integration", "target"))
    has = promise.access_of({customer for _, _, customer, *_ in rows})
    rows = [row for row in rows if row[2:] not in has]
    unpaid = promise.not_paid_for([grant for grant, *_ in rows])
    return {(product, customer) for grant, product, customer, *_ in rows if grant not in unpaid}


def given_nothing() -> set[tuple[int | None, int | None]]:
    """Return (product ID, customer ID) for purchases that gave nothing and are not settled."""
    rows = promise.unfulfilled().order_by().values_list("product", "customer")
    return set(rows.distinct())
