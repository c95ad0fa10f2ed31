"""Lists as CSV files: complete, filtered, safe to open, by permission, and in the audit."""

import csv
import io
import tracemalloc
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.admin.parts import csv_file
from config.staff import preferences, roles
from config.staff.preferences import Preferences
from events.models import Delivery, EventLog, RuleRun
from events.models.runs import DELAYED
from integrations.models import AuditEntry, Customer
from tests.support import browsing, factories, queued, scenery
from tests.support import shop as shops
from tests.support.pages import client_of, markup, person, signed_in, words
from tests.support.samcart import changed

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]


@pytest.fixture
def manager() -> Client:
    return signed_in(roles.MANAGER)


def download(client: Any, name: str, query: str = "") -> list[dict[str, str]]:
    answer: Any = client.post(f"{reverse(f'admin:csv-{name}')}?{query}")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_begins_a_formula_is_disarmed(sign):
    assert csv_file.cell(f"{sign}1+1").startswith("'")
    assert csv_file.cell("plain") == "plain"
    assert csv_file.cell(-1) == "-1"


def test_the_log_is_downloaded_whole_as_filtered(manager):
    shop = shops.build()
    for number in range(12):
        shop.sell(changed("10_product", order__id=2000 + number))
    shop.sell("20_product", minutes=1)
    Customer.objects.update(first_name="=cmd()")
    lines = download(manager, "log", "trigger__exact=product_purchased")
    assert len(lines) == 12
    assert {line["Event"] for line in lines} == {"Product Purchased"}
    assert {line["Order"] for line in lines} == {str(2000 + number) for number in range(12)}
    assert {line["Name"] for line in lines} == {"'=cmd() Example"}
    entry = AuditEntry.objects.latest("pk")
    assert entry.act == "list_downloaded"
    assert entry.after == {"rows": 12, "filter": {"trigger__exact": "product_purchased"}}
    changes = signed_in(roles.MANAGER).get(reverse("admin:integrations_auditentry_changelist"))
    assert "Filter: trigger__exact=product_purchased" in words(changes)


def test_the_log_has_prices_and_totals_as_far_as_samcart_sent_them(manager):
    shop = shops.build()
    two = {"order__id": 7, "order__total": "114.00"}
    shop.sell(changed("02_order_products_array_bump_and_upsell", order__id=8))
    shop.sell(changed("10_product", product__price=97, **two))
    shop.sell(changed("10_product", product__price="97,00", order__id=9, order__total=None))
    lines = download(manager, "log")
    found = [(each["Order"], each["Price"], each["Total of the order"]) for each in lines]
    assert sorted(found) == [
        ("7", "97.00", "114.00"),
        ("8", "147.00", "261.00"),
        ("8", "17.00", "261.00"),
        ("8", "97.00", "261.00"),
        ("9", "", ""),
    ]
    Delivery.objects.update(sealed_body=b"")
    assert {each["Price"] for each in download(manager, "log")} == {""}


def test_actions_customers_and_coverage_are_downloaded(manager):
    shop = shops.build()
    number = shops.product_of(shop.sell()).external_id
    gives = shop.rule(product=number, destination__name="Course Two")
    customer_of = shop.sell(changed("10_product", order__id=4711)).customer
    assert customer_of is not None
    (action,) = download(manager, "actions")
    assert (action["Course or bundle"], action["Order"]) == ("Course Two", "4711")
    factories.CustomerFactory.create(email="someone.else@example.com")
    assert len(download(manager, "customers")) == 2
    (customer,) = download(manager, "customers", f"q={customer_of.email}")
    assert customer["E-mail"] == customer_of.readable_email
    assert customer["Has now"] == "Course Two"
    (product,) = download(manager, "coverage")
    assert product["Gives"] == "Course Two"
    assert "Product Refunded" in product["No rule for"]
    shop.rule(
        product=number,
        trigger="subscription_canceled",
        action="expire_course_enrollment",
        destination=gives.destination,
    )
    (product,) = download(manager, "coverage")
    by = "Subscription Canceled; Subscription Delinquent (by Subscription Canceled)"
    assert product["Ended by"] == by
    facts = {"action": "expire_course_enrollment", "destination": gives.destination}
    shop.rule(product=number, trigger="product_refunded", enabled=False, **facts)
    (product,) = download(manager, "coverage")
    assert product["Rules are off for"] == "Product Refunded"
    assert "Product Refunded" not in product["No rule for"]
    assert download(manager, "coverage", "q=nothing-like-it") == []


def test_an_action_in_the_file_has_the_address_that_was_sent_and_says_when_it_ends_later(manager):
    shop = shops.build()
    sold = shop.sell()
    EventLog.objects.update(email_as_sent="dana at example", name_as_sent="Dana")
    course = factories.DestinationFactory.create()
    late: dict[str, Any] = {"code": DELAYED, "next_attempt_at": timezone.now() + timedelta(days=1)}
    RuleRun.objects.all().delete()
    queued.run(course, of=sold, **late)
    RuleRun.objects.update(customer=None)
    (action,) = download(manager, "actions")
    assert (action["E-mail"], action["Name"]) == ("dana at example", "Dana")
    assert action["Result"] == "Ends later"


