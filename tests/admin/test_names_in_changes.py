"""What Changes calls an event: nobody takes the event's number for that of an order."""

import pytest
from django.urls import reverse

from config.staff import roles
from events.execution import reviewing
from events.models import EventLog
from integrations import audit
from integrations.audit import Act, Subject
from integrations.models import AuditEntry
from integrations.sentences import joined, say
from tests.support import shop as shops
from tests.support.pages import signed_in, words
from tests.support.samcart import changed

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
LIST = reverse("admin:integrations_auditentry_changelist")


def page_of(entry: AuditEntry) -> str:
    return reverse("admin:integrations_auditentry_change", args=[entry.pk])


def test_an_act_on_an_order_shows_the_number_of_the_order_not_that_of_the_event():
    shop = shops.build()
    event = shop.sell(changed("10_product", order__id=83214))
    reviewing.mark_reviewed(EventLog.objects.all(), by="mia@example.com")
    manager = signed_in(roles.MANAGER)
    for page in (LIST, page_of(AuditEntry.objects.latest("pk"))):
        shown = words(manager.get(page))
        assert "Product Purchased, order 83214" in shown
        assert f"#{event.pk}" not in shown


def test_an_event_without_an_order_is_called_by_its_own_number_as_an_event():
    assert str(EventLog(pk=22, by_hand="give")) == "Access given by hand, event 22"
    assert str(EventLog(pk=22)) == "Unknown event, event 22"


def test_an_entry_of_a_former_version_says_that_its_number_is_an_event():
    name = joined([say("Product Purchased"), "#22"])
    entry = audit.record(Act.EVENT_DISMISSED, Subject("eventlog", "22", name))
    manager = signed_in(roles.MANAGER)
    for page in (LIST, page_of(entry)):
        shown = words(manager.get(page))
        assert "Product Purchased, event 22" in shown
        assert "#22" not in shown
