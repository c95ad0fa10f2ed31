"""Who was refunded and still has the course, because no rule ended it, is told and dealt with."""

import html
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.admin.pages.rules.given import refunded as refunded_page
from config.staff import roles
from events.access import by_hand
from events.execution.email_correction import give_email
from events.models import Batch, Delivery, EventLog, Grant, RuleRun
from events.reports.changed_rules import left_behind_summary, refunded
from events.reports.customers.customer_access import describe
from events.reports.system.last_run import with_last_run
from integrations.audit import Act, Actor, acting
from integrations.models import AuditEntry, Customer, Destination
from integrations.sentences import format_day
from rules import changing
from rules.models import Rule
from rules.short_sentences import in_short
from tests.support.pages import markup, said, signed_in, words
from tests.support.samcart import changed
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"
SOLD = "1048001"
PAGE = "admin:refunded"
TOLD = "2 buyers were refunded and still have Ink: no rule ended it."


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def ink(world: World) -> Destination:
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    return course


def email(number: int) -> str:
    return f"b{number}@example.com"


def sell(world: World, number: int, name: str = "10_product", trigger: str = "") -> None:
    world.sell(name, trigger, customer__email=email(number), order__id=1180 + number)
    world.settle()


@pytest.fixture
def still_in(world: World, ink: Destination) -> Destination:
    """Three bought, and two of them were refunded."""
    for number in range(3):
        sell(world, number)
    for number in range(2):
        sell(world, number, "20_product")
    return ink


def test_the_overview_tells_of_them_and_leads_to_their_page(manager, still_in):
    page = manager.get(reverse("admin:index"))
    assert f"{TOLD} See who" in words(page)
    assert reverse(PAGE) in page.content.decode()
    listed = words(manager.get(reverse(PAGE)))
    assert [email(number) in listed for number in range(3)] == [True, True, False]
    assert "Ink Order 1180 was refunded on" in listed


def test_who_was_refunded_under_another_address_is_listed_too(manager, world, ink):
    sell(world, 0)
    world.sell("20_product", customer__email="other@example.com", order__id=1180)
    (left,) = refunded.refunded_with_access()
    assert left.grants[0].customer.email == email(0)
    manager.post(reverse(PAGE), {"chosen": left.event.pk})
    world.settle()
    assert not world.access(email(0), ink)


def test_who_is_given_an_email_after_the_refund_is_listed_too(world, ink):
    world.sell("10_product", customer__email="", order__id=1180)
    world.sell("20_product", customer__email="", order__id=1180)
    give_email(EventLog.objects.earliest("pk"), email(0), by="Mia")
    world.settle()
    assert world.access(email(0), ink)
    (left,) = refunded.refunded_with_access()
    assert left.grants[0].customer.email == email(0)


def test_the_chosen_lose_it_and_that_can_be_undone(manager, world, still_in):
    first = refunded.refunded_with_access()[-1]
    assert first.grants[0].customer.email == email(0)
    manager.post(reverse(PAGE), {"chosen": first.event.pk})
    world.settle()
    assert [world.access(email(number), still_in) for number in range(3)] == [False, True, True]
    assert AuditEntry.objects.get(act="refunded_ended").number == str(first.refund.pk)
    assert "paid and has no access" not in words(manager.get(reverse("admin:index")))
    undo = f"{reverse('admin:undo-batch')}?number={Batch.objects.get().pk}"
    chosen = re.findall(r'name="chosen" value="([^"]+)"', manager.get(undo).content.decode())
    manager.post(undo, {"chosen": chosen})
    world.settle()
    assert world.access(email(0), still_in)
    assert Grant.objects.get(pk=first.grants[0].pk).because == "product_purchased"
    # Nobody is asked again about the one to whom a person gave it back after the refund.
    assert len(refunded.refunded_with_access()) == 1
    (kept,) = refunded.refunded_with_access(kept=True)
    assert kept.event == first.event


