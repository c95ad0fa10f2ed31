"""Rules that are changed keep what somebody else changed meanwhile."""

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
