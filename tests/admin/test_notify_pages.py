"""The pages of Notify URLs: connecting, testing and repairing a receiver, and its rules."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from standardwebhooks import Webhook

from config.admin.pages.integrations.app_pages import APP_PAGES
from config.staff import roles
from events.models import EventLog, RuleRun, Worker
from integrations.app_registry import APPS
from integrations.calls import rate_limit
from integrations.models import ApiCall, CallBudget, Integration
from integrations.notify_url import signature
from rules.models import Rule
from tests.support import factories, meanwhile
from tests.support.pages import ACTIONS, errors, markup, press, said, signed_in, words
from tests.support.receiver import Receiver, answers, gone, redirects
from tests.support.world import World

pytestmark = pytest.mark.first_database

SECRET = signature.new_secret()
LIST = "admin:integrations_integration_changelist"
ADD = "admin:integrations_integration_add"
NEW_RULE = "admin:new-rule"


@pytest.fixture(autouse=True)
def _receivers_on_this_machine(settings) -> None:
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as serving:
        yield serving


@pytest.fixture
def crm(world: World, receiver: Receiver) -> Integration:
    """A Notify URL that is served, connected to Admit."""
    return world.receiver(receiver.url, SECRET)


@pytest.fixture
def manager(transactional_db) -> Client:
    Worker.objects.create(name="w", seen_at=timezone.now())
    return signed_in(roles.MANAGER)


def page_of(thing: Any, what: str = "change") -> str:
    meta = thing._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{what}", args=[thing.pk])


def save(client: Client, integration: Integration | None = None, **changes: Any) -> Any:
    """Fill in the form of a new or of this Notify URL, and press Save."""
    data = {"app": "notify_url", "name": "My CRM", "url": "", "enabled": "on"} | changes
    path = page_of(integration) if integration else reverse(ADD)
    return client.post(path, {k: v for k, v in data.items() if v is not None}, follow=True)


def secret_on(answer: Any) -> str:
    """The signing secret that the page shows."""
    page: str = markup(answer)
    return page.partition('id="secret-field"')[2].partition('value="')[2].partition('"')[0]


# Connecting


def test_every_app_has_a_page():
    assert set(APP_PAGES) == set(APPS)
    assert all(page.buttons for page in APP_PAGES.values())


def test_a_new_integration_asks_for_the_app_first(manager):
    answer = manager.get(reverse(ADD))
    assert "Which app do you want to connect?" in words(answer)
    for app, asks in (("thinkific", "API key or access token"), ("notify_url", "Address")):
        assert f'href="?app={app}"' in answer.content.decode()
        assert asks in words(manager.get(reverse(ADD), {"app": app}))


def test_an_app_that_nobody_knows_is_asked_for_again_and_nothing_is_saved(manager):
    assert "Which app" in words(save(manager, app="kajabi", url="https://example.com/"))
    assert not Integration.objects.exists()


@pytest.mark.parametrize(
    ("private", "told"),
    [(False, "It begins with https://."), (True, "It begins with https://, or with http://,")],
)
def test_an_address_is_said_to_begin_as_it_is_taken(manager, settings, private, told):
    settings.ALLOW_PRIVATE_NOTIFY_URLS = private
    pages = [f"{reverse('admin:integrations_integration_add')}?app=notify_url"]
    pages.append(reverse("admin:alerts-channel"))
    for page in pages:
        assert told in words(manager.get(page))
        assert ("or with http://" in words(manager.get(page))) == private
    assert ("must begin with https" in words(save(manager, url="http://127.0.0.1/"))) != private


def test_a_notify_url_is_saved_and_its_secret_is_shown_once(manager, receiver):
    answer = save(manager, url=f" {receiver.url} ")
    saved = Integration.objects.get()
    secret = secret_on(answer)
    assert saved.secret() == secret
    assert signature.key_of(secret)
    assert 'data-copy="secret-field"' in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert "Standard Webhooks" in words(answer)
    assert "It is shown only once." in words(answer)
    assert (saved.app, saved.url, saved.site) == ("notify_url", receiver.url, "127.0.0.1")
    assert saved.secret_ending == secret[-4:]
    for path in (page_of(saved), reverse(LIST), page_of(saved, "delete")):
        assert secret not in manager.get(path).content.decode()
    assert "ends in …" in words(manager.get(page_of(saved)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": ""}, "Enter the address of the receiver."),
        ({"url": "http://example.com/hook"}, "The address must begin with https://"),
        ({"url": "https://me:pass@example.com/"}, "must not contain a user name or a password"),
        ({"url": "https://example.com/#top"}, "Leave out the # and what follows"),
        ({"url": "https://127.0.0.1/hook"}, "is not on the public internet"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "is not on the public internet"),
        ({"url": "ftp://example.com/"}, "That is not an address on the web"),
        ({"url": f"https://127.0.0.1/{'x' * 600}"}, "The address is too long"),
        ({"name": ""}, "This field is required"),
        ({"name": "Art Academy"}, "There is an integration with this name already."),
    ],
)
def test_an_address_that_cannot_be_is_refused_in_words(
    manager, world, settings, changes: dict[str, Any], says: str
):
    settings.ALLOW_PRIVATE_NOTIFY_URLS = False
    answer = save(manager, **({"url": "https://127.0.0.1/"} | changes))
    assert says in errors(answer)
    assert "Nothing is saved yet" in words(answer)
    assert list(Integration.objects.all()) == [world.integration]


def test_the_name_is_changed_although_the_receiver_cannot_be_looked_up(manager, crm, settings):
    settings.ALLOW_PRIVATE_NOTIFY_URLS = False  # its address would be refused now
    assert said(save(manager, crm, name="Our CRM", url=crm.url)) == ["Our CRM: saved."]
    crm.refresh_from_db()
    assert (crm.name, crm.secret()) == ("Our CRM", SECRET)


def test_another_address_ends_the_pause_of_the_old_one(manager, crm, receiver):
    rate_limit.block(crm.pk, CallBudget.Blocked.AWAY, 600)
    Integration.objects.update(connection="unreachable", connection_message="It was away.")
    save(manager, crm, url=f"{receiver.url}/elsewhere")
    crm.refresh_from_db()
    assert (crm.url, crm.connection) == (f"{receiver.url}/elsewhere", "unknown")
    assert rate_limit.blocked_for(crm.pk)[1] == 0
    assert "It was away." not in words(manager.get(page_of(crm)))


def test_what_is_off_waits_and_goes_on_when_it_is_on_again(manager, world, crm, receiver):
    world.notify_rule("product_purchased", crm)
    (text,) = said(save(manager, crm, url=crm.url, enabled=None))
    assert "It is off: nothing is sent to the receiver, and nothing is lost." in text
    assert "Its actions wait until you turn it on." in text
    world.sell()
    assert [run.status for run in world.settle()] == ["waiting"]
    (text,) = said(save(manager, crm, url=crm.url))
    assert text.startswith("My CRM: saved. It is on. 1 waiting action continues now")
    assert [run.status for run in world.settle()] == ["done"]
    assert len(receiver.verified()) == 1


# The list


def test_the_list_shows_both_apps_and_only_what_each_has(manager, world, crm):
    world.notify_rule("product_purchased", crm)
    page = manager.get(reverse(LIST))
    text = words(page)
    assert (
        "My CRM Notify URL 127.0.0.1 Not checked yet – – 1 – ⋯ Actions for My CRM Send a test"
        in text
    )
    assert "Art Academy Thinkific acme" in text
    buttons = markup(page)
    assert page_of(crm, "do_refresh") not in buttons
    assert page_of(world.integration, "do_send_test") not in buttons
    assert f"{page_of(crm)}#mapping" not in buttons


def test_refreshing_both_reads_the_school_and_says_that_a_receiver_has_nothing(
    manager, world, crm, receiver
):
    data = {"action": "refresh_ticked", "_selected_action": [crm.pk, world.integration.pk]}
    told = said(manager.post(reverse(LIST), data, follow=True))
    assert any(line.startswith("Art Academy: refreshed.") for line in told)
    assert "My CRM: nothing to refresh. It has no courses or bundles." in told
    assert receiver.requests == []


@pytest.mark.parametrize("button", ["send_test", "new_secret"])
def test_a_school_has_no_buttons_of_a_receiver(manager, world, button: str):
    before = world.integration.secret()
    press(manager, world.integration, button)
    world.integration.refresh_from_db()
    assert world.integration.secret() == before
    assert world.calls() == []


# The secret


def test_a_new_secret_leaves_what_was_saved_meanwhile(manager, crm):
    stored = Integration.objects.filter(pk=crm.pk)
    rename = partial(stored.update, name="Our CRM", enabled=False)
    with meanwhile.after_reading("integrations_integration", rename):
        press(manager, crm, "new_secret")
    now = stored.get()
    assert (now.name, now.enabled) == ("Our CRM", False)
    assert now.secret_version == crm.secret_version + 1


def test_a_new_secret_is_shown_once_and_signs_from_then_on(manager, world, crm, receiver):
    world.notify_rule("product_purchased", crm)
    assert "The old secret stops working at once." in words(manager.get(page_of(crm)))
    answer = press(manager, crm, "new_secret")
    fresh = secret_on(answer)
    assert fresh != SECRET
    crm.refresh_from_db()
    assert crm.secret() == fresh
    world.sell()
    world.settle()
    receiver.secret = fresh
    assert len(receiver.verified()) == 1


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.VIEWER])
def test_who_does_not_set_up_sees_the_receiver_and_no_secret_or_form(manager, crm, role: str):
    client = signed_in(role)
    page = client.get(page_of(crm))
    assert crm.url in words(page)
    for hidden in (
        "<form method",
        SECRET,
        f"…{SECRET[-4:]}",
        "do_send_test",
        "do_new_secret",
        "Save",
    ):
        assert hidden not in markup(page).partition('<div class="page">')[2]
    for path in (page_of(crm, "do_new_secret"), page_of(crm, "do_send_test"), page_of(crm)):
        assert client.post(path).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403


# A test


def test_a_test_is_signed_marked_and_its_answer_is_told(manager, crm, receiver):
    assert said(press(manager, crm, "send_test")) == [
        "My CRM: the receiver accepted the test. It answered 200."
    ]
    (sent,) = receiver.requests
    assert sent.headers["admit-test"] == "true"
    assert sent.headers["admit-trigger"] == "product_purchased"
    found = Webhook(SECRET).verify(sent.body, sent.headers)
    assert found["type"] == "Order"
    assert found["customer"]["email"] == "test@example.com"
    crm.refresh_from_db()
    assert crm.connection == "connected"
    assert "Thank you." in words(manager.get(page_of(crm)))
    call = ApiCall.objects.get()
    assert (call.integration, call.run_id, call.status) == (crm, None, 200)
    assert not EventLog.objects.exists()


@pytest.mark.parametrize(
    ("behavior", "says"),
    [
        (gone, "The receiver answers 410 Gone: it does not want these messages anymore."),
        (answers(500), "127.0.0.1 answered 500 Internal Server Error: it failed on its side."),
        (answers(404), "127.0.0.1 answered 404 Not Found: it did not accept the message."),
        (redirects("https://example.com/"), "a redirect, which Admit does not follow."),
        (answers(429), "it wants fewer messages at a time."),
    ],
    ids=["410", "500", "404", "302", "429"],
)
def test_a_test_that_fails_says_what_the_receiver_answered(
    manager, crm, receiver, behavior, says: str
):
    receiver.behavior = behavior
    (text,) = said(press(manager, crm, "send_test"))
    assert text.startswith("My CRM: the test failed. ")
    assert says in text
    assert len(receiver.requests) == 1


def test_a_receiver_that_is_away_is_called_unreachable_until_a_test_arrives(
    manager, world, crm, receiver
):
    world.notify_rule("product_purchased", crm)
    there = crm.url
    Integration.objects.filter(pk=crm.pk).update(url="http://127.0.0.1:9/hook")
    (text,) = said(press(manager, crm, "send_test"))
    assert "refused the connection" in text
    text = words(manager.get(page_of(crm)))
    assert "Cannot connect" in text
    assert "Paused: My CRM could not be reached. Messages wait" in text
    world.sell()
    assert [run.status for run in world.settle()] == ["waiting"]
    Integration.objects.filter(pk=crm.pk).update(url=there)
    (text,) = said(press(manager, crm, "send_test"))
    assert text.startswith(
        "My CRM: the receiver accepted the test. It answered 200. 1 waiting action"
    )
    crm.refresh_from_db()
    assert crm.connection == "connected"
    assert [run.status for run in world.settle()] == ["done"]


def test_a_secret_that_this_server_cannot_open_is_replaced_by_a_new_one(
    manager, world, crm, settings
):
    world.notify_rule("product_purchased", crm)
    settings.FIELD_ENCRYPTION_KEYS = ["b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktISE="]
    (text,) = said(press(manager, crm, "send_test"))
    assert "press New secret" in text
    world.sell()
    world.settle()
    overview = words(manager.get(reverse("admin:index")))
    assert "The signing secret of My CRM cannot be opened." in overview
    assert "My CRM Secret unreadable – The stored secret cannot be opened" in overview
    assert "rejects the key of My CRM" not in overview
    assert "Paused until" not in overview
    assert "asked for a pause" not in words(manager.get(page_of(crm)))
    assert secret_on(press(manager, crm, "new_secret"))
    assert [run.status for run in world.settle()] == ["done"]
    assert said(press(manager, crm, "send_test")) == [
        "My CRM: the receiver accepted the test. It answered 200."
    ]


# Paused


def paused(world: World, crm: Integration) -> RuleRun:
    """A message that waits because its receiver could not be reached."""
    world.notify_rule("product_purchased", crm)
    rate_limit.block(crm.pk, CallBudget.Blocked.AWAY, 600)
    world.sell()
    (run,) = world.settle()
    return run


def test_a_paused_receiver_is_said_so_everywhere_and_goes_on_by_a_button(
    manager, world, crm, receiver
):
    run = paused(world, crm)
    button = page_of(crm, "do_try_now")
    owner = signed_in(is_superuser=True)
    for client, page in (
        (manager, reverse("admin:index")),
        (owner, reverse("admin:queue")),
        (manager, page_of(crm)),
    ):
        answer = client.get(page)
        assert "Paused" in words(answer)
        assert button in answer.content.decode()
    assert "Not checked yet Paused" in words(manager.get(reverse(LIST)))
    assert "My CRM could not be reached. It continues by itself." in words(
        manager.get(page_of(run))
    )
    told = said(press(manager, crm, "try_now", back=reverse("admin:index")))
    assert told == [
        "My CRM: the pause is over. 1 waiting action continues now, about 1 minute. See the actions"
    ]
    assert [run.status for run in world.settle()] == ["done"]
    assert len(receiver.requests) == 1


def test_support_reads_of_a_pause_and_has_no_button_to_end_it(manager, world, crm):
    paused(world, crm)
    answer = signed_in(roles.SUPPORT).get(reverse("admin:index"))
    assert "Paused until" in words(answer)
    assert page_of(crm, "do_try_now") not in markup(answer)


def test_a_pause_that_is_over_is_told_nowhere(manager, world, crm):
    paused(world, crm)
    CallBudget.objects.update(blocked_until=0)
    for page in (reverse("admin:index"), reverse(LIST)):
        assert "Paused" not in words(manager.get(page)), page
    text = words(signed_in(is_superuser=True).get(reverse("admin:queue")))
    assert "My CRM Open At once" in text


def test_the_checklist_asks_for_a_school_and_a_notify_url_is_none(manager, crm):
    Integration.objects.exclude(pk=crm.pk).delete()
    Integration.objects.update(connection="connected")
    page = manager.get(reverse("admin:index"))
    connected = page.context["path"].now
    assert (connected.text, connected.url) == (
        "Connect Thinkific",
        f"{reverse(ADD)}?app=thinkific",
    )


# Rules


@pytest.mark.parametrize("scope", ["global", "product"])
def test_a_new_rule_asks_for_app_action_and_trigger_and_for_no_course(
    manager, world, crm, scope: str
):
    product = factories.ProductFactory.create(marketplace=world.marketplace, name="Gift Card")
    answers = {"scope": "global"} if scope == "global" else {"product": product.pk}
    text = words(manager.get(reverse(NEW_RULE), answers))
    assert "My CRM Post what SamCart sends to an address of your choice" in text
    answers |= {"integration": crm.pk}
    page = manager.get(reverse(NEW_RULE), answers)
    assert "Send HTTP POST" in words(page)
    assert "Enrollment" not in words(page)
    assert "4. Course" not in words(page)
    assert ("Student Added to Course" in words(page)) is (scope == "global")
    answers |= {"action": "send_http_post", "trigger": "product_refunded"}
    page = manager.get(reverse(NEW_RULE), answers)
    about = "any product" if scope == "global" else "Gift Card"
    assert f"When {about} is refunded, send an HTTP POST to My CRM." in words(page)
    assert "end access" not in words(page)
    page = manager.post(reverse(NEW_RULE), answers, follow=True)
    assert "Rule added" in words(page)
    rule = Rule.objects.get()
    assert (rule.action, rule.destination, rule.scope) == ("send_http_post", None, scope)
    page = manager.post(reverse(NEW_RULE), answers, follow=True)
    assert said(page) == ["Nothing was added: this rule exists already."]


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "create_course_enrollment"},
        {"action": "x"},
        {"trigger": "x"},
        {"integration": "999"},
    ],
)
def test_what_does_not_fit_is_never_replaced_unseen(manager, world, crm, wrong):
    answers = {"scope": "global", "integration": crm.pk, "action": "send_http_post"}
    answers |= {"trigger": "product_purchased"} | wrong
    page = manager.post(reverse(NEW_RULE), answers, follow=True)
    assert said(page) == ["Something was missing or has gone meanwhile. Choose it again."]
    assert not Rule.objects.exists()


def test_with_one_app_the_other_is_offered(manager, world):
    page = manager.get(reverse(NEW_RULE), {"scope": "global"})
    assert f"{reverse(ADD)}?app=notify_url" in page.content.decode()
    assert "Send HTTP POST" not in words(page)


def test_a_rule_without_a_course_is_listed_edited_switched_and_deleted(manager, world, crm):
    rule = world.notify_rule("product_refunded", crm)
    listed = words(manager.get(reverse("admin:rules_rule_changelist")))
    assert "Product Refunded → send HTTP POST to My CRM On" in listed
    page = manager.get(page_of(rule))
    assert "When any product is refunded, send an HTTP POST to My CRM." in words(page)
    for hidden in ("4. Course", "by its number", "Create Course"):
        assert hidden not in words(page)
    data = {
        "marketplace": rule.marketplace_id,
        "scope": "global",
        "trigger": "subscription_charged",
        "integration": crm.pk,
        "action": "send_http_post",
        "enabled": "on",
    }
    manager.post(page_of(rule), data)
    rule.refresh_from_db()
    assert (rule.trigger, rule.destination) == ("subscription_charged", None)
    school = data | {"integration": world.integration.pk}
    assert "is no action of Art Academy" in words(manager.post(page_of(rule), school))
    press(manager, rule, "switch_off")
    rule.refresh_from_db()
    assert not rule.enabled
    assert "Students keep" not in words(manager.get(page_of(rule, "delete")))
    manager.post(page_of(rule, "delete"), {"post": "yes"})
    assert not Rule.objects.exists()


def test_a_viewer_sees_a_rule_without_a_course(manager, world, crm):
    rule = world.notify_rule("product_refunded", crm)
    text = words(signed_in(roles.VIEWER).get(page_of(rule)))
    assert "send an HTTP POST to My CRM" in text
    assert "Course or bundle" not in text


def test_a_products_page_and_the_copying_of_its_rules_know_rules_without_a_course(
    manager, world, crm
):
    rule = world.notify_rule("product_purchased", crm, "1048001")
    assert rule.product
    text = words(manager.get(page_of(rule.product)))
    assert "Product Purchased → send HTTP POST to My CRM On" in text
    assert "Nothing takes access away" not in text
    other = factories.ProductFactory.create(marketplace=world.marketplace)
    copy = reverse("admin:integrations_product_copy", args=[other.pk])
    assert "end HTTP POST to My CRM" in words(manager.get(copy, {"from": rule.product.pk}))
    manager.post(f"{copy}?from={rule.product.pk}", {"rule": [rule.pk]})
    assert other.rules.get().destination is None


def test_a_simulation_tells_the_post_and_sends_nothing(manager, world, crm, receiver):
    world.notify_rule("product_refunded", crm)
    text = words(manager.get(reverse("admin:simulate"), {"trigger": "product_refunded"}))
    assert "send an HTTP POST to My CRM" in text
    assert "Send what SamCart sent" in text
    assert "POST 127.0.0.1" in text
    assert "would fail" not in text
    assert receiver.requests == []


def test_earlier_events_are_listed_and_sent_once_a_rule_is_there(manager, world, crm, receiver):
    world.sell("20_product")
    rule = world.notify_rule("product_refunded", crm)
    page = f"{reverse('admin:earlier')}?rule={rule.pk}"
    text = words(manager.get(page))
    assert "Send HTTP POST to My CRM" in text
    assert "Run it for this customer now" in text
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    assert len(receiver.verified()) == 1


# What was sent


def test_a_message_that_arrived_is_told_on_the_pages_of_event_and_action(
    manager, world, crm, receiver
):
    world.notify_rule("product_purchased", crm)
    event = world.sell()
    (run,) = world.settle()
    text = words(manager.get(page_of(event)))
    assert "Send HTTP POST to My CRM Done" in text
    assert "My CRM on My CRM" not in text
    assert "1 call to the receiver" in text
    text = words(manager.get(page_of(run)))
    assert "Sent to My CRM." in text
    assert "Receiver’s answer 200" in text
    assert "Code posted" in text
    assert receiver.requests[0].headers["webhook-id"] in text
    assert "Edit the address" not in text
    assert "Send HTTP POST to My CRM" in words(manager.get(reverse(ACTIONS)))


def test_a_receiver_that_is_gone_is_said_with_what_to_do_beside_it(manager, world, crm, receiver):
    rule = world.notify_rule("product_purchased", crm)
    receiver.behavior = answers(410, body="<b>deleted</b>")
    event = world.sell()
    (run,) = world.settle()
    assert (run.status, run.code) == ("failed", "receiver_gone")
    for thing in (run, event):
        page = manager.get(page_of(thing))
        assert "it does not want these messages anymore" in words(page)
        assert "Edit the address" in words(page)
        assert page_of(crm) in markup(page)
        for button in ("turn_rule_off", "retry"):
            assert page_of(run, f"do_{button}") in markup(page), button
        assert "<b>deleted" not in markup(page)
    assert "Receiver’s answer 410" in words(manager.get(page_of(run)))
    (text,) = said(press(manager, run, "turn_rule_off"))
    assert text.startswith("1 rule turned off, from the next event on.")
    rule.refresh_from_db()
    assert not rule.enabled
    assert page_of(run, "do_turn_rule_off") not in markup(manager.get(page_of(run)))


def test_a_retry_of_a_person_is_a_new_message(manager, world, crm, receiver):
    world.notify_rule("product_purchased", crm)
    receiver.behavior = gone
    world.sell()
    (run,) = world.settle()
    receiver.behavior = answers(204)
    support = signed_in(roles.SUPPORT)
    assert said(press(support, run, "retry")) == ["1 queued."]
    assert [run.status for run in world.settle()] == ["done"]
    first, second = receiver.verified()
    assert first != second


def test_support_retries_and_is_not_led_to_what_only_managers_may_do(manager, world, crm, receiver):
    world.notify_rule("product_purchased", crm)
    receiver.behavior = gone
    world.sell()
    (run,) = world.settle()
    page = markup(signed_in(roles.SUPPORT).get(page_of(run)))
    assert page_of(run, "do_retry") in page
    assert "Edit the address" not in page
    assert page_of(run, "do_turn_rule_off") not in page


def test_a_message_that_will_be_tried_again_says_why_and_where_to_edit(
    manager, world, crm, receiver
):
    world.notify_rule("product_purchased", crm)
    receiver.behavior = redirects("https://example.com/")
    world.sell()
    (run,) = world.settle()
    text = words(manager.get(page_of(run)))
    assert "Will retry" in text
    assert "a redirect, which Admit does not follow" in text
    assert "Code redirected" in text
    assert "Edit the address" in text
    assert "Turn the rule off" not in text


def test_an_event_whose_body_is_gone_says_so_and_blames_no_receiver(manager, world, crm, receiver):
    world.notify_rule("product_purchased", crm)
    event = world.sell()
    event.delivery.sealed_body, event.delivery.body_removed_at = (
        b"",
        timezone.now() + timedelta(days=1),
    )
    event.delivery.save()
    (run,) = world.settle()
    assert (run.status, run.code) == ("failed", "no_body")
    text = words(manager.get(page_of(run)))
    assert "is not kept anymore, so nothing was sent to My CRM" in text
    assert "Edit the address" not in text
    assert receiver.requests == []


def test_a_message_of_an_order_without_a_usable_e_mail_is_sent_and_asks_for_none(
    manager, world, crm, receiver
):
    world.notify_rule("product_purchased", crm)
    receiver.behavior = gone
    event = world.sell(customer__email="dana@@example.com")
    (run,) = world.settle()
    assert len(receiver.verified()) == 1
    for thing in (run, event):
        page = words(manager.get(page_of(thing)))
        assert "does not want these messages" in page
        assert "Enter the right e-mail" not in page
    assert said(press(manager, run, "retry")) == ["1 queued."]
    assert "dana@@example.com" in words(manager.get(page_of(event)))


# The customer


def first_line(client: Client, event: EventLog) -> str:
    """The first sentence of the customer's page."""
    page = markup(client.get(page_of(event.customer)))
    return page.partition('<div class="note ')[2].partition("</p>")[0]


