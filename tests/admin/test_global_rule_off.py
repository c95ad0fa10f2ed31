"""A global rule that gave access and is off: what the Overview says of it, and offers."""

from datetime import timedelta

import pytest
from django.urls import reverse

from config.staff import roles
from events.access import by_hand
from events.models import EventLog
from events.reports.customers import customer_access
from events.reports.owed import off_everywhere
from integrations.models import AuditEntry, Customer, Destination
from integrations.who import shown_who
from rules import changing
from rules.models import Rule
from tests.support.pages import press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
OFF = "The global rule that gives Bonus is off since "
MISSED = ": 1 buyer since then does not have it."
ALARM = "1 global rule that gives access was turned off."


@pytest.fixture
def rule(world: World) -> Rule:
    """Every product gives a bonus, and one product has a rule of its own."""
    made = world.rule("product_purchased", GIVES, world.course("Bonus"))
    world.rule("product_purchased", GIVES, world.course("First"), product="77")
    return made


def turn_off(rule: Rule) -> None:
    changing.switch(Rule.objects.filter(pk=rule.pk), on=False)


def buy(world: World, order: int, who: str = "dana", product: int = 77) -> None:
    email = f"{who}@example.com"
    world.sell("10_product", order__id=order, customer__email=email, product__id=product)
    world.settle()


def overview(role: str = roles.MANAGER) -> str:
    return words(signed_in(role).get(reverse("admin:index")))


def test_the_overview_says_since_when_it_is_off_and_how_many_buyers_missed_it(world, rule):
    buy(world, 1, "mia")
    turn_off(rule)
    assert OFF not in overview()
    buy(world, 2)
    shown = overview()
    assert OFF in shown
    assert MISSED in shown
    assert ALARM in shown
    html = signed_in(roles.MANAGER).get(reverse("admin:index")).content.decode()
    assert f'name="_selected_action" value="{rule.pk}"' in html
    assert f"{reverse('admin:rules_rule_changelist')}?scope__exact=global" in html


def test_who_has_the_course_otherwise_or_was_refunded_did_not_miss_it(world, rule):
    buy(world, 1, "mia")
    turn_off(rule)
    buy(world, 2, "mia")
    buy(world, 3, "lou")
    lou = Customer.objects.get(email="lou@example.com")
    by_hand.give(lou, Destination.objects.get(name="Bonus"), by_hand.Author("Sam", "A gift"))
    buy(world, 4, "kim")
    email = {"customer__email": "kim@example.com"}
    world.sell("20_product", order__id=4, product__id=77, **email)
    world.settle()
    assert OFF not in overview()
    buy(world, 5)
    assert MISSED in overview()


def test_after_a_month_it_was_evidently_meant(world, rule, monkeypatch):
    turn_off(rule)
    buy(world, 2)
    assert OFF in overview()
    monkeypatch.setattr(off_everywhere, "LATELY", timedelta(0))
    assert OFF not in overview()


def test_a_rule_that_is_deleted_or_on_again_is_not_told_of(world, rule):
    turn_off(rule)
    buy(world, 2)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    assert OFF not in overview()


def buttons(world: World) -> list[str]:
    """The buttons for the product without a rule, in their order."""
    html = signed_in(roles.MANAGER).get(reverse("admin:index")).content.decode()
    row = html.partition("Paid, nothing given")[2].partition("</table>")[0]
    texts = ("New rule<", "See the rule (off)<", "See the global rule (off)<")
    found = {row.find(text): text for text in texts}
    return [found[place] for place in sorted(found) if place >= 0]


def test_a_product_without_a_rule_is_offered_a_new_one_before_the_global_rule_that_is_off(
    world, rule
):
    turn_off(rule)
    buy(world, 2, product=78)
    assert buttons(world) == ["New rule<", "See the global rule (off)<"]


def test_where_no_product_has_a_rule_of_its_own_only_the_rule_that_is_off_is_offered(world, rule):
    turn_off(rule)
    changing.delete(Rule.objects.filter(product__isnull=False))
    buy(world, 2, product=78)
    assert buttons(world) == ["See the global rule (off)<"]


