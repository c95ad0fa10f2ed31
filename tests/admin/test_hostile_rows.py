"""HTML in text written by strangers, Thinkific or colleagues is shown as text."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.test import Client

from events.models import Batch, ComparisonRun, EventLog, Grant, RuleRun
from integrations.models import (
    AuditEntry,
    Customer,
    Destination,
    FieldMapping,
    Integration,
    Marketplace,
    Product,
    ProfileField,
)
from integrations.models.audit import AuditUnlock
from integrations.sentences import SentenceField, say
from tests.support import scenery, screenshots
from tests.support.every_page import PAGES

HTML = "<img src=x onerror=alert(1)>"
WRITTEN: dict[Any, str] = {
    Marketplace: "name",
    Product: "name",
    Customer: "first_name last_name email_as_sent",
    Integration: "name student_field connection_message",
    Destination: "name",
    ProfileField: "label",
    FieldMapping: "samcart_field",
    AuditEntry: "who place name note",
    EventLog: "raw_type reason order_id email_as_sent name_as_sent author author_note",
    Grant: "name product_name",
    RuleRun: "destination_name rule_sentence message",
    Batch: "title started_by",
    ComparisonRun: "message started_by",
    User: "first_name last_name",
}


def write_html_everywhere() -> None:
    """Each text becomes one of its own, for some must not be there twice."""
    unlock = AuditUnlock.objects.create(reason=AuditUnlock.Reason.ERASURE)
    for model, names in WRITTEN.items():
        for row in model._default_manager.all():
            text = f"{row.pk}'\"{HTML}"
            values: dict[str, Any] = {
                name: say("{text} said {text}", text=text) if _is_sentence(model, name) else text
                for name in names.split()
            }
            model._default_manager.filter(pk=row.pk).update(**values)
    fields = [{"name": HTML, "slug": HTML, "value": HTML}]
    EventLog.objects.update(custom_fields=fields)
    unlock.delete()


def _is_sentence(model: Any, name: str) -> bool:
    return isinstance(model._meta.get_field(name), SentenceField)


@pytest.mark.first_database
def test_no_page_takes_a_text_of_a_row_for_html(place: scenery.Scenery):
    scenery.add_receiver(place.world)
    addresses = [screenshots.fill(path) for path in PAGES]
    write_html_everywhere()
    owner = Client()
    owner.force_login(get_user_model().objects.get(username=place.people["Owner"]))
    shown = 0
    for address in addresses:
        answer = owner.get(address, follow=True)
        assert answer.status_code == 200, address
        page = answer.content.decode()
        assert HTML not in page, address
        shown += "&lt;img src=x" in page
    # Else the test looks at nothing.
    assert shown > len(addresses) / 2
