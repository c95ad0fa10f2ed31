"""Only people with the permission see what was sent word for word."""

import django.apps
import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.models import Delivery, RuleRun
from integrations.models import ApiCall
from tests.support import factories, queued
from tests.support.pages import signed_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
SECRET_OF_BODY = "only-in-the-body"
CODE = "events.view_delivery"


@pytest.fixture
def run() -> RuleRun:
    """An action with an exchange, of an event with a body; its receiver has answered."""
    receiver = factories.ReceiverFactory.create()
    course = factories.DestinationFactory.create(integration=receiver, name="Course Two")
    found = queued.run(course, action="send_http_post", status="failed", message="It failed.")
    Delivery.objects.update(sealed_body=f'{{"note": "{SECRET_OF_BODY}"}}'.encode())
    for number in (found.pk, None):
        ApiCall.objects.create(
            integration=receiver,
            run_id=number,
            method="POST",
            url="https://crm.example.com/",
            request_body=f"sent {SECRET_OF_BODY}",
            status=500,
            response_body=f"answered {SECRET_OF_BODY}",
            milliseconds=5,
            sent_at=timezone.now(),
        )
    return found


def pages(run: RuleRun) -> dict[str, str]:
    assert run.customer is not None
    return {
        "event": reverse("admin:events_eventlog_change", args=[run.event_id]),
        "log": reverse("admin:events_eventlog_changelist"),
        "action": reverse("admin:events_rulerun_change", args=[run.pk]),
        "actions": reverse("admin:events_rulerun_changelist"),
        "customer": reverse("admin:integrations_customer_change", args=[run.customer.pk]),
        "integration": reverse("admin:integrations_integration_change", args=[run.integration_id]),
        "overview": reverse("admin:index"),
    }


def test_a_viewer_sees_names_and_results_and_no_body_on_any_page(run):
    viewer = signed_in(roles.VIEWER)
    for name, page in pages(run).items():
        answer = viewer.get(page)
        assert answer.status_code == 200, name
        assert SECRET_OF_BODY not in answer.content.decode(), name
    event = words(viewer.get(pages(run)["event"]))
    assert run.customer.email in event
    assert "It failed." in event
    assert "Your role does not show what SamCart sent word for word. Ask an owner." in event
    assert "Download JSON" not in event


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.MANAGER])
def test_those_who_help_and_set_up_see_them(run, role):
    client = signed_in(role)
    shown = {name: SECRET_OF_BODY in words(client.get(page)) for name, page in pages(run).items()}
    assert {name for name, there in shown.items() if there} == {"event", "action", "integration"}


def test_the_download_asks_for_the_permission(run):
    page = reverse("admin:events_eventlog_download", args=[run.event_id])
    assert signed_in(roles.VIEWER).get(page).status_code == 403
    assert SECRET_OF_BODY in signed_in(roles.SUPPORT).get(page).content.decode()


def test_groups_of_before_lose_and_get_only_what_is_new():
    """As the migration does it: what a person gave a group besides stays."""
    roles.grant(django.apps.apps)
    raw = Permission.objects.get(codename="view_delivery")
    other = Permission.objects.get(codename="add_product")
    viewer = Group.objects.get(name=roles.VIEWER)
    viewer.permissions.add(raw, other)
    interns = Group.objects.create(name="Interns")
    interns.permissions.add(raw)
    changes = Permission.objects.get(codename="view_auditentry")
    manager = Group.objects.get(name=roles.MANAGER)
    manager.permissions.remove(changes)

    roles.add(django.apps.apps, "integrations.view_auditentry")
    roles.revoke(django.apps.apps, CODE)

    assert raw not in viewer.permissions.all()
    assert other in viewer.permissions.all()
    assert raw in interns.permissions.all()
    assert raw in Group.objects.get(name=roles.SUPPORT).permissions.all()
    assert changes in manager.permissions.all()
    assert changes not in Group.objects.get(name=roles.SUPPORT).permissions.all()
