"""Deliveries are read as SamCart meant them: addresses, bodies, e-mails, statuses, times."""

import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from events.deciding import inbox
from events.execution import email_correction
from events.models import Batch, Delivery, EventLog, RuleRun
from events.receiving import addresses
from integrations import credentials
from integrations.models import Customer
from integrations.samcart.encoding import LARGEST, decompress
from integrations.samcart.normalize import examine_email
from integrations.samcart.order_time import read_moment
from integrations.samcart.parser import Unreadable, parse
from rules.actions import Action
from tests.support.pages import markup, press, said, words
from tests.support.samcart import PAYLOADS, payload
from tests.support.world import World

ENCODED = PAYLOADS / "encoded"
SECRET = "a-Secret_of.24~characters-or-more"


# Addresses

PASTED = [
    *("{}", "{} ", " {}", "{}\n", "{}\r\n", "\t{}", '"{}"', "'{}'", "“{}”", "«{}»", "<{}>", "({})"),
    *("{},", "{};", "{}.", "{}…", "{}\u200b", "{}\u00a0", "{}!", "`{}`"),
]


@pytest.mark.parametrize("pasted", PASTED, ids=ascii)
def test_a_secret_is_found_in_whatever_was_pasted_around_it(pasted):
    assert SECRET in addresses.secrets_in(pasted.format(SECRET))


def test_a_full_stop_may_belong_to_the_secret():
    assert addresses.secrets_in(f"{SECRET}.") == [f"{SECRET}.", SECRET]


@pytest.mark.parametrize("pasted", ["", " ", "\n", '"', "”", "."])
def test_a_trigger_of_nothing_but_signs_is_none(pasted):
    assert addresses.trigger_in(pasted) == ""


@pytest.mark.first_database
@pytest.mark.parametrize(
    "end", ["%20", "%0A", "%0D%0A", "%22", "%E2%80%9D", ".", "%2C", "%20/", "/%20/", "//", "./"]
)
def test_what_was_pasted_behind_the_address_loses_no_sale(shop, end):
    answer = shop.client.post(
        f"/hooks/samcart/{shop.secret}{end}", b'{"type": "Order"}', "application/json"
    )
    assert answer.status_code == 200
    assert Delivery.objects.get().address_trigger == ""
    inbox.process()
    assert EventLog.objects.get().trigger == "product_purchased"


def test_a_secret_that_ends_with_a_full_stop_is_found_as_it_is(shop):
    credentials.add_webhook_secret(shop.marketplace, SECRET + ".")
    assert shop.post(b"{}", secret=SECRET + ".").status_code == 200
    assert shop.post(b"{}", secret=SECRET).status_code == 404


def test_a_trigger_keeps_its_word_without_what_was_pasted_behind_it(shop):
    assert shop.post(b"{}", "course_started%22").status_code == 200
    assert Delivery.objects.get().address_trigger == "course_started"


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("protocol", "headers", "status"),
    [
        ("HTTP/1.0", {}, 411),
        ("HTTP/1.0", {"CONTENT_LENGTH": "0"}, 200),
        ("HTTP/1.1", {}, 200),
    ],
)
def test_a_body_that_may_follow_unread_is_never_called_stored(shop, protocol, headers, status):
    path = f"/hooks/samcart/{shop.secret}/"
    answer = shop.client.generic("POST", path, b"", SERVER_PROTOCOL=protocol, **headers)
    assert answer.status_code == status


# Bodies

