"""A product that is sold without a rule of its own is told of, though global rules serve it."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.models import Batch, EventLog
from events.reports.customers import customer_access
from integrations.models import AuditEntry, Customer, Destination
from integrations.sentences import YEAR, format_day
from rules import changing
from rules.models import Rule
from tests.support.pages import person, press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
GIVES = "create_course_enrollment"
SOLD = "was sold once in 30 days and has no rule of its own"
PAID = "Paid for Example Course One (order 1183), which gave only what global rules give: Bonus."
MORE = "Its rules give Drawing Faces now, too: this purchase has not got it."
CHECKING = "We are checking whether you have everything that belongs to your purchase of"


@pytest.fixture
def bonus(world: World) -> Destination:
    """Every product gives a bonus, and one product has a rule of its own."""
    course = world.course("Bonus")
    world.rule("product_purchased", GIVES, course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.rule("product_purchased", GIVES, world.course("First"), product="77")
    return course


@pytest.fixture
def sold(world: World, bonus: Destination) -> EventLog:
    """Dana buys a new product, which has no rule of its own."""
    event = world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    return event


def overview(role: str = roles.MANAGER) -> str:
    return words(signed_in(role).get(reverse("admin:index")))


def page(role: str = roles.MANAGER) -> str:
    return words(signed_in(role).get(address()))


def address() -> str:
    customer = Customer.objects.get(email=DANA)
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def letter() -> str:
    return customer_access.describe(Customer.objects.get(email=DANA)).reply


def own_rule(world: World, name: str = "Drawing Faces") -> Rule:
    return world.rule("product_purchased", GIVES, world.course(name), product="1048001")


def test_the_overview_tells_of_it_and_what_global_rules_give(sold):
    shown = overview()
    assert f"Example Course One {SOLD}. Its buyers get only what global rules give: Bonus." in shown
    assert "1 product is sold without a rule of its own." in shown
    assert "Nothing needs your attention." not in shown


def test_its_buttons_fill_in_a_new_rule_or_one_that_gives_the_same(sold, bonus):
    html = signed_in(roles.MANAGER).get(reverse("admin:index")).content.decode()
    new = f"{reverse('admin:new-rule')}?product={sold.product_id}&amp;trigger=product_purchased"
    assert f'href="{new}"' in html
    assert f'href="{new}&amp;action={GIVES}&amp;destination={bonus.pk}"' in html
    assert "Ask a manager to add the rule." in overview(roles.SUPPORT)


def test_a_rule_of_its_own_that_gives_the_same_answers_it(world, sold, bonus):
    world.rule("product_purchased", GIVES, bonus, product="1048001")
    assert SOLD not in overview()
    assert "global rules" not in page()
    assert "We are checking" not in letter()


def test_where_no_product_has_a_rule_of_its_own_nothing_is_told(world, sold):
    changing.delete(Rule.objects.filter(product__isnull=False))
    assert SOLD not in overview()
    assert PAID not in page()


def test_what_is_not_sold_is_not_told(world, sold):
    EventLog.objects.update(received_at="2020-01-01T00:00:00Z")
    assert SOLD not in overview()


@pytest.mark.parametrize("role", [roles.MANAGER, roles.SUPPORT])
def test_her_page_says_that_the_product_has_no_rule_of_its_own(sold, role):
    shown = page(role)
    assert f"{PAID} The product has no rule of its own." in shown
    assert ("Ask a manager to add the rule." in shown) == (role == roles.SUPPORT)
    # Why something may be missing stands before what she has.
    assert shown.index(PAID) < shown.index("has had Bonus since")


def test_her_letter_does_not_say_that_all_is_well(sold):
    assert f"{CHECKING} Example Course One (order 1183), and will write again." in letter()


def test_after_a_refund_neither_is_said(world, sold):
    world.sell("20_product", customer__email=DANA, order__id=1183)
    world.settle()
    assert PAID not in page()
    assert CHECKING not in letter()


def test_after_the_rule_is_added_her_page_says_what_she_has_not_got_until_it_ran(world, sold):
    own_rule(world)
    shown = page()
    assert f"Paid for Example Course One (order 1183). {MORE}" in shown
    assert PAID not in shown
    assert CHECKING in letter()
    assert "Enroll this buyer now" in shown
    press(signed_in(roles.MANAGER), sold, "rerun")
    world.settle()
    assert MORE not in page()
    assert CHECKING not in letter()
    assert world.access(DANA, Destination.objects.get(name="Drawing Faces"))


def test_a_course_that_was_added_for_new_buyers_puts_no_doubt_into_an_earlier_ones_letter(world):
    own_rule(world)
    world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    world.rule("product_purchased", GIVES, world.course("Added"), product="1048001")
    assert "Its rules give Added now, too" in page()
    assert CHECKING not in letter()


def test_a_second_course_of_a_product_is_no_alarm_of_the_overview(world, bonus):
    own_rule(world, "First Lessons")
    world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    own_rule(world)
    shown = overview()
    assert "Drawing Faces" not in shown
    assert "This week's only paying buyer has access." in shown
    assert "rule of its own" not in shown


LACKS = "1 earlier buyer does not have Drawing Faces."


def coverage(role: str = roles.MANAGER) -> str:
    return words(signed_in(role).get(reverse("admin:coverage")))


def test_coverage_leads_to_those_who_lack_what_its_rules_give_now(world, sold):
    assert LACKS not in coverage()
    rule = own_rule(world)
    html = signed_in(roles.MANAGER).get(reverse("admin:coverage")).content.decode()
    assert LACKS in coverage()
    assert "0 got nothing" in coverage()
    assert f"{reverse('admin:earlier')}?rule={rule.pk}" in html
    press(signed_in(roles.MANAGER), sold, "rerun")
    world.settle()
    assert LACKS not in coverage()
    assert "got nothing" not in coverage()


def test_coverage_tells_of_a_rule_that_was_off_meanwhile(world, sold):
    rule = own_rule(world)
    Rule.objects.filter(pk=rule.pk).update(created_at="2020-01-01T00:00:00Z")
    assert LACKS not in coverage()
    changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    assert LACKS in coverage()


def test_neither_page_offers_what_a_person_undid(world, sold):
    rule = own_rule(world)
    admin = signed_in(roles.MANAGER)
    admin.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    batch = Batch.objects.get()
    chosen = ",".join(map(str, batch.run_ids))
    admin.post(f"{reverse('admin:undo-batch')}?number={batch.pk}", {"chosen": chosen})
    world.settle()
    assert not world.access(DANA, Destination.objects.get(name="Drawing Faces"))
    assert MORE not in page()
    assert LACKS not in coverage()


def test_who_was_refunded_is_not_said_to_lack_a_later_course(world, sold):
    own_rule(world)
    world.sell("20_product", customer__email=DANA, order__id=1183)
    world.settle()
    assert MORE not in page()


def test_the_overview_takes_as_many_queries_for_a_longer_history(world, sold):
    def queries() -> int:
        client = signed_in(roles.MANAGER)
        client.get(reverse("admin:index"))
        with CaptureQueriesContext(connection) as asked:
            client.get(reverse("admin:index"))
        return len(asked)

    def sell(first: int) -> None:
        for number in range(first, first + 5):
            who = f"p{number}@example.com"
            world.sell("10_product", customer__email=who, order__id=2000 + number)
        world.settle()

    few = queries()
    sell(0)
    assert queries() == few <= 72
    rule = own_rule(world)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    assert "6 buyers do not have what their products' own rules give now." in overview()
    few = queries()
    changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    sell(5)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    assert queries() == few


ONLY_OFF = "The product's own rule that gives Drawing Faces is off."


@pytest.fixture
def off(world: World, bonus: Destination) -> Rule:
    """Dana buys a product whose own rule is off."""
    rule = own_rule(world)
    changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    return rule


def test_a_rule_of_its_own_that_is_off_is_told_of_like_a_missing_one(off):
    shown = overview()
    told = "Example Course One was sold once in 30 days without a rule of its own that is on."
    assert f"{told} The buyer got only what global rules give: Bonus." in shown
    assert "1 product is sold while its own rule is off." in shown
    assert "is sold without a rule of its own." not in shown
    html = signed_in(roles.MANAGER).get(reverse("admin:index")).content.decode()
    row = html.partition('id="without-rule"')[2].partition("</section>")[0]
    see = reverse("admin:rules_rule_change", args=[off.pk])
    assert 0 < row.index(f'href="{see}?back=') < row.index("New rule<")
    assert "Ask a manager to turn it on." in overview(roles.SUPPORT)


def test_where_the_only_rule_of_a_product_is_off_it_is_told_as_well(off):
    changing.delete(Rule.objects.filter(product__isnull=False).exclude(pk=off.pk))
    assert "without a rule of its own that is on." in overview()


@pytest.mark.parametrize("role", [roles.MANAGER, roles.SUPPORT])
def test_her_page_says_which_rule_is_off_and_whom_to_ask(off, role):
    shown = page(role)
    assert f"{PAID} {ONLY_OFF}" in shown
    assert ("Ask a manager to turn it on." in shown) == (role == roles.SUPPORT)
    assert "See the rule" in shown
    assert CHECKING in letter()


def test_after_it_is_turned_on_her_letter_does_not_say_that_all_is_well_until_it_ran(world, off):
    changing.switch(Rule.objects.filter(pk=off.pk), on=True)
    assert MORE in page()
    assert ONLY_OFF not in page()
    assert CHECKING in letter()
    press(signed_in(roles.MANAGER), EventLog.objects.get(order_id="1183"), "rerun")
    world.settle()
    assert MORE not in page()
    assert CHECKING not in letter()


BEFORE = "1 buyer of Example Course One got only what global rules give."
NOT_GIVEN = "1 buyer does not have what the product's own rule gives now."


def test_who_bought_while_the_rule_of_the_product_was_off_does_not_have_what_it_gives(world, off):
    world.sell("10_product", customer__email="mia@example.com", order__id=7, product__id=77)
    world.settle()
    changing.switch(Rule.objects.filter(pk=off.pk), on=True)
    shown = overview()
    assert "1 of this week's 2 paying buyers has access." in shown
    assert NOT_GIVEN in shown
    assert f"{BEFORE} Rules of the product give Drawing Faces now." in shown
    manager = signed_in(roles.MANAGER)
    html = manager.get(reverse("admin:index")).content.decode()
    part = html.partition('id="before-rule"')[2].partition("</section>")[0]
    (page,) = re.findall(r'href="([^"]+)"', part)
    assert DANA in words(manager.get(page.replace("&amp;", "&")))
    assert "Ask a manager to enroll them." in overview(roles.VIEWER)
    press(manager, EventLog.objects.get(order_id="1183"), "rerun")
    world.settle()
    shown = overview()
    assert "Both of this week's paying buyers have access." in shown
    assert NOT_GIVEN not in shown
    assert BEFORE not in shown


def test_who_bought_before_the_rule_of_the_product_and_was_refunded_lacks_nothing(world, sold):
    own_rule(world)
    assert NOT_GIVEN in overview()
    world.sell("20_product", order__id=1183)
    world.settle()
    assert NOT_GIVEN not in overview()
    assert BEFORE not in overview()


def test_before_a_new_global_rule_is_run_her_page_says_that_it_alone_matches(world):
    world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    world.rule("product_purchased", GIVES, world.course("Bonus"))
    assert "Only global rules match it: they give Bonus." in page()
    own_rule(world)
    assert "Only global rules" not in page()


def test_only_sales_that_got_no_more_than_global_rules_give_are_counted(world, bonus):
    rule = own_rule(world)
    for number in range(2):
        world.sell("10_product", customer__email=f"p{number}@example.com", order__id=number + 1)
    world.settle()
    changing.delete(Rule.objects.filter(pk=rule.pk))
    assert "Example Course One" not in overview().partition("Sold, and without a rule")[2]
    world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    # Two have what they paid for, by the deleted rule; Dana got only the bonus.
    assert "2 of this week's 3 paying buyers have access." in overview()
    told = "Example Course One has no rule of its own. 1 of its 3 sales in 30 days got only what"
    assert f"{told} global rules give: Bonus." in overview()


def test_who_has_all_by_a_rule_deleted_since_has_access_without_the_bonus_that_was_off(world):
    bonus = world.rule("product_purchased", GIVES, world.course("Bonus"))
    rule = own_rule(world)
    changing.switch(Rule.objects.filter(pk=bonus.pk), on=False)
    for number in range(2):
        world.sell("10_product", customer__email=f"p{number}@example.com", order__id=number + 1)
    world.settle()
    changing.delete(Rule.objects.filter(pk=rule.pk))
    assert "Both of this week's paying buyers have access." in overview()
    changing.switch(Rule.objects.filter(pk=bonus.pk), on=True)
    assert "Both of this week's paying buyers have access." in overview()
    own_rule(world, "Right Course")
    assert "Both of this week's paying buyers have access." in overview()


def test_who_got_only_what_a_deleted_global_rule_gave_does_not_have_what_was_bought(world, sold):
    own_rule(world)
    changing.delete(Rule.objects.filter(product=None))
    assert "Both of this week's" not in overview()
    assert "This week's only paying buyer has access." not in overview()
    world.sell("10_product", customer__email="mia@example.com", order__id=7)
    world.settle()
    assert "1 of this week's 2 paying buyers has access." in overview()


def test_who_got_only_what_global_rules_give_does_not_have_what_was_bought(world, sold):
    world.sell("10_product", customer__email="mia@example.com", order__id=7, product__id=77)
    world.settle()
    assert "1 of this week's 2 paying buyers has access." in overview()
    own_rule(world)
    press(signed_in(roles.MANAGER), sold, "rerun")
    world.settle()
    assert "Both of this week's paying buyers have access." in overview()


def test_a_global_rule_gives_nothing_instead_of_what_a_deleted_rule_of_the_product_gave(world):
    bonus = world.rule("product_purchased", GIVES, world.course("Bonus"))
    rule = own_rule(world)
    changing.switch(Rule.objects.filter(pk=bonus.pk), on=False)
    sold = world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    changing.delete(Rule.objects.filter(pk=rule.pk))
    changing.switch(Rule.objects.filter(pk=bonus.pk), on=True)
    change = reverse("admin:integrations_auditentry_change", args=[deletion(rule).pk])
    manager = signed_in(roles.MANAGER)
    told = "1 buyer got Drawing Faces through a deleted rule, and keeps it. See who"
    assert told in overview()
    buyers = manager.get(reverse("admin:given-by-rule"), {"product": sold.product_id})
    assert "Move 1 buyer" not in words(buyers)
    assert "Move buyers" not in words(buyers)
    assert "End Drawing Faces for 1 buyer" in words(buyers)
    assert "The rule was deleted. If that was the mistake, undo it in Changes." in words(buyers)
    assert change in buyers.content.decode()
    assert "gives Bonus now" not in page()
    assert "Move this buyer" not in page()
    assert "undo it in Changes" not in words(
        signed_in(roles.SUPPORT).get(reverse("admin:given-by-rule"), {"product": sold.product_id})
    )


def deletion(rule: Rule) -> AuditEntry:
    return AuditEntry.objects.get(act="rule_deleted", number=str(rule.pk))


def test_a_global_rule_takes_the_place_of_a_deleted_global_one(world):
    rule = world.rule("product_purchased", GIVES, world.course("Old bonus"))
    sold = world.sell("10_product", customer__email=DANA, order__id=1183)
    world.settle()
    changing.delete(Rule.objects.filter(pk=rule.pk))
    world.rule("product_purchased", GIVES, world.course("New bonus"))
    shown = signed_in(roles.MANAGER).get(
        reverse("admin:given-by-rule"), {"product": sold.product_id}
    )
    assert "Move 1 buyer to New bonus" in words(shown)


@pytest.mark.parametrize("how", ["deleted", "off"])
def test_the_overview_leads_to_the_change_after_which_its_buyers_got_nothing(world, how):
    """Max's rule gave it; then it is gone, and Dana's purchase gives nothing."""
    world.rule("product_purchased", GIVES, world.course("First"), product="77")
    other = world.rule(
        "product_refunded", "expire_course_enrollment", world.course("First"), product="77"
    )
    rules = Rule.objects.filter(pk=own_rule(world).pk)
    if how == "off":
        changing.switch(rules, on=False)
    else:
        changing.delete(rules)
    entry = AuditEntry.objects.latest("pk")
    changing.switch(Rule.objects.filter(pk=other.pk), on=False)
    world.sell("10_product", customer__email=DANA, order__id=1183)
    assert links() == [entry.pk]
    assert links(roles.SUPPORT) == []


def test_it_leads_to_the_deletion_also_where_global_rules_still_give(world, bonus):
    rules = Rule.objects.filter(pk=own_rule(world).pk)
    changing.delete(rules)
    entry = AuditEntry.objects.latest("pk")
    world.sell("10_product", customer__email=DANA, order__id=1183)
    assert SOLD in overview()
    assert links() == [entry.pk]


def test_it_leads_to_no_change_of_a_global_rule_where_the_product_lacks_its_own(world, bonus):
    changing.switch(Rule.objects.filter(product=None, destination=bonus), on=False)
    world.sell("10_product", customer__email=DANA, order__id=1183)
    assert links() == []


def links(role: str = roles.MANAGER) -> list[int]:
    """The numbers of the changes to which the parts about products without a rule lead."""
    html = signed_in(role).get(reverse("admin:index")).content.decode()
    parts = re.findall(r'aria-labelledby="(?:nothing|without-rule)".*?</section>', html, re.DOTALL)
    page = reverse("admin:integrations_auditentry_changelist")
    return [int(each) for part in parts for each in re.findall(rf"{page}(\d+)/change/", part)]


def test_support_reads_whom_to_ask_by_name_in_one_query(sold):
    support = signed_in(roles.SUPPORT)
    named = [(roles.MANAGER, "Max"), (roles.SUPPORT, "Sam"), (roles.MANAGER, "Nora")]
    for role, name in named:
        person(role, first_name=name)
    person(roles.MANAGER, first_name="Olga", is_active=False)
    person(roles.MANAGER)
    with CaptureQueriesContext(connection) as queries:
        shown = words(support.get(address()))
    assert "has no rule of its own. Ask Max or Nora to add the rule. Until then" in shown
    assert len(reads_names(queries)) == 1
    with CaptureQueriesContext(connection) as queries:
        assert "Ask Max" not in page(roles.MANAGER)
    assert not reads_names(queries)
    person(roles.MANAGER, first_name="Kim", last_name="Lee")
    person(first_name="Zoe", is_superuser=True)
    assert "Ask Max, Nora or Kim Lee to add" in words(support.get(address()))


def test_an_owner_without_a_name_is_one_of_those_to_ask(sold):
    support = signed_in(roles.SUPPORT)
    person(roles.MANAGER, first_name="Max")
    boss = person(is_superuser=True)
    assert "Ask Max or an owner to add the rule." in words(support.get(address()))
    boss.first_name = "Dora"
    boss.save()
    assert "Ask Max or Dora to add the rule." in words(support.get(address()))


def reads_names(queries: CaptureQueriesContext) -> list[str]:
    """The queries that read who may do what others ask for."""
    every = [each["sql"] for each in queries]
    return [sql for sql in every if '"first_name"' in sql and '"auth_permission"."codename"' in sql]


def test_her_page_is_printed_with_the_day_as_pages_write_it(sold):
    today = format_day(timezone.localdate(), YEAR)
    assert f"Printed from Admit on {today}. Days without a year" in page()


def test_why_something_may_be_missing_stands_before_what_she_has(sold):
    shown = page()
    assert shown.index("has no rule of its own") < shown.index("the problem is probably signing in")


def test_a_mistyped_address_stands_before_all_other_reasons(world, bonus):
    event = world.sell("10_product", customer__email="dana@hotmial.com", order__id=1184)
    world.settle()
    at = reverse("admin:integrations_customer_change", args=[event.customer_id])
    shown = words(signed_in(roles.MANAGER).get(at))
    reasons = ("Mistyped? ", "has no rule of its own")
    assert sorted(reasons, key=shown.index) == [*reasons]
    # A new password would be sent to the mistyped address.
    assert "the problem is probably signing in" not in shown
