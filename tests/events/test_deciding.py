"""Deciding: one verdict for every rule, and runs that contain everything they will do."""

from datetime import timedelta

import pytest

from events.execution import retry_by_hand
from events.execution.rerun import rerun
from events.models import EventLog, RuleRun, RuleTexts
from events.reports import rules_now
from integrations.models import Destination, Integration, Product
from rules import actions
from rules.actions import Action
from rules.engine import REASONS, EventFacts, Reason, decide
from rules.models import Rule
from rules.triggers import Trigger
from tests.support import shop as shops
from tests.support.factories import DestinationFactory, IntegrationFactory
from tests.support.samcart import changed
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

Status = EventLog.Status
PRODUCT = "1048001"


def codes(event: EventLog) -> dict[int, str]:
    return dict(event.verdicts)


# Pure


def test_every_code_has_its_sentence():
    assert set(REASONS) == set(Reason)
    assert all(str(text).endswith(".") for text in REASONS.values())


def make(
    trigger: str = "product_purchased",
    product: tuple[str, str] | None = None,
    *,
    enabled: bool = True,
    site_on: bool = True,
) -> Rule:
    """A rule that is in no database."""
    found = product and Product(kind=product[0], external_id=product[1])
    site = Integration(name="Art Academy", enabled=site_on)
    return Rule(trigger=trigger, product=found or None, integration=site, enabled=enabled)


MINE = ("product", PRODUCT)
VERDICTS = [
    # rule, what the event is about, verdict
    (make(), MINE, Reason.RUN),
    (make(), None, Reason.RUN),
    (make(product=MINE), MINE, Reason.RUN),
    (make(product=MINE), ("product", "2"), Reason.OTHER_PRODUCT),
    (make(product=MINE), ("course", PRODUCT), Reason.OTHER_PRODUCT),
    (make(product=MINE), None, Reason.NO_PRODUCT),
    (make(enabled=False), MINE, Reason.OFF),
    (make(product=MINE, enabled=False), MINE, Reason.OFF),
    (make(product=MINE, enabled=False), ("product", "2"), Reason.OTHER_PRODUCT),
    (make(site_on=False), MINE, Reason.RUN),
    (make(site_on=False, enabled=False), MINE, Reason.OFF),
    (make("product_refunded"), MINE, Reason.OTHER_TRIGGER),
    (make("product_refunded", product=MINE, enabled=False), MINE, Reason.OTHER_TRIGGER),
    (make("subscription_canceled", site_on=False), MINE, Reason.OTHER_TRIGGER),
]


def test_each_rule_gets_its_verdict():
    for number, (rule, product, why) in enumerate(VERDICTS):
        fact = EventFacts(frozenset({Trigger.PRODUCT_PURCHASED}), product)
        (verdict,) = decide(fact, [rule])
        assert (verdict.rule, verdict.why) == (rule, why), number
        assert verdict.runs is (why is Reason.RUN)
    # What another line has done is only known when the lines are stored; and there is nothing to
    # pass on of what a person entered.
    decided = set(Reason) - {Reason.OTHER_LINE, Reason.NOT_SENT}
    assert {why for _, _, why in VERDICTS} == decided


def test_verdicts_come_in_the_order_of_the_rules_one_for_each():
    rules = [rule for rule, _, _ in VERDICTS]
    fact = EventFacts(frozenset({Trigger.PRODUCT_PURCHASED}), MINE)
    assert [verdict.rule for verdict in decide(fact, rules)] == rules
    assert decide(fact, []) == []


@pytest.mark.parametrize("trigger", Trigger)
def test_a_rule_waits_for_its_own_trigger_only(trigger):
    rules = [make(other.value) for other in Trigger]
    verdicts = decide(EventFacts(frozenset({trigger}), MINE), rules)
    assert [verdict.rule.trigger for verdict in verdicts if verdict.runs] == [trigger.value]


# Stored with the event