ORDER = json.dumps({"type": "Order", "order": {"id": 1}}).encode()


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("name", "content_type", "order"),
    [
        ("gzip.bin", "application/json", "30001"),
        ("deflate.bin", "application/json", "30002"),
        ("list_of_one.json", "application/json", "30003"),
        ("json_in_a_text.json", "application/json", "30004"),
        ("latin1.bin", "application/json; charset=iso-8859-1", "30005"),
    ],
)
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "br"])
def test_a_body_that_a_relay_has_wrapped_is_read(shop, name, content_type, order, encoding):
    body = (ENCODED / name).read_bytes()
    headers = {"HTTP_CONTENT_ENCODING": encoding} if encoding else {}
    event = shop.sell(body, content_type=content_type, **headers)
    assert (event.trigger, event.order_id) == ("product_purchased", order)
    assert event.customer is not None
    assert event.customer.first_name == ("Zoé" if name == "latin1.bin" else "Mia")
    kept = Delivery.objects.get()
    assert (bytes(kept.body), kept.content_encoding) == (body, encoding)


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(ORDER), zlib.compress(ORDER), gzip.compress(gzip.compress(ORDER))],
    ids=["gzip", "zlib", "gzip twice"],  # gzip notes the time, and workers must agree on names
)
def test_what_is_compressed_is_opened_whatever_the_header_says(packed):
    assert decompress(packed) == decompress(packed, "identity") == ORDER


def test_deflate_without_its_frame_is_opened_when_it_is_declared():
    assert decompress(_raw_deflate(ORDER), "deflate") == ORDER
    assert decompress(ORDER, "deflate") == ORDER


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_body_of_more_than_a_mebibyte_when_opened_is_refused_in_words(pack):
    assert decompress(pack(b" " * LARGEST)) == b" " * LARGEST
    with pytest.raises(Unreadable, match="larger than 1 MiB"):
        decompress(pack(b" " * (LARGEST + 1)))


@pytest.mark.parametrize(
    ("charset", "encoding", "name"),
    [
        ("iso-8859-1", "latin-1", "Zoé"),
        ("ISO-8859-1", "cp1252", "Zoë €"),
        ('"windows-1251"', "cp1251", "Зоя"),
        ("utf-16le", "utf-16-le", "Zoé"),
        ("iso-8859-1", "utf-8", "Zoé"),  # declared wrongly, as it often is
    ],
)
def test_a_declared_charset_is_believed_where_the_bytes_allow_it(charset, encoding, name):
    body = json.dumps({"customer": {"first_name": name}}, ensure_ascii=False).encode(encoding)
    (event,) = parse(body, f"application/json; charset={charset}")
    assert event.first_name == name


@pytest.mark.parametrize("charset", ["nope", "punycode", "zlib", "utf-7", "unicode_escape"])
def test_a_charset_that_is_not_read_leaves_the_body_unreadable(charset):
    with pytest.raises(Unreadable, match="not UTF-8"):
        parse('{"type": "Ordré"}'.encode("latin-1"), f"application/json; charset={charset}")


# Refunds that repeat all lines


def test_a_refund_ends_its_own_line_and_leaves_the_paid_one_to_a_person(world: World):
    paid, refunded = world.course("Course One"), world.course("Course Two")
    for product, course in (("1048001", paid), ("1048002", refunded)):
        world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course, product)
    world.post(payload("23_refund"))
    world.settle()
    runs = {run.destination_name: run for run in RuleRun.objects.all()}
    assert runs["Course Two"].status == "done"
    assert runs["Course One"].status == "held"
    assert "reports this line as Charged" in runs["Course One"].message


@pytest.mark.parametrize("status", ["Refunded", "refunded", "Reversed", "", None])
def test_a_refunded_line_is_ended_without_asking(world: World, status):
    course = world.course()
    world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course)
    world.sell("20_product", product__status=status)
    world.settle()
    assert RuleRun.objects.get().status == "done"


# Repeats


@pytest.mark.parametrize(
    ("status", "repeats"),
    [("waiting", True), ("running", True), ("done", True), ("failed", False), ("skipped", False)],
)
def test_what_failed_is_done_when_it_is_sent_again(shop, status, repeats):
    shop.rule()
    shop.sell(minutes=0)
    RuleRun.objects.update(status=status)
    again = shop.sell(minutes=5)
    assert (again.status == "repeat") is repeats
    assert again.runs.exists() is not repeats


