"""What a rule ended at a refund can be given back like what a person ended, and is then kept."""

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.access import by_hand, holdings
from events.execution import rerun
from events.models import EventLog, Grant
from events.reports.customers import customer_access
from integrations.models import Customer, Destination, Product
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

SOLD, FLO = "1048001", "flo@example.com"


@pytest.fixture
def support(db) -> Client:
    return signed_in(roles.SUPPORT, first_name="Sam")


def sale(world: World, what: str = "10_product", **facts: str) -> EventLog:
    event = world.sell(what, customer__email=FLO, order__id=1181, **facts)
    world.settle()
    return event


@pytest.fixture
def ink(world: World) -> Destination:
    """Flo bought Ink, and the rule for refunds ended it."""
    course = world.course("Ink")
    world.rule("product_purchased", "create_course_enrollment", course, product=SOLD)
    world.rule("product_refunded", "expire_course_enrollment", course, product=SOLD)
    sale(world)
    sale(world, "20_product")
    assert not world.access(FLO, course)
    return course


def page(client: Client) -> str:
    customer = Customer.objects.get(email=FLO)
    return markup(client.get(reverse("admin:integrations_customer_change", args=[customer.pk])))


def give_back(client: Client, world: World) -> list[str]:
    (address,) = re.findall(r'href="([^"]+)">\s*Give it back</a>', page(client))
    asked = client.get(unescape(address))
    assert "the access counts as kept on purpose" in words(asked)
    fields = dict(re.findall(r'name="(customer|run)" value="(\d+)"', markup(asked)))
    answer = client.post(unescape(address), fields | {"reason": "goodwill"}, follow=True)
    world.settle()
    return said(answer)


def test_support_gives_it_back_and_it_is_kept_on_purpose(support, world, ink):
    give_back(support, world)
    assert world.access(FLO, ink)
    grant = Grant.objects.get()
    assert (grant.source, grant.kept_note) == ("purchase", "goodwill")
    (line,) = customer_access.describe(grant.customer).lines[-1:]
    assert "Sam gave the buyer Ink back on" in line.text
    assert "(goodwill)" in line.text


def test_the_rules_of_the_refund_do_not_end_it_again_and_a_later_refund_does(support, world, ink):
    give_back(support, world)
    rerun.rerun([EventLog.objects.get(trigger="product_refunded")])
    world.settle()
    assert world.access(FLO, ink)
    sale(world, "20_product", refund_transaction_id="re_2")
    assert not world.access(FLO, ink)


def test_what_a_cancellation_ended_is_given_back_also_after_the_refund_of_the_same_order(
    support, world
):
    course = world.course("Ink")
    world.rule("product_purchased", "create_course_enrollment", course)
    for trigger in ("subscription_canceled", "product_refunded"):
        world.rule(trigger, "expire_course_enrollment", course)
    of_flo = {"customer__email": FLO}
    for what, trigger in (
        ("12_product", ""),
        ("30_subscription", ""),
        ("12_product", "product_refunded"),
    ):
        world.sell(what, trigger, **of_flo)
        world.settle()
    assert not world.access(FLO, course)
    give_back(support, world)
    assert world.access(FLO, course)
    assert Grant.objects.get().kept_note == "goodwill"


def test_it_is_offered_once_and_not_while_it_is_open(support, world, ink):
    give_back(support, world)
    assert "Give it back" not in page(support)


def test_who_may_not_act_by_hand_is_not_offered_it(world, ink):
    assert "Give it back" not in page(signed_in(roles.VIEWER))


def test_a_course_that_is_gone_is_not_offered(support, world, ink):
    Destination.objects.update(gone_at=EventLog.objects.latest("pk").received_at)
    assert "Give it back" not in page(support)


def enter_order(html: str) -> str:
    (address,) = re.findall(r'Bought again\?\s*<a href="([^"]+)">Enter the order</a>', html)
    return unescape(address)


def test_who_bought_again_gets_the_course_through_an_order_that_support_enters(support, world, ink):
    (address,) = re.findall(r'href="([^"]+)">\s*Give it back</a>', page(support))
    again = enter_order(page(support))
    assert enter_order(markup(support.get(unescape(address)))) == again
    form = markup(support.get(again))
    product = Product.objects.get(external_id=SOLD)
    assert re.search(rf'<option value="{product.pk}" selected>', form)
    fields = {"product": product.pk, "email": FLO, "order_id": "1190", "reason": "Told us"}
    support.post(again, fields)
    world.settle()
    assert world.access(FLO, ink)
    sale(world, "20_product", refund_transaction_id="re_2")  # the first order once more
    assert world.access(FLO, ink)


def test_no_order_is_asked_for_where_nothing_was_refunded_or_the_person_may_not_enter_one(
    support, world, ink
):
    assert "Bought again?" not in page(signed_in(roles.VIEWER))
    give_back(support, world)
    assert "Bought again?" not in page(support)
    flo = Customer.objects.get(email=FLO)
    (holding,) = holdings.of_customer(flo)
    by_hand.end(flo, holding.key, by_hand.Author("mia@school.example", "Wrong"))
    world.settle()
    assert not world.access(FLO, ink)
