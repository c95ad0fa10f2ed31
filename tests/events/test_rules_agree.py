"""Whether a rule is for an event is asked in Python and in SQL: every place says the same."""

import pytest

from events.models import EventLog, Grant, RuleRun
from events.reports import rules_now
from events.reports.access import open_access
from events.reports.owed import unsettled
from integrations.models import Destination, Integration, Marketplace, Product
from rules import engine
from rules.fired import fired_by
from rules.models import Rule, Scope
from rules.triggers import TAKES_BACK, Trigger
from tests.support import factories
from tests.support.queued import event

pytestmark = pytest.mark.django_db
TRIGGERS = (Trigger.PRODUCT_PURCHASED, Trigger.SUBSCRIPTION_CHARGED, *TAKES_BACK)
GIVES = "create_course_enrollment"


@pytest.fixture
def school() -> Integration:
    made: Integration = factories.IntegrationFactory.create()
    return made


@pytest.fixture
def rules(school: Integration) -> list[Rule]:
    """On and off, for each trigger, for two products and for all, each with its own course."""
    shop, other = (
        Marketplace.objects.create(name="Main shop"),
        factories.MarketplaceFactory.create(),
    )
    ink, oil = factories.ProductFactory.create_batch(2, marketplace=shop)
    wood = factories.ProductFactory.create(marketplace=other)
    places = [(shop, None), (shop, ink), (shop, oil), (other, None), (other, wood)]
    return [
        Rule.objects.create(
            marketplace=account,
            product=product,
            scope=Scope.PRODUCT if product else Scope.GLOBAL,
            trigger=trigger,
            integration=school,
            action=GIVES,
            destination=factories.DestinationFactory.create(integration=school),
            enabled=enabled,
        )
        for account, product in places
        for trigger in TRIGGERS
        for enabled in (True, False)
    ]


def by_the_engine(happened: EventLog, rules: list[Rule]) -> set[int]:
    """What the inbox decides: the rules of the account that run for the event."""
    product = happened.product
    facts = engine.EventFacts(
        frozenset(fired_by(happened.trigger)),
        (product.kind, product.external_id) if product else None,
    )
    of_account = [rule for rule in rules if rule.marketplace_id == happened.marketplace_id]
    return {each.rule.pk for each in engine.decide(facts, of_account) if each.runs}


def by_open_access(happened: EventLog, rules: list[Rule]) -> set[int]:
    """The rules by which what they gave is still due, from an action of each for the event."""
    runs = RuleRun.objects.bulk_create(
        RuleRun(event=happened, received_at=happened.received_at, **RuleRun.copy_of(rule))
        for rule in rules
    )
    due = RuleRun.objects.filter(open_access.given_by_a_rule_now(), pk__in=[run.pk for run in runs])
    courses = set(due.values_list("destination_id", flat=True))
    RuleRun.objects.all().delete()
    return {rule.pk for rule in rules if course_of(rule).external_id in courses}


def by_what_may_be_settled(happened: EventLog, rules: list[Rule]) -> set[int]:
    """The rules whose course, if the buyer has it, settles the event."""
    found = set()
    assert happened.customer is not None
    for rule in rules:
        grant = Grant.objects.create(
            customer=happened.customer,
            integration=rule.integration,
            target=rule.target,
            source=Grant.Source.HAND,
            state=Grant.State.ACTIVE,
            decided_at=happened.received_at,
            seen_at=happened.received_at,
        )
        if unsettled.may_be_settled().filter(pk=happened.pk).exists():
            found.add(rule.pk)
        grant.delete()
    return found


def course_of(rule: Rule) -> Destination:
    assert rule.destination is not None
    return rule.destination


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("named", [True, False])
def test_every_place_that_asks_finds_the_same_rules(rules, settings, together, trigger, named):
    settings.DELINQUENT_IS_CANCELED = together
    product = Product.objects.order_by("pk")[0] if named else None
    customer = factories.CustomerFactory.create()
    happened = event(customer, order="7", trigger=trigger, product=product)
    expected = by_the_engine(happened, rules)
    both = 2 if together and trigger == Trigger.SUBSCRIPTION_DELINQUENT else 1
    assert len(expected) == both * (2 if named else 1)
    assert {rule.pk for rule in rules if rule.enabled and happened.is_for(rule)} == expected
    now = rules_now.fitting([happened]).get(happened.pk, [])
    assert {rule.pk for rule in now} == expected
    assert by_open_access(happened, rules) == expected
    if trigger not in TAKES_BACK:  # else the event itself settles it
        assert by_what_may_be_settled(happened, rules) == expected
