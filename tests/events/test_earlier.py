"""Admit names people who bought before there was a rule, and enrolls them on request."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.execution import reviewing
from events.models import Delivery, EventLog, Grant, RuleRun
from events.reports.customers import customer_access
from events.reports.earlier import backfill, given_already
from events.reports.earlier.earlier_buyers import Preview
from events.reports.sentences.leads import RunRules
from integrations.models import Customer, Destination, Product
from rules import changing
from rules.models import Rule
from tests.support.pages import press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

ALICE, BOB = "alice@example.com", "bob@example.com"
GIVES = "create_course_enrollment"


@pytest.fixture
def course(world: World) -> Destination:
    return world.course("Course Two")


def buy(world: World, email: str, order: int, name: str = "10_product", **changes: Any) -> EventLog:
    return world.sell(name, customer__email=email, order__id=order, **changes)


def rule(world: World, course: Destination, product: str | None = "1048001") -> Rule:
    return world.rule("product_purchased", GIVES, course, product=product)


def shown(preview: Preview) -> tuple[list[str], dict[str, str]]:
    """The orders for which it would run, and {order: why not} for the others."""
    left = {each.event.order_id: each.why_not for each in preview.left_out}
    return [each.event.order_id for each in preview.run], left


def page(client: Client, rule: Rule, **query: Any) -> Any:
    return client.get(reverse("admin:earlier"), {"rule": rule.pk} | query)


# Who would be enrolled, and who is left out


def test_those_who_paid_before_the_rule_would_get_what_it_gives(world, course):
    buy(world, ALICE, 1)
    buy(world, BOB, 2)
    made = rule(world, course)
    preview = backfill.preview(made)
    assert shown(preview) == (["2", "1"], {})
    assert [each.rules for each in preview.run] == [[made], [made]]
    assert (preview.customers, preview.customers_of(made), preview.more) == (2, 2, False)
    assert not RuleRun.objects.exists()


def test_all_rules_that_fit_are_told_the_products_own_first(world, course):
    buy(world, ALICE, 1)
    for_all = rule(world, world.course("For all"), product=None)
    own = rule(world, course)
    off = world.rule("product_purchased", GIVES, world.course("Off"), enabled=False)
    (row,) = backfill.preview(for_all).run
    assert row.rules == [own, for_all]
    assert off not in row.rules


def test_a_global_rule_is_narrowed_to_one_product(world, course):
    buy(world, ALICE, 1)
    buy(world, BOB, 2, product__id=77)
    made = rule(world, course, product=None)
    assert shown(backfill.preview(made))[0] == ["2", "1"]
    product = Product.objects.get(external_id="77")
    assert shown(backfill.preview(made, product=product))[0] == ["2"]


def test_of_several_rules_each_is_told_its_own_customers(world, course):
    buy(world, ALICE, 1)
    buy(world, ALICE, 2)
    buy(world, BOB, 3, product__id=77)
    buy(world, BOB, 4, "20_product")
    first, other = rule(world, course), rule(world, course, product="77")
    for_all = rule(world, world.course("For all"), product=None)
    off = world.rule("product_refunded", "expire_course_enrollment", course, enabled=False)
    several = backfill.preview(first, other, for_all, off)
    assert [several.customers_of(each) for each in (first, other, for_all, off)] == [1, 1, 2, 0]
    assert several.customers == 2


def test_no_more_is_asked_for_many_rules_and_buyers_than_for_few(
    world, course, django_assert_max_num_queries
):
    for number in range(1, 10):
        buy(world, f"p{number}@example.com", number, product__id=70 + number % 3)
    rules = [rule(world, course, product=f"{70 + number}") for number in range(3)]
    with django_assert_max_num_queries(10):
        assert backfill.preview(*rules).customers == 9


def refunded(world: World) -> None:
    buy(world, ALICE, 1, "20_product")


def canceled(world: World) -> None:
    EventLog.objects.update(order_id="", subscription_id="990001")
    buy(world, ALICE, 1, "30_subscription", product__id=1048001)
    EventLog.objects.filter(order_id="").update(order_id="1")


def without_email(world: World) -> None:
    EventLog.objects.update(customer=None)


def payload_gone(world: World) -> None:
    removed = timezone.now() + timedelta(days=180)
    Delivery.objects.update(sealed_body=b"", body_removed_at=removed)


def has_it(world: World) -> None:
    """By another product of which there was a rule."""
    course = Destination.objects.get(name="Course Two")
    world.rule("product_purchased", GIVES, course, product="77")
    buy(world, ALICE, 9, product__id=77)
    world.settle()


def turned_off(world: World) -> None:
    Rule.objects.update(enabled=False)


LEFT_OUT = [
    (refunded, "order 1 was refunded on"),
    (canceled, "order 1 was canceled on"),
    (without_email, "the order carries no usable e-mail address"),
    (payload_gone, "what SamCart sent was removed after 180 days"),
    (turned_off, "no rule that is turned on matches it"),
]


@pytest.mark.parametrize(("happened", "why"), LEFT_OUT, ids=[each[0].__name__ for each in LEFT_OUT])
def test_who_is_left_out_is_told_with_the_reason_and_gets_nothing(world, course, happened, why):
    buy(world, ALICE, 1)
    made = rule(world, course)
    Rule.objects.filter(pk=made.pk).update(enabled=False)
    happened(world)
    if happened is not turned_off:
        Rule.objects.filter(pk=made.pk).update(enabled=True)
    made.refresh_from_db()
    would, left = shown(backfill.preview(made))
    assert (would, list(left)) == ([], ["1"])
    assert why in left["1"]
    support = signed_in(roles.SUPPORT)
    text = words(page(support, made))
    assert f"{why[0].upper()}{why[1:]}" in text
    # Whose rule is off is left, though it does not run.
    assert ("Nobody is left to enroll. Back to Example" in text) is made.enabled
    assert ("This rule is turned off, so it does not run." in text) is not made.enabled
    before = RuleRun.objects.count()
    answer = support.post(reverse("admin:earlier"), {"rule": made.pk}, follow=True)
    assert said(answer) == ["Nothing was queued: nobody is left."]
    assert RuleRun.objects.count() == before


def test_who_has_it_by_another_purchase_holds_it_by_this_one_as_well(world, course):
    buy(world, ALICE, 1)
    has_it(world)
    made = rule(world, course)
    (row,) = backfill.preview(made).run
    has = (
        "Already has Course Two through order 9. This purchase will hold that too: nothing "
        "changes in"
    )
    assert row.note.startswith(has)
    support = signed_in(roles.SUPPORT)
    assert has in words(page(support, made))
    answer = support.post(reverse("admin:earlier"), {"rule": made.pk}, follow=True)
    assert said(answer) == ["1 action queued."]
    world.sandbox.clear_calls()
    world.settle()
    assert [call.split()[0] for call in world.calls()] == ["GET"]
    assert RuleRun.objects.get(event__order_id="1").code == "already_enrolled"
    world.rule("product_refunded", "expire_course_enrollment", course, product="77")
    buy(world, ALICE, 9, "20_product", product__id=77)
    world.settle()
    assert world.access(ALICE, course)
    world.rule("product_refunded", "expire_course_enrollment", course, product="1048001")
    buy(world, ALICE, 1, "20_product")
    world.settle()
    assert not world.access(ALICE, course)


def test_who_has_it_until_a_day_is_not_said_to_have_all_of_it_and_afterward_is_owed_it(
    world, course
):
    bought = buy(world, ALICE, 1)
    has_it(world)
    made = rule(world, course)
    day = timezone.now() + timedelta(days=9)
    Grant.objects.update(source="before", until=day)
    (row,) = backfill.preview(made).run
    assert row.note == ""
    assert [*given_already.sentences([bought])] == [bought.pk]
    Grant.objects.update(until=timezone.now() - timedelta(days=1))
    assert given_already.sentences([bought]) == {}


def test_who_gets_something_new_besides_is_not_said_to_have_all_of_it(world, course):
    buy(world, ALICE, 1)
    has_it(world)
    rule(world, world.course("Third"))
    (row,) = backfill.preview(rule(world, course)).run
    assert (len(row.rules), row.note) == (2, "")


def test_who_lost_it_since_would_get_it_again(world, course):
    buy(world, ALICE, 1)
    has_it(world)
    world.rule("product_refunded", "expire_course_enrollment", course, product="77")
    buy(world, ALICE, 9, "20_product", product__id=77)
    world.settle()
    assert shown(backfill.preview(rule(world, course)))[0] == ["1"]


def test_what_somebody_has_dealt_with_is_in_no_list(world, course):
    bought = buy(world, ALICE, 1)
    reviewing.mark_reviewed(EventLog.objects.filter(pk=bought.pk), by="Mia")
    assert shown(backfill.preview(rule(world, course))) == ([], {})


def test_more_than_fit_at_once_are_said_to_be_there(world, course, monkeypatch):
    monkeypatch.setattr(backfill, "MAX_EVENTS", 1)
    buy(world, ALICE, 1)
    buy(world, BOB, 2)
    made = rule(world, course)
    assert backfill.preview(made).more
    support = signed_in(roles.SUPPORT)
    text = words(page(support, made))
    assert "Only the newest 1 event can be shown. Older ones appear once this one is run" in text
    support.post(reverse("admin:earlier"), {"rule": made.pk})
    after = page(support, made)
    assert "Enroll this customer now" in words(after)
    assert "Only the newest" not in words(after)
    support.post(reverse("admin:earlier"), {"rule": made.pk})
    assert "Nobody is left to enroll." in words(page(support, made))


def test_older_ones_are_not_denied_where_nobody_of_the_newest_is_left(world, course, monkeypatch):
    buy(world, ALICE, 1)
    buy(world, BOB, 2)
    made = rule(world, course)
    buy(world, BOB, 2, "20_product")
    monkeypatch.setattr(backfill, "MAX_EVENTS", 1)
    assert "Nobody is left to enroll among these." in words(page(signed_in(roles.SUPPORT), made))


# The page


def test_the_page_names_them_and_its_button_enrolls_them(world, course):
    buy(world, ALICE, 1)
    buy(world, BOB, 2)
    buy(world, BOB, 2, "20_product")
    made = rule(world, course)
    support = signed_in(roles.SUPPORT)
    text = words(page(support, made))
    assert "Enroll this customer now" in text
    assert re.search(r"alice@example.com 1 .*Enroll in Course Two", text)
    assert re.search(r"Left out .*bob@example.com 2 .*Order 2 was refunded on", text)
    assert not RuleRun.objects.exists()
    answer = support.post(reverse("admin:earlier"), {"rule": made.pk}, follow=True)
    assert said(answer) == ["1 action queued."]
    assert "0 of 1 done." in words(answer)
    assert "Nobody is left to enroll." in words(page(support, made))
    world.settle()
    assert world.access(ALICE, course)
    assert not world.access(BOB, course)


def test_a_name_with_an_apostrophe_is_shown_as_it_is(world, course):
    Destination.objects.filter(pk=course.pk).update(name="The Painter's Path")
    buy(world, ALICE, 1)
    shown = page(signed_in(roles.SUPPORT), rule(world, course)).content.decode()
    assert "The Painter&#x27;s Path" in shown
    assert "&amp;#x27;" not in shown


WAYS = {
    "/admin/": "Overview",
    "/admin/new-rule/added/?rule=7": "Back",
    "https://elsewhere.example/": "Example Course One",
    "//elsewhere.example/": "Example Course One",
    "": "Example Course One",
}


@pytest.mark.parametrize("back", WAYS)
def test_the_way_back_leads_to_where_the_person_came_from(world, course, back):
    buy(world, ALICE, 1)
    buy(world, BOB, 2)
    made = rule(world, course)
    product = reverse("admin:integrations_product_change", args=[made.product_id])
    way = f'<a href="{back if "elsewhere" not in back and back else product}">{WAYS[back]}</a>'
    support = signed_in(roles.SUPPORT)
    before = page(support, made, back=back)
    assert "Earlier buyers" in words(before)
    assert "Enroll these 2 customers now" in words(before)
    assert way in before.content.decode()
    sent = {"rule": made.pk, "product": made.product_id, "back": back}
    after = support.post(reverse("admin:earlier"), sent, follow=True)
    assert said(after) == ["2 actions queued."]
    (home,) = re.findall(r'<p class="way"><a href="([^"]+)">Back</a>', after.content.decode())
    assert unescape(home) == (back if "elsewhere" not in back and back else product)
    after = page(support, made, back=back)
    assert way in after.content.decode()
    called = "Back" if WAYS[back] == "Back" else f"Back to {WAYS[back]}"
    assert f"Nobody is left to enroll. {called}" in words(after)


def test_what_is_run_by_several_rules_is_called_by_their_number(world, course):
    buy(world, ALICE, 1)
    rules = [rule(world, each) for each in (course, world.course("Second"))]
    sent = {"rule": [each.pk for each in rules]}
    after = signed_in(roles.SUPPORT).post(reverse("admin:earlier"), sent, follow=True)
    assert "For earlier buyers: 2 rules" in words(after)


def test_a_global_rule_without_a_product_leads_back_to_the_global_rules(world, course):
    made = rule(world, course, product=None)
    text = words(page(signed_in(roles.SUPPORT), made))
    assert "Nobody is left to enroll. Back to Global rules" in text


def test_a_rule_that_ends_access_is_run_for_customers_not_for_buyers(world, course):
    buy(world, ALICE, 1, "20_product")
    made = world.rule("product_refunded", "expire_course_enrollment", course, product="1048001")
    support = signed_in(roles.SUPPORT)
    text = words(page(support, made))
    assert "Customers the rule has not run for" in text
    assert "1 earlier customer may still have Course Two." in text
    assert "End it for this customer now" in text
    assert "To be enrolled" not in text
    support.post(reverse("admin:earlier"), {"rule": made.pk})
    assert "Nobody is left to run it for." in words(page(support, made))


def test_a_rule_that_ends_access_is_not_offered_where_it_has_nothing_to_end(world, course):
    rule(world, course)
    buy(world, ALICE, 1)
    buy(world, BOB, 2)
    world.settle()
    buy(world, ALICE, 1, "20_product")
    never = world.rule(
        "product_refunded", "expire_course_enrollment", world.course("Faces"), product="1048001"
    )
    assert shown(backfill.preview(never)) == (
        [],
        {"1": "nothing that the purchase gave is left to end"},
    )
    never.delete()
    ends = world.rule("product_refunded", "expire_course_enrollment", course, product="1048001")
    assert shown(backfill.preview(ends)) == (["1"], {})
    world.rule(
        "product_refunded", "expire_course_enrollment", world.course("Pastel"), product="1048001"
    )
    assert shown(backfill.preview(ends)) == (["1"], {})


def test_a_rule_that_is_not_there_leads_home(world):
    support = signed_in(roles.SUPPORT)
    for number in ("0", "²", ""):
        answer = support.get(reverse("admin:earlier"), {"rule": number}, follow=True)
        assert said(answer) == ["This rule no longer exists. Somebody has deleted it."]


@pytest.mark.parametrize(("role", "may"), [(roles.SUPPORT, True), (roles.VIEWER, False)])
def test_only_who_may_run_rules_again_sees_and_presses_it(world, course, role, may):
    bought = buy(world, ALICE, 1)
    made = rule(world, course)
    client = signed_in(role)
    assert page(client, made).status_code == (200 if may else 403)
    assert bought.customer is not None
    places = (
        reverse("admin:index"),
        reverse("admin:integrations_product_change", args=[made.product_id]),
        reverse("admin:integrations_customer_change", args=[bought.customer.pk]),
        reverse("admin:events_eventlog_change", args=[bought.pk]),
    )
    ways = (reverse("admin:earlier"), reverse("admin:events_eventlog_do_rerun", args=[bought.pk]))
    for place in places:
        text = client.get(place).content.decode()
        assert any(f'"{way}' in text for way in ways) is may, place
    status = client.post(reverse("admin:earlier"), {"rule": made.pk}).status_code
    assert status == (302 if may else 403)
    assert RuleRun.objects.exists() is may


# Where it is offered


def test_the_pages_say_that_there_is_a_rule_since_and_lead_to_it(world, course):
    bought = buy(world, ALICE, 1)
    manager = signed_in(roles.MANAGER)
    assert bought.customer is not None
    customer = reverse("admin:integrations_customer_change", args=[bought.customer.pk])
    assert "no rule gives anything for it. New rule" in words(manager.get(customer))
    assert "New rule for Example Course One" in words(manager.get(reverse("admin:index")))
    made = rule(world, course)
    text = words(manager.get(customer))
    assert re.search(
        r"\(order 1\) and got nothing\. A rule exists since \d+ \w+ \d\d:\d\d\. Enroll this", text
    )
    assert "no rule gives" not in text
    assert "New rule" not in text
    pages = [reverse("admin:index")]
    pages.append(reverse("admin:integrations_product_change", args=[made.product_id]))
    run_now = reverse("admin:events_eventlog_do_rerun", args=[bought.pk])
    for page in pages:
        shown = manager.get(page)
        assert re.search(r"A rule exists since .* Enroll this buyer now", words(shown))
        assert f'action="{run_now}"' in shown.content.decode()
        assert "New rule for" not in words(shown)
    assert "1 buyer paid and got nothing for it. A rule exists since" in words(shown)
    buy(world, BOB, 2)
    EventLog.objects.filter(order_id="2").update(status="no_rule", gave_nothing=True)
    RuleRun.objects.all().delete()
    see = f'"{reverse("admin:earlier")}?rule={made.pk}&amp;product={made.product_id}'
    for page, back in zip(pages, ("&amp;back=%2Fadmin%2F", ""), strict=True):
        shown = manager.get(page)
        assert f'{see}{back}"' in shown.content.decode()
        assert "Enroll this buyer now" not in words(shown)
    event = words(manager.get(reverse("admin:events_eventlog_change", args=[bought.pk])))
    assert "nothing was given for it. A rule exists since" in event
    assert "New rule for this product" not in event


def test_one_buyer_is_enrolled_from_the_customers_page(world, course):
    bought = buy(world, ALICE, 1)
    rule(world, course)
    assert said(press(signed_in(roles.SUPPORT), bought, "rerun")) == ["1 action queued."]
    world.settle()
    assert world.access(ALICE, course)
    (line,) = customer_access.describe(Customer.objects.get(email=ALICE)).lines
    assert line.kind == "good"


@pytest.mark.parametrize("known", [True, False])
def test_a_rule_that_was_off_and_is_on_now_is_not_said_to_be_new(world, course, known):
    made = rule(world, course)
    of_this = Rule.objects.filter(pk=made.pk)
    of_this.update(enabled=False)
    bought = buy(world, ALICE, 1)
    if known:
        changing.switch(of_this, on=True)
    else:
        of_this.update(enabled=True)
    on = r"It has been on since \d+ \w+ \d\d:\d\d\." if known else r"It is on now\."
    assert bought.customer is not None
    manager = signed_in(roles.MANAGER)
    pages = [
        reverse("admin:index"),
        reverse("admin:integrations_product_change", args=[made.product_id]),
        reverse("admin:integrations_customer_change", args=[bought.customer.pk]),
        reverse("admin:events_eventlog_change", args=[bought.pk]),
    ]
    for place in pages:
        text = words(manager.get(place))
        assert re.search(rf"The rule was off then\. {on}", text), place
        assert "A rule exists since" not in text
    of_this.update(enabled=False)
    buy(world, BOB, 2)
    changing.switch(of_this, on=True)
    for place in pages[:2]:
        text = words(manager.get(place))
        assert "The rule was off when the last of them bought. It has been on since" in text


def test_a_rule_that_only_ends_access_gives_nothing(world, course):
    buy(world, ALICE, 1)
    world.rule("product_purchased", "expire_course_enrollment", course, product="1048001")
    (line,) = customer_access.describe(Customer.objects.get(email=ALICE)).lines
    assert "no rule gives anything for it." in line.text


def test_what_was_refunded_since_is_not_offered(world, course):
    bought = buy(world, ALICE, 1)
    buy(world, ALICE, 1, "20_product")
    rule(world, course)
    (line,) = customer_access.describe(Customer.objects.get(email=ALICE)).lines
    assert (line.kind, line.leads) == ("quiet", ())
    text = words(
        signed_in(roles.SUPPORT).get(reverse("admin:events_eventlog_change", args=[bought.pk]))
    )
    assert "Its rules cannot be run again: order 1 was refunded on" in text
    assert "Enroll this buyer now" not in text


def test_what_can_not_be_read_any_more_is_done_by_hand(world, course):
    bought = buy(world, ALICE, 1)
    rule(world, course)
    payload_gone(world)
    (line,) = customer_access.describe(Customer.objects.get(email=ALICE)).lines
    assert (line.leads, line.event) == ((), bought.pk)
    assert "But what SamCart sent was removed after 180 days. Enroll the customer" in line.text


def test_a_purchase_without_an_email_is_not_counted_as_nobody(world, course):
    buy(world, ALICE, 1)
    without_email(world)
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert "Example Course One 1 without an e-mail" in text


# Who is counted


def shown_results(answer: Any) -> list[str]:
    """The badges in the log's column of results, the newest event first."""
    cells = re.findall(r"field-result.*?</t[dh]>", answer.content.decode(), re.DOTALL)
    badges = [re.search(r'<span class="badge.*?</span>', cell, re.DOTALL) for cell in cells]
    return [re.sub(r"<[^>]*>", "", badge[0]) for badge in badges if badge]