def test_what_an_undo_gave_back_stands_where_it_was_undone(manager, world, still_in):
    (first,) = (each for each in refunded.refunded_with_access() if each.event.order_id == "1180")
    manager.post(reverse(PAGE), {"chosen": first.event.pk})
    world.settle()
    undo = f"{reverse('admin:undo-batch')}?number={Batch.objects.get().pk}"
    chosen = re.findall(r'name="chosen" value="([^"]+)"', manager.get(undo).content.decode())
    manager.post(undo, {"chosen": chosen})
    world.settle()
    customer = first.event.customer_id
    page = manager.get(reverse("admin:integrations_customer_change", args=[customer]))
    timeline = words(page).partition("Everything that happened")[2]
    given = "Undo: End what was refunded\\. See the results Enroll in Ink"
    refund, purchase = timeline.split("Product Purchased")
    assert re.search(given, refund)
    assert purchase.count("See the rule of: Enroll in Ink") == 1
    event = words(manager.get(reverse("admin:events_eventlog_change", args=[first.refund.pk])))
    assert "Enroll in Ink" in event.partition("Undo: End what was refunded.")[2]


def test_who_may_keep_it_is_not_told_of_until_somebody_wants_that(manager, still_in):
    every = [each.event.pk for each in refunded.refunded_with_access()]
    page = manager.post(reverse(PAGE), {"chosen": every, "keep": "1"}, follow=True)
    assert said(page) == ["2 buyers keep it."]
    assert "Kept on purpose" in words(page)
    assert AuditEntry.objects.filter(act="refunded_kept").count() == 2
    assert "were refunded" not in words(manager.get(reverse("admin:index")))
    manager.post(reverse(PAGE), {"all_again": "1"})
    assert TOLD in words(manager.get(reverse("admin:index")))


def test_the_page_offers_the_rule_that_ends_it_next_time(manager, world, still_in):
    page = manager.get(reverse(PAGE)).content.decode()
    (address,) = re.findall(
        r'href="([^"]+)">New rule: a refund of Example Course One ends Ink', page
    )
    filled_in = words(manager.get(html.unescape(address)))
    assert "is refunded, end the customer's access to Ink on Art Academy." in filled_in
    world.rule("product_refunded", ENDS, still_in, product=SOLD)
    assert "New rule: a refund" not in words(manager.get(reverse(PAGE)))


def test_no_rule_is_offered_for_what_the_product_no_longer_gives(manager, world, ink):
    rule = Rule.objects.get()
    back = world.course("Faces")
    spare = world.rule("product_purchased", GIVES, back, product=SOLD)
    sell(world, 0)
    sell(world, 0, "20_product")
    assert "ends Ink" in words(manager.get(reverse(PAGE)))
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    page = manager.get(reverse(PAGE))
    assert "ends Ink" not in words(page)
    assert "ends Faces" in words(page)
    assert "End it for the chosen" in words(page)
    Rule.objects.filter(pk=spare.pk).update(enabled=False)
    every = [each.event.pk for each in refunded.refunded_with_access()]
    done = manager.post(reverse(PAGE), {"chosen": every}, follow=True)
    assert "New rule" not in " ".join(said(done))


def test_beside_a_rule_for_what_a_changed_rule_gave_stands_the_change(
    manager, world, ink, monkeypatch
):
    rule = Rule.objects.get()
    with acting(lambda: Actor("max@example.com")):
        changing.point_to([rule], world.course("Wash"), on=True)
    entry = AuditEntry.objects.latest("pk")
    sell(world, 0)
    sell(world, 0, "20_product")
    link = f'href="{reverse("admin:integrations_auditentry_change", args=[entry.pk])}?back='
    shown = manager.get(reverse(PAGE)).content.decode()
    offers = shown.partition("For the next refund")[2]
    assert link in offers.partition("ends Wash")[0]
    assert "See the change by max@example.com on" in offers
    monkeypatch.setattr(refunded_page, "LATELY", timedelta(0))
    assert "See the change by" not in words(manager.get(reverse(PAGE)))


