"""Admit knows an app by its spec: a new app needs a spec, a client and an action."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from events.execution import wait_reasons
from events.models import RuleRun
from integrations import app_registry
from integrations.app_registry import AppSpec
from integrations.calls import rate_limit
from integrations.calls.exchanges import Answer
from integrations.calls.findings import Finding
from integrations.errors import OutsideError, Refused, Retry
from integrations.models import CallBudget, Integration, SiteAnswer
from integrations.thinkific.attempt import Attempt
from rules.actions import ACTIONS, ActionInput, ActionOutcome, ActionSpec, Effect, PlannedCall
from rules.models import Rule, Scope
from tests.support import factories, queued
from tests.support.queued import claim
from tests.support.world import World

# Decided by a registry in the code.
pytestmark = pytest.mark.first_database

PRINTER, PRINT = "label_printer", "print_label"


@dataclass
class Printer:
    """Prints labels in memory, until `fault` is set."""

    labels: list[str] = field(default_factory=list)
    fault: OutsideError | None = None

    def send(self, call: str) -> Answer:
        if self.fault:
            raise self.fault
        self.labels.append(call)
        return Answer(200, None)


def print_label(
    attempt: Attempt, action_input: ActionInput
) -> Generator[str, Answer, ActionOutcome]:
    yield attempt.person.email
    return ActionOutcome("printed", f"{action_input.destination} printed a label.")


def checked(attempt: Attempt, steps: Any) -> Any:
    try:
        return (yield from steps)
    except Retry as error:
        attempt.found(Finding(SiteAnswer.UNKNOWN, error))
        raise


def take_effect(integration: Integration, finding: Finding) -> None:
    rate_limit.block(integration.pk, CallBudget.Blocked.AWAY, 60)


def try_now(integration: Integration) -> SiteAnswer:
    rate_limit.unblock(integration.pk)
    return SiteAnswer.OPEN


@pytest.fixture
def printer(world: World, monkeypatch: pytest.MonkeyPatch) -> Printer:
    """The app, its action, an integration and a rule: without a word of Admit's own code."""
    made = Printer()
    app = AppSpec(
        key=PRINTER,  # type: ignore[arg-type]  # a real one is in Integration.App
        label="Label Printer",
        outside="the printer",
        secret="PIN",
        has_catalog=False,
        calls_at_once=1,
        calls_per_minute=lambda: 0,
        share_of_threads=0.5,
        client=lambda integration, after_call: made,
        checked=checked,
        take_effect=take_effect,
        question=None,
        try_now=try_now,
    )
    monkeypatch.setitem(app_registry.APPS, PRINTER, app)
    action = ActionSpec(
        key=PRINT,
        label="Print Label",
        app=app.key,
        effect=Effect.NONE,
        target=None,
        run=print_label,
        in_words="print a label on {place}",
        in_short="print a label",
        planned_calls=lambda **_: [PlannedCall("Print the label", "PRINT")],
    )
    monkeypatch.setitem(ACTIONS, PRINT, action)
    desk: Any = factories.IntegrationFactory(name="Front desk", site="desk", app=PRINTER)
    rule = Rule(
        marketplace=world.marketplace,
        scope=Scope.GLOBAL,
        trigger="product_purchased",
        integration=desk,
        action=PRINT,
    )
    rule.clean()
    rule.save()
    return made


def test_its_rule_is_decided_carried_out_and_told(world, printer):
    world.sell("10_product", customer__email="dana@example.com")
    (run,) = world.settle()
    assert printer.labels == ["dana@example.com"]
    assert (run.status, run.code, run.message) == (
        "done",
        "printed",
        "Front desk printed a label.",
    )
    assert Rule.objects.get().in_words() == (
        "When any product is purchased, print a label on Front desk."
    )


def test_its_errors_pause_it_alone_and_say_who_is_meant(world, printer, settings):
    settings.RETRY_DELAYS = [0.0]
    printer.fault = Retry("The printer is out of paper.", in_doubt=False)
    world.sell("10_product", customer__email="dana@example.com")
    (run,) = world.settle()
    assert run.status == "failed"
    assert run.message.endswith("given up. Retry when the printer works again.")
    world.sell("10_product", customer__email="mia@example.com")
    _, second = world.settle()
    assert (second.status, second.attempts) == ("waiting", 0)
    assert wait_reasons.reason(second) == (
        "Waits because Front desk could not be reached. It continues by itself."
    )
    assert rate_limit.open_sites() == {world.integration.pk}
    printer.fault = None
    CallBudget.objects.update(blocked_until=0)
    assert queued.drain() == 1
    assert printer.labels == ["mia@example.com"]


def test_what_it_refuses_fails_at_once(world, printer):
    printer.fault = Refused("The label is too long.", code="too_long")
    world.sell()
    world.settle()
    run = RuleRun.objects.get()
    assert (run.status, run.code, run.message) == ("failed", "too_long", "The label is too long.")


def test_one_call_at_once_goes_where_the_spec_says_one(world, printer, settings):
    settings.WORKER_PROCESSES = 1
    for number in range(3):
        world.sell("10_product", customer__email=f"buyer{number}@example.com", order__id=number)
    worker = queued.loop()
    worker.claimed += claim(16)
    world.sandbox.switches.latency = 0.2
    at_once = set()
    while worker.turn():
        at_once.add(worker.senders.under_way)
    assert at_once == {0, 1}
    assert set(RuleRun.objects.values_list("status", flat=True)) == {"done"}
