"""A new page needs a line in the registry and one in the menu; no other page changes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse

from config import urls
from config.admin import menu, registry
from config.admin.menu import Entry
from config.admin.parts.changelist import ReadOnly
from config.admin.parts.page import Page, render
from config.staff import roles
from events.models import Delivery
from tests.support.pages import markup, signed_in, words

# Decided by a registry in the code.
pytestmark = pytest.mark.first_database

PAGE, LIST = "admin:tide-table", "admin:events_delivery_changelist"


def show(request: HttpRequest) -> HttpResponse:
    return render(request, "admin/tide_table.html", title="Tide table", high=["6:12", "18:40"])


class DeliveryAdmin(ReadOnly):
    list_display = ("received_at",)


@pytest.fixture
def _pages(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> Iterator[None]:
    """A page on no model and one on a model, added in the places that the recipe names."""
    page = Page("tides/", "tide-table", show, "events.view_rulerun")
    monkeypatch.setattr(registry, "PAGES", [*registry.PAGES, page])
    admin.site.register(Delivery, DeliveryAdmin)
    entries = (
        Entry("log", "Tide table", PAGE, "events.view_rulerun"),
        Entry("log", "Deliveries", LIST, "events.view_delivery"),
    )
    monkeypatch.setattr(menu, "MENU", (*menu.MENU, ("Harbor", entries)))
    (tmp_path / "admin").mkdir()
    (tmp_path / "admin" / "tide_table.html").write_text(
        '{% extends "admin/page.html" %}{% block page %}{{ high|join:" and " }}{% endblock %}'
    )
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]
    # The addresses of the admin are put together when config.urls is imported.
    settings.ROOT_URLCONF = (path("admin/", admin.site.urls), *urls.urlpatterns)
    yield
    admin.site.unregister(Delivery)


@pytest.mark.usefixtures("_pages")
@pytest.mark.parametrize(
    ("role", "opens_page", "opens_list"),
    [
        (roles.MANAGER, True, True),
        (roles.SUPPORT, True, True),
        (roles.VIEWER, True, False),
        ("", False, False),
    ],
)
def test_each_role_opens_what_it_may_and_sees_that_in_its_menu(role, opens_page, opens_list):
    client = signed_in(role)
    section = words(client.get(reverse("admin:help"))).partition("Harbor")[2]
    for name, label, opens, shown in (
        (PAGE, "Tide table", opens_page, "Tide table 6:12 and 18:40"),
        (LIST, "Deliveries", opens_list, "Deliveries"),
    ):
        answer = client.get(reverse(name))
        assert answer.status_code == (200 if opens else 403)
        assert (label in section) is opens
        if opens:
            assert shown in words(answer)
            here = rf'aria-current="page"><svg.*?</svg><span>{label}'
            assert re.search(here, markup(answer))
