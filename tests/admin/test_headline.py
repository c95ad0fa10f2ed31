"""The Overview is calm only when nothing needs a person, and promises only what will happen."""

import html
import itertools
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.admin.pages.overview.events_note import events_note
from config.admin.pages.overview.overview_headline import Facts, headline
from config.admin.pages.overview.overview_waiting import waiting_note
from config.admin.pages.rules.given import given_by_rule, given_parts
from config.staff import roles
from events.access import by_hand, holdings, ledger
from events.access.ledger import Change
from events.execution import retry_by_hand, reviewing
from events.models import Canary, EventLog, Grant, RuleRun, Worker
from events.models.runs import DELAYED
from events.receiving import disk
from events.reports.dashboard import EventCounts
from events.reports.owed import promise
from events.reports.products import coverage
from events.reports.system import backlog
from events.reports.system.backlog import WaitingCounts
from integrations import audit
from integrations.calls import rate_limit
from integrations.models import (
    AuditEntry,
    CallBudget,
    Customer,
    Destination,
    Integration,
    ThinkificUser,
)
from rules import changing
from rules.history import undoing
from rules.models import Rule
from tests.support import factories
from tests.support.pages import LOG, client_of, markup, person, said, signed_in, words
from tests.support.queued import event, run
from tests.support.world import World

pytestmark = pytest.mark.first_database

CALM = "Nothing needs your attention."
GIVES = "create_course_enrollment"
# Each fact that needs a person: its value, what is said of it, and whether it is an alarm.
NEEDS: dict[str, tuple[Any, str, bool]] = {
    "silent": (True, "no worker is running", True),
    "history": ("The history is being read: 3 of 9 events.", "is being read: 3 of 9", False),
    "rejected": (("Studio Nord",), "rejects the key of Studio Nord", True),
    "not_let_in": (("Nova",), "Nova never connected: the address or the key is wrong", True),
    "denied": (("Nova",), "The plan of Nova has no API access, or the key no permission", True),
    "unsigned": (("My CRM",), "The signing secret of My CRM cannot be opened", True),
    "unreachable": (("Art Academy", "Zoo"), "Cannot connect to Art Academy, Zoo", True),
    "problems": (("A disk is nearly full",), "A disk is nearly full.", True),
    "stranded": (2, "2 students paid and may have lost access", True),
    "failed": (1, "1 action failed", True),
    "held": (2, "2 actions wait for you", False),
    "not_in": (3, "3 buyers paid and have no access. See them.", False),
    "not_understood": (3, "3 events were not understood", False),
    "behind": ("2 buyers have a course of Ink.", "2 buyers have a course of Ink", False),
    "giving_off": (2, "2 global rules that give access were turned off", False),
    "only_global": (2, "2 products are sold without a rule of their own", False),
    "not_given_yet": (2, "2 buyers do not have what their products' own rules give", False),
    "without_rule": (2, "2 products have no rules: their next buyers get nothing", False),
    "own_off": (2, "2 products are sold while their own rules are off", False),
    "turned_off": (2, "2 products give nothing: their rules are off", False),
    "refunds_off": (2, "2 rules that end access on a refund are off", False),
    "cancellations_off": (2, "2 rules that end access on a cancellation are off", False),
    "deleted": (("1 rule was deleted.",), "1 rule was deleted", False),
    "missing_courses": (2, "Rules give 2 courses that Thinkific no longer has", False),
    "left_over": (2, "2 leftover rules are about access that is no longer given", False),
    "waiting_for_off": (4, "4 actions are waiting for an integration that is turned off", False),
    "never_sent": (1, "SamCart never sent 1 trigger that a rule waits for", False),
    "expiring": (1, "1 access token is about to expire", False),
    "to_set_up": (5, "5 steps left to set up", False),
}


def test_nothing_else_can_need_somebody():
    assert set(NEEDS) == set(Facts.__dataclass_fields__)


def test_it_is_calm_only_where_nothing_needs_somebody():
    for size in (*range(4), *range(len(NEEDS) - 2, len(NEEDS) + 1)):
        for names in itertools.combinations(NEEDS, size):
            said = headline(Facts(**{name: NEEDS[name][0] for name in names}), see="/log/")
            text = " ".join(part for part, _ in said.parts)
            assert (CALM in text) == (not names), names
            assert {name for name in NEEDS if NEEDS[name][1] in text} == set(names)
            grave = any(NEEDS[name][2] for name in names)
            assert said.kind == ("bad" if grave else "wait" if names else "good"), names


def test_each_part_leads_to_the_section_that_tells_more(
    client: Client, admin_user, settings, monkeypatch, tmp_path
):
    """A page with every alarm has a section for each."""
    monkeypatch.setattr(disk, "LITTLE_MB", 10**9)
    settings.CANARY = True
    settings.SPOOL_DIR = str(tmp_path)
    account = factories.MarketplaceFactory.create()
    Canary.objects.create(marketplace=account, next_at=timezone.now(), step="dns", failures=2)
    course = factories.DestinationFactory.create()
    factories.IntegrationFactory.create(connection="refused", connection_message="Why")
    run(course, status="failed")
    unsold = event(factories.CustomerFactory.create())
    EventLog.objects.filter(pk=unsold.pk).update(
        status="no_rule", gave_nothing=True, received_at=timezone.now()
    )
    factories.RuleFactory.create(trigger="product_refunded", destination=course)
    shop = factories.MarketplaceFactory.create()
    sold, other, later = factories.ProductFactory.create_batch(3, marketplace=shop)
    everywhere, _ = (
        factories.RuleFactory.create(marketplace=shop, product=product, destination=course)
        for product in (None, other)
    )
    run(course, of=event(factories.CustomerFactory.create(), product=sold), rule=everywhere)
    before = event(factories.CustomerFactory.create(), product=later)
    EventLog.objects.filter(pk=before.pk).update(marketplace=shop)
    run(course, of=before, rule=everywhere)
    more = factories.DestinationFactory.create(integration=course.integration)
    factories.RuleFactory.create(marketplace=shop, product=later, destination=more)
    client.force_login(admin_user)
    shown = client.get("/admin/").content.decode()
    facts = Facts(**{name: value for name, (value, *_) in NEEDS.items()})
    for _, where in headline(facts, see="").parts:
        assert not where or f'id="{where.removeprefix("#")}"' in shown


