"""The page of each app's integrations: its card, its form and its buttons."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from config.admin.pages.integrations import notify_page, thinkific_page
from integrations.models import Integration
from integrations.sentences import Text


@dataclass(frozen=True, slots=True)
class AppPage:
    """The page of an app. `show` is the view of a new or stored integration.

    `meaning` is on the card on which the app is chosen. `buttons` are the names of those buttons of
    IntegrationAdmin that the app has.
    """

    meaning: Text
    show: Callable[..., HttpResponse]
    buttons: frozenset[str]


APP_PAGES: dict[str, AppPage] = {
    Integration.App.THINKIFIC.value: AppPage(
        _("Enroll buyers in the courses and bundles of your school, and end their access."),
        thinkific_page.show,
        frozenset({"refresh", "try_now"}),
    ),
    Integration.App.NOTIFY_URL.value: AppPage(
        _(
            "Post what SamCart sends to an address of your choice: your CRM, an automation tool, "
            "or a program of your own. Each message is signed."
        ),
        notify_page.show,
        frozenset({"send_test", "new_secret", "try_now"}),
    ),
}


def offers(button: str) -> Callable[[Any], bool]:
    """Return a function that says whether an integration offers this button."""
    return lambda integration: button in APP_PAGES[integration.app].buttons
