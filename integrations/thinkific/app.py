"""The app Thinkific."""

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from integrations.app_spec import AppSpec
from integrations.models import Integration
from integrations.thinkific import pauses, site_check
from integrations.thinkific.session import client_for

SPEC = AppSpec(
    key=Integration.App.THINKIFIC,
    label=Integration.App.THINKIFIC.label,
    outside="Thinkific",
    secret=_("API key"),
    has_catalog=True,
    # Thinkific serves about ten calls at once; eight leave room for the site's other tools.
    calls_at_once=8,
    calls_per_minute=lambda: int(settings.THINKIFIC_CALLS_PER_MINUTE),
    share_of_threads=1.0,
    client=client_for,
    checked=site_check.checked,
    take_effect=site_check.take_effect,
    question=site_check.ask,
    try_now=pauses.try_now,
)
