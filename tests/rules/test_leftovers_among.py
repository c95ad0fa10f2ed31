"""The products with leftover rules, among some, are those that a look at all rules finds."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rules import facts, leftovers
from rules.models import Rule
from tests.support import factories

pytestmark = pytest.mark.first_database
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def rules(db: None) -> list[Rule]:
    """Of four products and a global rule: the first and the third end what nothing gives."""
    account = factories.MarketplaceFactory.create()
    course, other, bonus = factories.DestinationFactory.create_batch(3)

    def rule(product, trigger, action, destination) -> Rule:
        made: Rule = factories.RuleFactory.create(
            marketplace=account,
            product=product,
            trigger=trigger,
            action=action,
            destination=destination,
        )
        return made

    one, two, three, four = (factories.ProductFactory.create(marketplace=account) for _ in range(4))
    return [
        rule(one, "product_refunded", ENDS, course),
        rule(two, "product_purchased", GIVES, course),
        rule(two, "product_refunded", ENDS, course),
        rule(three, "product_refunded", ENDS, other),
        rule(four, "product_refunded", ENDS, bonus),
        rule(None, "product_purchased", GIVES, bonus),
    ]


def test_they_are_those_of_all_that_were_asked_for(rules):
    numbers = list(dict.fromkeys(rule.product_id for rule in rules if rule.product_id))
    everywhere = leftovers.by_place(facts.by_place()).own
    assert list(everywhere) == leftovers.among(numbers) == [numbers[0], numbers[2]]
    assert leftovers.among(numbers[1:]) == [numbers[2]]
    assert leftovers.among([numbers[1], numbers[3]]) == []


def test_only_their_rules_and_the_global_ones_are_read_by_one_query(rules):
    number = rules[1].product_id
    with CaptureQueriesContext(connection) as asked:
        found = facts.by_place([number])
    assert len(asked) == 1
    assert {fact.pk for fact in found} == {rules[1].pk, rules[2].pk, rules[5].pk}
    with CaptureQueriesContext(connection) as asked:
        leftovers.among([])
    assert len(asked) == 0
