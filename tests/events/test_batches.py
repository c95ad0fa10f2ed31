"""Many deliveries in one transaction of the inbox have the same result as one by one."""

import pytest

from events.deciding import inbox
from events.deciding.inbox import Inbox
from events.models import Delivery, EventLog, RuleRun
from tests.support.samcart import changed


def test_a_rule_that_is_deleted_after_it_was_read_sets_no_delivery_aside(real_shop, monkeypatch):
    monkeypatch.setattr(inbox, "STORED_AT_ONCE", 1)
    rule, other = real_shop.rule(), real_shop.rule()
    for number in range(2):
        body = changed("10_product", customer__email=f"buyer{number}@example.com", order__id=number)
        real_shop.receive(body, minutes=number)
    reader = Inbox()
    assert reader.step() == 1
    rule.delete()
    assert reader.step() == 1
    assert set(EventLog.objects.values_list("status", flat=True)) == {"waiting"}
    assert RuleRun.objects.filter(rule=other).count() == 2


@pytest.mark.parametrize("at_once", [1, 16])
def test_a_delivery_of_the_same_moment_parts_repeats_in_a_batch_too(
    real_shop, monkeypatch, at_once
):
    monkeypatch.setattr(inbox, "STORED_AT_ONCE", at_once)
    monkeypatch.setattr(inbox, "HOLD_SECONDS", 10.0)
    real_shop.rule()
    body = changed("10_product", customer__email="dana@example.com")
    real_shop.receive(body, minutes=1)
    real_shop.receive(body, minutes=3)
    other = changed("10_product", customer__email="dana@example.com", order__id=7)
    real_shop.receive(other, minutes=3)
    inbox.process()
    found = list(EventLog.objects.order_by("delivery").values_list("status", flat=True))
    assert not Delivery.objects.exclude(state="read").exists()
    assert found == ["waiting"] * 3
