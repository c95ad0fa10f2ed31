"""The pages of integrations: connecting, refreshing, turning off and deleting a Thinkific site."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from playwright.sync_api import Browser

from config.admin.pages.integrations import thinkific_page
from config.staff import roles
from events.alerts import finding, wording
from events.alerts.problems import ProblemCode
from events.execution import wait_reasons
from events.models import Worker
from integrations import catalog_refresh, credentials
from integrations.calls import rate_limit
from integrations.models import ApiCall, AuditEntry, CallBudget, Integration, ThinkificUser
from integrations.thinkific import key_check
from integrations.thinkific.sandbox import Fault
from integrations.thinkific.site_check import reject_key
from rules.models import Rule
from tests.support import browsing, factories, meanwhile, queued, scenery
from tests.support.pages import errors, markup, plain, press, said, save_site, signed_in, words

pytestmark = pytest.mark.first_database

NEW_KEY = "n" * 31 + "9"
TOKEN = "tok_" + "x1" * 40
LIST = "admin:integrations_integration_changelist"


def page(what: str, integration: Integration | None = None) -> str:
    arguments = [integration.pk] if integration else []
    return reverse(f"admin:integrations_integration_{what}", args=arguments)


@pytest.fixture
def boss(world) -> Client:
    Worker.objects.create(name="w", seen_at=timezone.now())
    return signed_in(is_superuser=True)


def press_refresh(client: Client, integration: Integration) -> Any:
    return press(client, integration, "refresh", back=reverse(LIST))


# Connecting


@pytest.mark.parametrize(
    "site", ["school", "School.thinkific.com", " https://school.thinkific.com/manage?x=1 "]
)
def test_a_site_in_any_form_is_saved_and_its_key_is_checked(boss, sandbox, site: str):
    school = sandbox.add_school("school", key=factories.KEY)
    school.add_course("Watercolor")
    answer = save_site(boss, name="New", site=site, secret=f" {factories.KEY} ")
    assert said(answer) == [
        "New: saved. Connected. Refreshed: 1 course, 0 bundles, 0 signup fields (1 new course). "
        "Next step",
    ]
    saved = Integration.objects.get(name="New")
    assert (saved.site, saved.secret(), saved.connection) == ("school", factories.KEY, "connected")
    assert saved.destinations.get().name == "Watercolor"
    # At its top, also for who came by a link to the key.
    assert answer.redirect_chain == [(f"{page('change', saved)}#content-start", 302)]
    assert factories.KEY not in answer.content.decode()


def test_a_wrong_key_costs_one_call_is_said_and_the_right_one_heals(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    answer = save_site(boss, name="New", site="school", secret="f" * 32)
    assert len(sandbox.calls) == 1
    assert said(answer) == ["New: saved, but not connected. See below what to do."]
    assert words(answer).count("Thinkific does not know this site, or rejects this key") == 1
    assert "Settings > Code & Analytics > API" in words(answer)
    assert "Grow or higher" in words(answer)
    saved = Integration.objects.get(name="New")
    assert saved.connection == "refused"
    assert "Never connected" in words(answer)
    answer = save_site(boss, saved, name="New", site="school", secret=factories.KEY)
    assert said(answer) == [
        "New: saved. Connected. Refreshed: 0 courses, 0 bundles, 0 signup fields. "
        "Thinkific lists no courses. Courses of its new course builder are not listed: enter them "
        "by number. New rule Next step"
    ]
    saved.refresh_from_db()
    assert saved.connection == "connected"


def test_a_key_that_is_refused_does_not_replace_one_that_works(boss, world):
    press_refresh(boss, world.integration)
    answer = save_site(boss, world.integration, name="Renamed", secret="f" * 32)
    assert marked(answer) == {"secret"}
    assert "Thinkific rejects this key: it is wrong or lacks a permission" in errors(answer)
    assert "Admit still uses the previous key." in errors(answer)
    assert "f" * 32 not in markup(answer)
    kept = Integration.objects.get()
    assert (kept.name, kept.secret(), kept.connection) == (
        "Art Academy",
        factories.KEY,
        "connected",
    )
    assert rate_limit.blocked_for(kept.pk)[0] == ""
    assert said(press_refresh(boss, kept))[0].startswith("Art Academy: refreshed.")


def test_a_key_that_cannot_be_tried_is_saved_and_said_to_be_unchecked(boss, world, sandbox):
    press_refresh(boss, world.integration)
    sandbox.faults.add(Fault("drop", times=None))
    (text,) = said(save_site(boss, world.integration, secret="f" * 32))
    assert text.startswith("Art Academy: saved, not checked.")
    assert Integration.objects.get().secret() == "f" * 32


def test_a_site_that_thinkific_does_not_know_is_said(boss, sandbox):
    shown = words(save_site(boss, name="New", site="nobody", secret=factories.KEY))
    assert (
        "does not know this site, or rejects this key; it gives the same answer for both" in shown
    )


def test_a_plan_without_the_api_is_said(boss, world, sandbox):
    sandbox.faults.add(Fault("status", status=403, times=3))
    answer = save_site(boss, world.integration, secret=factories.KEY)
    assert said(answer) == ["Art Academy: saved, but not connected. See below what to do."]
    assert "plan has no API access (Grow or higher is required)" in words(answer)


def test_a_site_that_cannot_be_reached_is_saved_and_not_checked(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    sandbox.faults.add(Fault("drop", times=None))
    answer = save_site(boss, name="New", site="school", secret=factories.KEY)
    (problem,) = said(answer)
    assert problem.startswith("New: saved, not checked. The connection to Thinkific broke off")
    assert "Try again later." in problem
    assert Integration.objects.get(name="New").secret() == factories.KEY


def test_a_check_that_takes_long_goes_on_in_the_background_and_says_so(
    boss, world, sandbox, monkeypatch
):
    monkeypatch.setattr(catalog_refresh.refresh, "__kwdefaults__", {"wait": 0.05})
    sandbox.faults.add(Fault("delay", delay=0.4))
    (text,) = said(save_site(boss, world.integration, secret=factories.KEY))
    assert text.startswith(
        "Art Academy: saved, not checked. It is still being read, in the background."
    )
    assert "still being read, in the background" in text
    assert not catalog_refresh.refresh(world.integration, wait=5).goes_on


def test_a_key_that_a_slow_site_says_nothing_of_is_saved_and_tried_in_the_background(
    boss, world, sandbox, monkeypatch
):
    press_refresh(boss, world.integration)
    monkeypatch.setattr(key_check, "SECONDS", 0.2)
    monkeypatch.setattr(thinkific_page, "AFTER_TRYING", 0.05)
    sandbox.faults.add(Fault("delay", delay=0.6, times=3))
    first, second = said(save_site(boss, world.integration, secret=factories.KEY))
    assert first.startswith(
        "Art Academy: saved, not checked. It is still being read, in the background."
    )
    assert second.startswith("The new key was saved before Thinkific said whether it accepts it.")
    # The trial was given up long before the answer of 0.6 seconds.
    trial = ApiCall.objects.filter(integration=world.integration).exclude(error="").latest("pk")
    assert (trial.status, trial.milliseconds < 400) == (None, True)
    assert not catalog_refresh.refresh(world.integration, wait=5).goes_on


def test_the_numbers_of_courses_lead_to_the_list_with_the_number_of_each(boss, world):
    course = world.course("Watercolor")
    factories.DestinationFactory.create(integration=world.integration, kind="bundle", name="Both")
    factories.DestinationFactory.create(
        integration=world.integration, name="Gone Course", gone_at=timezone.now()
    )
    listed = reverse("admin:integrations_destination_changelist")
    for address in (page("changelist"), page("change", world.integration)):
        shown = boss.get(address).content.decode()
        for kind in ("course", "bundle"):
            way = (
                f"{listed}?integration={world.integration.pk}&amp;kind__exact={kind}&amp;listed=yes"
            )
            assert f'href="{way}">1</a>' in shown
    asked = f"{listed}?integration={world.integration.pk}&kind__exact=course"
    found = words(boss.get(f"{asked}&listed=yes"))
    assert "Gone Course" not in found
    assert "Watercolor" not in words(boss.get(f"{asked}&listed=no"))
    assert "Gone Course" in words(boss.get(f"{asked}&listed=no"))
    assert f"Watercolor Course {course.external_id}" in found
    assert "Both" not in found


def test_no_page_tells_numbers_of_http_outside_the_fold_for_technicians(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    answer = save_site(boss, name="New", site="school", secret="f" * 32)
    shown, fold, rest = words(answer).partition("For your technician")
    assert fold
    assert "401" not in shown
    assert ": 401. Thinkific does not accept the key" in rest


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"site": "courses.acme.com"}, "That is your own domain. Paste the Subdomain that"),
        ({"site": "www.thinkific.com"}, "That is an address of Thinkific itself."),
        ({"site": "a b"}, "A subdomain has only the letters"),
        ({"site": ""}, "This field is required"),
        ({"site": "acme", "name": "Other"}, "Art Academy is this school already."),
        ({"name": "Art Academy"}, "There is an integration with this name already."),
        ({"secret": ""}, "Copy it from Thinkific, Settings > Code & Analytics > API."),
        ({"secret": "two words " * 4}, "A key has no spaces or special characters."),
        ({"secret": "schlüssel" * 4}, "A key has no spaces or special characters."),
        ({"secret": "a\nb" * 10}, "A key has no spaces or special characters."),
        ({"secret": "x" * 5000}, "at most 4000 characters"),
        ({"name": ""}, "This field is required"),
        ({"secret_expires_on": "2030-01-01"}, "An API key does not expire: leave it empty."),
        ({"secret": TOKEN, "secret_expires_on": "2020-01-01"}, "This day has passed."),
        ({"secret": TOKEN, "secret_expires_on": "soon"}, "Enter a valid date."),
    ],
)
def test_a_site_that_cannot_be_is_refused_in_words(boss, world, changes, says: str):
    key = "k" * 32
    answer = save_site(boss, **({"name": "New", "site": "new", "secret": key} | changes))
    assert says in errors(answer)
    assert "Nothing is saved yet" in words(answer)
    assert Integration.objects.count() == 1
    for secret in (key, TOKEN):
        assert secret not in answer.content.decode()
    assert world.calls() == []


def test_a_school_that_is_connected_already_is_one_click_away(boss, world):
    answer = save_site(boss, name="Other", site="acme", secret=factories.KEY)
    assert f'<a href="{page("change", world.integration)}">Edit that integration.</a>' in (
        answer.content.decode()
    )


@pytest.mark.parametrize(("key", "asks"), [(factories.KEY, True), ("", False)])
def test_a_key_that_was_entered_is_asked_for_again_where_something_else_is_wrong(
    boss, world, key: str, *, asks: bool
):
    answer = save_site(boss, world.integration, name="", secret=key)
    assert ("Enter the key again" in errors(answer)) == asks
    assert "This field is required" in errors(answer)


def test_a_site_is_not_turned_into_another(boss, world):
    press_refresh(boss, world.integration)
    answer = save_site(boss, world.integration, site="other", name="Renamed")
    assert "Another school: make a new integration for it." in errors(answer)
    assert "<h1>Art Academy</h1>" in answer.content.decode()
    assert Integration.objects.get().site == "acme"
    # The same one in another form is the same one.
    assert not errors(save_site(boss, world.integration, site="https://ACME.thinkific.com/"))


# A first connect that went wrong


def marked(answer: Any) -> set[str]:
    """The fields that the page marks as wrong."""
    return set(re.findall(r"form-row errors field-(\w+)", markup(answer)))


def test_a_mistyped_site_is_put_right_without_a_new_integration(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY).add_course("Watercolor")
    answer = save_site(boss, name="New", site="shcool", secret=factories.KEY)
    assert marked(answer) == {"site", "secret"}
    assert "Either this site or the key below is wrong." in errors(answer)
    assert "Nothing is saved yet" not in words(answer)
    new = Integration.objects.get(name="New")
    assert rate_limit.blocked_for(new.pk)[0] == "key"
    answer = save_site(boss, new, name="New", site="school")
    assert said(answer) == [
        "New: saved. Connected. Refreshed: 1 course, 0 bundles, 0 signup fields (1 new course). "
        "Next step",
    ]
    assert marked(answer) == set()
    new.refresh_from_db()
    assert (new.site, new.secret(), new.connection) == ("school", factories.KEY, "connected")
    # From now on it is this school.
    assert "Another school: make a new" in errors(save_site(boss, new, name="New", site="shcool"))


def test_a_first_connect_that_was_refused_is_told_in_one_sentence_with_one_button(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    save_site(boss, name="New", site="shcool", secret=factories.KEY)
    new = Integration.objects.get(name="New")
    shown, overview = words(boss.get(page("change", new))), words(boss.get("/admin/"))
    for text in (shown, overview):
        assert text.count("Thinkific does not know this site, or rejects this key") == 1
        assert "Never connected" in text
        assert "Key rejected" not in text
    assert "New never connected: the address or the key is wrong." in overview
    assert "rejects the key of" not in overview
    new = Integration.objects.get(pk=new.pk)
    waits = wait_reasons.at_closed_site(new, CallBudget.Blocked.KEY)
    (alert,) = finding.find(codes=[ProblemCode.KEY_REFUSED])
    for text in (waits, str(wording.began(alert))):
        assert "New never connected: its address or its key is wrong." in text
    assert "enter the key again" not in shown.partition("For your technician")[0]
    buttons = boss.get(page("change", new)).content.decode()
    assert page("do_refresh", new) in buttons
    assert page("do_try_now", new) not in buttons
    # Once it has been read, what is refused is the key, and a pause may be tried.
    Integration.objects.update(refreshed_at=timezone.now())
    assert "Thinkific rejects the key of New." in words(boss.get("/admin/"))
    assert page("do_try_now", new) in boss.get(page("change", new)).content.decode()


def test_a_first_connect_without_a_plan_for_the_api_is_not_called_a_wrong_address(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    sandbox.faults.add(Fault("status", status=403, times=None))
    save_site(boss, name="New", site="school", secret=factories.KEY)
    overview = words(boss.get("/admin/"))
    assert "the address or the key is wrong" not in overview
    assert "rejects" not in overview
    assert "The plan of New has no API access, or the key no permission." in overview


def test_a_school_whose_plan_lost_the_api_is_not_told_to_enter_another_key(boss, world, sandbox):
    press_refresh(boss, world.integration)
    sandbox.faults.add(Fault("status", status=403, times=None))
    (told,) = said(press_refresh(boss, world.integration))
    both = "plan has no API access (Grow or higher is required), or the key lacks a permission"
    assert both in told
    assert "Put that right in Thinkific, then press Refresh." in told
    overview = boss.get("/admin/").content.decode()
    change = page("change", world.integration)
    shown = boss.get(change)
    new_rule = boss.get(f"{reverse('admin:new-rule')}?integration={world.integration.pk}")
    for html in (told, overview, shown.content.decode(), new_rule.content.decode()):
        assert "rejects" not in html
        assert "Key rejected" not in html
        assert "Enter the key" not in html
    assert f'action="{page("do_refresh", world.integration)}"' in overview
    assert "No API access" in words(shown)
    assert "lacks a permission" in errors(shown)
    site = Integration.objects.get()
    assert "no API access" in wait_reasons.at_closed_site(site, CallBudget.Blocked.KEY)
    (problem,) = finding.find(codes=[ProblemCode.KEY_REFUSED])
    assert "its Thinkific plan has no API access" in str(wording.began(problem))


def test_a_site_that_connected_stays_itself_though_its_key_is_rejected_later(boss, world):
    press_refresh(boss, world.integration)
    world.school.key = "f" * 32
    answer = press_refresh(boss, world.integration)
    assert "not refreshed" in said(answer)[0]
    asks = "While something waits, Admit asks Thinkific again every 10 minutes"
    assert asks in words(boss.get(page("change", world.integration)))
    page_of_it = boss.get(page("change", world.integration))
    assert marked(page_of_it) == {"secret"}
    assert "Thinkific rejects this key. Enter the one that Thinkific shows" in errors(page_of_it)
    key = f"{page('change', world.integration)}#id_secret"
    assert f'href="{key}">Enter the key' in boss.get("/admin/").content.decode()
    assert "Another school" in errors(save_site(boss, world.integration, site="other"))


def test_a_site_with_students_that_admit_knows_stays_itself(boss, world):
    ThinkificUser.objects.create(
        integration=world.integration, customer=factories.CustomerFactory.create(), user_id=7
    )
    assert "Another school" in errors(save_site(boss, world.integration, site="other"))


@pytest.mark.parametrize(
    ("status", "fields", "says"),
    [
        (401, {"site", "secret"}, "Either this key or the site above is wrong."),
        (403, {"secret"}, "plan has no API access (Grow or higher is required), or the key lacks"),
        (404, {"site"}, "Thinkific has no school here."),
        (429, set(), ""),
        (503, set(), ""),
    ],
)
def test_the_field_that_is_wrong_is_marked(boss, sandbox, status, fields, says):
    sandbox.add_school("school", key=factories.KEY)
    sandbox.faults.add(Fault("status", status=status, times=None))
    answer = save_site(boss, name="New", site="school", secret=factories.KEY)
    assert marked(answer) == fields
    assert says in errors(answer)
    assert "Connected" not in words(answer).partition("Last refreshed")[0].split()
    new = Integration.objects.get(name="New")
    # It is still marked when the page is opened later.
    assert marked(boss.get(page("change", new))) == fields


def test_what_the_site_of_before_answers_says_nothing_about_the_new_one(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    save_site(boss, name="New", site="shcool", secret=factories.KEY)
    before = Integration.objects.get(name="New")
    save_site(boss, before, name="New", site="school")
    reject_key(before, "Rejected.")
    now = Integration.objects.get(name="New")
    assert now.connection == "connected"
    assert rate_limit.blocked_for(now.pk)[0] == ""


def test_an_empty_key_keeps_the_old_one(boss, world):
    before = Integration.objects.get()
    answer = save_site(boss, world.integration, name="Renamed", send_welcome_email="on")
    (told,) = said(answer)
    assert told.startswith("Renamed: saved. Refreshed: 0 courses,")
    after = Integration.objects.get()
    assert after.secret() == factories.KEY
    assert (after.sealed_secret, after.secret_version) == (
        before.sealed_secret,
        before.secret_version,
    )
    assert after.send_welcome_email
    assert "Leave empty to keep the key that ends in …cdef." in words(answer)


def test_the_field_with_the_students_email_is_saved_and_shown(boss, world):
    world.sell("11_product")
    shown = boss.get(page("change", world.integration)).content.decode()
    (field,) = re.findall(r'<input[^>]*name="student_field"[^>]*>', shown)
    (list_id,) = re.findall(r'list="([^"]*)"', field)
    assert f'<datalist id="{list_id}">' in shown
    assert '<option value="Student e-mail">' in shown
    save_site(boss, world.integration, student_field=" Student e-mail ")
    assert Integration.objects.get().student_field == "Student e-mail"
    viewer = signed_in(roles.VIEWER)
    assert "In the custom field Student e-mail" in words(
        viewer.get(page("change", world.integration))
    )


def test_no_page_ever_tells_the_key(boss, world):
    viewer = signed_in(roles.VIEWER)
    for client in (boss, viewer):
        for path in (reverse(LIST), page("change", world.integration)):
            text = client.get(path).content.decode()
            assert "Art Academy" in text
            assert factories.KEY not in text
            assert world.integration.sealed_secret not in text


def test_the_tick_for_welcome_emails_is_kept_and_says_where_they_are(boss, world):
    assert "Support Your Students > Notifications" in words(
        boss.get(page("change", world.integration))
    )
    save_site(boss, world.integration, welcome_emails_on="on")
    assert Integration.objects.get().welcome_emails_on
    save_site(boss, world.integration)
    assert not Integration.objects.get().welcome_emails_on


# Tokens that end


def days(number: int) -> Any:
    return timezone.localdate() + timedelta(days=number)


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (15, ""),
        (14, "in 14 days"),
        (2, "in 2 days"),
        (1, "expires tomorrow"),
        (0, "expires today"),
        (-1, "expired on"),
    ],
)
def test_a_token_is_warned_of_fourteen_days_before_it_expires(boss, world, left: int, says: str):
    Integration.objects.update(secret_expires_on=days(left))
    text = words(boss.get(page("change", world.integration)))
    assert ("The access token of Art Academy" in text) == bool(says)
    assert says in text
    in_list = words(boss.get(reverse(LIST)))
    assert ("Token expires" in in_list) == bool(says)


def test_the_date_is_kept_for_a_token_and_goes_when_a_key_takes_its_place(boss, world):
    world.school.tokens = {TOKEN}
    save_site(boss, world.integration, secret=TOKEN, secret_expires_on=days(60).isoformat())
    assert Integration.objects.get().secret_expires_on == days(60)
    # Without a new key the stored one tells what it is.
    save_site(boss, world.integration, secret_expires_on=days(61).isoformat())
    assert Integration.objects.get().secret_expires_on == days(61)
    save_site(boss, world.integration, secret=factories.KEY, secret_expires_on=days(61).isoformat())
    assert Integration.objects.get().secret_expires_on is None


def test_a_token_that_has_ended_does_not_keep_one_from_saving_the_rest(boss, world):
    press_refresh(boss, world.integration)
    credentials.save(Integration.objects.get(), TOKEN)
    Integration.objects.update(secret_expires_on=days(-3))
    answer = save_site(
        boss, world.integration, name="Renamed", secret_expires_on=days(-3).isoformat()
    )
    # It is the token that Thinkific refuses now, and not what was saved.
    assert "Nothing is saved yet" not in words(answer)
    assert marked(answer) == {"secret"}
    assert Integration.objects.get().name == "Renamed"


# What waits

GOES_ON = "1 waiting action continues now, about 1 minute. See the actions"


def test_a_new_key_says_how_much_goes_on_and_how_long_that_takes(boss, world, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    course = world.course()
    for _ in range(37):
        queued.run(course)
    OrmQ.objects.all().delete()
    answer = save_site(boss, world.integration, secret=factories.KEY)
    assert said(answer)[0] == (
        "Art Academy: saved. Connected. 37 waiting actions continue now, about 1 minute. See the "
        "actions. Refreshed: 1 course, 0 bundles, 0 signup fields. Next step"
    )
    assert leads_to_what_waits(answer, world.integration)
    assert OrmQ.objects.count() == 1


def leads_to_what_waits(answer: Any, integration: Integration) -> bool:
    """Whether a message links the list of the actions that wait for this integration."""
    actions = f"{reverse('admin:events_rulerun_changelist')}?integration={integration.pk}"
    return f'{actions}&amp;status__exact=waiting">See the actions</a>' in markup(answer)


def test_without_a_worker_no_end_is_promised(boss, world):
    queued.run(world.course())
    Worker.objects.all().delete()
    first = said(save_site(boss, world.integration, secret=factories.KEY))[0]
    assert "Connected. 1 waiting action continues as soon as a worker runs." in first


def test_a_new_key_of_a_site_that_is_off_lets_nothing_go_on(boss, world):
    queued.run(world.course())
    Integration.objects.update(enabled=False)
    answer = save_site(boss, world.integration, secret=factories.KEY, enabled=None)
    assert said(answer)[0].startswith("Art Academy: saved. Connected. It is off:")
    assert "continue now" not in said(answer)[0]


def row_menu(client: Client) -> str:
    """What is behind the menu of the one integration in the list."""
    page = client.get(reverse(LIST)).content.decode()
    menus: list[str] = re.findall(r'<div class="sheet".*?</div>', page)
    return plain(" ".join(menus))


def test_the_menu_of_a_row_edits_it_and_turns_it_off_and_on(boss, world):
    queued.run(world.course())
    assert row_menu(boss) == (
        "Refresh Art Academy Turn off Art Academy Edit Art Academy Mapping Art Academy "
        "Delete Art Academy"
    )
    off = press(boss, world.integration, "turn_off", back=reverse(LIST))
    assert off.request["PATH_INFO"] == reverse(LIST)
    assert said(off) == [
        "Art Academy: saved. It is off: nothing is sent to Thinkific, and nothing is lost. "
        "1 action waits until you turn it on."
    ]
    assert not Integration.objects.get().enabled
    assert "Turn on Art Academy Edit Art Academy" in row_menu(boss)
    assert said(press(boss, world.integration, "turn_off")) == []
    on = press(boss, world.integration, "turn_on", back=reverse(LIST))
    assert said(on) == [f"Art Academy is on. {GOES_ON}"]
    assert leads_to_what_waits(on, world.integration)
    assert Integration.objects.get().enabled


def test_who_only_looks_is_offered_no_edit_in_the_menu_of_a_row(world):
    assert row_menu(signed_in(roles.VIEWER)) == "Mapping Art Academy"


def test_turning_off_and_on_says_what_that_means(boss, world):
    queued.run(world.course())
    (off,) = said(save_site(boss, world.integration, enabled=None))  # nothing of a refresh
    assert off == (
        "Art Academy: saved. It is off: nothing is sent to Thinkific, and nothing is lost. "
        "1 action waits until you turn it on."
    )
    assert not Integration.objects.get().enabled
    assert "Off" in words(boss.get(reverse(LIST)))
    assert said(save_site(boss, world.integration, enabled=None)) == [off]
    on = said(save_site(boss, world.integration))[0]
    found = "Refreshed: 1 course, 0 bundles, 0 signup fields."
    assert on == f"Art Academy: saved. It is on. {GOES_ON}. {found}"
    # And saving once more is no news.
    assert said(save_site(boss, world.integration)) == [f"Art Academy: saved. {found}"]


@pytest.mark.parametrize(
    ("button", "was_on", "field", "comes_to"),
    [
        ("turn_off", True, "enabled", False),
        ("turn_on", False, "enabled", True),
        ("note_welcome_emails", True, "welcome_emails_on", True),
        ("need_not_be_private", True, "private_not_wanted", True),
    ],
)
def test_no_button_puts_back_a_key_or_name_that_was_replaced_meanwhile(
    boss, world, button: str, was_on: bool, field: str, comes_to: bool
):
    Integration.objects.update(enabled=was_on)

    def replace() -> None:
        theirs = Integration.objects.get()
        theirs.name, theirs.student_field = "Art School", "Student"
        credentials.save(theirs, NEW_KEY)

    with meanwhile.after_reading("integrations_integration", replace):
        press(boss, world.integration, button)
    stored = Integration.objects.get()
    assert (stored.name, stored.student_field) == ("Art School", "Student")
    assert (stored.secret(), stored.secret_ending) == (NEW_KEY, NEW_KEY[-4:])
    assert stored.secret_version == world.integration.secret_version + 1
    assert getattr(stored, field) is comes_to
    last = AuditEntry.objects.latest("pk")
    assert (last.act, last.after) == ("integration_changed", {field: comes_to})


def test_saving_what_was_opened_before_puts_back_no_key_and_no_state_of_the_connection(world):
    mine, theirs = Integration.objects.get(), Integration.objects.get()
    credentials.save(theirs, NEW_KEY)
    Integration.objects.update(connection="refused", connection_message="No.")
    mine.student_field = "Student"
    credentials.save(mine)
    stored = Integration.objects.get()
    assert (stored.secret(), stored.secret_version) == (NEW_KEY, theirs.secret_version)
    assert (stored.connection, stored.connection_message) == ("refused", "No.")
    assert AuditEntry.objects.latest("pk").after == {"student_field": "Student"}
    assert mine.secret() == NEW_KEY


def test_two_keys_that_are_saved_at_once_count_as_two(world):
    mine, theirs = Integration.objects.get(), Integration.objects.get()
    credentials.save(theirs, NEW_KEY)
    credentials.save(mine, factories.KEY)
    assert Integration.objects.get().secret_version == world.integration.secret_version + 2


def test_an_integration_that_was_deleted_meanwhile_is_not_made_again(boss, world):
    with meanwhile.after_reading("integrations_integration", Integration.objects.all().delete):
        assert press(boss, world.integration, "turn_off").status_code == 404
    assert not Integration.objects.exists()


def test_turning_on_with_a_rejected_key_promises_nothing(boss, world, sandbox):
    queued.run(world.course())
    Integration.objects.update(enabled=False)
    sandbox.faults.add(Fault("status", status=401))
    first, second = said(save_site(boss, world.integration))
    assert first == "Art Academy: saved. It is on."
    assert second.startswith("Art Academy: not refreshed. Thinkific does not know this site")


# Refreshing


def test_refresh_tells_what_is_new_and_leads_back(boss, world):
    world.school.add_course("Watercolor")
    answer = press_refresh(boss, world.integration)
    assert said(answer) == [
        "Art Academy: refreshed. 1 course, 0 bundles, 0 signup fields (1 new course)."
    ]
    assert answer.redirect_chain == [(reverse(LIST), 302)]


def test_a_course_that_is_no_longer_listed_leads_to_its_rules_which_go_on(boss, world):
    course = world.course("Course Two")
    world.school.add_course("Course Three")
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.school.remove_course(world.school.courses[course.external_id])
    answer = press_refresh(boss, world.integration)
    assert said(answer) == [
        "Art Academy: refreshed. 1 course, 0 bundles, 0 signup fields (1 new course, 1 course no "
        "longer listed).",
        "1 course used by 2 rules is not listed by Thinkific: see them. The rules that use them "
        "keep running.",
    ]
    link = f"{reverse('admin:rules_rule_changelist')}?destination__id__exact={course.pk}"
    assert f'<a href="{link}">see them</a>' in answer.content.decode()
    shown = words(boss.get(page("change", world.integration)))
    assert f"Course Two Course {course.external_id}, not listed by Thinkific, 2 rules" in shown
    assert "gone from Thinkific" not in shown


def test_a_course_that_is_gone_leads_to_its_rules_until_they_are_put_right(boss, world):
    course = world.course("Course Two")
    world.rule("product_purchased", "create_course_enrollment", course)
    world.school.remove_course(world.school.courses[course.external_id])
    world.sell()
    world.settle()
    told = "1 course used by 1 rule is gone from Thinkific: choose another"
    assert said(press_refresh(boss, world.integration))[-1] == f"{told}."
    answer = boss.get(page("change", world.integration))
    shown = words(answer)
    assert told in shown
    link = rf'<a href="([^"]*another-course[^"]*course={course.pk}[^"]*)">choose another</a>'
    found = re.search(link, answer.content.decode())
    assert found is not None
    assert "Another course in place of Course Two" in words(boss.get(unescape(found[1])))
    support = signed_in(roles.SUPPORT)
    told_support = words(support.get(page("change", world.integration)))
    assert "1 course used by 1 rule is gone from Thinkific: see them" in told_support
    assert f"Course Two Course {course.external_id}, gone from Thinkific, 1 rule" in shown
    Rule.objects.all().delete()
    assert "used by" not in words(boss.get(page("change", world.integration)))


def test_of_several_that_are_not_listed_each_leads_to_its_rules(boss, world):
    course = world.course("<b>One</b>")
    bundle = world.bundle(course, name="All of it")
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_purchased", "create_bundle_enrollment", bundle)
    world.school.remove_bundle(world.school.bundles[bundle.external_id])
    world.school.remove_course(world.school.courses[course.external_id])
    answer = press_refresh(boss, world.integration)
    assert said(answer)[-1] == (
        "2 courses and bundles used by 2 rules are not listed by Thinkific: <b>One</b>, All of "
        "it. The rules that use them keep running."
    )
    for each in (course, bundle):
        assert f"?destination__id__exact={each.pk}" in markup(answer)
    assert "<b>One</b>" not in markup(answer)


def test_several_are_refreshed_at_once(boss, world, sandbox):
    sandbox.add_school("zoo", key="f" * 32)
    zoo = factories.connected("zoo", name="Zoo")
    data = {"action": "refresh_ticked", "_selected_action": [world.integration.pk, zoo.pk]}
    answer = boss.post(reverse(LIST), data, follow=True)
    first, second = said(answer)
    assert first.startswith("Art Academy: refreshed.")
    assert second.startswith("Zoo: not refreshed. Thinkific does not know this site")


def test_a_site_that_is_down_or_paused_is_said_in_words(boss, world, sandbox):
    sandbox.faults.add(Fault("status", status=503))
    (text,) = said(press_refresh(boss, world.integration))
    assert text == (
        "Art Academy: not refreshed. Thinkific answered with an error of its own. Try again later."
    )
    assert "Cannot connect" in words(boss.get(reverse(LIST)))
    shown = words(boss.get(page("change", world.integration)))
    assert (
        "Thinkific answered with an error of its own. Try again later. For your technician" in shown
    )


@pytest.mark.parametrize("why", [CallBudget.Blocked.KEY, CallBudget.Blocked.LIMIT])
def test_a_person_who_presses_refresh_is_not_put_off_by_a_pause(boss, world, why):
    rate_limit.block(world.integration.pk, why, 600)
    assert said(press_refresh(boss, world.integration))[0].startswith("Art Academy: refreshed.")
    assert rate_limit.blocked_for(world.integration.pk) == ("", 0)
    rate_limit.block(world.integration.pk, why, 600)
    ticked = {"action": "refresh_ticked", "_selected_action": [world.integration.pk]}
    assert said(boss.post(reverse(LIST), ticked, follow=True))[0].startswith("Art Academy: refr")


@pytest.mark.parametrize(
    ("fault", "why", "says"),
    [
        (Fault("status", status=401, times=None), "key", "Copy both once more from Thinkific"),
        (
            Fault("status", status=429, times=None, headers={"Retry-After": "100"}),
            "limit",
            "Try again in 100 seconds.",
        ),
    ],
)
def test_what_is_refused_again_is_paused_again(boss, world, sandbox, fault, why, says):
    sandbox.faults.add(fault)
    for _ in range(2):
        asked = len(sandbox.calls)
        (text,) = said(press_refresh(boss, world.integration))
        assert says in text
        assert len(sandbox.calls) > asked
        assert rate_limit.blocked_for(world.integration.pk)[0] == why


# Trying a paused site


def _press_try_now(client: Client, integration: Integration) -> list[str]:
    return said(client.post(page("do_try_now", integration), {"back": reverse(LIST)}, follow=True))


def test_a_paused_site_offers_to_be_tried_now_and_an_open_one_does_not(boss, world):
    address = page("change", world.integration)
    assert "Try now" not in words(boss.get(address))
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    assert "Try now" in words(boss.get(address))


def test_a_paused_site_has_one_button_and_refreshing_it_says_what_continues(boss, world):
    queued.run(world.course())
    address = page("change", world.integration)
    assert "Refresh" in buttons_of(boss, address)
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    Integration.objects.update(connection="refused", refreshed_at=timezone.now())
    assert "Try now" in buttons_of(boss, address)
    assert "Refresh" not in buttons_of(boss, address)
    (told,) = said(press_refresh(boss, world.integration))
    assert told.startswith("Art Academy: refreshed. 1 course")
    assert told.endswith(GOES_ON)
    (told,) = said(press_refresh(boss, world.integration))
    assert "continues now" not in told


def buttons_of(client: Client, address: str) -> str:
    """Return the labels of the buttons beside what the page says about the connection."""
    found = markup(client.get(address)).partition('<div class="page-tools">')[2]
    return found.partition("</section>")[0]


def test_a_paused_site_that_answers_goes_on_at_once(boss, world):
    made = queued.run(world.course())
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    assert _press_try_now(boss, world.integration) == [f"Art Academy: the pause is over. {GOES_ON}"]
    assert world.calls() == ["GET /courses"]
    queued.drain()
    assert queued.again(made).status == "done"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            Fault("status", status=401),
            "still rejected. Thinkific does not accept the key: the key or the subdomain is wrong",
        ),
        (Fault("status", status=429), "Thinkific asks for a longer pause. It continues by itself"),
        (Fault("reset"), "Thinkific did not answer. Admit asks again by itself"),
    ],
)
def test_a_paused_site_that_stays_closed_says_why(boss, world, sandbox, fault, text):
    made = queued.run(world.course())
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    sandbox.faults.add(fault)
    (message,) = _press_try_now(boss, world.integration)
    assert message.startswith(f"Art Academy: {text}")
    queued.drain()
    assert queued.again(made).status == "waiting"
    # Pressed again it asks again, however little time has passed.
    assert "the pause is over." in _press_try_now(boss, world.integration)[0]


# The list


def test_the_list_tells_what_each_site_has(boss, world):
    course = world.course()
    world.bundle(course)
    gone = world.course("Gone")
    world.school.remove_course(world.school.courses[gone.external_id])
    press_refresh(boss, world.integration)
    world.rule("product_purchased", "create_course_enrollment", course)
    text = boss.get(reverse(LIST)).content.decode()
    row = text[text.index("<tbody>") : text.index("</tbody>")]
    cells = re.findall(r'data-label="([^"]*)"[^>]*>(.*?)</t[dh]>', row, re.DOTALL)
    shown = {label: re.sub(r"<[^>]+>", "", cell).strip() for label, cell in cells if label}
    assert shown.pop("Last refreshed") != "Never"
    assert shown == {
        "Name": "Art Academy",
        "App": "Thinkific",
        "Site": "acme",
        "Connection": "Connected",
        "Courses": "1",
        "Bundles": "1",
        "Rules": "1",
    }
    assert f'href="{page("change", world.integration)}#mapping"' in row
    assert f'href="{page("delete", world.integration)}"' in row
    assert f'formaction="{page("do_refresh", world.integration)}"' in row
    assert f"?integration__id__exact={world.integration.pk}" in row


def test_an_empty_list_says_what_one_needs_and_where_it_is(boss, world):
    Integration.objects.all().delete()
    text = words(boss.get(reverse(LIST)))
    assert "Connect your Thinkific school." in text
    assert "plan of Grow or higher" in text
    assert "Settings > Code & Analytics > API" in text
    assert "New integration" in text


def test_the_pages_ask_few_questions_however_much_there_is(
    boss, world, django_assert_max_num_queries
):
    for number in range(20):
        rule = factories.RuleFactory.create()
        factories.FieldMappingFactory.create(
            profile_field=factories.ProfileFieldFactory.create(integration=world.integration)
        )
        queued.run(rule.destination, at=number)
    with django_assert_max_num_queries(8):
        assert boss.get(reverse(LIST)).status_code == 200
    with django_assert_max_num_queries(18):
        assert boss.get(page("change", world.integration)).status_code == 200
    with django_assert_max_num_queries(10):
        assert boss.get(page("delete", world.integration)).status_code == 200


# Deleting


def test_the_delete_page_counts_what_stops_and_deletes(boss, world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    for _ in range(3):
        queued.run(course)
    kept = queued.run(course, status="done")
    assert "Students keep" not in words(boss.get(page("delete", world.integration)))
    queued.grant(kept)
    text = words(boss.get(page("delete", world.integration)))
    assert "2 rules are deleted" in text
    assert "3 waiting actions fail" in text
    assert "Students keep the access they have." in text
    assert Integration.objects.exists()
    answer = boss.post(page("delete", world.integration), {"post": "yes"}, follow=True)
    assert said(answer) == [
        "Art Academy: deleted with its rules and mappings. What it did stays in the log."
    ]
    assert not Integration.objects.exists()
    assert not Rule.objects.exists()
    assert queued.again(kept).status == "done"


def test_what_may_be_turned_off_instead_has_a_way_there(boss, world):
    way = f'<a href="{page("change", world.integration)}#id_enabled">turn it off instead</a>'
    assert way in boss.get(page("delete", world.integration)).content.decode()
    Integration.objects.update(enabled=False)
    assert "turn it off" not in words(boss.get(page("delete", world.integration)))


def test_a_site_that_nothing_depends_on_says_so(boss, world):
    assert "Nothing depends on it" in words(boss.get(page("delete", world.integration)))


def test_deleting_much_is_gone_on_with_by_deleting_once_more(boss, world, monkeypatch):
    from events.retention import delete_integration

    queued.run(world.course())
    monkeypatch.setattr(delete_integration, "SECONDS", -1.0)
    (text,) = said(boss.post(page("delete", world.integration), follow=True))
    assert text.endswith("Press Delete once more for the rest.")
    assert not Integration.objects.get().enabled


def test_the_list_offers_no_deleting_without_that_page(boss, world):
    data = {"action": "delete_selected", "_selected_action": [world.integration.pk], "post": "yes"}
    boss.post(reverse(LIST), data)
    assert Integration.objects.exists()
    assert 'value="delete_selected"' not in markup(boss.get(reverse(LIST)))


# Who may do what


@pytest.mark.parametrize(
    ("role", "sees", "changes"),
    [
        (roles.MANAGER, True, True),
        (roles.SUPPORT, True, False),
        (roles.VIEWER, True, False),
        ("", False, False),
    ],
)
def test_each_role_may_do_what_it_is_for(boss, world, role: str, sees: bool, changes: bool):
    client = signed_in(role)
    site = world.integration
    seen = 200 if sees else 403
    assert client.get(reverse(LIST)).status_code == seen
    assert client.get(page("change", site)).status_code == seen
    assert client.get(page("add")).status_code == (200 if changes else 403)
    assert client.get(page("delete", site)).status_code == (200 if changes else 403)
    if sees:
        for path in (reverse(LIST), page("change", site)):
            text = client.get(path).content.decode()
            assert (page("do_refresh", site) in text) == changes
            assert (page("delete", site) in text) == changes
            assert ('name="secret"' in text) == (changes and path != reverse(LIST))
    refused = 302 if changes else 403
    assert client.post(page("do_refresh", site)).status_code == refused
    ticked = {"action": "refresh_ticked", "_selected_action": [site.pk]}
    client.post(reverse(LIST), ticked)
    calls = len(world.calls())
    assert calls == (4 if changes else 0)
    answer = save_site(client, site, name="Renamed")
    assert answer.status_code == (200 if changes else 403)
    assert (
        save_site(client, name="New", site="new", secret="k" * 32).status_code == answer.status_code
    )
    assert Integration.objects.filter(name__in=("Renamed", "New")).exists() == changes
    assert client.post(page("delete", site)).status_code == refused
    assert Integration.objects.filter(pk=site.pk).exists() != changes


def test_a_stranger_is_asked_to_sign_in(world, client):
    for path in (reverse(LIST), page("add"), *(page(what, world.integration) for what in PATHS)):
        for answer in (client.get(path), client.post(path)):
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))


PATHS = ("change", "delete", "do_refresh")


def test_one_that_is_not_there_is_not_found(boss):
    for what in ("change", "delete"):
        address = reverse(f"admin:integrations_integration_{what}", args=[999_999])
        assert boss.get(address).status_code == 404


def test_refreshing_is_done_by_post_only(boss, world):
    assert boss.get(page("do_refresh", world.integration)).status_code == 405
    assert world.calls() == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_the_sentence_above_the_key_is_seen_where_enter_the_key_leads(
    place: scenery.Scenery, address: str, browser: Browser, width: int
):
    reject_key(place.world.integration, "Why")
    key = f"{address}{page('change', place.world.integration)}#id_secret"
    with browsing.window(browser, browsing.Look((width, 844))) as context:
        shown = context.new_page()
        browsing.let_in(shown, address, place.people["Owner"])
        shown.goto(key)
        header, sentence = (
            shown.locator(each).bounding_box() for each in ("#header", ".field-secret .errorlist")
        )
        assert header
        assert sentence
        assert sentence["y"] >= header["y"] + header["height"]
