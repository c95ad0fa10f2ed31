"""Deliveries of a source other than SamCart: Admit needs only a reader for it."""

import pytest

from integrations import sources
from integrations.samcart.normalize import examine_email, normalize_id
from integrations.samcart.parser import SaleEvent
from integrations.samcart.unreadable import Unreadable
from tests.support.world import World


def read_till(body: bytes, content_type: str, content_encoding: str) -> list[SaleEvent]:
    """One sale a line: `product_purchased;17;Watercolor;dana@example.com`."""
    return [_sale(line) for line in body.decode().splitlines()]


def _sale(line: str) -> SaleEvent:
    try:
        trigger, number, name, address = line.split(";")
    except ValueError:
        raise Unreadable("A line of the till does not have four parts.") from None
    email, problem = examine_email(address)
    product = normalize_id(number, what="product id")
    return SaleEvent(trigger, "product", product, name, email, address, problem)


@pytest.fixture
def till(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The account of the world sells by a till."""
    monkeypatch.setitem(sources.READERS, "till", read_till)
    world.marketplace.source = "till"
    world.marketplace.save()
    return world


def send(till: World, text: str) -> int:
    answer = till.client.post(f"/hooks/{till.secret}/", text, content_type="text/csv")
    return int(answer.status_code)


def test_its_sales_are_stored_decided_and_carried_out(till: World):
    course = till.course()
    till.rule("product_purchased", "create_course_enrollment", course, "17")
    till.rule("product_refunded", "expire_course_enrollment", course, "17")
    assert send(till, "product_purchased;17;Watercolor;Dana@Example.com\n") == 200
    (run,) = till.settle()
    assert (run.status, str(run.event.product)) == ("done", "Watercolor")
    assert till.access("dana@example.com", course)
    send(till, "product_refunded;17;Watercolor;dana@example.com\n")
    assert [run.status for run in till.settle()] == ["done", "done"]
    assert not till.access("dana@example.com", course)


def test_what_it_cannot_read_is_kept_with_a_sentence(till: World):
    event = till.sell("10_product")
    assert (event.status, event.reason) == (
        "unreadable",
        "A line of the till does not have four parts.",
    )
