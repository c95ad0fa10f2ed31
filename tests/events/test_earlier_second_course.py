"""A rule for a second course is offered for those who bought before it, and raises no alarm."""

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import Batch, EventLog, Grant, RuleRun
from events.reports.earlier import backfill, earlier, rule_preview
from events.reports.earlier.earlier_buyers import Preview
from events.reports.earlier.rule_preview import PreviewEffect
from events.reports.owed import promise
from integrations.models import Customer, Destination
from rules import changing
from rules.models import Rule
from tests.support.pages import press, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

ALICE, BOB, CARL = "alice@example.com", "bob@example.com", "carl@example.com"
GIVES = "create_course_enrollment"
LACK = "2 earlier buyers do not have Bonus."


@pytest.fixture
def bonus(world: World) -> Destination:
    """Three have bought the first course, and Carl was refunded."""
    world.rule("product_purchased", GIVES, world.course("First"), product="1048001")
    for order, email in enumerate((ALICE, BOB, CARL), 1):
        world.sell("10_product", customer__email=email, order__id=order)
    world.sell("20_product", customer__email=CARL, order__id=3)
    world.settle()
    return world.course("Bonus")


def second(world: World, bonus: Destination, **fields: object) -> Rule:
    rule = world.rule("product_purchased", GIVES, bonus, product="1048001")
    Rule.objects.filter(pk=rule.pk).update(**fields)
    return Rule.objects.get(pk=rule.pk)


def would_run(*rules: Rule) -> list[str]:
    return [row.event.order_id for row in backfill.preview(*rules).run]


def enroll(client: Client, rule: Rule) -> None:
    client.post(reverse("admin:earlier"), {"rule": rule.pk})


def test_those_who_have_the_first_course_lack_the_second_and_the_refunded_is_left_out(world, bonus):
    rule = second(world, bonus)
    found = backfill.preview(rule)
    assert [row.event.order_id for row in found.run] == ["2", "1"]
    assert [row.rules for row in found.run] == [[rule], [rule]]
    assert [row.why_not[:22] for row in found.left_out] == ["order 3 was refunded o"]


def test_each_page_that_one_comes_by_offers_it(world, bonus):
    rule, admin = second(world, bonus), signed_in(roles.MANAGER)
    product = rule.product_id
    for page in (
        reverse("admin:new-rule-added") + f"?rule={rule.pk}",
        reverse("admin:rules_rule_change", args=[rule.pk]),
        reverse("admin:integrations_product_change", args=[product]),
        reverse("admin:new-rule")
        + f"?product={product}&trigger=product_purchased&action={GIVES}&destination={bonus.pk}",
    ):
        shown = admin.get(page)
        assert LACK in words(shown), page
        assert f"{reverse('admin:earlier')}?rule={rule.pk}" in shown.content.decode() or (
            f"rule={rule.pk}&amp;product={product}" in shown.content.decode()
        )


@pytest.fixture
def has_bundle(world: World, bonus: Destination) -> None:
    """Bob has the second course too, by a bundle that he bought."""
    bundle = world.bundle(bonus, world.course("Other"), name="Art Bundle")
    world.rule("product_purchased", "create_bundle_enrollment", bundle, product="77")
    world.sell("10_product", customer__email=BOB, order__id=9, product__id=77)
    world.settle()


@pytest.mark.usefixtures("has_bundle")
def test_who_has_it_by_a_bundle_is_not_counted_among_those_who_lack_it(world, bonus):
    rule, admin = second(world, bonus), signed_in(roles.MANAGER)
    people = rule_preview.previews([rule])[0].people
    emails = dict(Customer.objects.values_list("pk", "email"))
    assert [emails[each] for each in people[PreviewEffect.GIVEN]] == [ALICE]
    assert [emails[each] for each in people[PreviewEffect.HAD_IT]] == [BOB]
    for page in (
        f"{reverse('admin:new-rule-added')}?rule={rule.pk}",
        reverse("admin:rules_rule_change", args=[rule.pk]),
        reverse("admin:integrations_product_change", args=[rule.product_id]),
    ):
        assert "1 earlier buyer does not have Bonus." in words(admin.get(page)), page
    shown = words(admin.get(reverse("admin:earlier"), {"rule": rule.pk}))
    assert "Enroll this customer now" in shown
    lacks, _, has = shown.partition("Who has it already")
    assert (ALICE in lacks, BOB in lacks, BOB in has) == (True, False, True)
    assert "Already has Bonus through order 9." in has
    enroll(admin, rule)
    world.settle()
    codes = dict(RuleRun.objects.filter(rule=rule).values_list("customer__email", "code"))
    assert codes == {ALICE: "enrolled", BOB: "already_enrolled"}