@pytest.mark.parametrize(
    ("buyers", "on_the_way", "says"),
    [
        (0, 0, CALM),
        (1, 0, f"This week's only paying buyer has access. {CALM}"),
        (43, 0, f"All 43 of this week's paying buyers have access. {CALM}"),
        (2, 0, f"Both of this week's paying buyers have access. {CALM}"),
        (43, 1, f"43 of this week's 44 paying buyers have access, 1 buyer is on the way. {CALM}"),
        (1, 2, f"1 of this week's 3 paying buyers has access, 2 buyers are on their way. {CALM}"),
        (0, 2, f"2 buyers are on their way. {CALM}"),
    ],
)
def test_it_begins_with_the_promise(buyers: int, on_the_way: int, says: str):
    counted: Any = {"buyers": buyers, "on_the_way": on_the_way, "all_buyers": buyers + on_the_way}
    said = headline(Facts(), see="/log/", **counted)
    assert " ".join(text for text, _ in said.parts) == says
    assert said.kind == "good"
    failed = headline(Facts(failed=1), see="/log/", **counted)
    assert failed.kind == "bad"
    assert CALM not in str(failed.parts)
    broken = headline(Facts(not_in=1), see="/log/", **counted)
    assert broken.parts == (("1 buyer paid and has no access.", ""), ("See them.", "/log/"))


def test_it_says_when_it_counts_the_newest_purchases_only():
    said = headline(Facts(), see="/log/", buyers=9120, more_bought=True)
    assert said.parts[0][0] == "All 9,120 buyers of the newest 10,000 purchases have access."


# The promise


@pytest.fixture
def shop(world: World) -> World:
    """A purchase of product 77 gives Course Two."""
    world.rule("product_purchased", "create_course_enrollment", world.course(), product="77")
    Worker.objects.create(name="w", seen_at=timezone.now())
    return world


def promised(shop: World) -> tuple[str, list[str]]:
    """The Overview's first line, and the orders of the list that it leads to."""
    owner = signed_in(roles.MANAGER, is_superuser=True)
    text = words(owner.get(reverse("admin:index")))
    events = owner.get(reverse(LOG), {"result": "not_in"}).context["cl"].result_list
    found = re.search(
        r"((?:All(?! rules| understood)|Both of|This week's only"
        r"|\d+ (?:of this week's \d+ paying )?buyers?) [^.]*\.)",
        text,
    )
    return found[1] if found else "", sorted(each.order_id for each in events)


def later() -> None:
    """What was owed a moment ago is owed for some minutes."""
    Grant.objects.filter(seen_at=None).update(decided_at=timezone.now() - timedelta(minutes=3))


def buy(shop: World, order: int, who: str = "dana", **changes: Any) -> None:
    email = {"customer__email": f"{who}@example.com"}
    shop.sell("10_product", order__id=order, **{"product__id": 77} | email | changes)


def test_all_buyers_of_the_week_are_in(shop: World):
    assert promised(shop) == ("", [])
    buy(shop, 1)
    assert promised(shop) == ("1 buyer is on the way.", [])
    shop.settle()
    assert promised(shop) == ("This week's only paying buyer has access.", [])
    buy(shop, 2)
    buy(shop, 3, "mia")
    shop.settle()
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])


def test_of_very_many_purchases_the_newest_are_counted(shop: World, monkeypatch):
    monkeypatch.setattr(promise, "MAX_COUNT", 2)
    for order, who in enumerate(["dana", "mia"], 1):
        buy(shop, order, who)
    shop.settle()
    assert promise.promise(promise.unfulfilled()) == promise.Promise(buyers=2, all_buyers=2)
    buy(shop, 3, "lou")
    shop.settle()
    newest = promise.promise(promise.unfulfilled())
    assert newest == promise.Promise(buyers=2, all_buyers=2, more_bought=True)


def test_who_lost_access_by_hand_is_told_beside_those_who_are_in(shop: World):
    buy(shop, 1)
    buy(shop, 2, "mia")
    buy(shop, 3, "mia")
    shop.settle()
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])
    mia = Customer.objects.get(email="mia@example.com")
    key = holdings.of_customer(mia)[0].key
    by_hand.end(mia, key, by_hand.Author("Sam", "Asked by phone"))
    shop.settle()
    page = signed_in(roles.MANAGER).get(reverse("admin:index"))
    told = "A person ended access for 1 of this week's buyers."
    assert f"1 of this week's 2 paying buyers has access. {told}" in words(page)
    (where,) = re.findall(f'href="([^"]*)">{html.escape(told)}', page.content.decode())
    by_hand.give(mia, shop.course("Faces"), by_hand.Author("Sam", "A gift"))
    listed = signed_in(roles.MANAGER).get(html.unescape(where))
    assert [each.by_hand for each in listed.context["cl"].result_list] == ["end"]
    assert [each.customer for each in listed.context["cl"].result_list] == [mia]
    buy(shop, 4, "mia")
    shop.settle()
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])
    listed = signed_in(roles.MANAGER).get(html.unescape(where))
    assert list(listed.context["cl"].result_list) == []


