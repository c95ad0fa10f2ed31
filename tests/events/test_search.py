"""Search finds people by any spelling of an e-mail or a name, on every database."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, RuleRun
from events.reports import activity_search
from events.reports.customers import customer_search
from integrations.finding import search
from integrations.models import Customer, SearchTerm
from integrations.samcart.normalize import normalize_email
from integrations.samcart.readable import readable_email
from integrations.search_terms import MAX_TERM, terms
from tests.support import old_release
from tests.support.factories import CustomerFactory
from tests.support.pages import CUSTOMERS, plain, signed_in, words
from tests.support.world import World

PEOPLE = {
    "hans@müller-sample.example": ("Hans Jürgen", "Müller"),
    "Ämilie.Roß+kurs@example.org": ("Ämilie", "Roß"),
    "ΟΔΥΣΣΕΎΣ@example.gr": ("Οδυσσεύς", "Παπαδόπουλος"),
    "пётр@почта.example": ("Пётр", "Йовович"),
    "ipek@example.com.tr": ("İpek", "I\u015f\u0131k"),
    "soren@example.dk": ("Søren", "Ångström"),
    "office@example.net": ("O’Brien", "de la Cruz-Łukasiewicz"),
    "wang@example.cn": ("王小明", ""),
    "kim@example.kr": ("김철수", ""),
    "fi@example.it": ("Soﬁa", "\uff32icci"),
    "arabic@example.eg": ("مُحَمَّد", ""),
    "smile@example.com": ("Dana 🙂", ""),
}


@pytest.fixture
def people(db) -> dict[str, str]:
    """Their e-mails as they are kept, by what was sent."""
    found = {}
    for sent, (first, last) in PEOPLE.items():
        key = normalize_email(sent)
        assert key
        CustomerFactory(email=key, email_as_sent=sent, first_name=first, last_name=last)
        found[sent] = key
    return found


FINDS = [
    # E-mails, whole: as sent, in punycode, in capitals, with what is copied along with them.
    ("hans@müller-sample.example", "hans@müller-sample.example"),
    ("HANS@MÜLLER-SAMPLE.EXAMPLE", "hans@müller-sample.example"),
    ("Hans@Mu\u0308ller-Sample.example", "hans@müller-sample.example"),
    ("hans@xn--mller-sample-dlb.example", "hans@müller-sample.example"),
    (" \u200b\ufeffhans@müller-sample.example\u00a0\u200b ", "hans@müller-sample.example"),
    ("<hans@müller-sample.example>,", "hans@müller-sample.example"),
    ("Hans Müller <hans@müller-sample.example>", "hans@müller-sample.example"),
    ("ämilie.ROß+KURS@EXAMPLE.ORG", "Ämilie.Roß+kurs@example.org"),
    ("οδυσσεύς@example.gr", "ΟΔΥΣΣΕΎΣ@example.gr"),
    ("ПЁТР@ПОЧТА.EXAMPLE", "пётр@почта.example"),
    # Parts of one.
    ("müller-sample", "hans@müller-sample.example"),
    ("hans@mül", "hans@müller-sample.example"),
    ("@müller-sample.example", "hans@müller-sample.example"),
    ("hans@xn--mll", "hans@müller-sample.example"),
    ("KURS@exam", "Ämilie.Roß+kurs@example.org"),
    ("roß+kurs", "Ämilie.Roß+kurs@example.org"),
    ("example.com.tr", "ipek@example.com.tr"),
    ("почта", "пётр@почта.example"),
    # From the middle of a word, where no index helps.
    ("üller-samp", "hans@müller-sample.example"),
    ("ffice@", "office@example.net"),
    ("小明", "wang@example.cn"),
    ("ukasie", "office@example.net"),
    # Names: case and accents do not matter.
    ("MÜLLER", "hans@müller-sample.example"),
    ("muller", "hans@müller-sample.example"),
    ("ämilie", "Ämilie.Roß+kurs@example.org"),
    ("AMILIE", "Ämilie.Roß+kurs@example.org"),
    ("ROSS", "Ämilie.Roß+kurs@example.org"),
    ("ΠΑΠΑΔΟΠΟΥΛΟΣ", "ΟΔΥΣΣΕΎΣ@example.gr"),
    ("παπαδοπουλος", "ΟΔΥΣΣΕΎΣ@example.gr"),
    ("ПЕТР", "пётр@почта.example"),
    ("иовович", "пётр@почта.example"),
    ("IPEK ISIK", "ipek@example.com.tr"),
    ("ipek \u0131\u015f\u0131k", "ipek@example.com.tr"),
    ("İPEK", "ipek@example.com.tr"),
    ("SOREN", "soren@example.dk"),
    ("angstrom", "soren@example.dk"),
    ("A\u030angström", "soren@example.dk"),
    ("O'BRIEN", "office@example.net"),
    ("brien", "office@example.net"),
    ("cruz lukas", "office@example.net"),
    ("Łukasiewicz", "office@example.net"),
    ("王小", "wang@example.cn"),
    ("김철", "kim@example.kr"),
    ("sofia ricci", "fi@example.it"),
    ("Ricci Sofia", "fi@example.it"),
    ("محمد", "arabic@example.eg"),
    ("🙂", "smile@example.com"),
    ("dana 🙂", "smile@example.com"),
    # Nobody.
    ("hans smith", ""),
    ("nobody@example.com", ""),
    ("???", ""),
    ("\u200b", ""),
    ("\x00", ""),
]


@pytest.mark.parametrize(("typed", "whose"), FINDS)
def test_a_customer_is_found_by_what_is_typed(people, typed: str, whose: str):
    expected = [people[whose]] if whose else []
    assert [each.email for each in customer_search.find(typed).customers] == expected
    numbers = list(Customer.objects.filter(email__in=expected).values_list("pk", flat=True))
    assert activity_search.people(typed) == numbers


@pytest.mark.parametrize("sent", PEOPLE)
def test_nothing_received_is_said_of_no_part_of_an_address_or_a_name(people, sent: str):
    for text in (sent, people[sent], *PEOPLE[sent]):
        for begin in range(len(text)):
            part = text[begin : begin + 4].strip()
            assert not part or customer_search.find(part).customers, part


def test_the_case_of_the_folder_is_found_on_the_page(world: World):
    world.sell(
        "10_product",
        customer__email="Hans@Müller-Sample.example",
        customer__first_name="Ämilie",
        customer__last_name="Müller",
    )
    customer = Customer.objects.get()
    page = reverse("admin:integrations_customer_change", args=[customer.pk])
    support = signed_in(roles.SUPPORT)
    for term in ("hans@müller-sample.example", customer.email, "MÜLLER", "ämilie", "amilie mull"):
        assert support.get(reverse(CUSTOMERS), {"q": term})["Location"] == page, term
        assert activity_search.events(EventLog.objects.all(), term).exists(), term
        log = support.get(reverse("admin:events_eventlog_changelist"), {"q": term})
        assert "hans@müller-sample.example" in words(log), term


def test_actions_are_found_by_the_name_as_well(world: World):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell("10_product", customer__last_name="Ångström")
    for term in ("ANGSTROM", "ngstr"):
        assert activity_search.runs(RuleRun.objects.all(), term).count() == 1, term


def test_a_whole_address_opens_no_page_of_a_longer_one(db):
    """What begins like another address is another person's."""
    CustomerFactory(email="dana@example.com", first_name="Dana")
    support = signed_in(roles.SUPPORT)
    for typed in ("dana@example.co", "na@example.com"):
        shown = support.get(reverse(CUSTOMERS), {"q": typed})
        assert "dana@example.com" in words(shown)
        assert "Nothing received" not in words(shown)
    assert support.get(reverse(CUSTOMERS), {"q": "dana@example"}).status_code == 302


