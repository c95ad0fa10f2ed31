"""Many deliveries in one transaction of the inbox: what came of each alone comes of all together."""
from events.deciding import inbox
from events.deciding.inbox import Inbox
from events.models import EventLog, RuleRun
from tests.support.samcart import changed


def test_a_rule_that_is_deleted_after_it_was_read_sets_no_delivery_aside(real_shop, monkeypatch):
    monkeypatch.setattr(inbox, "AT_ONCE", 1)
    rule, other = real_shop.rule(), real_shop.rule()
    for number in range(2):
        body = changed("10_product", customer__email=f"buyer{number}@example.com")
        real_shop.receive(body, minutes=number)
    reader = Inbox()
    assert reader.step() == 1
    rule.delete()
    assert reader.step() == 1
    assert set(EventLog.objects.values_list("status", flat=True)) == {"waiting"}
    assert RuleRun.objects.filter(rule=other).count() == 2