@pytest.mark.parametrize("first", ["refund", "ending"])
def test_who_was_refunded_is_not_told_as_ended_by_hand(shop: World, first):
    buy(shop, 1)
    buy(shop, 2, "mia")
    shop.settle()
    mia = Customer.objects.get(email="mia@example.com")
    key = holdings.of_customer(mia)[0].key

    def refund() -> None:
        facts: dict[str, Any] = {"product__id": 77, "customer__email": "mia@example.com"}
        shop.sell("20_product", order__id=2, **facts)
        shop.settle()

    def end() -> None:
        by_hand.end(mia, key, by_hand.Author("Sam", "Refunded"))
        shop.settle()

    for step in [refund, end] if first == "refund" else [end, refund]:
        step()
    assert not Grant.objects.active().filter(customer=mia).exists()
    page = signed_in(roles.MANAGER).get(reverse("admin:index"))
    assert "ended the access of" not in words(page)
    log = signed_in(roles.MANAGER).get(reverse(LOG), {"result": "ended"})
    assert list(log.context["cl"].result_list) == []


@pytest.mark.parametrize("trigger", ["product_refunded", "subscription_canceled"])
@pytest.mark.parametrize("how", ["ended by a rule", "still open", "ended by hand", "kept"])
def test_who_was_refunded_or_canceled_counts_as_no_buyer_of_the_week(shop: World, trigger, how):
    if how == "ended by a rule":
        course = Destination.objects.get()
        shop.rule(trigger, "expire_course_enrollment", course, product="77")
    for order, who in enumerate(["dana", "mia", "lou"], 1):
        buy(shop, order, who)
    shop.settle()
    assert promised(shop)[0] == "All 3 of this week's paying buyers have access."
    what = "20_product" if trigger == "product_refunded" else "10_product"
    facts: dict[str, Any] = {"product__id": 77, "customer__email": "mia@example.com"}
    shop.sell(what, "" if what == "20_product" else trigger, order__id=2, **facts)
    shop.settle()
    if how == "ended by hand":
        mia = Customer.objects.get(email="mia@example.com")
        key = holdings.of_customer(mia)[0].key
        by_hand.end(mia, key, by_hand.Author("Sam", "Refunded"))
        shop.settle()
    if how == "kept":
        Grant.objects.filter(customer__email="mia@example.com").update(kept_at=timezone.now())
    assert promised(shop)[0] == "Both of this week's paying buyers have access."


def test_of_two_courses_bought_by_one_buyer_one_counts_once(shop: World):
    buy(shop, 1)
    shop.settle()
    buy(shop, 2)
    buy(shop, 3, "mia")
    assert (
        promised(shop)[0] == "1 of this week's 2 paying buyers has access, 1 buyer is on the way."
    )


def let_in_by_hand(bought: EventLog) -> None:
    """Give by hand what the purchase should have given."""
    me, given = by_hand.Author("Sam", "No rule yet"), Destination.objects.get()
    assert bought.customer is not None
    by_hand.give(bought.customer, given, me, purchase=bought)


def test_who_was_let_in_by_hand_for_a_purchase_counts_as_in(shop: World):
    buy(shop, 1)
    buy(shop, 2, "mia", product__id=4711)
    let_in_by_hand(EventLog.objects.get(order_id="2"))
    shop.settle()
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])
    long_ago = timezone.now() - timedelta(days=8)
    EventLog.objects.filter(order_id="2").update(received_at=long_ago)
    assert promised(shop) == ("This week's only paying buyer has access.", [])


def test_a_product_without_a_rule_is_told_of_after_its_only_buyer_was_let_in(shop: World):
    def overview() -> str:
        return words(signed_in(roles.MANAGER).get(reverse("admin:index")))

    told = "No rule gives anything for Ink. A person gave 1 buyer access by hand."
    buy(shop, 2, "mia", product__id=4711, product__name="Ink")
    assert "Paid, nothing given" in overview()
    assert told not in overview()
    let_in_by_hand(EventLog.objects.get(order_id="2"))
    assert told not in overview()
    assert "A person is giving 1 buyer access by hand, which is not done yet." in overview()
    shop.settle()
    assert "Paid, nothing given" not in overview()
    assert f"{told} The next buyer gets nothing. New rule for Ink" in overview()
    assert "New rule for Ink" not in words(signed_in(roles.VIEWER).get(reverse("admin:index")))
    buy(shop, 3, product__id=4711)
    assert "Paid, nothing given" in overview()
    assert told not in overview()
    shop.rule("product_purchased", GIVES, Destination.objects.get(), product="4711")
    EventLog.objects.filter(order_id="3").update(gave_nothing=False)
    assert "No rule gives anything" not in overview()


def test_a_product_without_a_rule_is_told_of_after_its_only_sale_was_refunded(shop: World):
    def overview() -> str:
        return words(signed_in(roles.MANAGER).get(reverse("admin:index")))

    told = "No rule gives anything for Ink. 1 sale in 30 days was refunded or canceled."
    headline = "1 product has no rule: its next buyer gets nothing."
    ink: dict[str, Any] = {"product__id": 4711, "product__name": "Ink"}
    buy(shop, 2, "mia", **ink)
    assert "Paid, nothing given" in overview()
    assert told not in overview()
    shop.sell("20_product", order__id=2, customer__email="mia@example.com", **ink)
    shop.settle()
    text = overview()
    assert "Paid, nothing given" not in text
    assert f"{told} The next buyer gets nothing. New rule for Ink" in text
    assert headline in text
    assert promised(shop)[1] == []
    shop.rule("product_purchased", GIVES, Destination.objects.get(), product="4711")
    assert told not in overview()
    assert headline not in overview()
    Rule.objects.filter(product__external_id="4711").delete()
    assert told in overview()
    reviewing.mark_reviewed(EventLog.objects.filter(order_id="2"), by="Mia")
    assert told not in overview()
    assert headline not in overview()


def gives_nothing_on_coverage() -> int:
    return int(signed_in(roles.MANAGER).get(reverse("admin:coverage")).context["nothing"])


