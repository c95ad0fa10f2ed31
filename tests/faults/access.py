"""Who has which course at the end: in the school, in Admit's ledger, and by what was bought.

All three must agree: a customer has a managed course in Thinkific if and only if a grant is
active, and a grant is active if and only if a standing purchase gives it.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from integrations.thinkific.sandbox import School
from tests.faults import shop
from tests.faults.database import Database
from tests.faults.stage import Sale
from tests.support.access_model import Event, Model

PRODUCTS = list(shop.GIVES)
KINDS = {"Order": "purchased", "Refund": "refunded", "Cancel": "canceled"}
Place = tuple[str, int]  # E-mail and course.


def granted(database: Database) -> dict[str, set[Place]]:
    """Return for each site the courses that an active grant gives."""
    found: dict[str, set[Place]] = defaultdict(set)
    for site, email, target in database.ask(
        "SELECT integrations_integration.site, integrations_customer.email, target"
        " FROM events_grant"
        " JOIN integrations_integration ON integrations_integration.id = integration_id"
        " JOIN integrations_customer ON integrations_customer.id = customer_id"
        " WHERE state = 'active'"
    ):
        found[site] |= {(email, course) for course in shop.PARTS[target]}
    return found


def wrong(school: School, sales: Sequence[Sale], granted: Collection[Place]) -> list[str]:
    """Return a sentence for each course of a customer about which the three disagree.

    If a customer's POST had no good answer, we do not know whether it was stored, so only school
    and ledger are compared.
    """
    bought: dict[str, list[Sale]] = defaultdict(list)
    for sale in sales:
        bought[sale.email].append(sale)
    open_now = {(row.user.email, row.course_id) for row in school.enrollments if row.active}
    has: dict[str, set[int]] = defaultdict(set)
    for email, course in open_now:
        has[email].add(course)
    found = [
        f"{email} has course {course} in Thinkific, and no grant is active"
        for email, course in sorted(open_now - set(granted))
    ]
    found += [
        f"{email} has an active grant of course {course}, and not the course in Thinkific"
        for email, course in sorted(set(granted) - open_now)
    ]
    for email, its in bought.items():
        if all(sale.acknowledged for sale in its):
            found += _differs(email, its, has[email])
    return found


def _differs(email: str, sales: Sequence[Sale], has: set[int]) -> list[str]:
    due = _due(sales)
    if has == due:
        return []
    told = ", ".join(f"{sale.kind} {sale.product} in order {sale.order}" for sale in sales)
    return [f"{email} has {sorted(has)} and not {sorted(due)} after {told}"]


def _due(sales: Sequence[Sale]) -> set[int]:
    """Return one customer's courses by a model that knows only these sales, in this order."""
    model = Model(tuple(frozenset(shop.GIVES[product]) for product in PRODUCTS))
    for at, sale in enumerate(sales):
        model.take(Event(at, KINDS[sale.kind], 0, PRODUCTS.index(sale.product), sale.order))
    courses = set[int]().union(*shop.GIVES.values())
    return {course for course in courses if model.access("buyer0@example.com", course)}