def test_the_rule_that_would_end_it_and_is_off_is_turned_on_from_the_page(manager, still_in, world):
    rule = world.rule("product_refunded", ENDS, still_in, product=SOLD)
    manager.post(reverse("admin:rules_rule_do_switch_off", args=[rule.pk]))
    page = manager.get(reverse(PAGE), {"product": rule.product_id})
    text, source = words(page), markup(page)
    assert "1 rule that ends Ink on a refund is off: refunded buyers of" in text
    assert f"See the change by {AuditEntry.objects.latest('pk').who}" in text
    of_rule = reverse("admin:rules_rule_change", args=[rule.pk])
    assert re.search(f'href="{of_rule}">Product Refunded, Example Course One', source)
    assert "New rule: a refund" not in text
    (form,) = re.findall(r'<form method="post" action="([^"]+)">((?:(?!</form>).)*)Turn on', source)
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[1]))
    sent = {name: html.unescape(value) for name, value in fields.items()}
    for role in (roles.SUPPORT, roles.VIEWER):
        assert "Turn on" not in words(signed_in(role).get(reverse(PAGE)))
    page = manager.post(form[0], sent, follow=True)
    assert page.request["PATH_INFO"] == reverse(PAGE)
    assert page.request["QUERY_STRING"] == f"product={rule.product_id}"
    assert said(page) == ["1 rule turned on, from the next event on."]
    assert "is off" not in words(page)
    rule.refresh_from_db()
    assert rule.enabled


@pytest.mark.parametrize("by", ["course", "bundle", "global bundle"])
def test_the_page_and_that_of_the_customer_name_the_same_rule(manager, world, still_in, by):
    course = still_in if by == "course" else world.bundle(still_in, world.course("Faces"))
    ends = f"expire_{course.kind}_enrollment"
    product = None if by == "global bundle" else SOLD
    rule = world.rule("product_refunded", ends, course, product=product, enabled=False)
    first = refunded.refunded_with_access()[0].event
    of_customer = reverse("admin:integrations_customer_change", args=[first.customer_id])
    of_rule = reverse("admin:rules_rule_change", args=[rule.pk])
    for page in (reverse(PAGE), of_customer):
        answer = manager.get(page)
        assert of_rule in markup(answer)
        assert "New rule: a refund" not in words(answer)
    assert "The rule that ends it is off." in words(manager.get(of_customer))
    Rule.objects.filter(pk=rule.pk).update(enabled=True)
    assert of_rule not in markup(manager.get(reverse(PAGE)))
    assert "The rule that ends it is off." not in words(manager.get(of_customer))


def queries_of(client: Client, page: str) -> int:
    client.get(page)  # what is read once
    with CaptureQueriesContext(connection) as asked:
        client.get(page)
    return len(asked)


def test_no_more_is_asked_for_the_rules_of_many_products_than_of_one(manager, world, ink):
    def refund(number: int, **sold: Any) -> None:
        for name in ("10_product", "20_product"):
            world.sell(name, customer__email=email(0), order__id=1180 + number, **sold)
            world.settle()

    refund(0)
    customer = reverse("admin:integrations_customer_change", args=[Customer.objects.get().pk])
    assert words(manager.get(customer)).count("A rule for that event ends it") == 1
    one = queries_of(manager, reverse(PAGE))
    told = CaptureQueriesContext(connection)
    with told:
        describe(Customer.objects.get())
    for number in range(1, 5):
        course = world.course(f"Course {number}")
        world.rule("product_purchased", GIVES, course, product=str(70 + number))
        refund(number, product__id=70 + number)
    assert words(manager.get(reverse(PAGE))).count("New rule: a refund") == 5
    assert queries_of(manager, reverse(PAGE)) == one
    with CaptureQueriesContext(connection) as asked:
        describe(Customer.objects.get())
    assert len(asked) == len(told)


def test_each_row_links_the_refund_and_the_purchase(manager, still_in):
    source = manager.get(reverse(PAGE)).content.decode()
    for each in refunded.refunded_with_access():
        for event in (each.refund, each.event):
            assert f'href="{reverse("admin:events_eventlog_change", args=[event.pk])}"' in source


def test_all_are_chosen_at_once(manager, still_in):
    def ticked(page: Any) -> int:
        return len(re.findall(r'name="chosen"[^>]* checked', markup(page)))

    page = manager.get(reverse(PAGE), {"back": "/admin/coverage/"})
    assert ticked(page) == 0
    (address,) = re.findall(r'href="([^"]+)">Choose all<', page.content.decode())
    page = manager.get(html.unescape(address))
    assert ticked(page) == 2
    (address,) = re.findall(r'href="([^"]+)">Choose nobody<', page.content.decode())
    page = manager.get(html.unescape(address))
    assert ticked(page) == 0
    assert '<a href="/admin/coverage/">Back</a>' in page.content.decode()


