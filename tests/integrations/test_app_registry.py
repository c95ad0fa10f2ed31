"""Every app is complete: a spec, a page, an action, and a client that sends."""

import pytest

from config.admin.pages.integrations.app_pages import APP_PAGES
from integrations import app_registry
from integrations.app_registry import APPS
from integrations.models import Integration
from rules.actions import ACTIONS
from tests.support import factories


def test_every_app_has_a_spec_under_its_key_a_page_and_an_action():
    keys = set(Integration.App.values)

    assert set(APPS) == keys
    assert all(spec.key.value == key for key, spec in APPS.items())
    assert set(APP_PAGES) == keys
    assert {spec.app.value for spec in ACTIONS.values()} == keys


def test_only_apps_with_a_catalog_have_actions_with_a_course_or_bundle():
    for spec in ACTIONS.values():
        if spec.target is not None:
            assert spec.app.value in app_registry.with_catalog()


@pytest.mark.django_db
@pytest.mark.parametrize("factory", [factories.IntegrationFactory, factories.ReceiverFactory])
def test_every_integration_has_a_client_that_knows_whom_to_call(factory):
    integration = factory.create()
    spec = app_registry.of(integration)

    client = spec.client(integration, lambda exchange: None)

    assert callable(client.send)
    assert spec.key == integration.app
    assert spec.calls_at_once > 0
    assert spec.calls_per_minute() >= 0