def test_a_rule_of_the_product_that_is_off_is_offered_alone(world, rule):
    own = world.rule("product_purchased", GIVES, world.course("Own"), product="78")
    turn_off(rule)
    turn_off(own)
    buy(world, 2, product=78)
    assert buttons(world) == ["See the rule (off)<"]


MORE = "The global rule that gives Bonus was off then, and is on now: this purchase has not got it."


def test_after_it_is_on_again_the_pages_of_those_who_bought_meanwhile_say_what_they_lack(
    world, rule
):
    buy(world, 1, "mia")
    turn_off(rule)
    buy(world, 2)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)

    def page(name: str) -> str:
        customer = Customer.objects.get(email=f"{name}@example.com")
        address = reverse("admin:integrations_customer_change", args=[customer.pk])
        return words(signed_in(roles.MANAGER).get(address))

    assert MORE not in page("mia")
    shown = page("dana")
    assert f"(order 2). {MORE}" in shown
    assert "Enroll this buyer now" in shown
    dana = Customer.objects.get(email="dana@example.com")
    assert "We are checking whether you have everything" in customer_access.describe(dana).reply
    press(signed_in(roles.MANAGER), EventLog.objects.get(order_id="2"), "rerun")
    world.settle()
    assert MORE not in page("dana")


def test_who_bought_before_a_new_global_rule_is_not_said_to_lack_its_course(world, rule):
    buy(world, 1)
    made = world.rule("product_purchased", GIVES, world.course("Second bonus"))
    turn_off(made)
    changing.switch(Rule.objects.filter(pk=made.pk), on=True)
    dana = Customer.objects.get(email="dana@example.com")
    assert "We are checking" not in customer_access.describe(dana).reply


OWN_MISSING = (
    "Paid for Example Course One (order 2) and got nothing: Example Course One has no rule of its "
    "own, and the global rule that would give Bonus is off."
)


def danas_page(role: str = roles.MANAGER) -> str:
    return words(signed_in(role).get(address()))


def test_a_page_says_that_the_product_has_no_rule_of_its_own_not_that_the_one_is_off(world, rule):
    turn_off(rule)
    buy(world, 2, product=78)
    shown = danas_page()
    assert f"{OWN_MISSING} New rule See the rule (off)" in shown
    assert "the rule that matches is turned off" not in shown
    support = danas_page(roles.SUPPORT)
    assert f"{OWN_MISSING} Ask a manager to add the rule. Until then you can give access" in support


def test_a_page_names_the_deletion_of_the_products_rule_and_leads_to_it(world, rule):
    own = world.rule("product_purchased", GIVES, world.course("Own"), product="78")
    changing.delete(Rule.objects.filter(product__isnull=False))
    turn_off(rule)
    buy(world, 2, product=78)
    entry = AuditEntry.objects.get(act="rule_deleted", number=str(own.pk))
    shown = danas_page()
    told = f"{shown_who(entry.who)} deleted its rule that gave Own on "
    assert f"{OWN_MISSING} {told}" in shown
    assert "See the change" in shown
    html = str(signed_in(roles.MANAGER).get(address()).content.decode())
    assert reverse("admin:integrations_auditentry_change", args=[entry.pk]) in html
    assert "See the change" not in danas_page(roles.SUPPORT)


def address() -> str:
    dana = Customer.objects.get(email="dana@example.com")
    return reverse("admin:integrations_customer_change", args=[dana.pk])


def test_where_no_product_ever_had_a_rule_the_global_one_that_is_off_is_the_reason(world, rule):
    Rule.objects.filter(product__isnull=False).delete()
    turn_off(rule)
    buy(world, 2, product=78)
    assert "the rule that matches is turned off. Once it is on" in danas_page()


def test_a_rule_of_the_product_that_is_off_is_the_reason(world, rule):
    own = world.rule("product_purchased", GIVES, world.course("Own"), product="78")
    turn_off(rule)
    turn_off(own)
    buy(world, 2, product=78)
    assert "the rule that matches is turned off. Once it is on" in danas_page()
