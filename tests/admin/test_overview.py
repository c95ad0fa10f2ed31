"""The checklist of the overview is ticked only for what really holds."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from config.admin.pages import overview_checklist
from integrations.models import Destination
from rules import pairing
from rules.models import Rule
from tests.support import factories
from tests.support.queued import event, run


@pytest.fixture
def sold(db) -> Destination:
    """A course that a product gives, Private as it should be."""
    product = factories.ProductFactory.create()
    course: Destination = factories.DestinationFactory.create(private=True)
    factories.RuleFactory.create(product=product, destination=course)
    return course


def private() -> overview_checklist.Task:
    return overview_checklist.private(connected=True)


def test_a_course_that_is_not_private_is_named(sold):
    assert private().done
    Destination.objects.update(private=False)
    assert (private().done, f"not yet: {sold.name}" in private().text) == (False, True)


def test_a_course_inside_a_bundle_that_is_sold_must_be_private_too(sold):
    site = sold.integration
    inside = factories.DestinationFactory.create(name="Inside", private=False, integration=site)
    assert private().done
    bundle = factories.DestinationFactory.create(
        kind="bundle", integration=site, course_ids=[inside.external_id]
    )
    factories.RuleFactory.create(action="create_bundle_enrollment", destination=bundle)
    assert "not yet: Inside" in private().text


def test_what_is_given_by_a_rule_that_is_off_is_not_sold(sold):
    Destination.objects.update(private=False)
    Rule.objects.update(enabled=False)
    assert private().done


def pairs() -> tuple[bool, str]:
    """Whether the line is ticked, and its words."""
    text, done, _ = overview_checklist.pairs()
    return done, text


def ending(trigger: str, course: Destination, **facts: Any) -> Rule:
    gives = trigger in pairing.GIVES_BACK
    action = "create_course_enrollment" if gives else "expire_course_enrollment"
    rule: Rule = factories.RuleFactory.create(
        trigger=trigger, action=action, destination=course, **facts
    )
    return rule


def test_a_rule_that_is_off_ends_nothing(sold):
    product = Rule.objects.get().product
    rule = ending("product_refunded", sold, product=product)
    assert pairs()[0]
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    done, text = pairs()
    assert not done
    assert f"(not yet for {product}: Product Refunded)" in text
    Rule.objects.filter(action="create_course_enrollment").update(enabled=False)
    assert not pairs()[0]


def test_what_is_sold_by_subscription_needs_all_four(sold):
    product = Rule.objects.get().product
    ending("product_refunded", sold, product=product)
    assert pairs()[0]
    event(None, product=product, subscription_id="9")
    for trigger in pairing.ENDS[1:] + pairing.GIVES_BACK:
        done, text = pairs()
        assert (done, trigger.label in text) == (False, True)
        ending(trigger, sold, product=product)
    assert pairs()[0]


def test_a_subscription_rule_asks_for_the_others_before_any_subscription_was_seen(sold):
    product = Rule.objects.get().product
    for trigger in pairing.ENDS:
        ending(trigger, sold, product=product)
    done, text = pairs()
    assert not done
    assert f"(not yet for {product}: Subscription Recovered, Subscription Restarted)" in text
    for trigger in pairing.GIVES_BACK:
        ending(trigger, sold, product=product)
    assert pairs()[0]


def test_the_sites_that_need_a_person_come_first_each_kind_by_name(client: Client, admin_user):
    today = timezone.localdate()
    states: list[dict[str, Any]] = [
        {"connection": "connected"},
        {"connection": "refused", "enabled": False},
        {"connection": "unknown"},
        {"connection": "connected", "secret_expires_on": today},
        {"connection": "unreachable"},
        {"connection": "refused"},
        {"connection": "connected"},
        {"connection": "refused"},
    ]
    for number, state in enumerate(states):
        factories.IntegrationFactory.create(name=f"Site {number}", **state)
    client.force_login(admin_user)
    shown = [site.name for site, *_ in client.get("/admin/").context["sites"]]
    assert shown == [f"Site {number}" for number in (5, 7, 4, 3, 1, 2, 0, 6)]


def test_no_product_is_left_out_however_many_there_are(sold):
    ending("product_refunded", sold, product=Rule.objects.get().product)
    for number in range(60):
        product = factories.ProductFactory.create(name=f"A {number:02}")
        for trigger in pairing.ENDS + pairing.GIVES_BACK:
            ending(trigger, sold, product=product)
        last = factories.RuleFactory.create(product=product, destination=sold)
    assert pairs()[0]
    Rule.objects.filter(product=last.product, trigger="product_refunded").delete()
    assert not pairs()[0]


def test_what_a_global_rule_gives_must_be_ended_too_and_the_rule_for_it_is_one_click_away(
    db, client: Client, admin_user
):
    course = factories.DestinationFactory.create()
    giving = factories.RuleFactory.create(destination=course)
    text, done, url = overview_checklist.pairs()
    assert not done
    assert "not yet for what global rules give: Product Refunded" in text
    client.force_login(admin_user)
    shown = " ".join(client.get(url).content.decode().split())
    assert f"When any product is refunded, end the customer&#x27;s access to {course}" in shown
    ending("product_refunded", course, marketplace=giving.marketplace)
    assert pairs()[0]
    event(None, subscription_id="9")
    assert "Subscription Canceled" in pairs()[1]


def test_nothing_is_ticked_where_nothing_is_given(db):
    ending("product_refunded", factories.DestinationFactory.create())
    assert not pairs()[0]


def test_the_share_of_what_succeeded_is_written_without_a_blank(sold, client: Client, admin_user):
    run(sold, status="done")
    client.force_login(admin_user)
    assert "100% succeeded" in client.get("/admin/").content.decode()


def test_of_many_that_succeeded_and_one_that_failed_not_all_succeeded(
    sold, client: Client, admin_user
):
    for _ in range(200):
        run(sold, status="done")
    run(sold, status="failed")
    client.force_login(admin_user)
    assert "99% succeeded" in client.get("/admin/").content.decode()
