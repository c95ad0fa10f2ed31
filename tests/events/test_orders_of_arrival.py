"""Access follows what was paid, in whatever order events come and whatever fails.

Stories of deliveries, repeats, late arrivals, crashes, lost answers and retries are told to
the engine and to a small model. In the end a student has a course in Thinkific if and only if a
grant is active, and the model says so too. CI takes the same stories each time. The long form
takes 2,000 new ones:

    FUZZ=long python -m pytest tests/events/test_orders_of_arrival.py
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import example, given

from events.access import ledger
from events.deciding import inbox
from events.execution import recovery, retry_by_hand
from events.models import Delivery, EventLog, Grant, RuleRun
from integrations.models import ApiCall, Customer, Intent, ThinkificUser
from integrations.thinkific.sandbox import Fault, Switches
from tests.support import queued, stories
from tests.support.access_model import Event, Model
from tests.support.longer import LONG, examples
from tests.support.queued import claim
from tests.support.samcart import payload
from tests.support.shop import START
from tests.support.stories import Step
from tests.support.world import World

# The stories of test_access_stories.py are told to the other database, too.
pytestmark = [] if LONG else [pytest.mark.first_database]

PRODUCTS = ("1048010", "1048011", "1048012", "1048013")
COURSES = (frozenset({0}), frozenset({0, 1}), frozenset({0, 1}), frozenset({0, 1}))
# Product by product: what gives its courses, and what ends them.
RULES = (("course", "course"), ("course", "course"), ("bundle", "bundle"), ("course", "bundle"))
GIVING = (
    "product_purchased",
    "subscription_charged",
    "subscription_recovered",
    "subscription_restarted",
)
ENDING = ("product_refunded", "subscription_canceled")
EMAILS = [f"{who}{person}@example.com" for who in ("buyer", "other") for person in (0, 1)]
# Its later orders have numbers of their own, so that only the subscription names the purchase.
RENEWED = 1


class DiedError(BaseException):
    """The worker is no more: nobody catches this, and what was not committed is undone."""


@dataclass
class Story:
    """One story as it is told to a shop whose rules stand already."""

    world: World
    courses: list[int]
    seen: Counter[str]
    model: Model = field(default_factory=lambda: Model(COURSES))
    sent: list[Event] = field(default_factory=list)
    unread: list[Event] = field(default_factory=list)
    minutes: int = 0
    fired_before: int = 0

    def tell(self, step: Step) -> None:
        match step:
            case stories.Deliver():
                self.deliver(step.event(self.clock(step.gap)))
            case stories.Again() if self.sent:
                first = self.sent[step.which % len(self.sent)]
                self.deliver(replace(first, at=self.clock(step.gap)))
            case stories.Work():
                self.work()
            case stories.Die():
                self.die(step.statement)
            case stories.Oversleep():
                self.read()
                self.seen["overslept"] += len(claim(8))
                self.lapse()
            case stories.Meet():
                self.world.sandbox.faults.add(Fault(**stories.FAULTS[step.fault]))
            case stories.Behave():
                name, value = stories.BEHAVIORS[step.behavior]
                setattr(self.world.sandbox.switches, name, value)
            case stories.Wait():
                self.wait()
            case stories.Retry():
                self.retry()

    def clock(self, gap: int) -> int:
        """The time of the next receipt; no two are the same."""
        self.minutes += max(gap, 0)
        return (self.minutes + min(gap, 0)) * 60_000 + len(self.sent)

    def deliver(self, event: Event) -> None:
        body = payload(stories.SAMPLES[event.kind])
        order = 10 * event.person + event.order + 1
        body["customer"] |= {"email": event.email}
        body["product"] |= {"id": int(PRODUCTS[event.product])}
        body["order"] |= {"id": order}
        # A refund names its order alone, but for the product whose orders get new numbers.
        if event.kind != "refunded" or event.product == RENEWED:
            body["order"] |= {"subscription_id": 9000 + 100 * event.product + order}
        if event.renewed and event.product == RENEWED and event.kind != "purchased":
            body["order"] |= {"id": order + 50}
        assert self.world.post(body).status_code == 200
        newest = Delivery.objects.order_by("pk").last()
        assert newest is not None
        newest.received_at = START + timedelta(milliseconds=event.at)
        newest.save(update_fields=["received_at"])
        self.sent.append(event)
        self.unread.append(event)

    # Work

    def read(self) -> None:
        inbox.process()
        for event in sorted(self.unread):
            self.model.take(event)
        self.unread.clear()

    def work(self) -> None:
        self.read()
        recovery.revive()
        while claimed := claim(8):
            for run in claimed:
                queued.carry_out(run)

    def die(self, statement: int) -> None:
        with dying(statement) as died:
            try:
                self.work()
            except DiedError:
                connection.close()
        # Within the inbox or beyond it: the next worker reads what was left.
        self.read()
        self.lapse()
        self.seen["died"] += died()

    def lapse(self) -> None:
        queued.let_lapse(*RuleRun.objects.filter(status="running"))
        recovery.revive()

    def wait(self) -> None:
        past = Now() - timedelta(seconds=1)
        RuleRun.objects.filter(status="waiting").update(next_attempt_at=past)
        # No call without an answer may still be carried out.
        Intent.objects.update(sent_at=F("sent_at") - timedelta(minutes=2))
        self.work()

    def retry(self) -> None:
        queued_again, left = retry_by_hand.retry(RuleRun.objects.filter(status="failed"))
        self.seen["retried"] += queued_again
        self.seen["left alone"] += sum(left.values())

    # The end

    def end(self) -> None:
        """Thinkific works again, and a person retries what failed until nothing is left to do."""
        self.world.sandbox.faults.clear()
        for _ in range(3):
            self.wait()
            self.retry()
        self.wait()

    def check(self) -> None:
        places = list(product(EMAILS, (0, 1)))
        has = {place: self.has(*place) for place in places}
        assert has == {place: self.granted(*place) for place in places}
        assert has == {place: self.model.access(*place) for place in places}
        explained = EventLog.objects.values("delivery").distinct().count()
        assert explained == Delivery.objects.count() == len(self.sent)
        assert not RuleRun.objects.filter(status__in=["running", "waiting", "held"]).exists()
        school = self.world.school
        assert self.carried_out("^/users$") == len(school.users)
        assert self.carried_out("^/enrollments$") <= len(school.enrollments)
        self.seen.update(RuleRun.objects.values_list("status", flat=True))
        self.seen.update(EventLog.objects.values_list("status", flat=True))

    def has(self, email: str, course: int) -> bool:
        row = self.world.school.enrollment(email, self.courses[course])
        return row is not None and row.active

    def granted(self, email: str, course: int) -> bool:
        grants = Grant.objects.filter(customer__email=email)
        part = f"course:{self.courses[course]}"
        return ledger.holder(grants, self.world.integration.pk, part) is not None

    def carried_out(self, path: str) -> int:
        """How many POSTs to this path did their work, be their answers lost or not."""
        fired = self.world.sandbox.faults.fired[self.fired_before :]
        failed = [fault for fault in fired if fault.path == path and not fault.applied]
        self.seen.update(f"{fault.kind} at {fault.method} {fault.path}" for fault in failed)
        calls = self.world.calls()
        return sum(re.search(path, call.removeprefix("POST ")) is not None for call in calls) - len(
            failed
        )


@contextmanager
def dying(statement: int) -> Iterator[Callable[[], bool]]:
    """Die before the n-th statement, and so in any transaction and between any two of them."""
    left = statement

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise DiedError
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield lambda: left < 0


@pytest.fixture
def school(world: World) -> tuple[World, list[int]]:
    """Four products that share courses; access is given, ended and given back."""
    courses = [world.course("Course One"), world.course("Course Two")]
    bundle = world.bundle(*courses)
    for number, inside, kinds in zip(PRODUCTS, COURSES, RULES, strict=True):
        ways = zip(("create", "expire"), (GIVING, ENDING), kinds, strict=True)
        for verb, triggers, kind in ways:
            targets = [bundle] if kind == "bundle" else [courses[course] for course in inside]
            for trigger, target in product(triggers, targets):
                world.rule(trigger, f"{verb}_{kind}_enrollment", target, product=number)
    return world, [course.external_id for course in courses]


def forget_all(world: World) -> None:
    """One story must not depend on the one before it."""
    for model in (ApiCall, Intent, ThinkificUser, RuleRun, Grant, EventLog, Delivery, Customer):
        model.objects.all().delete()
    for user in world.school.users:
        world.school.remove_user(user)
    world.sandbox.clear_calls()
    usual = Switches(bundle_delay=0.0)  # what is promised for later is there with the next look
    names = {name for name, _ in stories.BEHAVIORS} | {"bundle_delay"}
    world.sandbox.switches.update({name: getattr(usual, name) for name in names})


# Without these a story would have nothing to say: CI's hold each of them.
TOLD = ["died", "overslept", "done", "skipped", "retried", "repeat", "no_rule"]
LOST = ["reset at POST ^/users$", "status at POST ^/enrollments$"]


def test_in_whatever_order_events_come_access_follows_what_was_paid(school):
    world, courses = school
    seen: Counter[str] = Counter()

    @examples(24, 2000)
    @given(stories.STORIES)
    def hold(steps: list[Step]) -> None:
        forget_all(world)
        fired = len(world.sandbox.faults.fired)
        story = Story(world, courses, seen, fired_before=fired)
        for step in steps:
            story.tell(step)
        story.end()
        story.check()

    for story in stories.KNOWN:
        hold = example(story)(hold)
    hold()
    assert [what for what in TOLD + LOST if not seen[what]] == []