def test_after_ending_it_the_rule_that_is_off_is_still_offered(manager, world, still_in):
    rule = world.rule("product_refunded", ENDS, still_in, product=SOLD, enabled=False)
    every = [each.event.pk for each in refunded.refunded_with_access()]
    page = manager.post(reverse(PAGE), {"chosen": every}, follow=True)
    assert f"The rule that ends it is off. {in_short(rule.sentence())}" in said(page)


def test_who_was_moved_to_another_address_before_the_refund_is_told_of(manager, world, ink):
    sell(world, 0)
    by_hand.move(
        Customer.objects.get(), "right@example.com", by_hand.Author("Sam", "Typed wrongly")
    )
    world.settle()
    sell(world, 0, "20_product")
    (found,) = refunded.refunded_with_access()
    assert found.event.order_id == "1180"
    assert found.grants[0].customer.email == "right@example.com"
    manager.post(reverse(PAGE), {"chosen": found.event.pk})
    world.settle()
    assert not world.access("right@example.com", ink)


def test_compare_says_that_these_are_not_compared_and_leads_to_them(manager, still_in):
    page = manager.get(reverse("admin:compare"))
    assert f"{TOLD} Compare does not list this as a difference" in words(page)
    assert reverse(PAGE) in page.content.decode()


def test_after_ending_it_the_missing_rule_is_still_offered(manager, still_in):
    every = [each.event.pk for each in refunded.refunded_with_access()]
    page = manager.post(reverse(PAGE), {"chosen": every}, follow=True)
    offer = "No rule ends it at the next refund. New rule: a refund of Example Course One ends Ink"
    assert offer in said(page)


def now_about(world: World, course: Destination) -> None:
    """Let all rules be about this course from now on."""
    Rule.objects.update(destination=course)


def test_who_is_refunded_after_the_rules_were_changed_is_told_of(manager, world, ink):
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, 0)
    now_about(world, world.course("Faces"))
    sell(world, 0, "20_product")
    assert RuleRun.objects.latest("pk").code == "gave_nothing"
    assert "1 buyer was refunded and still has Ink: no rule ended it." in words(
        manager.get(reverse("admin:index"))
    )
    # Faces needs no rule, and no purchase gives Ink anymore.
    assert "New rule: a refund" not in words(manager.get(reverse(PAGE)))


def test_the_page_of_the_refund_says_what_the_buyer_still_has_and_leads_to_ending_it(
    manager, world, ink
):
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, 0)
    now_about(world, world.course("Faces"))
    sell(world, 0, "20_product")
    address = reverse("admin:events_eventlog_change", args=[EventLog.objects.latest("pk").pk])
    page = manager.get(address)
    told = "If the customer should not keep it, end the access."
    assert told in words(page)
    assert "Faces was not given" not in words(page)
    assert re.search(f'href="{reverse(PAGE)}[^"]*">See and end it', markup(page))
    (found,) = refunded.refunded_with_access()
    manager.post(reverse(PAGE), {"chosen": found.event.pk})
    assert told not in words(manager.get(address))


def test_the_page_of_a_refund_says_once_what_is_left_to_do_and_has_one_button(manager, world, ink):
    sell(world, 0)
    sell(world, 0, "20_product")
    address = reverse("admin:events_eventlog_change", args=[EventLog.objects.latest("pk").pk])

    def buttons(page: Any) -> list[str]:
        source = markup(page)
        every = ("See and end it", "End access", "Run the rules again")
        return [word for word in every for _ in range(len(re.findall(f">{word}[^<]*<", source)))]

    page = manager.get(address)
    text = words(page)
    assert "If the customer should not keep it, end the access." in text
    assert "A rule for that event ends it for the next buyers." in text
    assert "No rule ended it, so the buyer still has it" not in text
    assert text.count("No rule matched") == 1
    assert "No rules were checked" not in text
    assert "New rule for this product" in text
    assert buttons(page) == ["See and end it"]
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD, enabled=False)
    page = manager.get(address)
    text = words(page)
    told = "If the customer should not keep it, end the access."
    assert f"{told} The rule that ends it is off. See the rule" in text
    assert "A rule for that event ends it for the next buyers." not in text
    assert reverse("admin:rules_rule_change", args=[rule.pk]) in markup(page)
    rule.delete()
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    page = manager.get(address)
    text = words(page)
    assert "If the customer should not keep it, end the access." in text
    assert "A rule for that event ends it for the next buyers." not in text
    assert "The rule that ends it is off." not in text
    assert buttons(page) == ["See and end it"]


