"""My account: each person sees all times in the time zone of their choice."""

import re

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from config.models import Preference
from config.staff import roles
from config.staff.preferences import use, zones
from integrations.models import AuditEntry
from tests.support import browsing, scenery
from tests.support import shop as shops
from tests.support.pages import markup, person, said, signed_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
ACCOUNT = "admin:account"


def title_of_first_time(client) -> str:
    page = markup(client.get(reverse("admin:events_eventlog_changelist")))
    found: list[str] = re.findall(r'<time datetime="[^"]*" title="([^"]*)"', page)
    return found[0]


def test_times_are_shown_in_the_zone_of_the_person_and_say_it_on_hover():
    shops.build().sell()  # received at 12:00 UTC
    one, other = signed_in(roles.VIEWER), signed_in(roles.VIEWER)
    page = one.post(reverse(ACCOUNT), {"time_zone": "Asia/Tokyo"}, follow=True)
    assert said(page) == ["Saved. Pages show you all times in Asia/Tokyo."]
    assert title_of_first_time(one).endswith("21:00:00 JST")
    assert title_of_first_time(other).endswith("12:00:00 UTC")
    assert "Times in Asia/Tokyo" in words(one.get(reverse("admin:index")))
    assert "Times in UTC" in words(other.get(reverse("admin:index")))
    one.post(reverse(ACCOUNT), {"time_zone": ""})
    assert title_of_first_time(one).endswith("12:00:00 UTC")


def test_the_zones_stand_by_continent_and_the_chosen_one_is_chosen():
    client = signed_in(roles.VIEWER)
    client.post(reverse(ACCOUNT), {"time_zone": "America/New_York"})
    page = markup(client.get(reverse(ACCOUNT)))
    groups = dict(re.findall(r'<optgroup label="([^"]*)"[^>]*>(.*?)</optgroup>', page, re.DOTALL))
    assert '<option value="America/New_York" selected>New York (UTC-' in groups["America"]
    far = '<option value="America/Argentina/Buenos_Aires">Argentina, Buenos Aires (UTC-3)</option>'
    assert far in groups["America"]
    assert '<option value="Asia/Kolkata">Kolkata (UTC+5:30)</option>' in groups["Asia"]
    assert '<option value="UTC">UTC (UTC+0)</option>' in groups["Other names"]
    assert sum(group.count("<option") for group in groups.values()) == len(zones())


@pytest.mark.browser
def test_the_zone_of_the_browser_is_the_first(place, address, browser):
    with browsing.window(browser, browsing.LOOKS[0], time_zone="Europe/Madrid") as context:
        page = context.new_page()
        browsing.sign_in(page, address, place.people["Owner"], scenery.PASSWORD)
        page.goto(address + reverse(ACCOUNT))
        first = page.locator("#time_zone > optgroup").first
        expect(first).to_have_attribute("label", "Where this browser is")
        expect(first.locator("option")).to_have_text(re.compile(r"^Madrid \(UTC\+[12]\)$"))
        page.select_option("#time_zone", index=1)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#time_zone")).to_have_value("Europe/Madrid")


def test_the_change_of_a_zone_is_in_the_audit_once():
    client = signed_in(roles.VIEWER)
    for _ in range(2):
        client.post(reverse(ACCOUNT), {"time_zone": "Europe/Berlin"})
    (entry,) = AuditEntry.objects.filter(act="person_changed")
    assert (entry.before, entry.after) == ({"time zone": ""}, {"time zone": "Europe/Berlin"})


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "x" * 500])
def test_a_zone_that_does_not_exist_is_refused(zone):
    page = signed_in(roles.VIEWER).post(reverse(ACCOUNT), {"time_zone": zone})
    assert "Choose one from the list." in words(page)
    assert not Preference.objects.exists()


def test_a_language_that_admit_does_not_speak_is_refused():
    page = signed_in(roles.VIEWER).post(reverse(ACCOUNT), {"language": "tlh"})
    assert "There is no language tlh. Choose one from the list." in words(page)
    assert not Preference.objects.exists()


