"""Rules that are changed keep what somebody else changed meanwhile."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from integrations.models import AuditEntry
from rules import changing
from rules.models import Rule
from tests.support import factories

pytestmark = pytest.mark.first_database


@pytest.fixture
def rule(db: None) -> Rule:
    made: Rule = factories.RuleFactory.create()
    return made


def _point(rule: Rule) -> None:
    another = factories.DestinationFactory.create(name="Oil", integration=rule.integration)
    changing.point_to([rule], another, on=False)


def test_a_rule_that_was_turned_off_meanwhile_stays_off_when_it_gets_another_course(rule):
    changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    _point(rule)
    stored = Rule.objects.get()
    assert stored.destination is not None
    assert (stored.destination.name, stored.enabled) == ("Oil", False)
    assert set(AuditEntry.objects.latest("pk").after) == {"destination"}


def test_a_rule_that_was_deleted_or_led_elsewhere_meanwhile_is_left_alone(rule):
    another = factories.DestinationFactory.create(name="Ink", integration=rule.integration)
    Rule.objects.update(destination=another)
    with pytest.raises(ValidationError, match="Somebody else changed these rules"):
        _point(rule)
    assert Rule.objects.get().destination == another
    Rule.objects.all().delete()
    with pytest.raises(ValidationError, match="Somebody else changed these rules"):
        _point(rule)
    assert not Rule.objects.exists()


# When a rule was on and off, as far as the audit says


def _turn(rule: Rule, *, on: bool) -> None:
    changing.switch(Rule.objects.filter(pk=rule.pk), on=on)


def _added(**facts: Any) -> Rule:
    rule: Rule = factories.RuleFactory.build(
        marketplace=factories.MarketplaceFactory.create(),
        destination=(course := factories.DestinationFactory.create()),
        integration=course.integration,
        **facts,
    )
    changing.add(rule)
    return rule


def test_a_rule_that_was_added_off_was_off_since_then(db):
    rule = _added(enabled=False)
    added = AuditEntry.objects.get(number=str(rule.pk))
    assert changing.off_times([rule.pk]) == {rule.pk: [(added.at, None)]}
    _turn(rule, on=True)
    turned = AuditEntry.objects.latest("pk")
    assert changing.off_times([rule.pk]) == {rule.pk: [(added.at, turned.at)]}
    _turn(rule, on=False)
    assert len(changing.off_times([rule.pk])[rule.pk]) == 2


def test_a_rule_that_was_added_on_was_never_off(db):
    rule = _added()
    assert changing.off_times([rule.pk]) == {}
    rule.refresh_from_db()
    assert changing.on_since(rule) == AuditEntry.objects.get(number=str(rule.pk)).at
    assert changing.last_switches([rule.pk]) == {}


def test_only_a_switch_is_undone_by_turning_a_rule_on(db):
    rule = _added(enabled=False)
    assert changing.last_switches([rule.pk]) == {}
    _turn(rule, on=True)
    assert AuditEntry.objects.latest("pk").undoes is None
    rule.refresh_from_db()
    assert changing.on_since(rule) == AuditEntry.objects.latest("pk").at
