"""Two workers at once, or something deleted at the wrong moment: known faults of ledgers.

The last test lets two workers meet at every point. CI takes the same 120 buyers each time, and
40 of them on PostgreSQL. The long form takes 10,000 new ones:

    FUZZ=long python -m pytest tests/events/test_ledger_races.py
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from events.access import ledger
from events.deciding import inbox
from events.execution import retry_by_hand
from events.models import Delivery, EventLog, Grant, RuleRun
from integrations.models import Customer, Destination, Intent, Product, ThinkificUser
from integrations.thinkific.sandbox import Fault
from rules.models import Rule
from tests.support import queued
from tests.support.access_model import Event, Model
from tests.support.by_hand import Worker
from tests.support.longer import LONG, number
from tests.support.samcart import payload
from tests.support.shop import START
from tests.support.stories import SAMPLES
from tests.support.world import World

BUYER = "buyer0@example.com"
ONE, BOTH = "1048010", "1048011"  # products: the first course, and a bundle with the second one
GIVING = ("product_purchased", "subscription_charged")
ENDING = ("product_refunded", "subscription_canceled")


@dataclass
class School:
    """A shop whose products share a course, and what was sent so far."""

    world: World
    one: Destination
    two: Destination
    bundle: Destination
    numbers: Iterator[int] = field(default_factory=count)

    def send(self, kind: str, order: int = 1, *, product: str = ONE, email: str = BUYER) -> None:
        """A body is received, a second after the one before, and not read yet."""
        body = payload(SAMPLES[kind])
        body["customer"] |= {"email": email}
        body["product"] |= {"id": int(product)}
        later = timezone.now() + timedelta(days=1)  # no sale from before Admit
        body["order"] |= {"id": order, "created_at": later.isoformat()}
        body["order"].pop("subscription_id", None)
        assert self.world.post(body).status_code == 200
        newest = Delivery.objects.order_by("pk").last()
        assert newest is not None
        newest.received_at = START + timedelta(seconds=next(self.numbers))
        newest.save(update_fields=["received_at"])

    def tell(self, *kinds: str, **facts: Any) -> None:
        """These are received and read."""
        for kind in kinds:
            self.send(kind, **facts)
        inbox.process()

    def has(self, email: str = BUYER, course: Destination | None = None) -> bool:
        return self.world.access(email, course or self.one)

    def puts(self) -> int:
        """How many calls ended or changed an enrollment."""
        return sum(call.startswith("PUT") for call in self.world.calls())


@pytest.fixture
def school(world: World) -> School:
    one, two = world.course("Course One"), world.course("Course Two")
    bundle = world.bundle(one, two)
    for sold, kind, target in ((ONE, "course", one), (BOTH, "bundle", bundle)):
        for trigger in GIVING:
            world.rule(trigger, f"create_{kind}_enrollment", target, product=sold)
        for trigger in ENDING:
            world.rule(trigger, f"expire_{kind}_enrollment", target, product=sold)
    return School(world, one, two, bundle)


def run_of(trigger: str, order: int = 1) -> RuleRun:
    return RuleRun.objects.get(event__trigger=trigger, event__order_id=str(order))


def read_all() -> None:
    """Read what came in, also while another one is at it."""
    while Delivery.objects.filter(state=Delivery.State.NEW).exists():
        inbox.process()


# One purchase is one grant


def test_two_deliveries_of_one_line_at_the_same_moment_make_one_grant(school):
    queued.at_once(*[lambda: school.send("purchased")] * 2)
    queued.at_once(read_all, read_all)
    assert Grant.objects.count() == 1
    school.world.settle()
    assert school.has()


def test_two_events_of_one_purchase_that_are_read_at_once_make_one_grant(school):
    school.send("charged")
    school.send("purchased")
    queued.at_once(read_all, read_all)
    assert Grant.objects.count() == 1
    assert {run.grant_id for run in RuleRun.objects.all()} == {Grant.objects.get().pk}


@pytest.mark.parametrize("facts", [{}, {"product": None}])
def test_the_database_itself_refuses_a_second_grant_of_a_purchase(school, facts):
    school.tell("purchased")
    Grant.objects.update(**facts)
    grant = Grant.objects.get()
    grant.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        grant.save(force_insert=True)


def test_two_workers_carry_one_purchase_out_once(school):
    school.tell("purchased")
    queued.at_once(queued.drain, queued.drain)
    assert school.world.calls() == ["POST /users", "POST /enrollments"]
    assert run_of("product_purchased").status == "done"


# Two refunds at once


@pytest.mark.parametrize("read", ["together", "one by one"])
@pytest.mark.parametrize("first", [1, 2])
def test_refunds_of_two_orders_in_one_second_end_the_course_once(school, first, read):
    school.tell("purchased", order=1)
    school.tell("purchased", order=2)
    school.world.settle()
    assert school.has()
    school.world.sandbox.clear_calls()
    for order in (first, 3 - first):
        school.send("refunded", order=order)
    Delivery.objects.filter(state="new").update(received_at=START + timedelta(hours=1))
    workers = Worker(), Worker()
    while Delivery.objects.filter(state="new").exists():
        inbox.process()
        for worker in workers if read == "one by one" else ():
            worker.step()
    for _ in range(12):
        for worker in workers:
            worker.step()
    for worker in workers:
        worker.finish()
    assert {run_of("product_refunded", order).status for order in (1, 2)} == {"done"}
    assert (school.has(), school.puts()) == (False, 1)


def test_refunds_of_two_orders_by_two_threads_end_the_course_once(school):
    for order in (1, 2):
        school.tell("purchased", order=order)
    school.world.settle()
    school.world.sandbox.clear_calls()
    for order in (1, 2):
        school.send("refunded", order=order)

    def work() -> None:
        read_all()
        queued.drain()

    queued.at_once(work, work)
    queued.drain()
    assert (school.has(), school.puts()) == (False, 1)
    assert not Grant.objects.active().exists()


# An error of before, and what is gone


def test_an_old_error_on_an_ended_grant_bars_no_later_one(school):
    refused = Fault("status", status=400, method="POST", path="^/enrollments$")
    school.world.sandbox.faults.add(refused)
    school.tell("purchased", order=1)
    school.world.settle()
    assert run_of("product_purchased", 1).status == "failed"
    school.tell("refunded", order=1)
    school.tell("purchased", order=2)
    school.world.settle()
    assert run_of("product_purchased", 2).status == "done"
    assert school.has()
    retry_by_hand.retry([run_of("product_purchased", 1)])
    school.world.later()
    assert school.has()


def test_what_a_person_dismissed_keeps_nothing_open(school):
    refused = Fault("status", status=400, method="POST", path="^/enrollments$")
    school.world.sandbox.faults.add(refused)
    school.tell("purchased", order=1)
    school.world.settle()
    retry_by_hand.dismiss([run_of("product_purchased", 1)], by="Dana")
    school.tell("purchased", order=2)
    school.world.settle()
    assert school.has()
    school.tell("refunded", order=2)
    school.world.settle()
    assert not school.has()


def _rule(school: School) -> None:
    Rule.objects.filter(runs=run_of("product_refunded")).delete()


def _course(school: School) -> None:
    school.one.delete()


def _event_of_the_purchase(school: School) -> None:
    EventLog.objects.filter(trigger="product_purchased").delete()


def _product(school: School) -> None:
    Product.objects.filter(events__trigger="product_refunded").delete()


@pytest.mark.parametrize("delete", [_rule, _course, _event_of_the_purchase, _product])
def test_what_waits_to_be_ended_ends_though_this_was_deleted(school, delete):
    school.tell("purchased")
    school.world.settle()
    school.tell("refunded")
    delete(school)
    school.world.settle()
    refund = run_of("product_refunded")
    assert (refund.status, refund.message) == ("done", "Access to Course One ended.")
    assert not school.has()


def test_an_ending_whose_site_was_deleted_says_so_and_bars_no_other(school):
    school.tell("purchased")
    school.world.settle()
    school.tell("refunded")
    school.world.integration.delete()
    school.world.settle()
    refund = run_of("product_refunded")
    assert (refund.status, refund.code) == ("failed", "deleted")
    assert not Grant.objects.exists()


@pytest.mark.parametrize("kind", ["refunded", "canceled"])
def test_an_ending_that_names_nothing_known_ends_nothing_and_says_so(school, kind):
    school.tell("purchased", order=1)
    school.world.settle()
    school.world.sandbox.clear_calls()
    school.tell(kind, order=2)
    (run,) = RuleRun.objects.exclude(event__trigger="product_purchased")
    assert (run.status, run.code) == ("skipped", "unknown_purchase")
    assert run.message == (
        "Admit knows no purchase of order 2, so nothing had to end. If it arrives later, it gives "
        "no access to Course One."
    )
    school.world.settle()
    assert (school.has(), school.world.calls()) == (True, [])


# One student, several purchases


def test_a_run_that_waits_a_day_holds_no_other_purchase_of_its_student_back(school):
    failing = Fault("status", status=503, method="POST", path="^/bundles/.*", times=1)
    school.world.sandbox.faults.add(failing)
    school.tell("purchased", order=1, product=BOTH)
    school.world.settle()
    tomorrow = timezone.now() + timedelta(days=1)
    RuleRun.objects.filter(status="waiting").update(next_attempt_at=tomorrow)
    school.tell("purchased", order=2)
    school.world.settle()
    assert run_of("product_purchased", 2).status == "done"
    assert (school.has(), school.has(course=school.two)) == (True, False)
    school.tell("refunded", order=2)
    school.world.settle()
    # The other order is owed the course, so it is not taken away to be given again.
    assert run_of("product_refunded", 2).code == "kept"
    assert school.has()
    school.world.later()
    assert (school.has(), school.has(course=school.two)) == (True, True)


def test_a_run_that_waits_a_day_gives_nothing_that_was_refunded_meanwhile(school):
    failing = Fault("status", status=503, method="POST", path="^/enrollments$")
    school.world.sandbox.faults.add(failing)
    school.tell("purchased")
    school.world.settle()
    tomorrow = timezone.now() + timedelta(days=1)
    RuleRun.objects.filter(status="waiting").update(next_attempt_at=tomorrow)
    Intent.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    school.tell("refunded")
    school.world.settle()
    assert run_of("product_refunded").status == "done"
    school.world.sandbox.clear_calls()
    school.world.later()
    purchase = run_of("product_purchased")
    assert (purchase.status, purchase.code) == ("skipped", "not_due")
    assert (school.has(), school.world.calls()) == (False, [])


SECOND = "second@example.com"


def one_user(school: School) -> None:
    """Two customers are one Thinkific user."""
    user = school.world.school.add_user(BUYER)
    for email in (BUYER, SECOND):
        customer, _ = Customer.objects.get_or_create(email=email, email_as_sent=email)
        ThinkificUser.objects.create(
            integration=school.world.integration, customer=customer, user_id=user.id
        )


def test_two_customers_who_are_one_thinkific_user_are_never_under_way_at_once(school):
    one_user(school)
    school.tell("purchased", order=1)
    school.tell("purchased", order=2, email=SECOND)
    first, second = Worker(), Worker()
    while not (first.is_idle and second.is_idle) or RuleRun.objects.due().exists():
        first.step()
        second.step()
        assert RuleRun.objects.filter(status="running").count() <= 1
    assert school.has()


@pytest.mark.parametrize("refunded", [1, 2])
def test_what_another_customer_of_the_same_thinkific_user_pays_for_is_kept(school, refunded):
    one_user(school)
    emails = {1: BUYER, 2: SECOND}
    for order, email in emails.items():
        school.tell("purchased", order=order, email=email)
    school.world.settle()
    school.tell("refunded", order=refunded, email=emails[refunded])
    school.world.settle()
    other = 3 - refunded
    assert run_of("product_refunded", refunded).message == (
        f"Kept Course One: order {other} still gives it."
    )
    assert school.has()
    school.tell("refunded", order=other, email=emails[other])
    school.world.settle()
    assert not school.has()


def learns_of(school: School) -> None:
    """The user of the first customer has the second one's address now, and Admit does not know."""
    user = school.world.school.user(BUYER)
    assert user is not None
    school.world.school.change_email(user, SECOND)


