"""Pages that belong to no single model: their address, permission and frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from config.admin.menu import allowed
from integrations.sentences import Text

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `address` below /admin/, `name` as in reverse("admin:NAME"), who may open it."""

    address: str
    name: str
    view: View
    permission: str

    def url(self, site: admin.AdminSite) -> URLPattern:
        return path(self.address, site.admin_view(_guarded(self)), name=self.name)


def render(request: HttpRequest, template: str, *, title: Text, **context: Any) -> TemplateResponse:
    """Return a page in our frame, with menu, messages and title."""
    frame = admin.site.each_context(request)
    return TemplateResponse(request, template, frame | {"title": title} | context)


def _guarded(page: Page) -> View:
    @wraps(page.view)
    def look(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not allowed(request, page.permission):
            raise PermissionDenied
        return page.view(request, *args, **kwargs)

    return look
