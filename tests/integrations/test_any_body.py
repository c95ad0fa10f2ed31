"""Any body posted to the webhook is kept, read and explained, and breaks nothing.

CI takes the same 1,980 bodies each time, a third of them on PostgreSQL. The long form takes 20,000
new ones:

    FUZZ=long python -m pytest tests/integrations/test_any_body.py
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.deciding import inbox
from events.models import Delivery, EventLog, RuleRun, RuleTexts
from integrations.models import Customer, Product
from rules.triggers import Trigger
from tests.support import gateway
from tests.support.any_body import POSTS, Post
from tests.support.longer import examples, number
from tests.support.queued import log_lines
from tests.support.shop import Shop

BATCH = 20
FEW, MANY = 99, 1000  # batches


@pytest.fixture
def shop(real_shop: Shop) -> Shop:
    """With a rule for every product on every trigger, so that whatever can be read makes runs."""
    for trigger in Trigger:
        real_shop.rule(trigger)
    return real_shop


def read_all(posts: list[Post]) -> None:
    """Have the inbox read what was posted, and look at what it made of each."""
    # More where an event of the same millisecond came between a repeat and its first: the
    # repeat is read again, as one of its own.
    assert inbox.process() >= len(posts)
    deliveries = list(Delivery.objects.order_by("pk"))
    assert [bytes(delivery.body) for delivery in deliveries] == [post.body for post in posts]
    assert {delivery.state for delivery in deliveries} == {Delivery.State.READ}
    explained = set(EventLog.objects.values_list("delivery", flat=True))
    assert explained == {delivery.pk for delivery in deliveries}
    ours = EventLog.objects.filter(reason__startswith="Admit itself failed")
    assert list(ours.values_list("reason", "delivery__sealed_body")) == []


def forget_all() -> None:
    """One batch must not depend on the one before it."""
    for model in (RuleRun, EventLog, RuleTexts, Delivery, Customer, Product):
        model.objects.all().delete()


# The batch is noted on the way, and some bodies are long.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_whatever_is_posted_is_stored_and_explained_and_is_never_our_fault(shop):
    seen = {"posts": 0, "runs": 0, "unreadable": 0}

    @examples(FEW, MANY)
    @given(st.lists(POSTS, min_size=BATCH, max_size=BATCH))
    def read(posts: list[Post]) -> None:
        forget_all()
        with log_lines() as lines:
            for post in posts:
                address = f"/hooks/samcart/{shop.secret}{post.path}"
                facts = {"content_type": post.content_type, "query": post.query}
                assert gateway.post(address, post.body, **facts) == "200 OK"
            read_all(posts)
        assert not [line for line in lines if " ERROR " in line or " WARNING " in line]
        seen["posts"] += len(posts)
        seen["runs"] += RuleRun.objects.count()
        seen["unreadable"] += EventLog.objects.filter(status="unreadable").count()

    read()
    assert seen["posts"] >= BATCH * number(FEW, MANY)
    # Else it would only have looked at one half of the inbox.
    assert seen["runs"] > seen["posts"] / 10
    assert seen["unreadable"] > seen["posts"] / 10