def test_a_product_without_a_rule_is_told_of_though_its_buyers_keep_what_a_deleted_rule_gave(
    shop: World,
):
    rule = wrong_rule_deleted(shop)
    page = page_of_the_buyers()
    (grant,) = Grant.objects.filter(product=rule.product)
    signed_in(roles.MANAGER).post(page, {"keepers": grant.pk, "keep": "1"})
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert BEHIND not in text
    told = "No rule gives anything for Example Course One, which was sold once in 30 days."
    assert f"{told} The next buyer gets nothing. New rule for Example Course One" in text
    assert "1 product has no rule: its next buyer gets nothing." in text
    assert CALM not in text
    assert gives_nothing_on_coverage() == 1
    rule.pk = None
    rule.save()
    assert told not in words(signed_in(roles.MANAGER).get(reverse("admin:index")))


def test_a_product_without_a_rule_is_counted_whether_its_buyers_wait_or_were_let_in(shop: World):
    for order, who in enumerate(["dana", "mia"], 1):
        buy(shop, order, who, product__id=4711, product__name="Ink")
    buy(shop, 3, "lou", product__id=4712, product__name="Wash")
    let_in_by_hand(EventLog.objects.get(order_id="3"))
    shop.settle()
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert "2 products have no rules: their next buyers get nothing." in text
    shown = text.partition("Sold, and without a rule")[2]
    assert "No rule gives anything for Wash." in shown
    assert "No rule gives anything for Ink" not in text
    assert gives_nothing_on_coverage() == 2
    reviewing.mark_reviewed(EventLog.objects.filter(order_id__in=["1", "2"]), by="Mia")
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert "1 product has no rule: its next buyer gets nothing." in text
    assert gives_nothing_on_coverage() == 1


def test_a_product_that_is_only_passed_on_or_whose_rule_is_off_is_not_called_without_a_rule(
    shop: World,
):
    buy(shop, 1)
    buy(shop, 2, product__id=78)
    shop.settle()
    shop.notify_rule("product_purchased", product="78")
    changing.switch(Rule.objects.filter(product__external_id="77"), on=False)
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert "1 product gives nothing: its rule is off." in text
    assert "No rule gives anything" not in text


def test_a_buyer_who_waits_for_some_minutes_is_not_in(shop: World):
    buy(shop, 1)
    later()
    assert promised(shop) == ("1 buyer paid and has no access.", ["1"])
    shop.settle()
    assert promised(shop) == ("This week's only paying buyer has access.", [])


@pytest.mark.parametrize("closed", [{"connection": "refused"}, {"enabled": False}])
def test_nobody_is_on_the_way_to_a_school_that_refuses_its_key_or_is_off(shop: World, closed):
    buy(shop, 1)
    Integration.objects.update(**closed)
    assert promised(shop) == ("1 buyer paid and has no access.", ["1"])


def test_who_failed_got_nothing_or_has_no_address_is_not_in(shop: World):
    buy(shop, 1)
    RuleRun.objects.update(status="failed")
    buy(shop, 2, "mia", product__id=78)  # which no rule is for
    buy(shop, 3, "nobody at")
    buy(shop, 4, "mia", product__id=78)
    said = "3 buyers have no access for 4 paid purchases."
    assert promised(shop) == (said, ["1", "2", "3", "4"])


def test_who_lost_it_with_a_deleted_account_is_not_in(shop: World):
    buy(shop, 1)
    shop.settle()
    ThinkificUser.objects.update(since=timezone.now())
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=3))
    assert promised(shop) == ("1 buyer paid and has no access.", ["1"])


def test_who_has_the_course_by_another_purchase_is_in_whatever_became_of_the_last(shop: World):
    course = Destination.objects.get()
    bundle = shop.bundle(course, shop.course("Inside"))
    shop.rule("product_purchased", "create_bundle_enrollment", bundle, product="79")
    buy(shop, 1)
    buy(shop, 2, "mia", product__id=79)
    shop.settle()
    for order, who in ((3, "dana"), (4, "mia"), (5, "leo")):
        buy(shop, order, who)
    RuleRun.objects.filter(status="waiting").update(status="failed")
    later()
    assert promised(shop) == ("1 buyer paid and has no access.", ["5"])
    ThinkificUser.objects.update(since=timezone.now())
    assert promised(shop)[0] == "3 buyers have no access for 5 paid purchases."


@pytest.mark.parametrize("product", ["80", None])
@pytest.mark.parametrize("kind", ["course", "bundle"])
def test_who_has_already_what_a_new_rule_gives_is_owed_nothing(
    shop: World, kind: str, product: str | None
):
    def owed() -> list[str]:
        return sorted(promise.unfulfilled().values_list("order_id", flat=True))

    inside = shop.course("Inside")
    what = shop.bundle(inside) if kind == "bundle" else inside
    facts = ("product_purchased", f"create_{kind}_enrollment", what)
    shop.rule(*facts, product="79")
    buy(shop, 1, product__id=79)
    shop.settle()
    buy(shop, 2, product__id=80)
    buy(shop, 3, "mia", product__id=80)
    assert owed() == ["2", "3"]
    shop.rule(*facts, product=product)
    assert owed() == ["3"]


def test_who_was_refunded_or_is_dealt_with_is_not_said_to_be_out(shop: World):
    shop.rule("product_refunded", "expire_course_enrollment", shop.course("Two"), product="77")
    buy(shop, 1)
    buy(shop, 2, "mia")
    shop.sell("20_product", order__id=1, product__id=77)
    shop.settle()
    buy(shop, 3, "mia", product__id=78)
    reviewing.mark_reviewed(EventLog.objects.filter(order_id="3"), by="Mia")
    buy(shop, 4, "leo")
    RuleRun.objects.filter(event__order_id="4").update(status="failed")
    retry_by_hand.dismiss(RuleRun.objects.filter(event__order_id="4"), by="Mia")
    later()
    first, listed = promised(shop)
    assert (first, listed) == ("This week's only paying buyer has access.", [])


