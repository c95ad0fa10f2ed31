"""Plays a story: SamCart posts, people change things, Admit works, Thinkific is asked."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from events.models import Delivery, EventLog, RuleRun
from events.reports.sentences import why
from integrations.models import Customer, Marketplace
from tests.support import queued
from tests.support.story_orders import WHO, Orders, manner_of
from tests.support.story_stage import WHEN_DONE, WHEN_READ, Stage
from tests.support.storybook import Story, StoryError, email_of, names
from tests.support.world import World

# Admit was connected this long ago; from then on something happens each hour.
CONNECTED = timedelta(days=60)
MOST_ATTEMPTS = 3


class Works(StrEnum):
    """When Admit carries out its work. Before people change things, it has finished everything."""

    EACH_TIME = "after each step"
    AT_THE_END = "only at the end"
    BACKWARDS = "only at the end, the newest first"


@dataclass(frozen=True, slots=True)
class End:
    """How a story ended; `codes` has the codes of each step's actions."""

    codes: list[tuple[str, ...]]
    in_thinkific: dict[str, frozenset[str]]  # By e-mail address; only people with an open course.
    says: list[str]  # The sentence on each course of each customer.
    unfinished: list[str]
    transcript: str


class Storyteller:
    """Plays one story, once."""

    def __init__(self, world: World, story: Story, works: Works) -> None:
        self._world, self._story, self._works = world, story, works
        self._now, self._gap = timezone.now() - CONNECTED, timedelta(hours=1)
        Marketplace.objects.filter(pk=world.marketplace.pk).update(created_at=self._now)
        self._stage = Stage(world, story.shop)
        self._orders = Orders(self._stage.product_ids)
        self._deliveries: dict[int, Delivery] = {}  # By the number of the step.
        self._late: list[tuple[int, dict[str, Any], datetime]] = []
        self._last: dict[str, Any] = {}

    def tell(self) -> End:
        """Play the story to its end. Raises StoryError for a sentence without a meaning."""
        for number, step in enumerate(self._story.steps):
            try:
                self._take(number, step.text)
            except StoryError as error:
                raise StoryError(f'{self._story.where}, "{step.text}": {error}') from None
            if self._works is Works.EACH_TIME:
                self._work()
        self._work()
        unfinished = RuleRun.objects.decided().filter(status__in=("waiting", "running", "failed"))
        came = [self._came(number) for number in range(len(self._story.steps))]
        return End(
            codes=[tuple(code for code, _ in each) for each in came],
            in_thinkific=self._in_thinkific(),
            says=[
                str(sentence.text)
                for customer in Customer.objects.order_by("pk")
                for _, sentence in why.of_customer(customer)
            ],
            unfinished=[f"{run}: {run.message}" for run in unfinished],
            transcript="\n".join(
                f"- {step.text}: " + " ".join(f"{code} ({text})" for code, text in each)
                for step, each in zip(self._story.steps, came, strict=True)
            ),
        )

    def _take(self, number: int, text: str) -> None:
        sentence, manner = manner_of(text)
        self._now += timedelta(minutes=1) if "soon" in manner else self._gap
        if sentence == "Admit works":
            self._work()
        elif sentence == "what is late arrives":
            self._world.read()
            for late in self._late:
                self._post(*late)
        elif sentence == "the same is sent again":
            self._post(number, self._last, self._now)
        elif match := re.fullmatch(rf"{WHO} has (?P<courses>.+)", sentence):
            self._look(email_of(match["who"]), frozenset(names(match["courses"])))
        elif body := self._orders.body(sentence, manner, self._now):
            self._last = body
            if "for" in manner:
                self._stage.set_student_field()
            if "late" in manner:
                self._late.append((number, body, self._now))
            else:
                self._post(number, body, self._now)
        else:
            self._change(sentence)

    def _look(self, email: str, held: frozenset[str]) -> None:
        """Compare with Thinkific on the way, if Admit works all the time."""
        if self._works is Works.EACH_TIME:
            assert self._in_thinkific().get(email, frozenset()) == held

    def _change(self, sentence: str) -> None:
        for deeds, before in ((WHEN_READ, self._world.read), (WHEN_DONE, self._work)):
            for pattern, deed in deeds.items():
                if match := re.fullmatch(pattern, sentence):
                    before()
                    deed(self._stage, **match.groupdict())
                    self._catch_up()
                    return
        raise StoryError("no story can say this. README.md has what it can say.")

    def _catch_up(self) -> None:
        """People act today: from their first act on, the rest of the story happens today too."""
        self._now, self._gap = timezone.now(), timedelta(milliseconds=1)

    def _post(self, number: int, body: dict[str, Any], received_at: datetime) -> None:
        assert self._world.post(body).status_code == 200
        delivery = Delivery.objects.latest("pk")
        delivery.received_at = received_at
        delivery.save(update_fields=["received_at"])
        self._deliveries[number] = delivery

    def _work(self) -> None:
        """Read what came in and carry it out, including what waits for its time."""
        self._world.read()
        if self._works is Works.BACKWARDS:
            self._carry_out_backwards()
        self._world.settle()
        for _ in range(MOST_ATTEMPTS):
            if RuleRun.objects.decided().filter(status="waiting").exists():
                self._world.later()

    def _carry_out_backwards(self) -> None:
        """Carry out waiting runs one by one, the newest first."""
        waiting = RuleRun.objects.decided().filter(status="waiting")
        for pk in list(waiting.order_by("-received_at", "-pk").values_list("pk", flat=True)):
            waiting.exclude(pk=pk).update(next_attempt_at=Now() + timedelta(days=1))
            waiting.filter(pk=pk).update(next_attempt_at=Now() - timedelta(seconds=1))
            queued.drain()

    def _in_thinkific(self) -> dict[str, frozenset[str]]:
        rows = [row for row in self._world.school.enrollments if row.active]
        emails = [row.user.email.lower() for row in rows]
        return {
            email: frozenset(row.course.name for row in rows if row.user.email.lower() == email)
            for email in emails
        }

    def _came(self, number: int) -> list[tuple[str, str]]:
        """Return code and sentence of each action of a step, else how its event stands."""
        found: list[tuple[str, str]] = []
        delivery = self._deliveries.get(number)
        for event in EventLog.objects.filter(delivery=delivery).order_by("line"):
            runs = event.runs.order_by("pk").values_list("code", "message")
            found += list(runs) or [(event.status, event.reason)]
        return [(code.replace("_", " "), text) for code, text in found]
