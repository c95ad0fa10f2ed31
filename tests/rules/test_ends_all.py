"""A rule that ends access whatever gave it: its sentence, where it is valid, what it does."""

from typing import Any, cast

import pytest
from django.core.exceptions import ValidationError

from integrations.models import Product
from rules import copying
from rules.models import Rule, Scope
from tests.support import factories


def ending(**facts: Any) -> Rule:
    facts = {"trigger": "product_refunded", "action": "expire_course_enrollment"} | facts
    return cast(Rule, factories.RuleFactory.create(**facts))


def test_a_rule_says_that_it_ends_access_whatever_gave_it(db):
    rule = ending(ends_all=True)
    assert rule.in_words().endswith(f"{rule.place}, even if something else gave it.")
    assert str(rule).endswith(f"{rule.place}, even if something else gave it")
    rule.ends_all = False
    assert "whatever" not in rule.in_words() + str(rule)


@pytest.mark.parametrize("action", ["create_course_enrollment", "create_bundle_enrollment"])
def test_only_what_ends_access_can_end_it_whatever_gave_it(db, action):
    rule = ending(ends_all=True)
    rule.action = action
    with pytest.raises(ValidationError) as refused:
        rule.clean()
    assert refused.value.message_dict == {"ends_all": [f"{rule.spec.label} ends no access."]}


@pytest.mark.parametrize(
    ("trigger", "nothing"),
    [
        ("product_purchased", True),
        ("course_finished", True),
        ("product_refunded", False),
        ("subscription_canceled", False),
    ],
)
def test_a_rule_on_a_purchase_or_a_course_has_nothing_of_its_own_to_end(trigger, nothing):
    assert Rule(trigger=trigger).has_nothing_of_its_own is nothing


def test_a_copied_rule_ends_as_much(db):
    first, second = factories.ProductFactory.create(), factories.ProductFactory.create()
    Product.objects.filter(pk=second.pk).update(marketplace=first.marketplace)
    second.refresh_from_db()
    rules = [
        ending(product=first, scope=Scope.PRODUCT, marketplace=first.marketplace, ends_all=ends_all)
        for ends_all in (True, False)
    ]
    assert copying.copy(rules, second) == (2, [])
    assert list(second.rules.order_by("pk").values_list("ends_all", flat=True)) == [True, False]


def test_a_purchase_that_replaces_another_ends_what_that_one_gave(world):
    first, second = world.course("Level One"), world.course("Level Two")
    world.rule("product_purchased", "create_course_enrollment", first, product="1048001")
    world.rule("product_purchased", "create_course_enrollment", second, product="1048002")
    ends = world.rule(
        "product_purchased", "expire_course_enrollment", first, product="1048002", ends_all=True
    )
    email = "dana@example.com"
    world.sell(product__id=1048001, order__id=1, customer__email=email)
    world.settle()
    assert world.access(email, first)
    world.sell(product__id=1048002, order__id=2, customer__email=email)
    run = world.settle()[-1]
    assert (run.rule, run.status, run.code) == (ends, "done", "ended")
    assert not world.access(email, first)
    assert world.access(email, second)