@pytest.mark.parametrize(
    ("came", "says"),
    [
        (EventCounts(), "None received"),
        (EventCounts(events=2), "All understood"),
        (EventCounts(events=2, no_rule=1), "1 matched no rule"),
        (EventCounts(events=2, not_understood=2), "2 not understood"),
        (
            EventCounts(events=9, no_rule=1, not_understood=2, repeats=3),
            "1 matched no rule, 2 not understood, 3 sent twice",
        ),
    ],
)
def test_what_became_of_the_events_of_a_day(came: EventCounts, says: str):
    assert events_note(came) == says


def test_the_figure_of_events_does_not_say_that_all_is_well_above_who_is_not_in():
    assert events_note(EventCounts(events=2), not_in=2) == (
        "All understood, but 2 buyers have no access"
    )
    assert events_note(EventCounts(), not_in=2) == "None received"


SOON = "done in about 1 minute"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (WaitingCounts(), "Nothing is waiting"),
        (WaitingCounts(3), "Done in about 1 minute"),
        (WaitingCounts(3, off=3), "3 for an integration that is off"),
        (WaitingCounts(3, paused=3), "3 for an integration that is paused"),
        (WaitingCounts(3, rejected=3), "3 for an integration whose key is rejected"),
        (WaitingCounts(3, later=3), "3 to be tried again later"),
        (WaitingCounts(1, later=1, ends=2), "1 to be tried again later, 2 end access on a set day"),
        (WaitingCounts(2, ends=1), f"2 {SOON}, 1 ends access on a set day"),
        (WaitingCounts(3, paused=1), f"2 {SOON}, 1 for an integration that is paused"),
        (
            WaitingCounts(9, off=1, paused=2, later=3),
            f"3 {SOON}, 1 for an integration that is off, 2 for an integration that is paused, "
            "3 to be tried again later",
        ),
    ],
)
def test_an_end_is_promised_only_to_what_goes_on(line: WaitingCounts, says: str):
    assert waiting_note(line, silent=False) == says
    expected = (
        "Nothing is being carried out: no worker is running"
        if line.waiting
        else "Nothing is waiting"
    )
    assert waiting_note(line, silent=True) == expected


def test_an_access_that_ends_on_a_day_to_come_does_not_wait():
    assert waiting_note(WaitingCounts(ends=1), silent=False) == "1 ends access on a set day"
    assert waiting_note(WaitingCounts(ends=2), silent=True) == "2 end access on a set day"


def test_what_waits_is_told_apart_by_what_keeps_it(db):
    open_, paused, rejected, off = factories.DestinationFactory.create_batch(4)
    for number, course in enumerate((open_, paused, rejected, off)):
        for _ in range(number + 1):
            run(course)
    run(open_, next_attempt_at=timezone.now() + timedelta(hours=1))
    for site in (open_, paused):
        run(site, code=DELAYED, next_attempt_at=timezone.now() + timedelta(days=9))
    run(open_, status="failed")
    rate_limit.block(paused.integration.pk, CallBudget.Blocked.LIMIT, 100)
    Integration.objects.filter(pk=rejected.integration.pk).update(connection="refused")
    Integration.objects.filter(pk=off.integration.pk).update(enabled=False)
    line = backlog.waiting_counts(Integration.objects.all())
    assert line == WaitingCounts(11, off=4, rejected=3, paused=2, later=1, ends=2)
    assert line.now == 1


def test_the_overview_promises_no_end_beside_a_rejected_key(db, client: Client, admin_user):
    course = factories.DestinationFactory.create()
    run(course)
    Worker.objects.create(name="w", seen_at=timezone.now())
    client.force_login(admin_user)
    assert "Done in about 1 minute" in client.get("/admin/").content.decode()
    Integration.objects.update(connection="refused", connection_message="Rejected.")
    shown = client.get("/admin/").content.decode()
    assert "Done in" not in shown
    assert "1 for an integration whose key is rejected" in shown
    assert "paused" not in shown
    assert f"Thinkific rejects the key of {course.integration}." in shown


def test_the_only_rejected_key_is_entered_one_click_from_the_headline(db, client, admin_user):
    course = factories.DestinationFactory.create()
    run(course)
    Integration.objects.update(connection="refused", connection_message="Rejected.")
    client.force_login(admin_user)
    page = reverse("admin:integrations_integration_change", args=[course.integration_id])

    def headline_of(who: Client) -> str:
        shown = who.get("/admin/").content.decode()
        return shown.partition('class="headline"')[2].partition("</p>")[0]

    assert f'href="{page}#id_secret">Thinkific rejects the key of' in headline_of(client)
    assert 'id="id_secret"' in client.get(page).content.decode()
    assert 'href="#sites-in-need"' in headline_of(signed_in(roles.SUPPORT))
    factories.IntegrationFactory.create(connection="refused", connection_message="Rejected.")
    assert 'href="#sites-in-need"' in headline_of(client)


def test_what_is_only_held_is_not_said_to_be_nothing(db, client: Client, admin_user):
    run(factories.DestinationFactory.create(), status="held")
    client.force_login(admin_user)
    shown = client.get("/admin/").content.decode()
    assert "1 more waits for you" in shown
    assert "?status__exact=held" in shown


def test_who_was_refunded_before_anything_was_given_is_owed_nothing_anywhere(shop: World):
    Rule.objects.exclude(trigger="product_purchased").delete()
    buy(shop, 1)
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=3))
    RuleRun.objects.update(status="failed", code="rejected", message="Refused.")
    pages = [reverse(f"admin:{each}") for each in ("index", "integrations_customer_changelist")]
    manager = signed_in(roles.MANAGER)

    def told() -> tuple[bool, bool, int, list[int]]:
        overview, customers = (words(manager.get(page)) for page in pages)
        without = sum(row.without_access for row in coverage.judge_all())
        return (
            "has no access." in overview,
            "Paid, no access" in customers,
            without,
            promise.not_in(),
        )

    bought = EventLog.objects.get()
    assert told() == (True, True, 1, [bought.pk])
    shop.sell("20_product", customer__email="dana@example.com", order__id=1, product__id=77)
    assert Grant.objects.owed().count() == 1
    assert told() == (False, False, 0, [])


