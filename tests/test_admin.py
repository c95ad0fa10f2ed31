"""The admin as a person meets it: every page opens, every button does what it says."""

import html
import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from events.models import Delivery, EventLog, RuleRun, Worker
from integrations.admin import ReadOnlyAdmin
from integrations.models import (
    ApiCall,
    Customer,
    Destination,
    Integration,
    Intent,
    Learner,
    Marketplace,
    Product,
    ProfileField,
    WebhookSecret,
)
from integrations.thinkific.sandbox import Fault
from rules.models import NamedType, Rule
from tests import factories

LOGS: set[Any] = {
    ApiCall,
    Customer,
    Delivery,
    Destination,
    EventLog,
    Intent,
    Learner,
    ProfileField,
    RuleRun,
    Worker,
}
WRITABLE: set[Any] = {Integration, Marketplace, NamedType, Product, Rule}
OURS: list[Any] = sorted(LOGS | WRITABLE, key=lambda model: model.__name__)


def page(model: Any, what: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=arguments)


@pytest.fixture
def boss(world) -> Client:
    """A person who may do everything."""
    return signed_in(get_user_model().objects.create_superuser("boss", "boss@example.com", "pw"))


def signed_in(user) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(user)
    return client


def staff(*permissions: str) -> Client:
    """A person who may sign in and has these permissions, as "view_rulerun"."""
    user = get_user_model().objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    return signed_in(user)


def act(client: Client, action: str, *chosen: Any, **data: Any) -> Any:
    """Choose rows of a list and carry out one of its actions."""
    data |= {"action": action, "_selected_action": [row.pk for row in chosen]}
    return client.post(page(type(chosen[0])), data, follow=True)


def said(response: Any) -> list[str]:
    """The messages that the page shows."""
    found = re.findall(r'<ul class="messagelist">(.*?)</ul>', response.content.decode(), re.DOTALL)
    return [html.unescape(text) for text in re.findall(r"<li[^>]*>(.*?)</li>", "".join(found))]


def errors(response: Any) -> str:
    found = re.findall(r'<ul class="errorlist.*?</ul>', response.content.decode(), re.DOTALL)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", text) for text in found))


@pytest.fixture
def everything(world) -> dict[Any, Any]:
    """At least one row of every model that has a page."""
    course = world.course()
    world.school.add_field("Company")
    world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    world.sell("10_product")
    world.settle()
    world.sell("91_edge_unknown")
    world.post(b"not json")
    world.settle()
    factories.ProfileFieldFactory(integration=world.integration)
    Worker.objects.create(name="here-1-1")
    NamedType.objects.create(
        marketplace=world.marketplace, type="something", trigger="product_refunded"
    )
    Intent.objects.create(
        integration=world.integration, customer=Customer.objects.get(), target="course:1"
    )
    return {model: list(model._default_manager.all()) for model in OURS}


# Pages


def test_these_models_have_pages_and_no_others_of_ours():
    registered = {model for model in admin.site._registry if model.__module__[:7] != "django."}
    assert registered == LOGS | WRITABLE
    for model in LOGS:
        assert isinstance(admin.site._registry[model], ReadOnlyAdmin), model


def test_every_list_and_every_row_opens_and_none_tells_a_secret(boss, everything, world):
    sealed = [world.integration.sealed_secret, WebhookSecret.objects.get().sealed]
    hidden = [factories.KEY, world.secret, WebhookSecret.objects.get().digest, *sealed]
    for model, rows in everything.items():
        assert rows, model
        paths = [page(model), f"{page(model)}?q=dana", f"{page(model)}?q=5"]
        paths += [page(model, "change", row.pk) for row in rows]
        paths += [page(model, "history", rows[0].pk)]
        if model in WRITABLE:
            paths += [page(model, "add"), page(model, "delete", rows[0].pk)]
        for path in paths:
            answer = boss.get(path)
            assert answer.status_code == 200, path
            text = answer.content.decode()
            assert [secret for secret in hidden if secret in text] == [], path
    assert boss.get(reverse("admin:index")).status_code == 200