def test_an_event_keeps_a_verdict_for_every_rule_of_its_account(shop):
    off = IntegrationFactory(enabled=False)
    expected = {
        shop.rule().pk: "run",
        shop.rule(product=PRODUCT).pk: "run",
        shop.rule(product="2").pk: "other_product",
        shop.rule("product_refunded").pk: "other_trigger",
        shop.rule(enabled=False).pk: "off",
        shop.rule(destination__integration=off).pk: "run",
    }
    shops.another(shop).rule()
    event = shop.sell("10_product")
    assert codes(event) == expected
    assert event.status == Status.WAITING
    assert {run.rule_id for run in event.runs.all()} == {
        pk for pk, why in expected.items() if why == "run"
    }


def test_a_rule_for_one_product_says_why_when_the_event_names_none(shop):
    rule = shop.rule(product=PRODUCT)
    event = shop.sell("95_edge")
    assert codes(event) == {rule.pk: "no_product"}


def test_each_line_has_verdicts_and_runs_of_its_own(shop):
    everything = shop.rule()
    one = shop.rule(product="1048002")
    delivery = shop.sell("02_order").delivery
    events = list(delivery.events.order_by("line"))
    assert [event.product.external_id for event in events] == ["1048001", "1048002", "1048003"]
    assert [[run.rule for run in event.runs.order_by("pk")] for event in events] == [
        [everything],
        [everything, one],
        [everything],
    ]


@pytest.mark.parametrize(
    ("make_rules", "reason"),
    [
        (lambda shop: None, "No rule matched this event, so nothing was sent."),
        (
            lambda shop: shop.rule("product_refunded"),
            "No rule matched this event, so nothing was sent.",
        ),
        (
            lambda shop: shop.rule(enabled=False),
            "The rule that matches this event was turned off, so nothing was sent.",
        ),
        (
            lambda shop: [shop.rule(enabled=False), shop.rule(enabled=False)],
            "The rules that match this event were turned off, so nothing was sent.",
        ),
    ],
)
def test_an_event_that_nothing_is_done_for_says_so(shop, make_rules, reason):
    make_rules(shop)
    event = shop.sell("10_product")
    assert (event.status, event.reason) == (Status.NO_RULE, reason)


def test_only_a_persons_switch_keeps_a_rule_from_running(shop):
    shop.integration.connection = "refused"
    shop.integration.save()
    gone = DestinationFactory(integration=shop.integration, gone_at=shops.START, published=False)
    shop.rule(destination=gone)
    event = shop.sell("10_product")
    assert (event.status, event.runs.get().status) == (Status.WAITING, "waiting")


# The rules' texts, kept


def test_the_texts_of_the_rules_survive_their_edits_and_their_end(shop):
    rule = shop.rule(product=PRODUCT)
    other = shop.rule("product_refunded")
    event = shop.sell("10_product")
    before = event.sentences()
    assert before == [
        (
            "Product Purchased, Product 1048001: Create Course Enrollment, "
            f"{rule.destination} on Art Academy",
            True,
            "run",
        ),
        (other.sentence(), False, "other_trigger"),
    ]
    Rule.objects.filter(pk=rule.pk).update(trigger="course_started", enabled=False)
    Destination.objects.update(name="Another name")
    event = EventLog.objects.get(pk=event.pk)
    assert event.sentences() == before
    Rule.objects.all().delete()
    shop.integration.delete()
    event = EventLog.objects.get(pk=event.pk)
    assert event.sentences() == before
    run = event.runs.get()
    assert (run.rule, run.integration, run.rule_sentence) == (None, None, before[0][0])


def test_events_of_one_time_share_the_texts(shop):
    rule = shop.rule()
    for order in (1, 2, 3):
        shop.sell(changed("10_product", order__id=order), minutes=order)
    assert RuleTexts.objects.count() == 1
    Rule.objects.filter(pk=rule.pk).update(trigger="course_started")
    event = shop.sell(changed("10_product", order__id=4), minutes=4)
    assert RuleTexts.objects.count() == 2
    assert event.sentences()[0][0].startswith("Course Started, every product")