# What no rule gives anymore


BEHIND = "1 buyer has a course of a deleted or changed rule."
TELLS = "1 buyer got Course Two through a deleted rule, and keeps it."


def wrong_rule_deleted(shop: World) -> Rule:
    """Dana got what a rule gave that was a mistake; Mia bought something else and has access."""
    shop.rule("product_purchased", GIVES, shop.course("Inside"), product="78")
    buy(shop, 1)
    buy(shop, 2, "mia", product__id=78)
    shop.settle()
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])
    rule = Rule.objects.get(destination__name="Course Two")
    changing.delete(Rule.objects.filter(pk=rule.pk))
    return rule


def pages_that_tell(role: str = roles.MANAGER) -> str:
    """What the Overview and Coverage say; both say it, or neither does."""
    texts = [words(signed_in(role).get(reverse(f"admin:{name}"))) for name in ("index", "coverage")]
    assert (TELLS in texts[0]) == (TELLS in texts[1])
    assert (TELLS in texts[0]) == (BEHIND in texts[0])
    return texts[0]


def test_who_has_what_a_deleted_rule_gave_has_access_and_is_told_of(shop: World):
    wrong_rule_deleted(shop)
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])
    assert f"{BEHIND}" in pages_that_tell()
    assert f"{TELLS} See who" in pages_that_tell()
    shop.rule("product_purchased", GIVES, shop.course("Faces"), product="77")
    assert f"{TELLS} See who" in pages_that_tell()
    text = pages_that_tell(roles.VIEWER)
    assert TELLS in text
    assert "See who" not in text


def test_who_has_of_a_deleted_rule_what_thinkific_no_longer_has_does_not_count(shop: World):
    gone = wrong_rule_deleted(shop).destination
    other = shop.rule("product_purchased", GIVES, shop.course("Faces"), product="79")
    buy(shop, 3, "leo", product__id=79)
    shop.settle()
    changing.delete(Rule.objects.filter(pk=other.pk))
    assert gone
    Destination.objects.filter(pk=gone.pk).update(gone_at=timezone.now())
    assert promised(shop) == ("2 of this week's 3 paying buyers have access.", [])


@pytest.mark.parametrize("bound", ["MAX_RUNS", "MOST_PLACES"])
def test_what_is_more_than_is_looked_at_is_said_to_be_more(shop: World, monkeypatch, bound):
    for number, product in enumerate((78, 79), 2):
        shop.rule("product_purchased", GIVES, shop.course("Inside"), product=str(product))
        buy(shop, number, f"mia{number}", product__id=product)
    buy(shop, 1)
    shop.settle()
    Rule.objects.all().delete()
    monkeypatch.setattr(f"events.reports.changed_rules.left_behind_summary.{bound}", 2)
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert "2+ buyers have a course of a deleted or changed rule." in text
    # The page may show others first.
    assert "Let 2 buyers keep it" not in text


def page_of_the_buyers() -> str:
    (address,) = re.findall(
        r'href="(/admin/given-by-rule/[^"]+)"',
        markup(signed_in(roles.MANAGER).get(reverse("admin:index"))),
    )
    return html.unescape(address)


@pytest.mark.parametrize("place", ["admin:index", "admin:coverage"])
def test_the_buyers_who_are_seen_lead_back_to_where_the_person_came_from(shop: World, place: str):
    wrong_rule_deleted(shop)
    manager, home = signed_in(roles.MANAGER), reverse(place)
    shown = markup(manager.get(home))
    (address,) = re.findall(r'href="(/admin/given-by-rule/[^"]+)"', shown)
    page = markup(manager.get(html.unescape(address)))
    assert f'<p class="way"><a href="{home}">' in page
    assert f'<a class="button" href="{home}">Cancel' in page
    ((chosen, back),) = re.findall(
        r'name="chosen" value="([^"]+)"><input type="hidden" name="back" value="([^"]+)"', page
    )
    ends = {"chosen": chosen, "back": back}
    done = markup(manager.post(html.unescape(address), ends, follow=True))
    assert f'<p class="way"><a href="{home}">Back' in done


def test_the_way_back_from_the_buyers_leads_to_no_other_site(shop: World):
    rule = wrong_rule_deleted(shop)
    address = f"{reverse('admin:given-by-rule')}?product={rule.product_id}&back="
    for evil in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        page = signed_in(roles.MANAGER).get(address + evil).content.decode()
        assert "evil.example" not in page
        assert "javascript:" not in page


def test_who_was_refunded_and_kept_what_no_rule_gives_is_marked(shop: World):
    wrong_rule_deleted(shop)
    shop.sell("20_product", customer__email="dana@example.com", order__id=1, product__id=77)
    shop.settle()
    told = "The purchase of 1 buyer was refunded or canceled since."
    assert f"{TELLS} {told} See who" in pages_that_tell()
    page = words(signed_in(roles.MANAGER).get(page_of_the_buyers()))
    assert f"unless another purchase gives it. {told} End Course Two for 1 buyer" in page
    assert re.search(r"End Course Two; order 1 was refunded on \d", page)


def test_buyers_of_a_deleted_rule_are_given_another_course_by_a_new_rule(shop: World):
    rule = wrong_rule_deleted(shop)
    manager = signed_in(roles.MANAGER)
    before = manager.get(page_of_the_buyers())
    assert "Give them another course" in words(before)
    (where,) = re.findall(r'class="button" href="([^"]*/new-rule/[^"]*)"', before.content.decode())
    draft = manager.get(html.unescape(where)).context["draft"]
    assert [each.pk for each in draft.products] == [rule.product_id]
    assert draft.trigger.value == "product_purchased"
    shop.rule("product_purchased", GIVES, shop.course("Faces"), product="77")
    after = words(manager.get(page_of_the_buyers()))
    assert "Move 1 buyer to Faces" in after
    assert "Give them another course" not in after


