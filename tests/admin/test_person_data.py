"""One person's data on the customer's page: who may download or erase it, and the messages."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, RuleRun
from integrations.models import Customer
from tests.support.pages import press, said, signed_in, words

pytestmark = pytest.mark.first_database

DANA = "dana.whitfield@example.com"


@pytest.fixture(autouse=True)
def _files(settings: Any, tmp_path: Path) -> None:
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.ERASED_FILE = tmp_path / "erased.jsonl"


@pytest.fixture
def manager(place: Any) -> Client:
    return signed_in(roles.MANAGER, email="noor2@example.com")


@pytest.fixture
def dana(place: Any) -> Customer:
    return Customer.objects.get(email=DANA)


def erase_page(customer: Customer) -> str:
    return f"{reverse('admin:erase-person')}?customer={customer.pk}"


def test_a_manager_downloads_all_data_as_a_file(manager: Client, dana: Customer):
    answer = press(manager, dana, "download_data")
    assert answer["Content-Disposition"] == f'attachment; filename="customer-{dana.pk}.json"'
    assert "no-store" in answer["Cache-Control"]
    assert json.loads(answer.content)["addresses"] == [DANA]


def test_support_may_neither_download_nor_erase(place: Any, dana: Customer):
    support = signed_in(roles.SUPPORT)
    page = words(support.get(reverse("admin:integrations_customer_change", args=[dana.pk])))
    assert "Download all data" not in page
    assert "Erase this person" not in page
    assert press(support, dana, "download_data").status_code == 403
    assert support.get(erase_page(dana)).status_code == 403
    assert support.post(erase_page(dana), {"customer": dana.pk}).status_code == 403
    assert Customer.objects.filter(pk=dana.pk).exists()


def test_erasing_says_first_what_goes_and_leads_to_ending_access(manager: Client, dana: Customer):
    page = manager.get(reverse("admin:integrations_customer_change", args=[dana.pk]))
    assert erase_page(dana) in page.content.decode()
    shown = manager.get(erase_page(dana))
    text = words(shown)
    for part in (
        "This cannot be undone",
        "What is removed",
        "What stays",
        "Access stays in Thinkific",
    ):
        assert part in text
    assert f"{reverse('admin:end-access')}?customer={dana.pk}" in shown.content.decode()
    assert Customer.objects.filter(pk=dana.pk).exists()


def test_a_press_erases_and_the_log_names_nobody(manager: Client, dana: Customer):
    events = set(EventLog.objects.filter(customer=dana).values_list("pk", flat=True))
    answer = manager.post(erase_page(dana), {"customer": dana.pk}, follow=True)
    assert said(answer)[0].startswith("Erased: 1 customer, ")
    assert not Customer.objects.filter(email=DANA).exists()
    for event in EventLog.objects.filter(pk__in=events):
        page = words(manager.get(reverse("admin:events_eventlog_change", args=[event.pk])))
        assert DANA not in page
        assert "The data of the person was erased." in page
    gone = manager.get(erase_page(dana), follow=True)
    assert said(gone) == [
        "This customer no longer exists. Search for the e-mail address under Customers."
    ]


def test_while_an_action_is_under_way_the_page_says_to_try_again(manager: Client, dana: Customer):
    run = RuleRun.objects.filter(customer=dana).latest("pk")
    RuleRun.objects.filter(pk=run.pk).update(status="running")
    answer = manager.post(erase_page(dana), {"customer": dana.pk}, follow=True)
    assert said(answer) == ["An action for this person is under way. Try again in a minute."]
    assert Customer.objects.filter(pk=dana.pk).exists()