def test_a_list_offers_its_file_to_who_may_download_it():
    button, page = "Download CSV", reverse("admin:events_eventlog_changelist")
    assert button in markup(signed_in(roles.MANAGER).get(f"{page}?result=failed"))
    assert button not in markup(signed_in(roles.SUPPORT).get(page))


def test_a_download_asks_for_the_password_first():
    client = Client()
    client.force_login(person(roles.MANAGER))
    answer: Any = client.post(reverse("admin:csv-customers"))
    assert "Confirm that it is you" in answer.content.decode()
    assert not AuditEntry.objects.filter(act="list_downloaded").exists()


def test_after_the_password_a_page_offers_the_file_and_the_way_back_to_the_list():
    mia = person(roles.MANAGER)
    mia.set_password("correct horse battery staple")
    mia.save()
    client = Client()
    client.force_login(mia)
    address = reverse("admin:csv-log") + "?result=failed"
    sent = {"confirm_answer": "correct horse battery staple", "confirm_method": "POST"}
    page: Any = client.post(address, sent)
    assert "Your file is ready" in words(page)
    assert "The download starts by itself." in words(page)
    assert "download.js" in page.content.decode()
    assert f'href="{reverse("admin:events_eventlog_changelist")}?result=failed"' in (
        page.content.decode()
    )
    assert not AuditEntry.objects.filter(act="list_downloaded").exists()
    assert client.post(address).headers["Content-Disposition"].startswith("attachment")


@pytest.mark.browser
def test_the_download_starts_by_itself_after_the_password(place, address, browser):
    somebody = Client()
    somebody.force_login(User.objects.get(username=place.people["Owner"]))
    session = somebody.cookies["sessionid"]
    with browsing.window(browser, browsing.Look((1440, 900))) as context:
        context.add_cookies([{"name": session.key, "value": session.value, "url": address}])
        page = context.new_page()
        page.goto(f"{address}{reverse('admin:events_eventlog_changelist')}?result=failed")
        page.get_by_role("button", name="Download CSV").click()
        page.get_by_label("Your password").fill(scenery.PASSWORD)
        with page.expect_download() as found:
            page.get_by_role("button", name="Continue").click()
        assert found.value.suggested_filename.endswith(".csv")
        page.get_by_role("link", name="Back", exact=True).click()
        assert page.url.endswith("?result=failed")


def test_a_group_that_sees_no_list_downloads_none():
    somebody = person()
    somebody.user_permissions.add(Permission.objects.get(codename="csv_eventlog"))
    client = client_of(somebody)
    for name in ("log", "actions", "customers", "coverage"):
        assert client.post(reverse(f"admin:csv-{name}")).status_code == 403


def test_the_memory_of_a_file_does_not_grow_with_its_rows():
    made = [Customer(email=f"c{number}@example.com") for number in range(2000)]
    Customer.objects.bulk_create(made)
    del made

    def peak(number: int) -> int:
        rows = Customer.objects.filter(pk__in=Customer.objects.order_by("pk")[:number].values("pk"))
        pks = csv_file.numbers(rows)
        lines = csv_file.in_chunks(
            Customer.objects.all(), pks, lambda found: [[each.email] for each in found]
        )
        answer: Any = csv_file.response("x", ["E-mail"], lines)
        tracemalloc.start()
        try:
            assert len([*map(len, answer.streaming_content)]) == number + 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(2000) < 1.5 * peak(1000)


def test_what_was_removed_meanwhile_is_left_out():
    shop = shops.build()
    event = shop.sell()
    pks = csv_file.numbers(EventLog.objects.all())
    event.delete()
    assert (
        list(csv_file.in_chunks(EventLog.objects.all(), pks, lambda found: [["x"] for _ in found]))
        == []
    )


def test_a_search_for_customers_is_downloaded_beyond_what_its_page_shows(manager):
    for number in range(60):
        factories.CustomerFactory.create(email=f"many{number}@example.com")
    factories.CustomerFactory.create(email="other@example.com")
    assert len(download(manager, "customers", "q=many")) == 60


def test_times_are_in_the_zone_of_the_reader_which_the_heading_names():
    reader = person(roles.MANAGER)
    preferences.change(reader, Preferences(time_zone="America/Mexico_City", language="es"))
    event = shops.build().sell()
    assert event is not None
    answer: Any = client_of(reader).post(reverse("admin:csv-log"))
    assert answer["Content-Disposition"] == 'attachment; filename="registro.csv"'
    (line,) = csv.DictReader(
        io.StringIO(b"".join(answer.streaming_content).decode().removeprefix("\ufeff"))
    )
    local = event.received_at.astimezone(ZoneInfo("America/Mexico_City"))
    assert line["Recibido (America/Mexico_City)"] == local.strftime("%Y-%m-%d %H:%M:%S")
