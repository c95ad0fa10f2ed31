"""Admit knows an action by its spec: a new action needs a spec and a function."""

import re
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, RuleRun
from events.reports.customers import customer_access
from integrations.errors import Refused
from integrations.models import Destination, Integration
from integrations.thinkific.attempt import Attempt
from integrations.thinkific.calls import Get, Steps
from rules import pairing
from rules.actions import (
    ACTIONS,
    Action,
    ActionInput,
    ActionOutcome,
    ActionSpec,
    Effect,
    PlannedCall,
)
from rules.configuration import apply, exporting
from rules.models import Rule
from tests.support.factories import KEY
from tests.support.pages import signed_in, words
from tests.support.world import World

# Decided by a registry in the code.
pytestmark = pytest.mark.first_database

CERTIFICATE = "send_certificate"


def send_certificate(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
    yield Get("/courses", {"limit": 1})
    return ActionOutcome("sent", f"A certificate of {action_input.destination} is on its way.")


SPEC = ActionSpec(
    key=CERTIFICATE,
    label="Send Certificate",
    app=Integration.App.THINKIFIC,
    effect=Effect.NONE,
    target=Destination.Kind.COURSE,
    run=send_certificate,
    in_words="send the customer a certificate of {place}",
    in_short="send a certificate of {name}",
    planned_calls=lambda **_: [PlannedCall("Send the certificate", "GET /courses")],
)


@pytest.fixture
def certificate(monkeypatch) -> ActionSpec:
    """An action that changes no access, added by its spec and its function alone."""
    monkeypatch.setitem(ACTIONS, CERTIFICATE, SPEC)
    return SPEC


@pytest.fixture
def course(world: World, certificate: ActionSpec) -> Destination:
    return world.course()


@pytest.fixture
def manager(transactional_db) -> Client:
    return signed_in(roles.MANAGER)


def sentences(event: EventLog) -> list[str]:
    assert event.customer is not None
    return [line.text for line in customer_access.describe(event.customer).lines]


def test_every_action_has_a_spec_under_its_key():
    assert set(ACTIONS) == set(Action)
    assert all(spec.key == key for key, spec in ACTIONS.items())


def test_opposites_undo_each_other_at_the_same_target():
    for spec in ACTIONS.values():
        if spec.effect is Effect.NONE:
            assert not spec.opposite
            continue
        other = ACTIONS[spec.opposite]
        assert (other.opposite, other.target) == (spec.key, spec.target)
        assert {spec.effect, other.effect} == {Effect.GIVES, Effect.ENDS}


def test_a_new_action_is_chosen_in_the_wizard_and_reads_as_a_person_says_it(
    world: World, course: Destination, manager: Client
):
    answers: dict[str, Any] = {"scope": "global", "integration": world.integration.pk}
    assert "Send Certificate" in words(manager.get(reverse("admin:new-rule"), answers))
    answers |= {"action": CERTIFICATE, "trigger": "product_purchased", "destination": course.pk}
    text = words(manager.get(reverse("admin:new-rule"), answers))
    said = f"send the customer a certificate of Course Two on {world.integration}."
    assert f"When any product is purchased, {said}" in text
    assert "end access" not in text
    manager.post(reverse("admin:new-rule"), answers)
    rule = Rule.objects.get()
    assert (rule.action, pairing.companions([rule])) == (CERTIFICATE, [])
    assert "Send Certificate" in words(manager.get(reverse("admin:rules_rule_changelist")))


def test_a_new_action_is_decided_carried_out_and_told_without_a_word_of_access(
    world: World, course: Destination
):
    world.rule("product_purchased", CERTIFICATE, course)
    event = world.sell()
    (run,) = world.settle()
    assert (run.status, run.message) == ("done", "A certificate of Course Two is on its way.")
    assert str(run) == "Send Certificate: Course Two"
    event.refresh_from_db()
    assert event.status == "done"
    assert event.customer is not None
    told = customer_access.describe(event.customer)
    assert "has had Course Two" not in " ".join(line.text for line in told.lines)
    assert "Course Two" not in told.reply
    assert "no course" not in told.reply


def test_a_new_action_neither_takes_nor_hides_what_a_purchase_gave(
    world: World, course: Destination
):
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", CERTIFICATE, course)
    event = world.sell()
    world.settle()
    assert event.customer is not None
    world.sell("20_product_refunded", customer__email=event.customer.email)
    assert [run.status for run in world.settle()] == ["done", "done"]
    assert "has had Course Two" in sentences(event)[0]


def test_a_new_action_that_fails_stands_first_on_the_customers_page(
    world: World, course: Destination, monkeypatch
):
    def fail(attempt: Attempt, action_input: ActionInput) -> Steps[ActionOutcome]:
        raise Refused("The printer is out of paper.")

    monkeypatch.setitem(ACTIONS, CERTIFICATE, replace(SPEC, run=fail))
    world.rule("product_purchased", CERTIFICATE, course)
    event = world.sell()
    world.settle()
    assert sentences(event)[0].startswith("Send Certificate, Course Two: it failed")
    assert "out of paper" in sentences(event)[0]


def test_a_new_action_is_simulated_with_its_own_calls(
    world: World, course: Destination, manager: Client
):
    world.rule("product_purchased", CERTIFICATE, course)
    answers = {"trigger": "product_purchased", "email": "dana@example.com"}
    text = words(manager.get(reverse("admin:simulate"), answers))
    assert "Send the certificate" in text
    assert not RuleRun.objects.exists()


def test_a_new_action_is_exported_and_applied_again(world: World, course: Destination):
    world.rule("product_purchased", CERTIFICATE, course)
    text = exporting.export()
    assert f"action: {CERTIFICATE}" in text
    Rule.objects.all().delete()
    names = re.findall(r"\$\{(\w+)\}", text)
    apply(text.encode(), dict.fromkeys(names, KEY))
    assert Rule.objects.get().action == CERTIFICATE
