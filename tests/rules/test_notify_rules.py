"""Rules without a course or bundle: what fits together, and what they are no part of."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from integrations.models import Product
from rules import copying, pairing
from rules.models import Rule, Scope
from rules.triggers import Trigger
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def crm() -> Any:
    return factories.ReceiverFactory.create(name="My CRM")


def notify(crm: Any, **facts: Any) -> Rule:
    made: Rule = factories.RuleFactory.build(
        **{
            "marketplace": factories.MarketplaceFactory.create(),
            "action": "send_http_post",
            "destination": None,
            "integration": crm,
        }
        | facts
    )
    return made


def test_a_rule_reads_as_a_person_says_it(crm):
    rule = notify(crm, trigger=Trigger.PRODUCT_REFUNDED)
    rule.full_clean()
    assert rule.in_words() == "When any product is refunded, send an HTTP POST to My CRM."
    assert str(rule) == "Product Refunded, every product: Send HTTP POST, My CRM"
    assert (rule.place, rule.target, rule.is_gone) == ("My CRM", "", False)


def test_what_does_not_fit_together_is_refused_in_words(crm):
    course = factories.DestinationFactory.create()
    for facts, says in (
        ({"destination": course}, "Send HTTP POST has no course or bundle."),
        ({"integration": course.integration}, "is no action of"),
        ({"action": "create_course_enrollment"}, "is no action of My CRM."),
        (
            {"action": "create_course_enrollment", "integration": course.integration},
            "Choose the course.",
        ),
    ):
        with pytest.raises(ValidationError) as caught:
            notify(crm, **facts).full_clean()
        assert says in " ".join(caught.value.messages), facts


@pytest.mark.parametrize("for_product", [False, True])
def test_the_same_rule_is_there_once_for_each_receiver(crm, for_product):
    some = factories.ProductFactory.create()
    same = {
        "marketplace": some.marketplace,
        "product": some if for_product else None,
        "scope": Scope.PRODUCT if for_product else Scope.GLOBAL,
    }
    notify(crm, **same).save()
    with pytest.raises(ValidationError, match="this very"):
        notify(crm, **same).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        notify(crm, **same).save()
    notify(factories.ReceiverFactory.create(), **same).save()
    notify(crm, **same, trigger=Trigger.PRODUCT_REFUNDED).save()
    assert Rule.objects.count() == 3


def test_it_gives_and_ends_nothing_so_no_rule_belongs_to_it_and_it_fills_no_hole(crm):
    giving = factories.RuleFactory.create()
    rules = [
        giving,
        notify(crm, marketplace=giving.marketplace),
        notify(crm, marketplace=giving.marketplace, trigger=Trigger.PRODUCT_REFUNDED),
    ]
    assert pairing.companions(rules[1:]) == []
    assert pairing.holes(None, rules[1:], subscription=False) == []
    assert pairing.holes(None, rules, subscription=False) == [Trigger.PRODUCT_REFUNDED]


def test_it_is_copied_to_another_product(crm):
    first, second = factories.ProductFactory.create(), factories.ProductFactory.create()
    Product.objects.filter(pk=second.pk).update(marketplace=first.marketplace)
    second.refresh_from_db()
    rule = notify(crm, marketplace=first.marketplace, product=first, scope=Scope.PRODUCT)
    rule.save()
    assert copying.copy([rule], second) == (1, [])
    copied = Rule.objects.get(product=second)
    assert (copied.action, copied.integration, copied.destination) == ("send_http_post", crm, None)
    made, left = copying.copy([rule], second)
    assert made == 0
    assert "this very rule" in left[0]