def test_similar_addresses_are_offered_for_a_spelling_of_any_script(people):
    found = customer_search.find("hanz@müller-sample.example")
    assert found.customers == []
    assert [each.email for each in found.similar] == [people["hans@müller-sample.example"]]
    elsewhere = customer_search.find("soren@example-other.org")
    assert people["soren@example.dk"] in [each.email for each in elsewhere.similar]


def test_at_most_so_many_are_shown(db):
    for number in range(customer_search.MAX_RESULTS + 5):
        CustomerFactory(email=f"buyer{number}@example.com", first_name="Dana", last_name="Buyer")
    found = customer_search.find("buyer").customers
    assert len(found) == customer_search.MAX_RESULTS
    assert len(set(found)) == customer_search.MAX_RESULTS
    assert len(activity_search.people("dana buy")) == customer_search.MAX_RESULTS + 5


# What is written


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (
            ("dana.reyes@example.com", "Dana", "Reyes"),
            ["dana.reyes@example.com", "example.com", "reyes@example.com"],
        ),
        (("a@b.example", "", ""), ["a@b.example", "b.example"]),
        (
            ("x@xn--mller-kva.example", "", ""),
            [
                "kva.example",
                "mller-kva.example",
                "muller.example",
                "x@muller.example",
                "x@xn--mller-kva.example",
                "xn--mller-kva.example",
            ],
        ),
        (("x@xn--\u00fc.example", "", ""), ["u.example", "x@xn--u.example", "xn--u.example"]),
        (("", "", ""), []),
    ],
)
def test_the_terms_of_a_customer(who: tuple[str, str, str], expected: list[str]):
    assert terms(*who) == expected