def test_a_message_gives_no_access_and_the_customers_first_line_says_so(
    manager, world, crm, receiver
):
    world.notify_rule("product_purchased", crm)
    event = world.sell()
    world.settle()
    assert "no rule gives anything for it" in first_line(manager, event)
    assert "Paid, nothing given" in words(manager.get(page_of(event)))
    assert "nothing given" in words(manager.get(reverse("admin:index")))


@pytest.mark.parametrize("behavior", [answers(200), gone], ids=["taken", "refused"])
def test_a_message_does_not_hide_that_the_customer_has_her_course(
    manager, world, crm, receiver, behavior
):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.notify_rule("product_purchased", crm)
    receiver.behavior = behavior
    event = world.sell()
    world.settle()
    assert "has had Course Two since" in first_line(manager, event)
    page = manager.get(page_of(event.customer))
    assert "end HTTP POST to My CRM" in words(page)


def test_checking_in_thinkific_asks_no_receiver(manager, world, crm, receiver):
    world.notify_rule("product_purchased", crm)
    event = world.sell()
    world.settle()
    receiver.requests.clear()
    told = said(press(manager, event.customer, "ask_thinkific"))
    assert not any("My CRM" in line for line in told)
    assert receiver.requests == []


# Filters, and deleting


def test_actions_and_events_are_filtered_by_receiver_and_by_action(manager, world, crm, receiver):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.notify_rule("product_refunded", crm)
    world.sell()
    world.sell("20_product")
    world.settle()
    for query in ({"integration": crm.pk}, {"action__exact": "send_http_post"}):
        page = manager.get(reverse(ACTIONS), query)
        assert "1 action" in words(page)
        assert "Send HTTP POST to My CRM" in words(page)
    log = manager.get(reverse("admin:events_eventlog_changelist"), {"integration": crm.pk})
    assert "Product Refunded" in words(log).partition("1 action")[0]
    assert "1 event" in words(log)
    rules = manager.get(reverse("admin:rules_rule_changelist"), {"action__exact": "send_http_post"})
    assert "1 rule" in words(rules)


def test_deleting_a_receiver_counts_what_stops_and_leaves_the_history(
    manager, world, crm, receiver
):
    world.notify_rule("product_purchased", crm)
    event = world.sell()
    (run,) = world.settle()
    text = words(manager.get(page_of(crm, "delete")))
    assert "1 rule is deleted" in text
    assert "Students" not in text
    assert "Thinkific" not in text.partition("This stops working")[2]
    assert said(manager.post(page_of(crm, "delete"), follow=True))[0].startswith("My CRM: deleted")
    assert list(Integration.objects.all()) == [world.integration]
    assert "Sent to My CRM." in words(manager.get(page_of(run)))
    assert "Send HTTP POST to My CRM Done" in words(manager.get(page_of(event)))