def test_adding_the_rules_of_a_product_tells_who_was_refunded_before(manager, world, ink):
    sell(world, 0)
    sell(world, 0, "20_product")
    product = EventLog.objects.latest("pk").product
    assert product
    add = reverse("admin:integrations_product_do_end_access", args=[product.pk])
    page = manager.post(add, {"pair": ["product_refunded"]}, follow=True)
    told = "1 refunded buyer still has Ink. See and end it"
    assert told in said(page)
    (where,) = see_and_end(page)
    assert where.startswith(f"{reverse(PAGE)}?product={product.pk}&")
    assert email(0) in words(manager.get(where))


def test_who_keeps_one_of_two_courses_after_a_refund_is_told_of(world, ink):
    faces = world.course("Faces")
    world.rule("product_purchased", GIVES, faces, product=SOLD)
    world.rule("product_refunded", ENDS, faces, product=SOLD)
    sell(world, 0)
    sell(world, 0, "20_product")
    assert [grant.name for each in refunded.refunded_with_access() for grant in each.grants] == [
        "Ink"
    ]


def test_who_got_a_course_of_a_purchase_that_was_read_after_its_refund_is_told_of(world, ink):
    faces = world.course("Faces")
    world.rule("product_refunded", ENDS, faces, product=SOLD)
    facts = {"customer__email": email(0), "order__id": 1180}
    assert world.post(changed("20_product", **facts)).status_code == 200
    assert world.post(changed("10_product", **facts)).status_code == 200
    early = Delivery.objects.latest("pk")
    Delivery.objects.filter(pk=early.pk).update(
        received_at=early.received_at - timedelta(hours=1), state="wait"
    )
    world.settle()
    assert refunded.refunded_with_access() == []
    Delivery.objects.filter(pk=early.pk).update(state="new")
    world.settle()
    assert [grant.name for each in refunded.refunded_with_access() for grant in each.grants] == [
        "Ink"
    ]


def test_what_an_action_of_the_refund_is_to_end_is_not_told_twice(world, ink):
    world.rule("product_refunded", ENDS, ink, product=SOLD, delay_days=3)
    sell(world, 0)
    sell(world, 0, "20_product")
    assert RuleRun.objects.latest("pk").is_pending
    assert Grant.objects.active().count() == 1
    assert not EventLog.objects.latest("pk").left_open
    EventLog.objects.update(left_open=True)
    assert refunded.refunded_with_access() == []


def test_a_course_that_the_ending_of_its_bundle_is_to_end_is_not_told_of(world, ink):
    ends = "expire_bundle_enrollment"
    world.rule("product_refunded", ends, world.bundle(ink), product=SOLD, delay_days=3)
    sell(world, 0)
    sell(world, 0, "20_product")
    assert RuleRun.objects.latest("pk").is_pending
    assert Grant.objects.active().get().name == "Ink"
    assert not EventLog.objects.latest("pk").left_open
    assert refunded.refunded_with_access() == []


def test_a_refund_that_a_person_must_release_first_is_not_told_of(world, ink, settings):
    settings.ENDINGS_AN_HOUR = 1
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    for number in range(3):
        sell(world, number)
    for number in range(2):
        sell(world, number, "20_product")
    assert RuleRun.objects.latest("pk").status == "held"
    EventLog.objects.update(left_open=True)
    assert refunded.refunded_with_access() == []


def test_a_refund_that_ended_all_of_its_purchase_is_not_looked_at_again(world, ink):
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, 0)
    sell(world, 0, "20_product")
    assert not EventLog.objects.filter(left_open=True).exists()