def moved(shop: World, rule: Rule) -> None:
    page = page_of_the_buyers()
    signed_in(roles.MANAGER).post(page, {"chosen": Grant.objects.earliest("pk").event_id})
    shop.settle()


def restored(shop: World, rule: Rule) -> None:
    undoing.undo_step(AuditEntry.objects.get(act="rule_deleted"))


def given_by_another(shop: World, rule: Rule) -> None:
    rule.pk = None
    rule.save()


def said_to_keep_it(shop: World, rule: Rule) -> None:
    page = page_of_the_buyers()
    manager = signed_in(roles.MANAGER)
    assert "Let 1 buyer keep Course Two" in words(manager.get(page))
    grant = Grant.objects.earliest("pk")
    event = grant.event_id
    done = manager.post(page, {"keepers": grant.pk, "keep": "1"}, follow=True)
    assert "1 buyer keeps Course Two. See who" in said(done)
    entry = AuditEntry.objects.get(act="buyers_kept")
    assert (entry.number, entry.after) == (str(event), {"access": ["Course Two"]})
    assert entry.who.startswith("person")


def press_keep(page: str) -> tuple[str, dict[str, str]]:
    """Where the button beside the sentence posts to from this page, and what."""
    manager = signed_in(roles.MANAGER)
    text = markup(manager.get(page))
    (told,) = re.findall(r'<div class="told">.*?</div>', text, re.DOTALL)
    (address,) = re.findall(r'<form method="post" action="([^"]+)"', told)
    sent = dict(re.findall(r'name="(back|keepers|keep)" value="([^"]*)"', told))
    return html.unescape(address), {name: html.unescape(value) for name, value in sent.items()}


def kept_from_the_page_that_tells(shop: World, rule: Rule) -> None:
    address, sent = press_keep(reverse("admin:index"))
    assert "Let 1 buyer keep it" in words(signed_in(roles.MANAGER).get(reverse("admin:coverage")))
    assert press_keep(reverse("admin:coverage"))[1]["keepers"] == sent["keepers"]
    done = signed_in(roles.MANAGER).post(address, sent, follow=True)
    assert done.request["PATH_INFO"] == reverse("admin:index")
    assert "1 buyer keeps Course Two. See who" in said(done)
    assert Grant.objects.earliest("pk").kept_at


def test_all_buyers_keep_it_though_the_address_names_only_some_of_the_products(
    shop: World, monkeypatch
):
    wrong_rule_deleted(shop)
    other = shop.rule("product_purchased", GIVES, shop.course("Faces"), product="79")
    buy(shop, 3, "leo", product__id=79)
    shop.settle()
    changing.delete(Rule.objects.filter(pk=other.pk))
    monkeypatch.setattr(given_parts, "PRODUCTS", 1)
    address, sent = press_keep(reverse("admin:index"))
    assert address.count("product=") == 1
    signed_in(roles.MANAGER).post(address, sent)
    assert Grant.objects.active().filter(kept_at__isnull=False).count() == 2


def test_only_those_buyers_keep_it_of_whom_the_page_told(shop: World):
    wrong_rule_deleted(shop)
    address, sent = press_keep(reverse("admin:index"))
    nobody = signed_in(roles.MANAGER).post(address, sent | {"keepers": "0"}, follow=True)
    assert "Nothing was changed: look again at what is said below." in said(nobody)
    assert not Grant.objects.filter(kept_at__isnull=False).exists()


def test_who_may_not_move_buyers_is_told_of_them_without_a_button(shop: World):
    wrong_rule_deleted(shop)
    viewer = signed_in(roles.VIEWER).get(reverse("admin:index"))
    assert "1 buyer got Course Two through a deleted rule, and keeps it." in words(viewer)
    assert "Let 1 buyer keep it" not in words(viewer)


@pytest.mark.parametrize(
    "dealt",
    [moved, restored, given_by_another, said_to_keep_it, kept_from_the_page_that_tells],
)
def test_a_deleted_rules_buyers_are_told_of_until_that_is_dealt_with(shop: World, dealt):
    rule = wrong_rule_deleted(shop)
    assert TELLS in pages_that_tell()
    dealt(shop, rule)
    assert TELLS not in pages_that_tell()
    if dealt is moved:
        assert promised(shop)[0] == "1 buyer paid and has no access."
    else:
        assert promised(shop)[0] == "Both of this week's paying buyers have access."


def test_what_a_buyer_keeps_is_told_of_again_when_somebody_says_so(shop: World):
    said_to_keep_it(shop, wrong_rule_deleted(shop))
    manager = signed_in(roles.MANAGER)
    changes = manager.get(reverse("admin:integrations_auditentry_changelist"))
    (page,) = re.findall(r'href="(/admin/given-by-rule/[^"]+)"', changes.content.decode())
    page = html.unescape(page)
    assert "Kept on purpose" in words(manager.get(page))
    back = reverse("admin:integrations_auditentry_changelist")
    assert f'<a href="{back}">Back</a>' in manager.get(page).content.decode()
    manager.post(page, {"again": "1"})
    assert TELLS in pages_that_tell()
    assert "Kept on purpose" not in words(manager.get(page))
    assert AuditEntry.objects.get(act="buyers_told").after == {"access": ["Course Two"]}


def test_that_a_buyer_keeps_it_is_forgotten_when_it_ended_and_is_given_again(shop: World):
    said_to_keep_it(shop, wrong_rule_deleted(shop))
    kept = Grant.objects.get(kept_at__isnull=False)
    assert kept.event
    ended = Change.by_hand(kept, kept.event, kept.decided_at)
    ledger.end_it(kept, ended)
    ledger.open_it(kept, ended)
    assert (kept.is_active, kept.kept_at) == (True, None)


