"""In whatever order events come, and whatever fails on the way, the last one received decides.

Stories of deliveries, repeats, late arrivals, crashes, lost answers and retries are told to
the engine and to a small model; in the end both must agree. CI takes the same stories each
time. The long form takes 2,000 new ones:

    FUZZ=long python -m pytest tests/events/test_orders_of_arrival.py
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from hypothesis import example, given

from events.deciding import inbox
from events.execution import recovery, retry_by_hand
from events.models import Delivery, EventLog, RuleRun
from integrations.models import ApiCall, Customer, Intent, ThinkificUser
from integrations.thinkific.sandbox import Fault
from tests.support import queued, stories
from tests.support.access_model import Event, Model
from tests.support.longer import examples
from tests.support.queued import claim
from tests.support.samcart import payload
from tests.support.shop import START
from tests.support.stories import Step
from tests.support.world import World

PRODUCTS = ("1048010", "1048011")
COURSES = (frozenset({0}), frozenset({0, 1}))  # of each product: one course is in both
TRIGGERS = {
    "product_purchased": "create_course_enrollment",
    "product_refunded": "expire_course_enrollment",
    "subscription_canceled": "expire_course_enrollment",
    "subscription_recovered": "create_course_enrollment",
    "subscription_restarted": "create_course_enrollment",
}


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
                self.deliver(Event(self.clock(step.gap), *first.sent))
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
        order = 100 * event.person + 10 * event.product + event.order + 1
        body["customer"] |= {"email": email(event.person)}
        body["product"] |= {"id": int(PRODUCTS[event.product])}
        body["order"] |= {"id": order, "subscription_id": 9000 + order}
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
        places = [(person, course) for person in (0, 1) for course in (0, 1)]
        wanted = {place: self.model.access(*place) for place in places}
        assert {place: self.has(*place) for place in places} == wanted
        explained = EventLog.objects.values("delivery").distinct().count()
        assert explained == Delivery.objects.count() == len(self.sent)
        assert not RuleRun.objects.filter(status__in=["running", "waiting", "held"]).exists()
        school = self.world.school
        assert self.carried_out("^/users$") == len(school.users)
        assert self.carried_out("^/enrollments$") == len(school.enrollments)
        self.seen.update(RuleRun.objects.values_list("status", flat=True))
        self.seen.update(EventLog.objects.values_list("status", flat=True))

    def has(self, person: int, course: int) -> bool:
        row = self.world.school.enrollment(email(person), self.courses[course])
        return row is not None and row.active

    def carried_out(self, path: str) -> int:
        """How many POSTs to this path did their work, be their answers lost or not."""
        fired = self.world.sandbox.faults.fired[self.fired_before :]
        failed = [fault for fault in fired if fault.path == path and not fault.applied]
        self.seen.update(f"{fault.kind} at {fault.method} {fault.path}" for fault in failed)
        calls = self.world.calls()
        return sum(re.search(path, call.removeprefix("POST ")) is not None for call in calls) - len(
            failed
        )


def email(person: int) -> str:
    return f"buyer{person}@example.com"


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
    """Two products, the second with both courses; access is given, ended and given back."""
    courses = [world.course("Course One"), world.course("Course Two")]
    for product, inside in zip(PRODUCTS, COURSES, strict=True):
        for course in inside:
            for trigger, action in TRIGGERS.items():
                world.rule(trigger, action, courses[course], product=product)
    return world, [course.external_id for course in courses]


def forget_all(world: World) -> None:
    """One story must not depend on the one before it."""
    for model in (ApiCall, Intent, ThinkificUser, RuleRun, EventLog, Delivery, Customer):
        model.objects.all().delete()
    for user in world.school.users:
        world.school.remove_user(user)
    world.sandbox.clear_calls()


# Without these a story would have nothing to say: CI's hold each of them.
TOLD = ["died", "overslept", "done", "skipped", "retried", "repeat", "no_rule"]
LOST = ["reset at POST ^/users$", "status at POST ^/enrollments$"]


def test_in_whatever_order_events_come_the_last_one_received_decides(school):
    world, courses = school
    seen: Counter[str] = Counter()

    @examples(60, 2000)
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