def test_nobody_is_told_of_whose_access_a_rule_ended_or_something_else_gives(world, ink):
    sell(world, 0)
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    sell(world, 0, "20_product")
    assert refunded.refunded_with_access() == []


def test_who_bought_the_course_twice_has_it_rightly(world, ink):
    sell(world, 0)
    world.sell(customer__email=email(0), order__id=2000)
    world.settle()
    sell(world, 0, "20_product")
    assert Grant.objects.active().count() == 2
    assert refunded.refunded_with_access() == []


def test_who_pays_again_after_a_person_ended_it_is_let_in(manager, world, still_in):
    world.rule("subscription_restarted", GIVES, still_in, product=SOLD)
    first = refunded.refunded_with_access()[-1]
    manager.post(reverse(PAGE), {"chosen": first.event.pk})
    world.settle()
    sell(world, 0, trigger="subscription_restarted")
    assert world.access(email(0), still_in)


def test_who_was_refunded_in_part_or_canceled_is_not_told_of(world, ink):
    sell(world, 0)
    sell(world, 0, "21_product")
    sell(world, 0, "10_product", "subscription_canceled")
    assert refunded.refunded_with_access() == []


def test_who_bought_the_same_order_again_after_the_refund_is_not_told_of(world, still_in):
    sell(world, 0, "10_product", "subscription_restarted")
    assert [each.grants[0].customer.email for each in refunded.refunded_with_access()] == [email(1)]


def test_where_there_are_none_it_takes_one_question(world, ink):
    sell(world, 0)
    with CaptureQueriesContext(connection) as asked:
        assert refunded.refunded_with_access() == []
    assert len(asked) == 1


def test_nothing_is_done_where_nobody_was_chosen(manager, still_in):
    page = manager.post(reverse(PAGE), follow=True)
    assert said(page) == ["Nobody was chosen, so nothing was changed."]
    assert Grant.objects.active().count() == 3


@pytest.mark.parametrize("turned_on", [False, True])
def test_what_was_given_is_told_as_given_after_a_person_ended_it(manager, world, ink, turned_on):
    ends = world.rule("product_refunded", ENDS, ink, product=SOLD, enabled=False)
    sell(world, 0)
    sell(world, 0, "20_product")
    Rule.objects.filter(pk=ends.pk).update(enabled=turned_on)
    bought, refund = EventLog.objects.order_by("pk")
    manager.post(reverse(PAGE), {"chosen": bought.pk})
    world.settle()
    assert not world.access(email(0), ink)
    person = manager.get(reverse("admin:integrations_customer_change", args=[bought.customer_id]))
    day = format_day(refund.received_at)
    who = AuditEntry.objects.get(act=Act.REFUNDED_ENDED).who
    ended = f"{who} ended it on {day}, after the refund of order 1180 on {day}."
    assert f"Dana has no access to Ink: {ended}" in words(person)
    assert "Your access to Ink ended with the refund of order 1180 on" in words(person)
    of_bought = manager.get(reverse("admin:events_eventlog_change", args=[bought.pk]))
    assert ended in words(of_bought)
    log = manager.get(reverse("admin:events_eventlog_changelist"))
    product = manager.get(reverse("admin:integrations_product_change", args=[bought.product_id]))
    for page in (person, of_bought, log, product):
        assert "Paid, nothing given</span>" not in markup(page)
        assert "got nothing" not in words(page)
        assert "nothing was given" not in words(page)
    gives: Any = with_last_run(Rule.objects.exclude(pk=ends.pk)).get()
    assert gives.last_run
    assert "paid and has no access" not in words(manager.get(reverse("admin:index")))
    (back,) = set(re.findall(r'href="([^"]+)">Give it back<', markup(person)))
    sent = dict(parse_qsl(urlsplit(html.unescape(back)).query))
    manager.post(reverse("admin:give-back"), sent | {"reason": "The money did not go back"})
    world.settle()
    assert world.access(email(0), ink)


OFFER = "2 refunded buyers still have Ink. See and end it"