def test_an_anonymous_person_is_asked_to_sign_in(client, db):
    for model in OURS:
        for path in (page(model), page(model, "add"), page(model, "change", 1)):
            answer = client.get(path)
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))


def test_logs_are_looked_at_and_never_written(boss, everything):
    for model in LOGS:
        row = everything[model][0]
        assert boss.get(page(model, "add")).status_code == 403, model
        assert boss.post(page(model, "change", row.pk), {"name": "x"}).status_code == 403, model
        assert boss.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
        act(boss, "delete_selected", row, post="yes")
        assert model._default_manager.filter(pk=row.pk).exists(), model
        assert 'name="_save"' not in boss.get(page(model, "change", row.pk)).content.decode()


def test_the_queue_has_no_pages(boss):
    assert [label for label in admin.site._registry if label._meta.app_label == "django_q"] == []
    assert boss.get("/admin/django_q/").status_code == 404


def test_what_strangers_send_is_escaped_on_every_page(boss, world):
    hostile = "<script>alert(1)</script>'\"\u202egnp.exe" + "x" * 10_000
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell(
        "10_product",
        type=hostile[:80],
        product__name=hostile,
        customer__first_name=hostile,
        customer__last_name=hostile,
        order__id=hostile[:40],
    )
    world.sell("10_product", product__name=hostile, customer__first_name=hostile)
    world.settle()
    world.sell("10_product", trigger=hostile[:60].replace("/", "."))
    world.post(hostile.encode())
    world.post({"type": "Order"}, content_type=hostile[:60], QUERY_STRING=hostile[:60])
    world.settle()
    assert EventLog.objects.count() == 5
    assert ApiCall.objects.filter(request_body__contains="<script>").exists()
    for model in (EventLog, RuleRun, Delivery, Product, Customer, Learner, ApiCall):
        rows = list(model._default_manager.all())
        assert rows
        for path in [page(model), *(page(model, "change", row.pk) for row in rows)]:
            answer = boss.get(path)
            assert answer.status_code == 200
            assert b"<script>alert" not in answer.content, path
    event = EventLog.objects.filter(status="done").get()
    detail = boss.get(page(EventLog, "change", event.pk)).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in detail
    body = detail.partition("<pre>")[2].partition("</pre>")[0]
    assert "\\u202egnp.exe" in body  # spelled out: it would turn the text around
    assert "\u202e" not in body


# SamCart accounts


def test_the_address_is_shown_on_request_alone_and_kept_nowhere(boss, world):
    chosen = {"action": "show_address", "_selected_action": [world.marketplace.pk]}
    shown = boss.post(page(Marketplace), chosen)
    assert f"/hooks/samcart/{world.secret}/" in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    # Messages travel in cookies and sessions, and are seen on the next page.
    assert world.secret not in str(shown.cookies)
    assert world.secret not in boss.get(page(Marketplace)).content.decode()


def test_a_new_address_leaves_the_old_one_for_a_week(boss, world):
    shown = act(boss, "new_secret", world.marketplace)
    assert world.secret not in shown.content.decode()
    old, new = WebhookSecret.objects.order_by("pk")
    assert (old.expires_at is not None, new.expires_at) == (True, None)
    found = re.search(r"/hooks/samcart/([^/]+)/", shown.content.decode())
    assert found
    assert world.post({"type": "Order"}, secret=found[1]).status_code == 200
    assert world.post({"type": "Order"}).status_code == 200


def test_a_new_account_gets_an_address(boss, world):
    boss.post(page(Marketplace, "add"), _inline({"name": "Second shop"}, "webhook_secrets"))
    second = Marketplace.objects.get(name="Second shop")
    assert second.webhook_secrets.count() == 1
    assert "/hooks/samcart/" in act(boss, "show_address", second).content.decode()


def test_an_address_that_cannot_be_opened_is_said(boss, world):
    WebhookSecret.objects.update(sealed="gAAAAA")
    shown = act(boss, "show_address", world.marketplace).content.decode()
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS" in shown