def counted(client: Client, product: Product) -> tuple[bool, str, str]:
    """What the Overview's first line and its table, and the product's page, say of buyers."""
    overview = client.get(reverse("admin:index"))
    (row,) = [each.buyers for each, _ in overview.context["nothing_given"]] or [0]
    said_first = re.search(r"(\d+) buyers? paid and (?:has|have) no access\.", words(overview))
    page = words(client.get(reverse("admin:integrations_product_change", args=[product.pk])))
    said_there = re.search(r"(\d+\+?) buyers? paid and got nothing for it", page)
    return row, said_first[1] if said_first else "", said_there[1] if said_there else ""


def test_who_was_refunded_is_counted_nowhere(world, course):
    bought = buy(world, ALICE, 1)
    refunded(world)
    made = rule(world, course)
    manager = signed_in(roles.MANAGER)
    assert bought.product is not None
    assert counted(manager, bought.product) == (0, "", "")
    buy(world, BOB, 2)
    EventLog.objects.filter(order_id="2").update(status="no_rule", gave_nothing=True)
    RuleRun.objects.filter(rule=made).delete()
    assert counted(manager, bought.product) == (1, "1", "1")
    EventLog.objects.filter(order_id="2").update(order_id="3")
    assert backfill.preview(made).customers == 1


