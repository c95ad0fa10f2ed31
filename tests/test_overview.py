"""The checklist of the overview is ticked only for what really holds."""

import pytest
from django.test import Client

from config.admin import overview
from integrations.models import Destination
from rules.models import Rule
from tests import factories
from tests.queued import run


@pytest.fixture
def sold(db) -> Destination:
    """A course that a product gives, Private as it should be."""
    product = factories.ProductFactory.create()
    course: Destination = factories.DestinationFactory.create(private=True)
    factories.RuleFactory.create(product=product, destination=course)
    return course


def private() -> overview.Task:
    return overview._private(connected=True)


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


def test_a_rule_that_is_off_ends_nothing(sold):
    product = Rule.objects.get().product
    facts = {"action": "expire_course_enrollment", "destination": sold, "product": product}
    ending = factories.RuleFactory.create(trigger="product_refunded", **facts)
    assert overview._pairs()[1]
    Rule.objects.filter(pk=ending.pk).update(enabled=False)
    assert not overview._pairs()[1]
    Rule.objects.filter(action="create_course_enrollment").update(enabled=False)
    assert not overview._pairs()[1]


def test_the_share_of_what_succeeded_is_written_without_a_blank(sold, client: Client, admin_user):
    run(sold, status="done")
    client.force_login(admin_user)
    assert "100% succeeded" in client.get("/admin/").content.decode()