def see_and_end(page: Any) -> list[str]:
    """Return where each "See and end it" of the page leads."""
    found = re.findall(r'href="([^"]*)"[^>]*>See and end it<', markup(page))
    return [html.unescape(each) for each in found]


def test_turning_the_rule_that_ends_it_on_tells_who_was_refunded_meanwhile(manager, world, ink):
    ends = world.rule("product_refunded", ENDS, ink, product=SOLD)
    for number in range(2):
        sell(world, number)
    manager.post(reverse("admin:rules_rule_do_switch_off", args=[ends.pk]))
    (turned_off,) = AuditEntry.objects.filter(act="rule_changed")
    for number in range(2):
        sell(world, number, "20_product")
    overview = reverse("admin:index")
    turn_on = reverse("admin:rules_rule_do_switch_on", args=[ends.pk])
    page = manager.post(turn_on, {"back": overview}, follow=True)
    assert OFFER in said(page)
    (where,) = see_and_end(page)
    assert where.startswith(f"{reverse(PAGE)}?product={ends.product_id}&")
    listed = manager.get(where)
    assert [email(number) in words(listed) for number in range(2)] == [True, True]
    assert f'<p class="way"><a href="{overview}">Back</a>' in markup(listed)
    # Of what a rule gives, or is to end without being on, nothing is said.
    gives = Rule.objects.exclude(pk=ends.pk).get()
    page = manager.post(reverse("admin:rules_rule_do_switch_on", args=[gives.pk]), follow=True)
    assert OFFER not in said(page)
    # Undo in Changes says the same.
    manager.post(reverse("admin:rules_rule_do_switch_off", args=[ends.pk]))
    last = AuditEntry.objects.filter(act="rule_changed").latest("pk")
    assert last.pk > turned_off.pk
    undo = reverse("admin:integrations_auditentry_do_undo", args=[last.pk])
    assert OFFER in said(manager.post(undo, follow=True))


def test_the_page_of_a_rule_says_once_who_was_refunded_while_it_was_off(manager, world, still_in):
    ends = world.rule("product_refunded", ENDS, still_in, product=SOLD, enabled=False)
    turn_on = reverse("admin:rules_rule_do_switch_on", args=[ends.pk])
    page = manager.post(turn_on, follow=True)
    assert page.request["PATH_INFO"] == reverse("admin:rules_rule_change", args=[ends.pk])
    assert words(page).count(OFFER) == 1
    (where,) = see_and_end(page)
    assert where.startswith(reverse(PAGE))


def test_a_purchase_from_before_admit_is_ended_on_the_page_of_the_rule(manager, world, ink):
    sell(world, 0)
    for number in range(2):
        sell(world, number, "20_product")  # the purchase of the second is not known
    ends = world.rule("product_refunded", ENDS, ink, product=SOLD)
    page = manager.get(reverse("admin:rules_rule_change", args=[ends.pk]))
    told = "2 earlier customers may still have Ink. See and end it"
    assert told in words(page)
    (where,) = see_and_end(page)
    assert where.startswith(reverse("admin:earlier"))
    listed = manager.get(where)
    assert "Customers the rule has not run for" in words(listed)
    (choose,) = re.findall(
        r'href="([^"]*)">Choose who loses it, or who keeps it<', listed.content.decode()
    )
    assert choose.startswith(f"{reverse(PAGE)}?product={ends.product_id}&")
    manager.post(reverse(PAGE), {"chosen": refunded.refunded_with_access()[0].event.pk})
    world.settle()
    assert "Choose who loses it" not in words(manager.get(where))


def test_the_page_can_be_about_one_product_and_leads_to_the_others(manager, world, still_in):
    other = world.rule("product_purchased", GIVES, still_in, product="77").product
    assert other is not None
    world.sell(product__id=77, customer__email="zoe@example.com", order__id=2000)
    world.sell("20_product", product__id=77, customer__email="zoe@example.com", order__id=2000)
    world.settle()
    mine = words(manager.get(reverse(PAGE), {"product": other.pk}))
    assert "zoe@example.com" in mine
    assert email(0) not in mine
    assert "See the buyers of other products too" in mine
    every = words(manager.get(reverse(PAGE)))
    assert "zoe@example.com" in every
    assert email(0) in every
    assert "other products" not in every