# E-mail addresses


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u00a0", "\u00ad", "\u200e", "\u2066", "\n"])
def test_an_invisible_character_at_the_end_is_no_part_of_an_address(sign):
    assert examine_email(f"{sign}mia@example.com{sign}{sign}") == ("mia@example.com", "")


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u00ad", "\u200e"])
def test_an_invisible_character_inside_is_refused_in_words(sign):
    email, problem = examine_email(f"mi{sign}a@example.com")
    assert not email
    assert problem == "The e-mail address holds an invisible or damaged character."


def _failed(world: World, **changes: Any) -> EventLog:
    course = world.course()
    world.rule("product_purchased", Action.CREATE_COURSE_ENROLLMENT, course)
    event = world.sell("10_product", **({"customer__email": "mia@@example.com"} | changes))
    assert (event.status, event.customer) == ("failed", None)
    return event


def test_a_person_gives_a_failed_event_the_right_address_and_it_runs(world, client, admin_user):
    client.force_login(admin_user)
    event = _failed(world)
    page = client.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    assert "SamCart sent no e-mail address that can be used." in markup(page)
    assert "mia@@example.com" in words(page)
    assert "Dana Example" in words(page)
    # A retry cannot help, so it is not offered: neither here nor among the actions.
    run = RuleRun.objects.get()
    retry = reverse("admin:events_rulerun_do_retry", args=[run.pk])
    for shown in (page, client.get(reverse("admin:events_rulerun_changelist"))):
        assert retry not in markup(shown)
        assert f"/{event.pk}/change/#give-email" in markup(shown)
    (text,) = said(press(client, event, "give_email", email=" Mia@Example.com "))
    assert text == "Saved. 1 action is carried out for this address now."
    world.settle()
    event.refresh_from_db()
    assert event.status == "done"
    assert event.customer == Customer.objects.get(email="mia@example.com")
    # What SamCart sent, and why that could not be used, is still told.
    assert event.reason == (
        'SamCart sent "mia@@example.com". The e-mail address needs exactly one "@", with text on '
        f"both sides. {admin_user.get_username()} entered mia@example.com instead."
    )
    assert event.email_given_by == admin_user.get_username()
    (row,) = world.school.enrollments
    assert (row.user.email, row.active) == ("mia@example.com", True)


def test_what_was_sent_in_place_of_an_address_is_shown_and_what_is_wrong_with_it(
    world, client, admin_user
):
    client.force_login(admin_user)
    event = _failed(world, customer__email='mia"<b>@@example.com')
    run = RuleRun.objects.get()
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk])
    places = (
        reverse("admin:index"),
        reverse("admin:events_rulerun_changelist"),
        reverse("admin:events_rulerun_change", args=[run.pk]),
        f"{reverse('admin:batch')}?number={batch.pk}",
        reverse("admin:events_eventlog_change", args=[event.pk]),
    )
    for place in places:
        shown = client.get(place)
        assert 'Dana Example mia"<b>@@example.com' in words(shown), place
        assert "<b>@@" not in markup(shown)
    form = markup(client.get(places[-1])).partition('id="give-email"')[2]
    assert 'value="mia&quot;&lt;b&gt;@@example.com" aria-invalid="true"' in form
    error = form.partition('id="wrong-email">')[2].partition("</ul>")[0]
    assert "needs exactly one" in error


@pytest.mark.parametrize("text", ["", "mia", "mia@@example.com", "mi\u200ba@example.com"])
def test_an_address_that_cannot_be_used_is_refused_and_nothing_changes(
    world, client, admin_user, text
):
    client.force_login(admin_user)
    event = _failed(world)
    assert len(said(press(client, event, "give_email", email=text))) == 1
    event.refresh_from_db()
    assert (event.status, event.customer) == ("failed", None)