def test_a_name_without_an_end_makes_no_terms_without_an_end():
    # Each of these signs stands for four.
    longest = terms("a." * 150 + "b@example.com", "\u337f" * 255, "a-" * 127)
    assert max(map(len, longest)) == MAX_TERM
    assert len(longest) < 1000


def test_a_known_customer_costs_one_question_and_a_new_one_two_statements_more(world: World):
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    def of(table: str) -> int:
        return sum(f'{word} "{table}"' in sql for sql in asked for word in ("FROM", "INTO"))

    costs = []
    for order in (1, 2):
        asked.clear()
        with connection.execute_wrapper(note):
            world.sell("10_product", order__id=order)
        costs.append((of("integrations_customer"), of("integrations_searchterm")))
    assert costs == [(2, 1), (1, 0)]


def test_a_new_name_takes_the_place_of_the_old_one(world: World):
    world.sell("10_product", customer__first_name="Dana", customer__last_name="Reyes")
    world.sell("10_product", order__id=2, customer__last_name="Whitfield")
    assert [each.last_name for each in search.customers("whitfield", most=9)] == ["Whitfield"]
    assert search.customers("reyes", most=9) == []


def test_what_is_no_part_of_the_search_leaves_the_terms_alone(db, django_assert_num_queries):
    CustomerFactory()
    customer = Customer.objects.get()
    customer.email_as_sent = "Buyer@Example.com"
    with django_assert_num_queries(1):
        customer.save(update_fields=["email_as_sent"])


def test_a_deleted_customer_leaves_no_term(people):
    Customer.objects.all().delete()
    assert not SearchTerm.objects.exists()


@pytest.fixture
def before(transactional_db, tmp_path) -> Iterator[Any]:
    """The models before there was this search, and a database of their time."""
    with old_release.database(tmp_path, ("integrations", "0002_admin")) as apps:
        yield apps


def test_who_was_there_before_is_found_after_the_update(before, monkeypatch):
    old = before.get_model("integrations", "Customer").objects
    old.bulk_create(
        before.get_model("integrations", "Customer")(
            email=f"buyer{number}@xn--mller-kva.example", first_name="Jürgen", last_name="Roß"
        )
        for number in range(1001)
    )
    old_release.upgrade()
    (found,) = search.customers("BUYER1000@MÜLLER.example jurgen ross", most=9)
    known = [str(term) for term in found.search_terms.order_by("term")]
    assert known == terms(found.email, found.first_name, found.last_name)
    assert SearchTerm.objects.values("customer").distinct().count() == 1001


# Addresses that cannot be used


@pytest.mark.parametrize("typed", ["mia@@example.com", "MIA@", "example", "23300010", "#23300010"])
def test_an_event_without_a_usable_address_is_found(world: World, typed: str):
    event = world.sell("10_product", customer__email="mia@@example.com")
    assert event.customer is None
    assert customer_search.find(typed).events == [event]
    assert list(activity_search.events(EventLog.objects.all(), typed)) == [event]
    shown = words(signed_in(roles.SUPPORT).get(reverse(CUSTOMERS), {"q": typed}))
    assert "Nothing received" not in shown
    assert "Dana Example mia@@example.com" in shown


