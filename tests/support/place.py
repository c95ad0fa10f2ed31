"""Where actions are tested: a site with three courses, one buyer, and what is known about her."""

import itertools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from events.models import RuleRun
from integrations.models import Customer, Destination, ThinkificUser
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import Enrollment, User
from tests.support.world import World

EMAIL = "dana@example.com"
KINDS = ("course", "bundle")
ENROLLED = "Enrolled in {}."
ALREADY = "Was already enrolled in {}."
NO_STUDENT = "There is no student with this e-mail on the site, so no access had to be ended."
MADE_AGAIN = "The student's account had been deleted in Thinkific; what the old one held is gone."
_orders = itertools.count(1)


@dataclass
class Place:
    """A world with three courses and, for bundles, a bundle of them that is sold."""

    world: World
    courses: list[Destination]
    sold: Destination
    order: int = field(default_factory=lambda: next(_orders))

    def on_site(self, email: str = EMAIL, **facts: Any) -> User:
        """Add a user of the site whom Admit has never met."""
        return self.world.school.add_user(email, **facts)

    def known(self, email: str = EMAIL, **facts: Any) -> User:
        """Add a user of the site whom Admit remembers."""
        user = self.on_site(email, **facts)
        customer, _ = Customer.objects.get_or_create(email=EMAIL, email_as_sent=EMAIL)
        ThinkificUser.objects.create(
            integration=self.world.integration, customer=customer, user_id=user.id
        )
        return user

    def enroll(self, user: User, *numbers: int, **facts: Any) -> Enrollment:
        """Enroll the user in these of the three courses; by default in all that are sold."""
        inside = [self.courses[number] for number in numbers] or self.inside()
        for each in inside:
            course = self.world.school.courses[each.external_id]
            row = self.world.school.enroll(user, course, **facts)
        return row

    def inside(self) -> list[Destination]:
        """Return the courses that the sold course or bundle consists of."""
        return self.courses if self.sold.kind == "bundle" else self.courses[:1]

    def buy(self, name: str = "10_product", **changes: Any) -> RuleRun:
        """Buy with a new order; return the run after its first attempt."""
        self.order = next(_orders)
        return self._sell(name, **changes)

    def refund(self, **changes: Any) -> RuleRun:
        """Refund the last purchase; return the run after its first attempt."""
        return self._sell("20_product", **changes)

    def _sell(self, name: str, **changes: Any) -> RuleRun:
        self.world.sell(name, **({"order__id": self.order} | changes))
        return self.world.settle()[-1]

    def attempts(self, run: RuleRun, most: int = 3) -> RuleRun:
        """Let the run retry until it ends."""
        for _ in range(most):
            run.refresh_from_db()
            if run.status != "waiting":
                break
            self.world.later()
        run.refresh_from_db()
        return run

    def row(self, course: Destination, email: str = EMAIL) -> Enrollment | None:
        return self.world.school.enrollment(email, course.external_id)

    def has_access(self, course: Destination) -> bool:
        """Return whether the buyer has full access now, without an end date."""
        row = self.row(course)
        if row is None or not row.active or row.activated_at is None:
            return False
        begun = row.activated_at <= datetime.now(UTC)
        return begun and (row.expiry_date is None or row.expiry_date.year >= 2090)

    def calls(self) -> list[str]:
        """Return the calls since the last time this was asked, without IDs."""
        found = [re.sub(r"/\d+", "/*", call) for call in self.world.calls()]
        self.world.sandbox.clear_calls()
        return found

    def sent(self, call: str) -> list[dict[str, Any]]:
        """Return the bodies of these calls, such as "POST /users" or "PUT /enrollments/*"."""
        method, path = call.split()
        return [
            each.body or {}
            for each in self.world.sandbox.calls
            if each.method == method and re.sub(r"/\d+", "/*", each.path) == path
        ]


def place_for(world: World, kind: str) -> Place:
    inside = [world.school.add_course(f"Course {name}") for name in ("One", "Two", "Three")]
    if kind == "bundle":
        world.school.add_bundle("All of it", inside)
    catalog.refresh(world.integration)
    world.sandbox.clear_calls()
    courses = list(Destination.objects.filter(kind="course").order_by("external_id"))
    sold = Destination.objects.filter(kind=kind).order_by("external_id")[0]
    world.rule("product_purchased", f"create_{kind}_enrollment", sold)
    world.rule("product_refunded", f"expire_{kind}_enrollment", sold)
    return Place(world, courses, sold)


def shortened(calls: list[str]) -> str:
    """Shorten a path: "GET /bundles/*/enrollments" becomes "GET bundle enrollments", and so on."""
    text = ", ".join(calls).replace("/bundles/*/enrollments", "bundle enrollments")
    return text.replace("/bundles/*", "bundle").replace("/*", "").replace("/", "")