# Thinkific sites


def _inline(data: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"} | data


def save_site(client: Client, integration: Integration | None = None, **changes: Any) -> Any:
    data = {
        "app": "thinkific",
        "name": "Art Academy",
        "site": "acme",
        "secret": "",
        "enabled": "on",
    } | changes
    path = page(Integration, "change", integration.pk) if integration else page(Integration, "add")
    return client.post(path, _inline(data, "field_mappings"), follow=True)


@pytest.mark.parametrize(
    "site", ["school", "School.thinkific.com", " https://school.thinkific.com/manage?x=1 "]
)
def test_a_site_in_any_form_is_saved_and_its_key_is_checked(boss, sandbox, site: str):
    school = sandbox.add_school("school", key=factories.KEY)
    school.add_course("Watercolor")
    answer = save_site(boss, name="New", site=site, secret=f" {factories.KEY} ")
    assert said(answer)[-1] == ("New: refreshed. 1 course, 0 bundles, 0 signup fields (1 new).")
    saved = Integration.objects.get(name="New")
    assert (saved.site, saved.secret(), saved.connection) == ("school", factories.KEY, "connected")
    assert saved.destinations.get().name == "Watercolor"
    assert factories.KEY not in answer.content.decode()


def test_a_wrong_key_is_saved_and_said_and_the_right_one_heals(boss, sandbox):
    sandbox.add_school("school", key=factories.KEY)
    answer = save_site(boss, name="New", site="school", secret="f" * 32)
    (problem,) = [text for text in said(answer) if text.startswith("New: ")]
    assert "key" in problem
    saved = Integration.objects.get(name="New")
    assert saved.connection == "refused"
    answer = save_site(boss, saved, name="New", site="school", secret=factories.KEY)
    assert said(answer)[-1].startswith("New: refreshed.")
    saved.refresh_from_db()
    assert saved.connection == "connected"


def test_a_site_that_is_down_is_said_in_words(boss, world, sandbox):
    sandbox.faults.add(Fault("status", status=503, times=None))
    answer = save_site(boss, world.integration)
    assert len(said(answer)) == 2
    assert said(answer)[1].startswith("Art Academy: ")
    assert "Traceback" not in answer.content.decode()
    # And while the site must not be called, that is said too.
    sandbox.faults.clear()
    sandbox.faults.add(Fault("status", status=429, headers={"Retry-After": "100"}))
    act(boss, "refresh", world.integration)
    (text,) = said(act(boss, "refresh", world.integration))
    assert re.fullmatch(r"Art Academy may not be called for \d+ s yet. Refresh it then\.", text)


def test_an_empty_key_keeps_the_old_one(boss, world):
    before = Integration.objects.get()
    answer = save_site(boss, world.integration, name="Renamed", send_welcome_email="on")
    assert said(answer)[-1].startswith("Renamed: refreshed.")
    after = Integration.objects.get()
    assert after.secret() == factories.KEY
    assert (after.sealed_secret, after.secret_version) == (
        before.sealed_secret,
        before.secret_version,
    )
    assert after.send_welcome_email


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"site": "courses.acme.com"}, "That is your own domain."),
        ({"site": "www.thinkific.com"}, "That is an address of Thinkific itself."),
        ({"site": "a b"}, "A subdomain has only the letters"),
        ({"site": "acme", "name": "Other"}, "already exists"),
        ({"name": "Art Academy"}, "already exists"),
        ({"secret": ""}, "This field is required"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_site_that_cannot_be_is_refused_in_words(boss, world, changes, says: str):
    key = "k" * 32
    answer = save_site(boss, **({"name": "New", "site": "new", "secret": key} | changes))
    assert says in errors(answer)
    assert Integration.objects.count() == 1
    assert key not in answer.content.decode()
    assert world.calls() == []


def test_a_site_is_not_turned_into_another(boss, world):
    answer = save_site(boss, world.integration, site="other")
    assert "Another school: make a new integration for it." in errors(answer)
    assert Integration.objects.get().site == "acme"


@pytest.mark.parametrize("key", ["schlüssel" * 4, "two words" * 4, "a\nb" * 10, "x" * 5000])
def test_a_key_of_any_form_breaks_nothing(boss, world, key: str):
    answer = save_site(boss, world.integration, secret=key)
    assert answer.status_code == 200
    assert errors(answer) or said(answer)[-1].startswith("Art Academy: ")
    assert Integration.objects.get().connection != "connected" or errors(answer)


def test_refresh_tells_what_is_new(boss, world):
    world.school.add_course("Watercolor")
    (text,) = said(act(boss, "refresh", world.integration))
    assert text == "Art Academy: refreshed. 1 course, 0 bundles, 0 signup fields (1 new)."


def test_a_signup_field_of_type_text_can_be_mapped(boss, world):
    world.school.add_field("Company")
    world.school.add_field("Country", field_type="dropdown", options=("Canada",))
    act(boss, "refresh", world.integration)
    text = ProfileField.objects.get(label="Company")
    factories.ProfileFieldFactory(label="Of another school")
    form = boss.get(page(Integration, "change", world.integration.pk)).content.decode()
    assert "Company</option>" in form
    assert "Country</option>" not in form
    assert "Of another school</option>" not in form
    save_site(
        boss,
        world.integration,
        **{
            "field_mappings-TOTAL_FORMS": "1",
            "field_mappings-0-samcart_field": "Company",
            "field_mappings-0-profile_field": str(text.pk),
            "field_mappings-0-integration": str(world.integration.pk),
        },
    )
    mapping = world.integration.field_mappings.get()
    assert (mapping.samcart_field, mapping.profile_field) == ("Company", text)


# Rules


def test_a_rule_is_saved_and_one_that_does_not_fit_is_refused_in_words(boss, world):
    course = world.course()
    site = factories.connected("elsewhere", name="Elsewhere")
    elsewhere = Destination.objects.create(integration=site, kind="course", external_id=1)
    data = {
        "marketplace": world.marketplace.pk,
        "scope": "global",
        "trigger": "product_purchased",
        "integration": world.integration.pk,
        "action": "create_course_enrollment",
        "destination": course.pk,
        "enabled": "on",
    }
    answer = boss.post(page(Rule, "add"), data, follow=True)
    assert "was added successfully" in said(answer)[0]
    for changes, says in (
        ({}, "There is this very global rule already."),
        ({"scope": "product"}, "A rule for one product names the product"),
        ({"action": "create_bundle_enrollment"}, "is not a bundle"),
        ({"destination": elsewhere.pk}, "does not belong to Art Academy"),
        ({"trigger": ""}, "This field is required."),
        ({"destination": ""}, "This field is required."),
        ({"trigger": "nonsense"}, "Select a valid choice."),
    ):
        assert says in errors(boss.post(page(Rule, "add"), data | changes)), changes
    assert errors(boss.post(page(Rule, "add"), {})).count("This field is required.") == 6
    assert Rule.objects.count() == 1


# What happened


@pytest.fixture
def failed(world) -> RuleRun:
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sandbox.faults.add(Fault("status", status=422))
    world.sell("10_product")
    world.settle()
    return RuleRun.objects.get(status="failed")


@pytest.mark.parametrize("of", ["run", "event"])
def test_retry_queues_what_failed_and_it_is_carried_out(boss, world, failed, of: str):
    OrmQ.objects.all().delete()
    row = failed if of == "run" else failed.event
    assert said(act(boss, "retry", row)) == ["1 queued."]
    assert OrmQ.objects.count() == 1
    (run,) = world.settle()
    assert run.status == "done"
    assert said(act(boss, "retry", row)) == ["0 queued, 1 skipped: it had succeeded."]


def test_do_it_anyway_carries_out_what_was_overtaken(boss, world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.sell("10_product")
    first = RuleRun.objects.get()
    RuleRun.objects.update(status="failed")
    world.sell("20_product")
    world.settle()
    assert said(act(boss, "retry", first)) == ["1 queued."]
    world.settle()
    first.refresh_from_db()
    assert first.status == "skipped"
    assert said(act(boss, "retry", first))[0].startswith("0 queued, 1 skipped: ")
    assert said(act(boss, "do_anyway", first)) == ["1 queued."]
    world.settle()
    first.refresh_from_db()
    assert first.status == "done"
    assert world.access("dana@example.com", course)


def test_an_event_tells_why_each_rule_ran_or_not(boss, everything):
    event = EventLog.objects.get(status="done")
    text = boss.get(page(EventLog, "change", event.pk)).content.decode()
    assert "ran: Product Purchased" in text
    run = RuleRun.objects.get()
    text = boss.get(page(RuleRun, "change", run.pk)).content.decode()
    assert "POST http" in text
    assert "/enrollments" in text


# Types that nobody knew


def test_a_named_type_has_what_waited_for_it_carried_out(boss, world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product", type="Purchase-Of Some kind")
    assert EventLog.objects.get().status == "unknown_type"
    OrmQ.objects.all().delete()
    answer = boss.post(
        page(NamedType, "add"),
        {
            "marketplace": world.marketplace.pk,
            "type": " purchase_of somekind",
            "trigger": "product_purchased",
        },
        follow=True,
    )
    assert "1 deliveries of this type are read again." in said(answer)
    assert OrmQ.objects.count() == 1
    (run,) = world.settle()
    assert run.status == "done"
    assert world.access("dana@example.com", course)
    assert EventLog.objects.get().status == "done"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("ORDER", "Admit knows this type: it is Product Purchased."),
        ("--", "A type has letters or digits."),
        ("", "This field is required."),
    ],
)
def test_a_type_that_needs_no_name_is_refused_in_words(boss, world, word: str, says: str):
    data = {"marketplace": world.marketplace.pk, "type": word, "trigger": "product_refunded"}
    assert says in errors(boss.post(page(NamedType, "add"), data))
    assert not NamedType.objects.exists()


# Who may do what


def test_staff_who_may_only_look_cannot_act(world, failed):
    client = staff("view_rulerun", "view_eventlog", "view_marketplace", "view_integration")
    calls = len(world.sandbox.calls)
    for action, row in (
        ("retry", failed),
        ("do_anyway", failed),
        ("retry", failed.event),
        ("show_address", world.marketplace),
        ("new_secret", world.marketplace),
        ("refresh", world.integration),
        ("delete_selected", world.integration),
    ):
        assert client.get(page(type(row))).status_code == 200
        answer = act(client, action, row, post="yes")
        assert world.secret not in answer.content.decode()
    failed.refresh_from_db()
    assert failed.status == "failed"
    assert WebhookSecret.objects.count() == Integration.objects.count() == 1
    assert len(world.sandbox.calls) == calls
    assert save_site(client, world.integration, name="Mine").status_code == 403


def test_staff_without_any_permission_see_nothing(world):
    client = staff()
    for model in OURS:
        assert client.get(page(model)).status_code == 403


def test_staff_with_the_permission_may_retry(world, failed):
    client = staff("view_rulerun", "change_rulerun")
    assert said(act(client, "retry", failed)) == ["1 queued."]


def test_the_demo_says_so_on_every_page(boss, settings, client):
    settings.DEMO = True
    for answer in (
        client.get(reverse("admin:login")),
        boss.get(reverse("admin:index")),
        boss.get(page(Integration, "add")),
        boss.get(page(Integration, "add") + "?_popup=1"),
        boss.get(reverse("admin:password_change")),
    ):
        text = answer.content.decode()
        assert "This is a demo." in text
        # The policy is sent, and the page holds nothing that it would forbid.
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert not re.search(r"<style|style=|<script(?![^>]*src=)[^>]*>(?!\s*</script>)", text)
    settings.DEMO = False
    assert "This is a demo." not in boss.get(reverse("admin:index")).content.decode()