def test_an_event_whose_rules_ran_again_shares_the_texts_with_those_that_came_then(shop):
    earlier = shop.sell("10_product")
    shop.rule()
    assert rerun([earlier]).queued == 1
    later = shop.sell(changed("10_product", order__id=2), minutes=1)
    earlier = EventLog.objects.get(pk=earlier.pk)
    assert earlier.rule_texts == later.rule_texts


# Runs copy what they will do


ACTIONS = {
    Action.CREATE_COURSE_ENROLLMENT: "course",
    Action.EXPIRE_COURSE_ENROLLMENT: "course",
    Action.CREATE_BUNDLE_ENROLLMENT: "bundle",
    Action.EXPIRE_BUNDLE_ENROLLMENT: "bundle",
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_run_copies_all_that_it_will_do(shop, settings, action):
    settings.RETRY_DELAYS = [5.0, 30.0]
    kind = ACTIONS[action]
    destination = DestinationFactory(
        integration=shop.integration, kind=kind, external_id=9007199254740993, name="Paint <b>"
    )
    ends = actions.ACTIONS[action].ends_access
    trigger = "product_refunded" if ends else "product_purchased"
    rule = shop.rule(trigger, action=action, destination=destination)
    event = shop.sell("20_product" if ends else "10_product")
    run = event.runs.get()
    assert (run.rule, run.integration, run.customer) == (rule, shop.integration, event.customer)
    assert (run.action, run.site, run.target) == (action, "acme", f"{kind}:9007199254740993")
    assert (run.destination_id, run.destination_name) == (9007199254740993, "Paint <b>")
    assert run.rule_sentence == rule.sentence()
    assert run.received_at == event.received_at
    assert run.next_attempt_at == event.received_at + timedelta(seconds=5)
    assert (run.status, run.message, run.attempts, run.ends_all) == ("waiting", "", 0, False)
    Destination.objects.update(name="Changed", external_id=1)
    assert run == RuleRun.objects.get(destination_id=9007199254740993, destination_name="Paint <b>")


# What a run is stopped by


@pytest.mark.parametrize(
    ("email", "problem"),
    [
        (None, "The order carries no e-mail address."),
        ("  ", "The order carries no e-mail address."),
        ("dana", 'The e-mail address needs exactly one "@", with text on both sides.'),
        (["dana@example.com"], "The e-mail address is a list where a text is expected."),
    ],
)
def test_without_a_usable_address_a_matching_rule_fails_in_plain_words(shop, email, problem):
    shop.rule()
    event = shop.sell(changed("10_product", customer__email=email))
    run = event.runs.get()
    assert (run.status, run.message, run.customer) == ("failed", problem, None)
    assert (event.status, event.explanation) == (Status.FAILED, problem)


def test_without_a_usable_address_and_without_a_rule_nothing_failed(shop):
    event = shop.sell(changed("10_product", customer__email=None))
    assert (event.status, event.customer) == (Status.NO_RULE, None)


LINES = [
    # SamCart's status of the line, and whether the run waits for a person
    ("Charged", False),
    ("charged", False),
    ("CHARGED", False),
    ("Fulfilled", False),
    ("", False),
    (None, False),
    ("Declined", True),
    ("declined", True),
    ("Pending", True),
    ("Refunded", True),
    ("Something new", True),
]


@pytest.mark.parametrize(("status", "held"), LINES)
def test_a_purchase_that_samcart_does_not_call_charged_is_held(shop, status, held):
    shop.rule()
    event = shop.sell(changed("10_product", product__status=status))
    run = event.runs.get()
    assert run.status == ("held" if held else "waiting")
    assert event.status == run.status
    assert event.explanation == run.message
    if held:
        assert run.message == (
            f"SamCart reports this line as {status}, not as Charged. "
            "Release it if the customer has paid."
        )


def test_what_an_action_waited_for_is_not_said_once_it_goes_on(shop):
    shop.rule()
    event = shop.sell(changed("10_product", product__status="Pending"))
    assert event.explanation.endswith("Release it if the customer has paid.")
    retry_by_hand.retry(event.runs.all())
    event = EventLog.objects.get()
    assert (event.status, event.explanation) == (Status.WAITING, "")


def test_the_status_of_a_line_holds_nothing_but_purchases(shop):
    shop.rule("product_refunded", action=Action.EXPIRE_COURSE_ENROLLMENT)
    event = shop.sell(changed("20_product", product__status="Refunded"))
    assert event.runs.get().status == "waiting"


def test_only_the_line_that_was_declined_is_held(shop):
    shop.rule()
    body = changed("02_order")
    body["products"][1]["status"] = "Declined"
    delivery = shop.sell(body).delivery
    assert [event.status for event in delivery.events.order_by("line")] == [
        Status.WAITING,
        Status.HELD,
        Status.WAITING,
    ]


def test_what_comes_by_a_withdrawn_address_is_held_and_explained(shop):
    shop.rule()
    shop.marketplace.webhook_secrets.update(expires_at=shops.START)
    event = shop.sell("10_product")
    run = event.runs.get()
    withdrawn = "It was sent to a withdrawn address."
    assert (event.status, event.reason) == (Status.HELD, withdrawn)
    assert (run.status, run.message) == ("held", f"{withdrawn} Release it if you know the sender.")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("20_product", Status.NO_RULE, "No rule matched this event, so nothing was sent."),
        ("91_edge", Status.UNKNOWN_TYPE, 'SamCart calls this "SubscriptionCancelScheduled"'),
        (b"{", Status.UNREADABLE, "The body is not JSON: it breaks off after 1 characters."),
    ],
)
def test_whatever_comes_by_a_withdrawn_address_says_so(shop, body, status, reason):
    shop.marketplace.webhook_secrets.update(expires_at=shops.START)
    event = shop.sell(body)
    assert event.status == status
    assert event.reason.startswith(f"It was sent to a withdrawn address. {reason}")


