"""A rule that ends access some days later: its sentence, where it is valid, how it is written."""

from typing import Any, cast

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from config.staff import roles
from integrations.models import Product
from rules import copying
from rules.models import MOST_DAYS, Rule
from tests.support import factories
from tests.support.pages import signed_in, words
from tests.support.scenery import ending_answers

# A rule's words and forms; when it ends, test_pending.py tries on each database.
pytestmark = pytest.mark.first_database


def ending(**facts: Any) -> Rule:
    facts = {"trigger": "subscription_canceled", "action": "expire_course_enrollment"} | facts
    return cast(Rule, factories.RuleFactory.create(**facts))


@pytest.mark.parametrize(("days", "said"), [(0, ""), (1, ", 1 day later"), (14, ", 14 days later")])
def test_a_rule_says_how_many_days_later_it_ends_access(db, days, said):
    rule = ending(delay_days=days)
    assert rule.in_words().endswith(f"{rule.place}{said}.")
    assert str(rule).endswith(f"{rule.place}{said}")


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"action": "create_course_enrollment"}, "Create Course Enrollment ends no access."),
        ({"delay_days": MOST_DAYS + 1}, "At most 365 days."),
    ],
)
def test_only_what_ends_access_can_wait_and_not_for_ever(db, facts, fault):
    rule = ending(delay_days=3)
    for name, value in facts.items():
        setattr(rule, name, value)
    with pytest.raises(ValidationError) as refused:
        rule.clean()
    assert refused.value.message_dict == {"delay_days": [fault]}


def test_a_copied_rule_waits_as_long(db):
    first, second = factories.ProductFactory.create(), factories.ProductFactory.create()
    Product.objects.filter(pk=second.pk).update(marketplace=first.marketplace)
    second.refresh_from_db()
    rule = ending(product=first, scope="product", marketplace=first.marketplace, delay_days=7)
    assert copying.copy([rule], second) == (1, [])
    assert second.rules.get().delay_days == 7


# Pages


@pytest.mark.parametrize(("entered", "days"), [("7", 7), ("9999", MOST_DAYS), ("x", 0), ("", 0)])
def test_the_guided_form_makes_a_rule_that_waits(place, entered, days):
    manager = signed_in(roles.MANAGER)
    page = manager.get(reverse("admin:new-rule"), ending_answers())
    assert "Days later" in words(page)
    manager.post(reverse("admin:new-rule"), ending_answers(delay_days=entered))
    assert Rule.objects.get(product__external_id="1048004").delay_days == days


def test_the_guided_form_offers_no_days_for_what_gives_access(place):
    asked = ending_answers(action="create_course_enrollment", trigger="product_purchased")
    page = signed_in(roles.MANAGER).get(reverse("admin:new-rule"), asked)
    assert "Days later" not in words(page)


@pytest.mark.parametrize(("entered", "days"), [("5", 5), ("", 0)])
def test_the_page_of_a_rule_changes_its_days(place, entered, days):
    rule = Rule.objects.filter(trigger="product_refunded").exclude(product=None)[0]
    manager = signed_in(roles.MANAGER)
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    form = manager.get(page).context["adminform"].form
    filled = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in filled.items() if value not in (None, False)}
    manager.post(page, sent | {"delay_days": entered})
    rule.refresh_from_db()
    assert rule.delay_days == days
