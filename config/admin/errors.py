"""Error pages in the admin's frame, with the reason and what to do next."""

import logging
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from config.logging import of_request
from integrations.sentences import Text

log = logging.getLogger(__name__)

NOT_FOUND = (
    _("This page does not exist"),
    _("The address is wrong, or what it showed was deleted."),
)
FORBIDDEN = (
    _("You may not open this page"),
    _("Your role does not include it. An owner can change your role under People."),
)
BAD = (
    _("The browser sent something that Admit cannot read"),
    _("Nothing was changed. Go back, load the page again and repeat what you did."),
)
TOO_OLD = (
    _("Nothing was changed"),
    _(
        "The page was open for too long, you signed in again meanwhile, or this browser refuses "
        "cookies. Go back, load the page again and repeat what you did."
    ),
)


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return _page(request, 404, *NOT_FOUND)


def forbidden(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """Answer a person whose role does not include the page, and log who tried to open which."""
    page = request.resolver_match.view_name if request.resolver_match else ""
    log.warning("page_refused", extra={"user": request.user.pk, "page": page})
    return _page(request, 403, *FORBIDDEN)


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return _page(request, 400, *BAD)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form with a wrong CSRF token. Django's own page speaks to developers."""
    return _page(request, 403, *TOO_OLD)


def broken(request: HttpRequest) -> HttpResponse:
    """Answer an error of ours. It queries nothing, because the database may be what broke."""
    facts = of_request.get()()
    return render(request, "500.html", {"number": facts.get("request_id")}, status=500)


def _page(request: HttpRequest, status: int, title: Text, sentence: Text) -> HttpResponse:
    """Return the page. Strangers get it without the menu.

    So does a request that fails before Django knows who asks, such as one for another host name.
    """
    frame = admin.site.each_context(request) if hasattr(request, "user") else {}
    context = frame | {"title": title, "sentence": sentence}
    return render(request, "admin/error.html", context, status=status)
