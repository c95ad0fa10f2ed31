"""A bundle and its courses are one access, whichever of them gave or ended it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from events.deciding import inbox
from events.models import Delivery, RuleRun
from integrations.models import Destination, Intent
from integrations.thinkific.sandbox import Fault
from tests.support.samcart import payload
from tests.support.shop import START
from tests.support.stories import SAMPLES
from tests.support.world import World

BUYER = "dana@example.com"
GIVE, END = "product_purchased", "product_refunded"


class Bundle:
    """A bundle of two courses; a body is received eleven minutes after the one before."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.courses = [world.course("Course One"), world.course("Course Two")]
        self.whole = world.bundle(*self.courses)

    def rules(self, trigger: str, *targets: Destination, product: str = "") -> None:
        verb = "create" if trigger == GIVE else "expire"
        for target in targets:
            action = f"{verb}_{target.kind}_enrollment"
            self.world.rule(trigger, action, target, product=product or None)

    def tell(self, kind: str, order: int = 1, product: str = "1048010") -> None:
        body = payload(SAMPLES[kind])
        body["customer"] |= {"email": BUYER}
        body["product"] |= {"id": product}
        body["order"] |= {"id": order, "subscription_id": 900 + order}
        assert self.world.post(body).status_code == 200
        number = Delivery.objects.count()
        received = START + timedelta(minutes=11 * number)
        Delivery.objects.filter(state="new").update(received_at=received)
        inbox.process()

    def fail(self, kind: str, **facts: Any) -> None:
        """The next POST for the bundle fails."""
        path = f"^/bundles/{self.whole.external_id}/enrollments$"
        self.world.sandbox.faults.add(Fault(kind, method="POST", path=path, **facts))

    @property
    def access(self) -> list[bool]:
        return [self.world.access(BUYER, course) for course in self.courses]


@pytest.fixture
def bundle(world: World) -> Bundle:
    return Bundle(world)


@pytest.mark.parametrize("rows", ["courses", "members"])
@pytest.mark.parametrize(("gives", "ends"), [("alone", "whole"), ("whole", "alone")])
def test_a_purchase_ends_however_it_gave_the_courses(bundle, gives, ends, rows):
    bundle.world.sandbox.switches.bundle_rows = rows
    ways = {"alone": bundle.courses, "whole": [bundle.whole]}
    bundle.rules(GIVE, *ways[gives])
    bundle.rules(END, *ways[ends])
    bundle.tell("purchased")
    bundle.world.settle()
    assert bundle.access == [True, True]
    bundle.tell("refunded")
    bundle.world.settle()
    assert bundle.access == [False, False]


@pytest.mark.parametrize("rows", ["courses", "members"])
def test_what_another_order_gives_of_a_bundle_stays(bundle, rows):
    bundle.world.sandbox.switches.bundle_rows = rows
    bundle.rules(GIVE, bundle.whole, product="1048010")
    bundle.rules(END, bundle.whole, product="1048010")
    bundle.rules(GIVE, bundle.courses[0], product="1048011")
    bundle.tell("purchased", order=2, product="1048011")
    bundle.tell("purchased")
    bundle.world.settle()
    bundle.tell("refunded")
    bundle.world.settle()
    assert bundle.access == [True, False]


@pytest.mark.parametrize(
    ("ended", "access"), [([0], [False, True]), ([0, 1], [False, False])]
)  # fmt: skip
def test_a_late_enrollment_in_a_bundle_opens_no_course_that_has_ended(bundle, ended, access):
    bundle.rules(GIVE, bundle.whole)
    bundle.rules(END, *[bundle.courses[number] for number in ended])
    bundle.tell("purchased")
    bundle.fail("status", status=503)
    bundle.world.settle()
    Intent.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    bundle.tell("refunded")
    bundle.world.settle()
    bundle.world.later()
    assert bundle.access == access
    assert not RuleRun.objects.filter(status__in=["waiting", "failed"]).exists()


def test_a_bundle_is_kept_only_as_far_as_something_gives_it(bundle):
    bundle.rules(GIVE, bundle.whole)
    bundle.rules("subscription_canceled", bundle.courses[0])
    bundle.rules(END, bundle.whole)
    for order in (1, 2):
        bundle.tell("purchased", order=order)
    bundle.tell("canceled", order=1)
    bundle.world.settle()
    assert bundle.access == [True, True]
    bundle.tell("refunded", order=2)
    bundle.world.settle()
    assert bundle.access == [False, True]


def test_a_refund_waits_for_an_enrollment_in_a_bundle_that_was_just_asked_for(bundle):
    bundle.rules(GIVE, bundle.whole)
    bundle.rules(END, bundle.whole)
    bundle.tell("purchased")
    bundle.fail("reset")
    bundle.world.settle()
    bundle.tell("refunded")
    bundle.world.settle()
    assert RuleRun.objects.get(event__trigger=END).status == "waiting"
    # Thinkific carries out now what it gave no answer to.
    school = bundle.world.school
    user = school.user(BUYER)
    assert user is not None
    for course in bundle.courses:
        school.enroll(user, school.courses[course.external_id])
    Intent.objects.update(sent_at=timezone.now() - timedelta(minutes=2))
    bundle.world.later()
    assert bundle.access == [False, False]