@pytest.mark.parametrize("typed", ["mia@@example.com", "MIA@", "example.com"])
def test_an_order_is_found_by_its_students_address_that_cannot_be_used(world: World, typed: str):
    world.integration.student_field = "Student"
    world.integration.save()
    world.rule("product_purchased", "create_course_enrollment", world.course())
    field = {"name": "Student", "slug": "custom_1", "value": "mia@@example.com"}
    event = world.sell(
        "10_product", customer__email="dana@example.org", order__custom_fields=[field]
    )
    assert event.customer is not None
    assert customer_search.find(typed).customers == [event.customer]
    assert list(activity_search.events(EventLog.objects.all(), typed)) == [event]
    support = signed_in(roles.SUPPORT)
    page = reverse("admin:integrations_customer_change", args=[event.customer.pk])
    assert support.get(reverse(CUSTOMERS), {"q": typed})["Location"] == page
    assert "mia@@example.com" in words(support.get(page))


def test_an_address_that_cannot_be_used_finds_its_order_from_any_page(world: World):
    event = world.sell("10_product", customer__email="mia@@example.com")
    page = reverse("admin:events_eventlog_change", args=[event.pk])
    support = signed_in(roles.SUPPORT)
    for typed, exact in (("mia@@example.com", True), ("MIA@", False)):
        found = support.get(reverse("admin:search"), {"q": typed})
        assert page in found.content.decode()
        assert ("Exact" in words(found)) is exact
        assert "Nothing found" not in words(found)


def test_pages_write_an_umlaut_domain_as_people_do(world: World):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    event = world.sell("10_product", customer__email="hans@müller-sample.example")
    customer = Customer.objects.get()
    assert customer.email == "hans@xn--mller-sample-dlb.example"
    manager = signed_in(roles.MANAGER)
    entered = reverse("admin:enter-order") + f"?customer={customer.pk}"
    for page in (
        reverse("admin:integrations_customer_change", args=[customer.pk]),
        reverse("admin:events_eventlog_change", args=[event.pk]),
        reverse("admin:events_rulerun_changelist"),
        reverse("admin:events_eventlog_changelist"),
        entered,
    ):
        shown = manager.get(page).content.decode().replace("<wbr>", "")
        seen = plain(re.sub(r"<pre.*?</pre>", "", shown, flags=re.DOTALL))
        if page == entered:
            seen = shown
        assert "hans@müller-sample.example" in seen, page
        assert "hans@xn--" not in seen, page


def test_what_is_not_read_yet_may_be_what_is_looked_for(world: World):
    world.post({"type": "Order"})
    shown = words(signed_in(roles.SUPPORT).get(reverse(CUSTOMERS), {"q": "eve@example.com"}))
    assert "Nothing received" not in shown
    assert "1 received and not read yet" in shown


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("hans@xn--mller-sample-dlb.example", "hans@müller-sample.example"),
        ("a@xn--80a1acny.example", "a@почта.example"),
        ("a@xn--80ak6aa92e.com", "a@xn--80ak6aa92e.com"),
        ("a@xn--pple-43d.com", "a@xn--pple-43d.com"),
        ("a@xn--n3h.com", "a@xn--n3h.com"),
        ("a@xn--paypal-.com", "a@xn--paypal-.com"),
    ],
)
def test_an_address_is_shown_in_its_own_script_unless_that_could_deceive(email: str, shown: str):
    assert readable_email(email) == shown


@pytest.mark.first_database
def test_a_search_that_finds_nobody_counts_spooled_files_without_opening_them(
    db, settings, tmp_path
):
    settings.SPOOL_DIR = tmp_path
    (tmp_path / "20260301T120000.000000Z-x.known").write_bytes(b"no key of ours opens this")
    unseen = customer_search.find("nobody@example.com").unseen
    assert unseen is not None
    assert unseen.unread == 1