def test_who_has_it_already_is_in_and_is_offered_to_hold_it_by_this_purchase_too(world, course):
    bought = buy(world, ALICE, 1)
    has_it(world)
    manager = signed_in(roles.MANAGER)
    assert bought.product is not None
    log = reverse("admin:events_eventlog_changelist")
    assert "Paid, nothing given" in shown_results(manager.get(log))
    rule(world, course)
    assert counted(manager, bought.product) == (0, "", "1")
    assert shown_results(manager.get(log)) == ["Succeeded", "Has it already"]
    of_product = reverse("admin:integrations_product_change", args=[bought.product.pk])
    assert "Has it already" in words(manager.get(of_product))
    event = words(manager.get(reverse("admin:events_eventlog_change", args=[bought.pk])))
    assert "Has it already" in event
    assert "Already has Course Two through order 9. Enroll this buyer now" in event
    report = customer_access.describe(Customer.objects.get(email=ALICE))
    (line,) = [each for each in report.lines if each.code == "had_already"]
    assert (line.kind, line.leads) == ("quiet", (RunRules(bought.pk),))
    assert "which gave nothing. Already has Course Two through order 9." in line.text
    assert "We received your payment" not in report.reply


def test_the_count_says_so_when_it_does_not_know_all(world, course, monkeypatch):
    bought = buy(world, ALICE, 1)
    buy(world, BOB, 2)
    rule(world, course)
    monkeypatch.setattr(backfill, "MAX_EVENTS", 1)
    assert bought.product is not None
    assert counted(signed_in(roles.MANAGER), bought.product) == (2, "2", "1+")


def test_who_has_one_of_two_courses_is_counted(world, course):
    bought = buy(world, ALICE, 1)
    has_it(world)
    rule(world, course)
    rule(world, world.course("Another"))
    assert bought.product is not None
    assert counted(signed_in(roles.MANAGER), bought.product) == (1, "1", "1")