@pytest.mark.parametrize("everything", [False, True])
def test_who_has_what_a_rule_gave_before_it_was_corrected_is_told_of(shop: World, everything):
    rule = Rule.objects.get()
    if everything:
        rule.product, rule.scope = None, "global"
        rule.save()
    buy(shop, 1)
    shop.settle()
    changing.point_to([rule], shop.course("Faces"), on=False)
    overview = signed_in(roles.MANAGER).get(reverse("admin:index"))
    text = words(overview)
    assert BEHIND in text
    told = "1 buyer got Course Two through this rule, and keeps it. See the change by "
    assert f"→ enroll in Faces · Art Academy”: {told}" in text
    assert text.index("See the change by ") < text.index("See and move them")
    (entry,) = re.findall('href="([^"]*)">See the change by', markup(overview))
    assert "Undo" in words(signed_in(roles.MANAGER).get(html.unescape(entry)))
    assert "Let 1 buyer keep it" in text
    buyer = Customer.objects.get().pk
    customer = reverse("admin:integrations_customer_change", args=[buyer])
    page = markup(signed_in(roles.SUPPORT).get(customer))
    where = f"{reverse('admin:given-by-rule')}?rule={rule.pk}&amp;customer={buyer}"
    back = quote(customer, safe="")
    assert f'<a class="button small" href="{where}&amp;back={back}">Move this buyer</a>' in page
    assert promised(shop) == ("This week's only paying buyer has access.", [])
    changing.point_to([rule], Destination.objects.get(name="Course Two"), on=False)
    assert promised(shop) == ("This week's only paying buyer has access.", [])


@pytest.mark.parametrize("everything", [False, True])
def test_who_has_what_the_rule_gave_when_it_was_bought_has_access_after_the_rule_is_changed(
    shop: World, everything
):
    if everything:
        Rule.objects.update(product=None, scope="global")
    buy(shop, 1)
    shop.settle()
    changing.point_to([Rule.objects.get()], shop.course("Faces"), on=False)
    buy(shop, 2, "mia")
    shop.settle()
    assert promised(shop) == ("Both of this week's paying buyers have access.", [])
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert BEHIND in text
    assert "1 buyer got Course Two through this rule, and keeps it." in text


def test_who_bought_since_another_person_changed_the_rule_is_told_of_beside_who_bought_before(
    shop: World,
):
    buy(shop, 1)
    shop.settle()
    max_berg = person(roles.MANAGER)
    with audit.acting(lambda: audit.Actor(max_berg.username)):
        changing.point_to([Rule.objects.get()], shop.course("Faces"), on=False)
    overview = reverse("admin:index")
    assert "since the change" not in words(signed_in(roles.MANAGER).get(overview))
    buy(shop, 2, "mia")
    shop.settle()
    since = "and keeps it. 1 buyer since the change got Faces."
    told = f"1 buyer got Course Two through this rule, {since}"
    assert f"{told} See the change by" in words(signed_in(roles.MANAGER).get(overview))
    assert told in words(signed_in(roles.VIEWER).get(overview))
    assert "since the change" not in words(client_of(max_berg).get(overview))


@pytest.mark.parametrize("change", [{"enabled": False}, {"trigger": "subscription_charged"}])
def test_a_rule_that_gives_the_buyers_nothing_now_is_not_said_to_move_them(shop: World, change):
    rule = Rule.objects.get()
    buy(shop, 1)
    shop.settle()
    changing.point_to([rule], shop.course("Faces"), on=False)
    Rule.objects.filter(pk=rule.pk).update(**change)
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    told = "1 buyer got Course Two through this rule, and keeps it."
    assert re.search(f"{re.escape(told)} See the change by .+ See who", text)
    assert "See and move them" not in text
    if not change.get("enabled", True):
        assert "See who" in str(given_by_rule.sentence(rule.pk))
    else:
        assert "See them and end it" in str(given_by_rule.sentence(rule.pk))


def test_nobody_is_said_to_keep_a_course_that_thinkific_no_longer_has(shop: World):
    rule = Rule.objects.get()
    buy(shop, 1)
    shop.settle()
    changing.point_to([rule], shop.course("Faces"), on=False)
    Destination.objects.filter(name="Course Two").update(gone_at=timezone.now())
    text = words(signed_in(roles.MANAGER).get(reverse("admin:index")))
    assert promised(shop) == (BEHIND, [])
    told = "Thinkific no longer has Course Two, which 1 buyer got through this rule."
    assert re.search(f"{re.escape(told)} See the change by .+ See and move them", text)
    assert "keep it" not in text
    assert told in str(given_by_rule.sentence(rule.pk))


def test_that_rules_which_give_nothing_to_buyers_were_deleted_is_nothing_to_be_told(shop: World):
    course = Destination.objects.get()
    shop.rule("product_refunded", "expire_course_enrollment", course, product="77")
    shop.rule("product_purchased", GIVES, course)
    buy(shop, 1)
    shop.settle()
    changing.delete(Rule.objects.exclude(product=None))
    assert promised(shop) == ("This week's only paying buyer has access.", [])


def test_the_way_to_buyers_of_very_many_products_is_not_too_long_for_the_server(shop, rf):
    wrong_rule_deleted(shop)
    request = rf.get("/")
    request.user = person(roles.MANAGER)
    bought = [grant.product_id or 0 for grant in Grant.objects.all()]
    text = given_by_rule.of_deleted_rules(request, [*bought, *range(100_000, 100_500)])
    assert text
    assert TELLS in text
    assert len(html.unescape(re.findall('href="([^"]+)"', text)[0])) < 4000


def test_the_list_of_customers_calls_who_paid_a_moment_ago_as_the_overview_does(shop: World):
    buy(shop, 1)
    owner = signed_in(roles.MANAGER)
    assert "1 buyer is on the way" in words(owner.get(reverse("admin:index")))
    people = reverse("admin:integrations_customer_changelist")
    assert "On the way" in words(owner.get(people))
    assert "Paid, no access" not in words(owner.get(people))
    later()
    assert "Paid, no access" in words(owner.get(people))
    assert "On the way" not in words(owner.get(people))