# How far the first worker is when the second one begins.
AHEAD = (3, 7, 10)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_refund_ends_nothing_of_another_who_turns_out_to_be_the_same_student(school, ahead):
    school.tell("purchased", order=1)
    school.world.settle()
    learns_of(school)
    school.tell("refunded", order=1)
    school.tell("purchased", order=2, email=SECOND)
    _go(ahead)
    assert run_of("product_purchased", 2).status == "done"
    assert school.has(SECOND)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_refund_that_turns_out_to_be_of_the_same_student_ends_nothing_of_the_other(school, ahead):
    school.tell("purchased", order=1)
    school.world.settle()
    learns_of(school)
    school.tell("purchased", order=2, email=SECOND)
    school.tell("refunded", order=1)
    school.world.settle()
    ThinkificUser.objects.filter(customer__email=SECOND).delete()
    school.tell("refunded", order=2, email=SECOND)
    school.tell("purchased", order=3)
    _go(ahead)
    assert run_of("product_refunded", 2).code == "kept"
    assert school.has(SECOND)


def _go(ahead: int) -> None:
    """One worker begins with the oldest action, and after so many steps another one joins it."""
    first, second = Worker(at_most=1), Worker(at_most=1)
    for _ in range(ahead):
        first.step()
    for _ in range(40):
        second.step()
    first.finish()
    second.finish()