@pytest.mark.usefixtures("has_bundle")
def test_where_all_have_it_nobody_is_said_to_lack_it(world, bonus):
    rule, admin = second(world, bonus), signed_in(roles.MANAGER)
    RuleRun.objects.filter(event__customer__email=ALICE).delete()
    EventLog.objects.filter(customer__email=ALICE).delete()
    assert [row.event.order_id for row in backfill.preview(rule).run] == ["2"]
    shown = words(admin.get(f"{reverse('admin:new-rule-added')}?rule={rule.pk}"))
    assert "earlier buyer" not in shown
    assert "paid before" not in shown


@pytest.mark.usefixtures("has_bundle")
def test_two_rules_count_their_own_buyers_though_a_bundle_gives_one_of_the_courses(world, bonus):
    first, other = second(world, bonus), second(world, world.course("Third"))
    found = backfill.preview(first, other)
    assert [found.customers_of(each) for each in (first, other)] == [1, 2]
    parts = found.by_rule([first, other])
    assert [parts[each.pk].customers_changing for each in (first, other)] == [1, 2]


@pytest.mark.usefixtures("has_bundle")
def test_a_course_that_ended_alone_is_not_held_by_its_bundle(world, bonus):
    ends = world.rule("product_refunded", "expire_course_enrollment", bonus, product="77")
    world.sell("20_product", customer__email=BOB, order__id=9, product__id=77)
    world.settle()
    assert RuleRun.objects.get(rule=ends).code == "ended"
    found = backfill.preview(second(world, bonus))
    assert [row.event.order_id for row in found.changing] == ["2", "1"]


@pytest.mark.usefixtures("has_bundle")
def test_who_has_by_a_bundle_what_was_bought_without_a_rule_is_no_broken_promise(world, bonus):
    world.sell("10_product", customer__email=BOB, order__id=10, product__id=78)
    assert promise.unfulfilled().count() == 1
    world.rule("product_purchased", GIVES, bonus, product="78")
    assert promise.unfulfilled().count() == 0


def test_turning_it_on_offers_it(world, bonus):
    rule, admin = second(world, bonus, enabled=False), signed_in(roles.MANAGER)
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    assert LACK not in words(admin.get(page))
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    assert LACK in words(admin.get(page))


def test_of_many_rules_at_once_it_is_not_looked_for(world, bonus):
    rules = [
        world.rule("product_purchased", GIVES, world.course(f"Bonus {number}"), product="1048001")
        for number in range(earlier.MAX_RULES + 1)
    ]
    assert would_run(*rules[:-1]) == ["2", "1"]
    assert would_run(*rules) == []


def test_it_raises_no_alarm(world, bonus):
    second(world, bonus)
    assert not promise.unfulfilled().exists()
    assert "Paid, no access" not in words(signed_in(roles.MANAGER).get(reverse("admin:index")))


def test_only_the_chosen_rule_runs_and_nothing_else_is_retried(world, bonus):
    other = world.rule("product_purchased", GIVES, world.course("Third"), product="1048001")
    RuleRun.objects.filter(customer__email=ALICE).update(status="failed")
    rule = second(world, bonus)
    before = RuleRun.objects.count()
    enroll(signed_in(roles.MANAGER), rule)
    made = RuleRun.objects.filter(rule=rule)
    assert RuleRun.objects.count() == before + 2 == before + made.count()
    assert RuleRun.objects.get(customer__email=ALICE, destination_name="First").status == "failed"
    batch = Batch.objects.get()
    assert set(batch.run_ids) == set(made.values_list("pk", flat=True))
    # Nothing says of the other rule that it ran.
    ran = EventLog.objects.filter(runs__in=made)
    assert not [event for event in ran if [other.pk, "run"] in event.verdicts]
    world.settle()
    assert would_run(rule) == []
    assert would_run(other) == ["2", "1"]