def test_an_address_is_given_once(world):
    event = _failed(world)
    assert email_correction.give_email(event, "mia@example.com", by="Mia") == 1
    with pytest.raises(ValueError, match="not asked for anymore"):
        email_correction.give_email(event, "eve@example.com", by="Eve")
    world.settle()
    assert [row.user.email for row in world.school.enrollments] == ["mia@example.com"]


@pytest.mark.parametrize(
    ("sample", "changes", "told"),
    [
        ("10_product", {"product__status": "Declined"}, "reports this line as Declined"),
        ("20_product", {"product__status": "Charged"}, "reports this line as Charged"),
    ],
)
def test_what_a_person_must_release_is_held_with_a_given_address_too(world, sample, changes, told):
    course = world.course()
    world.rule("product_purchased", Action.CREATE_COURSE_ENROLLMENT, course)
    world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course)
    event = world.sell(sample, customer__email="mia@@example.com", **changes)
    assert email_correction.give_email(event, "mia@example.com", by="Mia") == 0
    world.settle()
    run = RuleRun.objects.get(event=event)
    assert run.status == "held"
    assert told in run.message
    event.refresh_from_db()
    assert event.status == "held"
    assert world.calls() == []


def test_what_came_by_a_withdrawn_address_is_held_and_names_nobody(world):
    event = _failed(world)
    Delivery.objects.update(withdrawn=True)
    event = EventLog.objects.get()
    assert email_correction.give_email(event, "mia@example.com", by="Mia") == 0
    assert RuleRun.objects.get().status == "held"
    assert Customer.objects.get().first_name == ""


def test_a_given_address_gets_the_name_that_the_body_tells(world):
    event = _failed(world)
    email_correction.give_email(event, "mia@example.com", by="Mia")
    world.settle()
    (user,) = world.school.users
    assert (user.first_name, user.last_name) == ("Dana", "Example")


def test_a_given_address_waits_its_turn_among_the_customers_events(world):
    course = world.course()
    world.rule("product_purchased", Action.CREATE_COURSE_ENROLLMENT, course)
    world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course)
    event = world.sell("10_product", customer__email="mia@@example.com")
    world.sell("20_product", customer__email="mia@example.com")
    world.settle()
    email_correction.give_email(event, "mia@example.com", by="Mia")
    world.settle()
    assert RuleRun.objects.get(event=event).status == "skipped"
    assert not world.access("mia@example.com", course)


# Times


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-11-10T13:21:49-05:00", datetime(2026, 11, 10, 18, 21, 49, tzinfo=UTC)),
        ("2026-11-10T13:21:49Z", datetime(2026, 11, 10, 13, 21, 49, tzinfo=UTC)),
        ("2026-11-10 13:21:49+0100", datetime(2026, 11, 10, 12, 21, 49, tzinfo=UTC)),
        (1793020909, datetime.fromtimestamp(1793020909, UTC)),
        (1793020909000, datetime.fromtimestamp(1793020909, UTC)),
        ("2026-11-10 13:21:49", None),
        ("2026-11-10", None),
        ("0000-00-00T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        (-1, None),
        (1e300, None),
        (float("inf"), None),
        ([], None),
    ],
)
def test_the_time_of_an_order_is_read_or_left_out(sent, read):
    assert read_moment(sent) == read


def _placed(age: timedelta) -> str:
    return (timezone.now() - age).isoformat()


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("age", "late"),
    [(timedelta(minutes=59), ""), (timedelta(days=3, minutes=1), "placed 3\xa0days before")],
)
def test_an_order_that_was_held_up_on_its_way_says_so(world, client, admin_user, age, late):
    client.force_login(admin_user)
    event = world.sell("10_product", order__created_at=_placed(age))
    assert event.ordered_at is not None
    page = client.get(reverse("admin:events_eventlog_change", args=[event.pk])).content.decode()
    assert "Order placed" in page
    assert ("before SamCart sent it" in page) is bool(late)
    assert late in page