# Any interleaving

COURSES = (frozenset({0}), frozenset({0, 1}))  # of each product
KINDS = ("purchased", "purchased", "refunded", "canceled", "charged")
BUYERS = 20  # who buy and give back at the same time
DAYS = number(6, 500)


@dataclass
class Day:
    """The sales of some buyers, and two workers who go on in any order."""

    school: School
    chance: random.Random
    people: list[tuple[str, ...]] = field(default_factory=list)  # the addresses of each buyer
    sold: list[tuple[str, Event]] = field(default_factory=list)
    read: int = 0
    models: dict[int, Model] = field(default_factory=dict)

    def begin(self, day: int) -> None:
        """Buyers come who have never been here; some of them buy under two addresses."""
        site = self.school.world.integration
        for buyer in range(BUYERS):
            emails = f"buyer{day}-{buyer}@example.com", f"second{day}-{buyer}@example.com"
            self.people.append(emails)
            self.models[buyer] = Model(COURSES)
            if buyer % 4:
                continue
            user = self.school.world.school.add_user(emails[0])
            for email in emails:
                customer = Customer.objects.create(email=email, email_as_sent=email)
                ThinkificUser.objects.create(integration=site, customer=customer, user_id=user.id)

    def go(self, day: int) -> None:
        workers = Worker(), Worker()
        left = 5 * BUYERS
        while left or not all(each.is_idle for each in workers) or RuleRun.objects.due().exists():
            what = self.chance.randrange(12)
            if what < 3 and left:
                self.sell(day)
                left -= 1
            elif what == 3 or (what == 4 and not left):
                self.look()
            else:
                worker = workers[what % 2]
                worker.at_most = self.chance.randrange(1, 9)
                worker.step()
        self.look()
        for worker in workers:
            worker.finish()

    def sell(self, day: int) -> None:
        """One event of one of four purchases arrives."""
        buyer, order = self.chance.randrange(BUYERS), self.chance.randrange(2)
        address = order if buyer % 4 == 0 else 0
        kind, sold = self.chance.choice(KINDS), self.chance.randrange(2)
        email = self.people[buyer][address]
        number = 100_000 + 1000 * day + 10 * buyer + order
        self.school.send(kind, number, product=(ONE, BOTH)[sold], email=email)
        self.sold.append((email, Event(len(self.sold), kind, buyer, sold, order)))

    def look(self) -> None:
        """The inbox reads what has arrived."""
        inbox.process()
        for _, event in self.sold[self.read :]:
            self.models[event.person].take(event)
        self.read = len(self.sold)

    def check(self) -> None:
        parts = (self.school.one, self.school.two)
        for buyer, emails in enumerate(self.people):
            grants = list(Grant.objects.filter(customer__email__in=emails))
            for course, part in enumerate(parts):
                target = f"course:{part.external_id}"
                held = ledger.holder(grants, part.integration_id, target) is not None
                has = any(self.school.has(email, part) for email in emails)
                due = self.models[buyer].access(f"buyer{buyer}@example.com", course)
                assert (has, held) == (due, due), [e for _, e in self.sold if e.person == buyer]
        assert not RuleRun.objects.exclude(status__in=["done", "skipped"]).exists()


@pytest.mark.slow
def test_whatever_two_workers_do_between_each_other_access_is_what_was_paid_for(school):
    seed = random.randrange(10**6) if LONG else 0
    for which in range(DAYS):
        day = Day(school, random.Random(f"{seed}-{which}"))
        day.begin(which)
        day.go(which)
        day.check()