def test_the_page_about_one_product_lists_and_mentions_only_its_kept_buyers(
    manager, world, still_in
):
    other = world.rule("product_purchased", GIVES, still_in, product="77").product
    assert other is not None
    for name in ("zoe@example.com", "yan@example.com"):
        order = 2000 + ord(name[0])
        world.sell(product__id=77, customer__email=name, order__id=order)
        world.sell("20_product", product__id=77, customer__email=name, order__id=order)
    world.settle()
    of_all = [each.event.pk for each in refunded.refunded_with_access()]
    manager.post(reverse(PAGE), {"chosen": of_all, "keep": "1"})
    page = f"{reverse(PAGE)}?product={other.pk}"
    mine = words(manager.get(page))
    assert "zoe@example.com" in mine
    assert email(0) not in mine
    assert "Nobody is left to decide about" in mine
    assert "See the buyers of other products too" in mine
    again = words(manager.post(page, {"all_again": "1"}, follow=True))
    assert "Admit asks about it again. 2 buyers were refunded" in again
    assert len(refunded.refunded_with_access(kept=True)) == 2


def test_the_badge_of_a_refund_says_for_how_long_the_buyer_is_still_in(manager, world, still_in):
    def badges(page: str) -> int:
        return str(markup(manager.get(page))).count("Still has access</span>")

    refund = EventLog.objects.filter(order_id="1180").latest("pk")
    pages = [
        reverse("admin:events_eventlog_change", args=[refund.pk]),
        reverse("admin:integrations_customer_change", args=[refund.customer_id]),
    ]
    of_product = reverse("admin:integrations_product_change", args=[refund.product_id])
    assert [badges(page) for page in pages] == [1, 1]
    log = reverse("admin:events_eventlog_changelist")
    assert [badges(page) for page in [of_product, log]] == [2, 2]
    world.rule("product_refunded", ENDS, still_in, product=SOLD)
    assert badges(of_product) == 2
    first = refunded.refunded_with_access()[-1]
    manager.post(reverse(PAGE), {"chosen": first.event.pk})
    world.settle()
    assert [badges(page) for page in [*pages, of_product, log]] == [0, 0, 1, 1]


def test_what_a_person_gave_for_a_purchase_is_told_of_and_ended_after_its_refund(manager, world):
    given = world.course("Ink")
    sell(world, 1)
    bought = EventLog.objects.get()
    assert bought.customer is not None
    me = by_hand.Author("mia", "No rule yet")
    by_hand.give(bought.customer, given, me, purchase=bought)
    world.settle()
    assert left_behind_summary.summarize().customers == 0
    sell(world, 1, "20_product")
    assert "1 buyer was refunded and still has Ink" in words(manager.get(reverse("admin:index")))
    (found,) = refunded.refunded_with_access()
    assert found.event == bought
    manager.post(reverse(PAGE), {"chosen": bought.pk})
    world.settle()
    assert not world.access(email(1), given)
    shown = words(manager.get(reverse("admin:integrations_auditentry_changelist")))
    assert "Ended what a person had given a buyer" in shown
    assert "Ended what a rule gave" not in shown
    customer = reverse("admin:integrations_customer_change", args=[bought.customer_id])
    timeline = words(manager.get(customer)).partition("Everything that happened")[2]
    order = [
        "Product Refunded",
        "End what was refunded.",
        "Access given by hand",
        "for order 1181",
        "Product Purchased",
    ]
    places = [timeline.index(each) for each in order]
    assert places == sorted(places)
    page = reverse("admin:events_eventlog_change", args=[found.refund.pk])
    who = AuditEntry.objects.get(act=Act.GIVEN_ENDED).who
    assert f"{who} ended it on" in words(manager.get(page))
    assert "after the refund of order 1181" in words(manager.get(page))
    undo = f"{reverse('admin:undo-batch')}?number={Batch.objects.get().pk}"
    chosen = re.findall(r'name="chosen" value="([^"]+)"', manager.get(undo).content.decode())
    manager.post(undo, {"chosen": chosen})
    world.settle()
    assert world.access(email(1), given)
    assert [each.event for each in refunded.refunded_with_access(kept=True)] == [bought]
