"""What a rule would have done in the last 90 days, by name, before it is saved."""

from datetime import timedelta
from typing import Any, cast

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.models import EventLog, Grant
from events.reports.earlier import rule_preview
from events.reports.earlier.rule_preview import RulePreview
from integrations.models import Customer, Destination, Product
from rules.models import Rule, Scope
from tests.support import factories
from tests.support.queued import event
from tests.support.shop import Shop

pytestmark = pytest.mark.first_database

ENDED = "product_refunded", "expire_course_enrollment"


def preview(made: Rule) -> RulePreview:
    (found,) = rule_preview.previews([made])
    return found


@pytest.fixture
def course(shop: Shop) -> Destination:
    facts = {"name": "Course Two", "integration": shop.integration}
    return cast(Destination, factories.DestinationFactory.create(**facts))


def product(shop: Shop, number: str = "1048001") -> Product:
    return Product.objects.named(shop.marketplace.pk, "product", number, "Watercolor")


def rule(
    shop: Shop,
    course: Destination | None,
    trigger: str = "product_purchased",
    action: str = "create_course_enrollment",
    **facts: Any,
) -> Rule:
    """A rule that is not saved."""
    facts.setdefault("product", product(shop))
    facts.setdefault("integration", shop.integration)
    return Rule(
        marketplace=shop.marketplace,
        scope=Scope.PRODUCT if facts["product"] else Scope.GLOBAL,
        trigger=trigger,
        action=action,
        destination=course,
        **facts,
    )


def happen(shop: Shop, who: str, trigger: str, order: str, *, days: float = 1, **facts: Any) -> Any:
    email = f"{who.lower()}@example.com"
    found = Customer.objects.filter(email=email).first()
    names = {"first_name": who, "last_name": ""}
    customer = found or factories.CustomerFactory.create(email=email, **names)
    facts.setdefault("product", product(shop))
    made = event(customer, trigger=trigger, order=order, **facts)
    EventLog.objects.filter(pk=made.pk).update(received_at=timezone.now() - timedelta(days=days))
    return made


def buy(shop: Shop, who: str, order: str, *, days: float = 1, **facts: Any) -> Any:
    return happen(shop, who, "product_purchased", order, days=days, **facts)


def refund(shop: Shop, who: str, order: str, *, days: float = 0.5, **facts: Any) -> Any:
    return happen(shop, who, "product_refunded", order, days=days, **facts)


def grant(shop: Shop, sold: EventLog, course: Destination, **facts: Any) -> Grant:
    sold.refresh_from_db()
    assert sold.customer is not None
    defaults: dict[str, Any] = {
        "state": "active",
        "because": "product_purchased",
        "opened_at": sold.received_at,
        "decided_at": sold.received_at,
        "seen_at": sold.received_at,
    }
    return Grant.objects.create(
        marketplace=shop.marketplace,
        product=sold.product,
        order_id=sold.order_id,
        customer=sold.customer,
        integration=course.integration,
        target=f"course:{course.external_id}",
        name=course.name,
        **defaults | facts,
    )


def test_a_rule_that_enrolls_names_those_it_would_have_enrolled(shop, course):
    grant(shop, buy(shop, "Hana", "1", days=9), course)
    buy(shop, "Dana", "2", days=8)
    buy(shop, "Joel", "3", days=7)
    buy(shop, "Dana", "4", days=6)  # has it since order 2
    found = preview(rule(shop, course))
    assert found.sentences() == [
        "It would have enrolled Joel and Dana.",
        "These had it already: Hana.",
    ]
    assert found.events == 4


def test_who_bought_twice_is_named_once_with_what_counts_most(shop, course):
    grant(shop, buy(shop, "Hana", "1", days=9), course)
    refund(shop, "Hana", "1", days=8)
    buy(shop, "Hana", "2", days=7)
    buy(shop, "Gail", "3", days=6)
    buy(shop, "Gail", "4", days=5)
    buy(shop, "Viola", "5", days=4)
    refund(shop, "Viola", "5", days=3)
    buy(shop, "Viola", "6", days=2)
    assert preview(rule(shop, course)).sentences() == [
        "It would have enrolled Viola and Gail.",
        "These had it already: Hana.",
    ]
    grant(shop, EventLog.objects.get(order_id="6"), course)
    refund(shop, "Viola", "6", days=1)
    assert preview(rule(shop, course, *ENDED)).sentences() == [
        "It would have ended the access of Viola and Hana.",
    ]


def test_access_that_ends_by_itself_is_not_counted_as_had(shop, course):
    sold = buy(shop, "Dana", "1")
    until = timezone.now() + timedelta(days=3)
    grant(shop, sold, course, source="before", because="before", until=until)
    Grant.objects.update(order_id="")
    assert preview(rule(shop, course)).sentences() == ["It would have enrolled Dana."]


def test_who_was_refunded_since_is_not_counted_as_enrolled(shop, course):
    buy(shop, "Dana", "1", days=9)
    refund(shop, "Dana", "1", days=8)
    buy(shop, "Joel", "3", days=5)
    buy(shop, "Hana", "4", days=4)
    assert preview(rule(shop, course)).sentences() == [
        "It would have enrolled Hana and Joel.",
        "Refunded or canceled since, so not counted: Dana.",
    ]