def test_a_zone_that_this_machine_does_not_know_any_more_breaks_no_page():
    client = signed_in(roles.VIEWER)
    client.post(reverse(ACCOUNT), {"time_zone": "Europe/Berlin"})
    Preference.objects.update(time_zone="Gone/Away")
    assert client.get(reverse(ACCOUNT)).status_code == 200


def test_what_a_form_means_is_a_day_of_the_settings():
    someone = person(roles.SUPPORT)
    Preference.objects.create(user=someone, time_zone="Asia/Tokyo")
    seen: list[str] = []

    def look(request: HttpRequest) -> HttpResponse:
        seen.append(timezone.get_current_timezone_name())
        return HttpResponse()

    answer = use(look)
    for method in ("get", "post"):
        request = getattr(RequestFactory(), method)("/admin/")
        request.user = someone
        answer(request)
    assert seen == ["Asia/Tokyo", "UTC"]


def test_a_person_reads_the_pages_in_the_language_that_the_person_chose():
    one, other = signed_in(roles.VIEWER), signed_in(roles.VIEWER)
    page = one.post(reverse(ACCOUNT), {"language": "es", "time_zone": "Asia/Tokyo"}, follow=True)
    assert said(page) == ["Guardado. Las páginas le muestran todas las horas en Asia/Tokyo."]
    assert page["Content-Language"] == "es"
    assert "Mi cuenta" in words(page)
    assert "My account" in words(other.get(reverse(ACCOUNT)))
    page = one.post(reverse(ACCOUNT), {"language": "en"}, follow=True)
    assert said(page) == ["Saved. Pages show you all times in UTC."]


def test_without_a_choice_a_page_is_in_the_language_that_the_browser_asks_for():
    client = signed_in(roles.VIEWER)
    for asked, title in (("es-MX,es;q=0.9", "Mi cuenta"), ("tlh, en;q=0.5", "My account")):
        page = client.get(reverse(ACCOUNT), headers={"accept-language": asked})
        assert title in words(page), asked


def test_a_choice_counts_more_than_what_the_browser_asks_for():
    client = signed_in(roles.VIEWER)
    client.post(reverse(ACCOUNT), {"language": "es"})
    page = client.get(reverse(ACCOUNT), headers={"accept-language": "en"})
    assert "Mi cuenta" in words(page)


def test_who_has_no_name_reads_where_one_is_entered():
    viewer = signed_in(roles.VIEWER, first_name="", last_name="")
    assert "An owner enters it under People." in words(viewer.get(reverse(ACCOUNT)))
    owner = signed_in(is_superuser=True)
    assert "Change it under People" in words(owner.get(reverse(ACCOUNT)))


def test_who_turns_single_keys_off_is_shown_none_of_them():
    client = signed_in(roles.VIEWER)
    page = markup(client.get(reverse(ACCOUNT)))
    assert 'aria-keyshortcuts="/"' in page
    assert "<kbd>J</kbd>" in page
    page = markup(client.post(reverse(ACCOUNT), {"single_keys": "off"}, follow=True))
    assert "aria-keyshortcuts" not in page
    assert "<kbd>J</kbd>" not in page
    assert '<option value="off" selected>' in page
    assert AuditEntry.objects.latest("pk").after == {"single keys": False}


@pytest.mark.browser
def test_single_keys_that_are_off_do_nothing(place, address, browser):
    with browsing.window(browser, browsing.LOOKS[0]) as context:
        page = context.new_page()
        someone = person(roles.VIEWER)
        Preference.objects.create(user=someone, single_keys=False)
        browsing.let_in(page, address, someone.username)
        page.goto(address + reverse("admin:help"))
        page.keyboard.press("/")
        page.keyboard.press("?")
        expect(page.locator("#find-all")).not_to_be_focused()
        expect(page.locator("#find-keys")).to_be_hidden()