def test_after_undo_they_are_asked_for_alone_and_keep_the_first(world, bonus):
    rule, admin = second(world, bonus), signed_in(roles.MANAGER)
    enroll(admin, rule)
    world.settle()
    batch = Batch.objects.get()
    chosen = ",".join(map(str, batch.run_ids))
    admin.post(f"{reverse('admin:undo-batch')}?number={batch.pk}", {"chosen": chosen})
    world.settle()
    active = Grant.objects.active().filter(customer__email__in=[ALICE, BOB])
    assert {grant.name for grant in active} == {"First"}
    found = backfill.preview(rule)
    assert found.run == []
    assert [row.event.order_id for row in found.undone] == ["2", "1"]
    admin.post(reverse("admin:earlier"), {"rule": rule.pk, "undone": "1"})
    world.settle()
    assert Grant.objects.active().filter(name="Bonus").count() == 2


def test_what_a_deleted_rule_gave_counts_as_given(world, bonus):
    rule = second(world, bonus)
    enroll(signed_in(roles.MANAGER), rule)
    world.settle()
    changing.delete(Rule.objects.filter(pk=rule.pk))
    assert would_run(second(world, bonus)) == []


def test_whom_an_edited_rule_gave_something_else_is_left_to_the_page_of_moving(world, bonus):
    first = Rule.objects.get()
    changing.point_to([first], bonus, on=True)
    assert would_run(first) == []


@pytest.mark.parametrize("trigger", ["product_refunded", "subscription_canceled"])
def test_of_the_rules_that_end_access_those_for_refunds_are_offered_where_something_is_left(
    world, bonus, trigger
):
    ends = "expire_course_enrollment"
    world.rule(trigger, ends, bonus, product="1048001")
    what = "20_product" if trigger == "product_refunded" else "10_product"
    world.sell(what, trigger, customer__email=BOB, order__id=2)
    ending = EventLog.objects.latest("pk")
    EventLog.objects.update(gave_nothing=False)
    first = Destination.objects.get(name="First")
    found = backfill.preview(world.rule(trigger, ends, first, product="1048001"))
    assert [row.event for row in found.run if row.event.pk == ending.pk] == [ending]
    EventLog.objects.update(left_open=False)
    Grant.objects.update(state=Grant.State.ENDED)
    assert backfill.preview(Rule.objects.latest("pk")) == Preview([], [], [], more=False)


# The list of those who paid and are not in


def not_in(role: str = roles.MANAGER) -> str:
    page = signed_in(role).get(reverse("admin:events_eventlog_changelist"), {"result": "not_in"})
    return page.content.decode()


def test_where_no_rule_fits_the_list_names_the_product_and_offers_a_rule(world):
    world.sell("10_product", customer__email=ALICE, order__id=1)
    shown = not_in()
    assert "No rule that is on gives anything for Example Course One." in shown
    product = EventLog.objects.get().product_id
    new = f"{reverse('admin:new-rule')}?product={product}&amp;trigger=product_purchased"
    assert new in shown
    assert "rerun_chosen" not in shown.split("result_list")[0].split("<select")[0]
    assert "Once a rule matches, you can enroll them together" not in shown
    assert new not in not_in(roles.SUPPORT)


def test_where_a_rule_that_is_off_fits_the_list_offers_to_turn_it_on(world):
    rule = world.rule("product_purchased", GIVES, world.course(), product="1048001", enabled=False)
    world.sell("10_product", customer__email=ALICE, order__id=1)
    turn_on = reverse("admin:rules_rule_do_switch_on", args=[rule.pk])
    assert turn_on in not_in()
    changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    shown = not_in()
    assert turn_on not in shown
    assert "Once a rule matches, you can enroll them together" in shown


# Marking


def test_what_was_undone_can_be_marked_as_dealt_with_and_leaves_the_page(world):
    world.sell("10_product", customer__email=ALICE, order__id=1)
    rule = world.rule("product_purchased", GIVES, world.course(), product="1048001")
    event = EventLog.objects.get()
    EventLog.objects.update(undone_at=event.received_at)
    assert len(backfill.preview(rule).undone) == 1
    press(signed_in(roles.MANAGER), event, "deal_with")
    assert backfill.preview(rule).undone == []
