"""What customers do while something fails: whole stories, so that the ledger has much to decide.

Two products give one course, and a third gives a bundle with that course in it. People buy them
together and one after the other, get their money back, cancel, and buy again. The rules are
those of `tests.support.live`.
"""

from dataclasses import dataclass

from integrations.thinkific.sandbox import Sandbox, School
from tests.support.live import BUNDLE, BUNDLE_PRODUCT, COURSE

CLASS, KIT, PATH = 1048001, 1048002, BUNDLE_PRODUCT
TRIGGERS = {
    "Order": "product_purchased",
    "Refund": "product_refunded",
    "Cancel": "subscription_canceled",
}
# Each product's courses, and how many of its rules run for each event.
BUNDLED = (COURSE, COURSE + 1, COURSE + 2)
GIVES = {CLASS: {COURSE}, KIT: {COURSE}, PATH: set(BUNDLED)}
RULES = {CLASS: 1, KIT: 1, PATH: 2}
# The name by which the ledger knows each course.
PARTS = {f"course:{COURSE}": {COURSE}, f"bundle:{BUNDLE}": GIVES[PATH]}


@dataclass(frozen=True, slots=True)
class Step:
    """One message of SamCart. `purchase` is the number of one of the story's purchases."""

    kind: str
    product: int
    purchase: int = 1


# The first four stories have one of everything.
STORIES: tuple[tuple[Step, ...], ...] = (
    # Two products give the course, and one of them is refunded.
    (Step("Order", CLASS), Step("Order", KIT, 2), Step("Refund", CLASS)),
    # The course alone and in a bundle, and the bundle is canceled.
    (Step("Order", PATH), Step("Order", CLASS, 2), Step("Cancel", PATH)),
    # Bought again after a refund.
    (Step("Order", CLASS), Step("Refund", CLASS), Step("Order", CLASS, 2)),
    # The course alone and in a bundle, and the course is refunded.
    (Step("Order", CLASS), Step("Order", PATH, 2), Step("Refund", CLASS)),
    (Step("Order", CLASS),),
    # The refund comes first.
    (Step("Refund", CLASS), Step("Order", CLASS)),
    # One product twice, once canceled.
    (Step("Order", KIT), Step("Order", KIT, 2), Step("Cancel", KIT)),
    (Step("Order", PATH), Step("Cancel", PATH), Step("Refund", PATH)),
    # All of it is given back.
    (
        Step("Order", CLASS),
        Step("Order", KIT, 2),
        Step("Order", PATH, 3),
        Step("Refund", KIT, 2),
        Step("Cancel", PATH, 3),
        Step("Refund", CLASS),
    ),
    # A bundle after it was canceled, again.
    (Step("Order", PATH), Step("Cancel", PATH), Step("Order", PATH, 2)),
)


def add_school(sandbox: Sandbox, name: str) -> School:
    """Return a school that has what the products give."""
    school = sandbox.add_school(name)
    courses = [school.add_course(f"Course {each}", course_id=each) for each in BUNDLED]
    school.add_bundle("The Painter's Path", courses, bundle_id=BUNDLE)
    return school


def rules_of_access(account: str, integration: str) -> list[dict[str, object]]:
    """Return rules for a configuration file, as `tests.support.live` makes for the first school."""
    return [
        {
            "marketplace": account,
            "trigger": trigger,
            "integration": integration,
            "action": f"{'create' if kind == 'Order' else 'expire'}_{what}_enrollment",
            "destination": destination,
            **product,
        }
        for kind, trigger in TRIGGERS.items()
        for what, destination, product in (
            ("course", COURSE, {}),
            ("bundle", BUNDLE, {"product": str(PATH)}),
        )
    ]


def rules_of_messages(account: str, integration: str) -> list[dict[str, object]]:
    """Return rules for a configuration file that pass each sale on."""
    return [
        {
            "marketplace": account,
            "trigger": trigger,
            "integration": integration,
            "action": "send_http_post",
        }
        for trigger in TRIGGERS.values()
    ]