def test_a_rule_that_ends_access_names_who_would_have_lost_it_and_who_keeps_it(shop, course):
    for who, order in (("Dana", "1"), ("Joel", "2"), ("Joel", "3"), ("Hana", "4")):
        grant(shop, buy(shop, who, order), course)
    buy(shop, "Priya", "5")
    for who, order in (("Dana", "1"), ("Joel", "2"), ("Priya", "5")):
        refund(shop, who, order)
    assert preview(rule(shop, course, *ENDED)).sentences() == [
        "It would have ended the access of Dana.",
        "Would have kept access through another purchase: Joel.",
        "Nothing would have changed for Priya.",
    ]


def test_a_cancellation_of_what_was_paid_in_full_would_have_ended_nothing(shop, course):
    for who, order in (("Dana", "1"), ("Joel", "2")):
        grant(shop, buy(shop, who, order), course)
    happen(shop, "Joel", "subscription_completed", "2", days=0.7)
    for who, order in (("Dana", "1"), ("Joel", "2")):
        happen(shop, who, "subscription_canceled", order, days=0.5)
    canceled = rule(shop, course, "subscription_canceled", "expire_course_enrollment")
    assert preview(canceled).sentences() == [
        "It would have ended the access of Dana.",
        "Nothing would have changed for Joel.",
    ]


def test_one_that_ends_it_whatever_gave_it_keeps_nothing(shop, course):
    for order in ("2", "3"):
        grant(shop, buy(shop, "Joel", order), course)
    refund(shop, "Joel", "2")
    found = preview(rule(shop, course, *ENDED, ends_all=True))
    assert found.sentences() == ["It would have ended the access of Joel."]


def test_a_purchase_under_a_changed_address_is_its_students(shop, course):
    grant(shop, buy(shop, "Dana", "1"), course)
    refund(shop, "Other", "1")
    found = preview(rule(shop, course, *ENDED))
    assert found.sentences() == ["It would have ended the access of Dana."]


def test_what_was_given_again_since_is_not_ended(shop, course):
    bought = buy(shop, "Dana", "1", days=9)
    refund(shop, "Dana", "1", days=8)
    back = {"because": "subscription_recovered", "decided_at": timezone.now()}
    grant(shop, bought, course, **back)
    found = preview(rule(shop, course, *ENDED))
    assert found.sentences() == ["Nothing would have changed for Dana."]


def test_what_one_rule_would_have_given_changes_nothing_for_the_others(shop, course):
    buy(shop, "Dana", "1", days=3)
    other = product(shop, "1048002")
    buy(shop, "Dana", "2", days=2, product=other)
    refund(shop, "Dana", "2", days=1, product=other)
    buy(shop, "Joel", "3", days=2, product=other)
    rules = [rule(shop, course), rule(shop, course, product=other)]
    assert [each.sentences() for each in rule_preview.previews(rules)] == [
        ["It would have enrolled Dana."],
        ["It would have enrolled Joel.", "Refunded or canceled since, so not counted: Dana."],
    ]


def test_only_events_of_ninety_days_that_the_rule_fits_count(shop, course):
    buy(shop, "Dana", "1", days=89)
    buy(shop, "Joel", "2", days=91)
    buy(shop, "Hana", "3", product=product(shop, "1048002"))
    refund(shop, "Priya", "4")
    again = buy(shop, "Lucy", "5")
    EventLog.objects.filter(pk=again.pk).update(status=EventLog.Status.REPEAT)
    assert preview(rule(shop, course)).sentences() == ["It would have enrolled Dana."]
    everywhere = preview(rule(shop, course, product=None))
    assert everywhere.sentences() == ["It would have enrolled Hana and Dana."]
    none = preview(rule(shop, course, "subscription_charged"))
    assert none.sentences() == ["No event matches it."]


@pytest.mark.parametrize(("also", "events"), [(True, 1), (False, 0)])
def test_canceled_runs_for_delinquent_ones_as_the_setting_says(
    shop, course, settings, also, events
):
    settings.DELINQUENT_IS_CANCELED = also
    happen(shop, "Dana", "subscription_delinquent", "1")
    canceled = rule(shop, course, "subscription_canceled", "expire_course_enrollment")
    assert preview(canceled).events == events


def test_ten_are_named_and_the_others_counted(shop, course):
    for number in range(13):
        buy(shop, f"N{number:02}", str(number), days=2 + number)
    (sentence,) = preview(rule(shop, course)).sentences()
    assert sentence == (
        "It would have enrolled N00, N01, N02, N03, N04, N05, N06, N07, N08, N09 and 3 more."
    )


def test_a_rule_that_passes_on_names_whom_it_would_have_written_about(shop):
    buy(shop, "Dana", "1")
    receiver = factories.ReceiverFactory.create()
    passing = rule(shop, None, action="send_http_post", integration=receiver)
    (sentence,) = preview(passing).sentences()
    assert sentence == "It would have sent what SamCart said about Dana."


def test_nothing_is_written_and_a_long_history_costs_no_more_questions(shop, course, monkeypatch):
    monkeypatch.setattr(rule_preview, "MAX_EVENTS", 30)
    for number in range(40):
        grant(shop, buy(shop, f"N{number}", str(number)), course)
        refund(shop, f"N{number}", str(number))
    before = list(Grant.objects.order_by("pk").values())
    ending = rule(shop, course, *ENDED)
    with CaptureQueriesContext(connection) as asked:
        found = preview(ending)
    assert (found.events, found.more) == (30, True)
    assert found.sentences()[-1].endswith("only the newest 30 were looked at.")
    assert all(each["sql"].startswith("SELECT") for each in asked.captured_queries)
    assert len(asked) <= 3
    assert list(Grant.objects.order_by("pk").values()) == before
    assert not Rule.objects.exists()
