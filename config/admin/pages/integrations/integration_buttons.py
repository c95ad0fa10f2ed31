"""The buttons of an integration, and which integrations show each of them."""

from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations import integration_messages
from config.admin.pages.integrations.app_pages import offers
from config.admin.parts.buttons import Button
from integrations.models import CallBudget, Integration
from integrations.sentences import Text

SETS_UP = "integrations.change_integration"


def _may_be_tried(integration: Integration) -> bool:
    """Return whether it is paused, and to ask it once more may end that.

    Refresh serves instead before the first connection, and where the plan has no API access.
    """
    calls: CallBudget | None = getattr(integration, "budget", None)
    paused = integration.enabled and calls is not None and bool(calls.blocked)
    return paused and not integration.refused_at_first() and not integration.denied


def _may_be_refreshed(integration: Integration) -> bool:
    """Return whether its courses can be read, and Try now would not do the same."""
    return offers("refresh")(integration) and not _may_be_tried(integration)


def _tick(name: str, label: Text, field: str) -> Button:
    """Return the button that answers a step of the Overview, shown until `field` is set."""

    def is_open(integration: Integration) -> bool:
        return not getattr(integration, field)

    return Button(name, label, SETS_UP, fits=is_open, on_page=False, in_row=False)


BUTTONS = (
    Button("refresh", _("Refresh"), SETS_UP, fits=_may_be_refreshed),
    Button("send_test", _("Send a test"), SETS_UP, fits=offers("send_test")),
    Button("try_now", _("Try now"), SETS_UP, fits=_may_be_tried),
    Button("turn_on", _("Turn on"), SETS_UP, fits=lambda each: not each.enabled),
    # Only in rows: the integration's own page has it in the form.
    Button("turn_off", _("Turn off"), SETS_UP, fits=lambda each: each.enabled, on_page=False),
    _tick("note_welcome_emails", _("The Welcome Emails are on"), "welcome_emails_on"),
    _tick("need_not_be_private", _("Skip: they need not be Private"), "private_not_wanted"),
    Button(
        "new_secret",
        _("New secret"),
        SETS_UP,
        fits=offers("new_secret"),
        in_row=False,
        confirm=lambda _: integration_messages.OLD_ONE_ENDS,
    ),
)
