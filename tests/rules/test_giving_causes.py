"""Which change took what a rule gave from the buyers of a product, and which change did not."""

from typing import Any

import pytest

from integrations.audit import Act
from integrations.models import AuditEntry
from rules import changing, facts
from rules.history import giving_causes
from rules.models import Rule
from tests.support.world import World

pytestmark = pytest.mark.first_database


@pytest.fixture
def rule(world: World) -> Rule:
    return world.rule(
        "product_purchased", "create_course_enrollment", world.course("Ink"), product="1048001"
    )


def cause(rule: Rule, before: dict[str, Any]) -> AuditEntry | None:
    """What is named as the cause for the product, where this was the last change of the rule."""
    entry = AuditEntry(act=Act.RULE_CHANGED, kind="rule", number=str(rule.pk), before=before)
    assert rule.product is not None
    found = giving_causes.of_products([rule.product], facts.by_place(), [entry], with_own=[])
    return found.get(rule.product.pk)


@pytest.mark.parametrize("field", changing.EFFECTIVE_FIELDS)
def test_each_field_that_decides_who_gets_what_is_a_cause(rule, field):
    values = {
        "action": rule.action,
        "destination": {"number": rule.destination_id, "name": "Oil"},
        "enabled": True,
        "integration": {"number": rule.integration_id, "name": "Old Academy"},
        "product": {"number": rule.product_id, "name": "Watercolor"},
        "trigger": rule.trigger,
    }
    assert cause(rule, {field: values[field]}) is not None


def test_the_days_after_which_a_rule_acts_are_no_cause(rule):
    assert cause(rule, {"delay_days": 3}) is None