# Delinquent and Canceled


def delinquency(shop: Shop) -> tuple[Rule, Rule]:
    shop.rule("subscription_charged")
    return shop.rule("subscription_delinquent"), shop.rule("subscription_canceled")


def test_delinquent_fires_the_rules_of_canceled_too(shop):
    delinquent, canceled = delinquency(shop)
    event = shop.sell("33_subscription")
    assert {run.rule for run in event.runs.all()} == {delinquent, canceled}
    assert event.trigger == "subscription_delinquent"


def test_canceled_does_not_fire_the_rules_of_delinquent(shop):
    _, canceled = delinquency(shop)
    event = shop.sell("30_subscription")
    assert [run.rule for run in event.runs.all()] == [canceled]


def test_a_rule_for_canceled_that_was_off_is_known_to_fit_a_delinquent_event(shop, settings):
    delinquent, canceled = delinquency(shop)
    Rule.objects.update(enabled=False)
    event = shop.sell("33_subscription")
    assert rules_now.turned_off(event) == [delinquent, canceled]
    Rule.objects.update(enabled=True)
    assert rules_now.fitting([event]) == {event.pk: [delinquent, canceled]}
    settings.DELINQUENT_IS_CANCELED = False
    assert rules_now.fitting([event]) == {event.pk: [delinquent]}


def test_that_delinquent_means_canceled_can_be_turned_off(shop, settings):
    settings.DELINQUENT_IS_CANCELED = False
    delinquent, canceled = delinquency(shop)
    event = shop.sell("33_subscription")
    assert [run.rule for run in event.runs.all()] == [delinquent]
    assert codes(event)[canceled.pk] == "other_trigger"
