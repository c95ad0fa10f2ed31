"""The app Notify URL: post what SamCart sends to an address of the user's choice."""

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from integrations.app_spec import AfterCall, AppSpec
from integrations.models import Integration
from integrations.notify_url import pauses
from integrations.notify_url.client import Client

# So that a backlog does not reach a receiver all at once.
CALLS_PER_MINUTE = 300
# A receiver that does not answer blocks its threads until the deadline, and schools need threads.
CALLS_AT_ONCE = 2
SHARE_OF_THREADS = 0.25


def client_for(integration: Integration, after_call: AfterCall) -> Client:
    """Return a client for this receiver. Raises SecretUnreadable."""
    return Client(
        url=integration.url,
        secret=integration.secret(),
        after_call=after_call,
        deadline=settings.CALL_DEADLINE_SECONDS,
        version=settings.VERSION,
        allow_private=settings.ALLOW_PRIVATE_NOTIFY_URLS,
    )


SPEC = AppSpec(
    key=Integration.App.NOTIFY_URL,
    label=Integration.App.NOTIFY_URL.label,
    outside=_("the receiver"),
    secret=_("signing secret"),
    has_catalog=False,
    calls_at_once=CALLS_AT_ONCE,
    calls_per_minute=lambda: CALLS_PER_MINUTE,
    share_of_threads=SHARE_OF_THREADS,
    client=client_for,
    checked=pauses.checked,
    take_effect=pauses.take_effect,
    question=None,
    try_now=pauses.try_now,
)
