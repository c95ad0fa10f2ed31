import json
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrations.samcart.normalize import NO_EMAIL
from integrations.samcart.parser import (
    CustomField,
    SaleEvent,
    Unreadable,
    normalize_email,
    normalize_type,
    parse,
)
from tests.support.unreadable import UNREADABLE

SAMPLES = {path.name.split("_")[0]: path for path in Path(__file__).parents[1].glob("payloads/*_*")}
DANA = "dana@example.com"
NOTHINGS: list[object] = [None, "", " \r\n", [], {}]

# number of the sample: type | kind and ids | order | subscription | transaction
EXPECTED = {
    "01": "Order|product 1048001|23300001||",
    "02": "Order|product 1048001 1048002 1048003|23300002||",
    "03": "Order|product 1048001 1048002|23300030||ch_EXAMPLE0030",
    "04": "Order|product 1048001 1048003|23300031||",
    "05": "Order|product 1048001 1048003 1048002|23300032||ch_EXAMPLE0032",
    "06": "Order|product 1048001|23300033||ch_EXAMPLE0001",
    "07": "Order|product 1048001 1048002 1048003|23300034||",
    "08": "Order|product 1048001|23300035||ch_EXAMPLE0001",
    "10": "Order|product 1048001|23300010||ch_EXAMPLE0001",
    "11": "Order|product 1048001|23300010||ch_EXAMPLE0001",
    "12": "Order|product 1048010|23300011|990001|ch_EXAMPLE0001",
    "13": "Order|product 1048001 1048002|23300012||ch_EXAMPLE0002",
    "14": "Order|product 1048001|23300036|990036|ch_EXAMPLE0001",
    "15": "Order|product 1048001|23300037||ch_EXAMPLE0001",
    "16": "Order|product 1048001 1048002|23300038||ch_EXAMPLE0002",
    "17": "Order|product 1048001|23300039||ch_EXAMPLE0001",
    "18": "Order|product SKU-watercolour|23300040||ch_EXAMPLE0001",
    "20": "Refund|product 1048001|23300010||ch_EXAMPLE0001",
    "21": "PartialRefund|product 1048001|23300010||ch_EXAMPLE0001",
    "22": "Refund|product 1048001|23300044||re_EXAMPLE0001",
    "23": "Refund|product 1048001 1048002|30006||",
    "30": "Cancel|product 1048010|23300011|990001|ch_EXAMPLE0001",
    "31": "RecurringPaymentSucceeded|product 1048010|23300011|990001|ch_EXAMPLE0003",
    "32": "RecurringPaymentFailed|product 1048010|23300011|990001|ch_EXAMPLE0004",
    "33": "SubscriptionDelinquent|product 1048010|23300011|990001|ch_EXAMPLE0001",
    "34a": "RecurringPaymentRecovered|product 1048010|23300011|990001|ch_EXAMPLE0005",
    "34b": "SubscriptionRecovered|product 1048010|23300011|990001|ch_EXAMPLE0005",
    "35": "SubscriptionRestarted|product 1048010|23300011|990001|ch_EXAMPLE0001",
    "36": "SubscriptionCompleted|product 1048011|23300014|990002|ch_EXAMPLE0006",
    "41": "StudentAddedToCourse|course 501|||",
    "45": "|course 501|||",
    "46": "|course 501|||",
    "47": "|course 501|||",
    "48": "|course 501|||",
    "90": "Order|product 1048001|23300015||",
    "91": "SubscriptionCancelScheduled|product 1048010|23300011|990001|ch_EXAMPLE0001",
    "92": "Order|product 1048001|23300041||ch_EXAMPLE0001",
    "93": "|product 1048001|23300042||ch_EXAMPLE0001",
    "94": "||||",
    "95": "Order||23300043||ch_EXAMPLE0001",
    "96": "Order|product 1048001|30007||ch_30007",
}
MIA = "mia.sample@example.com"
OTHER_EMAILS = {
    **{"92": "dána+courses@xn--bcher-kva.example", "93": "", "94": "", "95": ""},
    **{"23": MIA, "96": MIA},
}


def sample(number: str) -> list[SaleEvent]:
    return parse(SAMPLES[number].read_bytes())


def read(**body: Any) -> SaleEvent:
    (event,) = parse(json.dumps(body).encode())
    return event


def test_every_sample_is_expected_to_say_something() -> None:
    assert SAMPLES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("number", EXPECTED)
def test_a_sample_says_what_was_sold_to_whom(number: str) -> None:
    events = sample(number)
    columns = (
        [event.type for event in events],
        [event.kind for event in events] + [event.product_id for event in events],
        [event.order_id for event in events],
        [event.subscription_id for event in events],
        [event.transaction_id for event in events],
    )
    said = "|".join(" ".join(filter(None, dict.fromkeys(column))) for column in columns)
    assert said == EXPECTED[number]
    assert {event.email for event in events} == {OTHER_EMAILS.get(number, DANA)}
    assert all(bool(event.email) != bool(event.email_problem) for event in events)


def test_a_line_carries_its_name_and_customer() -> None:
    first, second = sample("13")
    assert (first.product_name, second.product_name) == ("Example Course One", "Example Workbook")
    assert (first.first_name, first.last_name, first.customer_id) == ("Dana", "Example", "21000001")


def test_names_that_do_not_fit_the_joined_ids_stay_whole_on_the_first() -> None:
    names = [event.product_name for event in sample("16")]
    assert names == ["Paint, Draw and More,Example Workbook, Large", ""]


def test_a_charge_outweighs_the_declined_try_before_it() -> None:
    assert [event.line_status for event in sample("05")] == ["Charged", "Charged", "Pending"]


def test_one_product_in_both_places_is_one_event_that_knows_both() -> None:
    first = sample("03")[0]
    assert (first.line_status, first.transaction_id) == ("Charged", "ch_EXAMPLE0030")


def lines_of(*products: dict[str, Any]) -> list[tuple[str, str, str]]:
    events = parse(json.dumps({"products": list(products)}).encode())
    return [(event.product_id, event.subscription_id, event.line_status) for event in events]


@pytest.mark.parametrize(
    ("statuses", "first", "last"),
    [(("Charged", "Charged"), "11", "12"), (("Declined", "Charged"), "12", "11")],
)
def test_two_subscriptions_to_one_product_are_two_events(statuses, first, last) -> None:
    one, two = (
        {"id": 5, "subscription_id": number, "status": status}
        for number, status in zip((11, 12), statuses, strict=True)
    )
    other = {"id": 6, "subscription_id": 13}
    # The number of a line identifies its event, so the further subscription comes last.
    assert [line[:2] for line in lines_of(one, two, other)] == [
        ("5", first),
        ("6", "13"),
        ("5", last),
    ]


def test_a_line_without_a_subscription_is_no_purchase_of_its_own() -> None:
    unnamed, charged = {"id": 5}, {"id": 5, "status": "Charged"}
    one, two = {"id": 5, "subscription_id": 11}, {"id": 5, "subscription_id": 12}
    assert lines_of(unnamed, one, charged, one) == [("5", "11", "Charged")]
    assert lines_of(unnamed, one, two, charged) == [("5", "11", "Charged"), ("5", "12", "")]
    assert lines_of(one, two, unnamed) == [("5", "11", ""), ("5", "12", "")]


def test_custom_fields_are_read_as_list_and_as_object_and_of_upsells() -> None:
    company = CustomField("Company", "custom_aB3dEf9H", "Example Ltd")
    student = CustomField("Student e-mail", "custom_zL6FLFM3", "student@example.com")
    assert sample("11")[0].custom_fields == (company, student)
    assert sample("06")[0].custom_fields == (company, student)
    assert sample("17")[0].custom_fields == (
        company,
        CustomField("Age", "custom_Age00001", "42"),
        CustomField("Shirt size", "custom_Shirt001", ""),
        CustomField("Topics", "custom_Topics01", "Oil, Ink"),
    )


def test_custom_fields_of_any_other_shape_never_cost_the_sale() -> None:
    odd = {"A": "text", "B": True, "C": {"value": {"x": [1]}}, "": {"value": "nameless"}, "D": None}
    event = read(order={"custom_fields": odd, "upsell_custom_fields": "none"})
    values = {field.name: field.value for field in event.custom_fields}
    assert values == {"A": "text", "B": "true", "C": '{"x": [1]}', "D": ""}


def test_custom_fields_are_clipped_in_number_and_length() -> None:
    many = [{"name": "n" * 300, "slug": "s" * 300, "value": "v" * 3_000}] * 201
    found = read(order={"custom_fields": many, "upsell_custom_fields": many}).custom_fields
    assert found == (CustomField("n" * 255, "s" * 255, "v" * 2_000),) * 200


def test_text_is_clipped_and_freed_of_what_a_database_refuses() -> None:
    event = read(
        type="Order\x00" + "x" * 200,
        product={"id": 1, "name": "\udfff\ud800Art\x07\r\n" + "y" * 500, "status": 3},
        customer={"first_name": "\t\x00 ", "last_name": ["Example"]},
    )
    assert event.type == "Order" + "x" * 95
    assert event.product_name == "\ufffd\ufffdArt  " + "y" * 248
    assert (event.first_name, event.last_name, event.line_status) == ("", "", "3")
    assert read(customer={"first_name": True}).first_name == ""


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        *[(one, "1") for one in (1, "1", "001", " 1 ", 1.0, "1.0", "1e0")],
        *[(nothing, "") for nothing in NOTHINGS],
        *[(zero, "") for zero in (0, "0", 0.0)],
        ("SKU-x", "SKU-x"),
        ("9" * 64, "9" * 64),
        (2**53 + 1, str(2**53 + 1)),
    ],
)
def test_one_id_is_always_written_the_same_way(sent: object, read_as: str) -> None:
    event = read(
        product={"id": sent, "name": "Art"},
        order={"id": sent, "subscription_id": sent},
        customer={"customer_id": sent},
    )
    ids = event.product_id, event.order_id, event.subscription_id, event.customer_id
    assert ids == (read_as,) * 4
    assert event.kind == "product"


@pytest.mark.parametrize("odd", [-1, 1.5, True, "g\u00e4st", "x" * 65, [1], {"a": 1}])
def test_an_odd_customer_id_costs_nobody_the_course(odd: object) -> None:
    event = read(customer={"customer_id": odd, "email": DANA}, product={"id": 1})
    assert (event.customer_id, event.email, event.product_id) == ("", DANA, "1")
    assert read(customer={"customer_id": odd, "id": 7}).customer_id == "7"


def test_an_id_written_as_exponent_is_the_same_id() -> None:
    (event,) = parse(b'{"product": {"id": 1e0}}')
    assert event.product_id == "1"


@pytest.mark.parametrize("place", ["order", "product", ""])
def test_a_subscription_is_found_in_the_order_the_line_or_the_body(place: str) -> None:
    held: dict[str, Any] = {"subscription_id": 990001}
    body = {"product": {"id": 1}} | ({place: {"id": 1} | held} if place else held)
    assert read(**body).subscription_id == "990001"


def test_the_subscription_of_the_line_goes_before_that_of_the_order() -> None:
    body = {"product": {"id": 1, "subscription_id": 2}, "order": {"subscription_id": 3}}
    assert read(**body).subscription_id == "2"


def test_the_charge_of_the_order_stands_in_where_the_line_has_none() -> None:
    assert read(order={"transaction_id": ["ch_1", "ch_2"]}).transaction_id == "ch_1"
    assert read(order={"transaction_id": "ch_1"}).transaction_id == "ch_1"
    assert read(order={"transaction_id": {"0": "ch_1"}}).transaction_id == "ch_1"


def test_php_empties_and_nulls_are_nothing() -> None:
    empty: dict[str, Any] = {key: [] for key in ("type", "product", "customer", "order", "course")}
    nulls: dict[str, Any] = dict.fromkeys(empty)
    lines: dict[str, Any] = {"products": [None, [], {}]}
    for body in (empty, nulls, lines, {}):
        event = read(**body)
        assert (event.type, event.kind, event.email_problem) == ("", "", str(NO_EMAIL))


def test_a_doubled_key_that_nobody_reads_does_no_harm() -> None:
    (event,) = parse(b'{"type": "Order", "note": 1, "note": 2, "x": {"id": 1, "id": 2}}')
    assert event.type == "Order"


def test_a_body_may_tell_of_a_product_and_of_a_course() -> None:
    events = parse(b'{"product": {"id": 5}, "course": {"id": 5}}')
    assert [(event.kind, event.product_id) for event in events] == [
        ("product", "5"),
        ("course", "5"),
    ]


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "?"]
)
def test_json_is_read_whatever_the_content_type_says(content_type: str) -> None:
    body = SAMPLES["01"].read_bytes()
    assert parse(body, content_type) == parse(body, "application/json") == sample("01")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("number", ["92", "07"])
def test_utf_8_and_utf_16_with_their_marks_are_read(encoding: str, number: str) -> None:
    assert parse(SAMPLES[number].read_text("utf-8").encode(encoding)) == sample(number)


def test_a_form_appends_to_lists_as_php_does() -> None:
    charges = b"order[transaction_id][]=ch_1&order[transaction_id][]=ch_2"
    body = b"order[id]=7&products[][id]=1&products[][id]=2&odd[=&x&" + charges
    first, second = parse(body)
    assert (first.product_id, second.product_id) == ("1", "2")
    assert (first.order_id, first.transaction_id) == ("7", "ch_1")


def test_a_form_field_may_hold_the_json_next_to_the_type() -> None:
    (event,) = parse(
        b"type=Refund&payload=%7B%22type%22:%22Order%22,%22product%22:%7B%22id%22:1%7D%7D"
    )
    assert (event.type, event.product_id) == ("Order", "1")


def test_64_levels_are_read_and_brackets_in_texts_are_no_levels() -> None:
    deep = b"[" * 63 + b"]" * 63
    assert parse(b'{"type": "Order", "x": ' + deep + b"}")[0].type == "Order"
    for text in (rb'"\"', rb'"\\", "y": "', rb'"\\\"'):
        body = b'{"x": ' + text + b"[" * 200 + b'", "type": "Order"}'
        assert parse(body)[0].type == "Order"


def test_a_raw_line_break_in_a_text_loses_no_sale() -> None:
    (event,) = parse(b'{"type": "Order", "customer": {"first_name": "Dana\n\tMaria"}}')
    assert event.first_name == "Dana  Maria"


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_body_says_so_in_a_sentence_that_quotes_none_of_it(kind: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(UNREADABLE[kind])
    reason = caught.value.reason
    assert str(caught.value) == reason
    assert reason[0].isupper()
    assert reason[-1] in ".?"
    assert len(reason) < 120
    assert not any(word in reason for word in ("1048001", "example.com", "Dana", "Thank"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("it is empty", "The body is empty."),
        ("it is Latin-1", "The body is not UTF-8 text: byte 48 is not valid."),
        ("it is cut off", "The body is not JSON: it breaks off after 150 characters."),
        ("it is a list of two", "The body is a list of 2; only a list of one is read."),
        ("it is an empty list", "The body is a list where an object is expected."),
        ("it is gzip and broken off", "The body is compressed (gzip), and damaged or incomplete."),
        ("it is nested 65 deep", "The body is nested more than 64 levels deep."),
        ("it holds NaN", "The body holds NaN where a number is expected."),
        ("it joins 201 product ids", "The product id joins more than 200 ids."),
        ("its product id is true", "The product id is true or false where a number is expected."),
        ("its product id has a fraction", "The product id is negative or not a whole number."),
    ],
)
def test_the_reason_names_the_fault(kind: str, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(UNREADABLE[kind])
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (" A@X.com ", "a@x.com"),
        ("DANA+art@Example.COM\r\n", "dana+art@example.com"),
        ("re\u0301ne\u0301@example.com", "r\u00e9n\u00e9@example.com"),
        ("R\u00c9N\u00c9@example.com", "r\u00e9n\u00e9@example.com"),
        ("H\u0331@example.com", "\u1e96@example.com"),
        ("a@B\u00dcCHER.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
        ("a@stra\u00dfe.example", "a@xn--strae-oqa.example"),
        ("a@\u2603.example", "a@xn--n3h.example"),
        # A capital letter of Unicode 8, which the standard library's codec takes for another one.
        ("a@\u13a0.example", "a@xn--58d.example"),
        ("a@b\u3002example.", "a@b.example"),
        ("a@b.example\u3002", "a@b.example"),
        ("o'neil_#1..x@a-b.co.uk", "o'neil_#1..x@a-b.co.uk"),
        ("x" * 308 + "@example.com", "x" * 308 + "@example.com"),
    ],
)
def test_one_person_is_found_under_one_address(sent: str, key: str) -> None:
    assert normalize_email(sent) == key
    assert normalize_email(key) == key
    event = read(customer={"email": sent})
    assert (event.email, event.email_problem) == (key, "")


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        *[(nothing, str(NO_EMAIL)) for nothing in NOTHINGS],
        (5, "is a number"),
        (True, "is true or false"),
        (["a@b.de"], "is a list"),
        *[(f"a{blank}b@c.de", "has a space") for blank in (" ", "\t", "\r\n", "\u00a0", "\u2028")],
        ("a@b.de\r\nBcc: c@d.de", "has a space"),
        *[
            (f"a{unseen}@b.de", "invisible or damaged")
            for unseen in "\0\x7f\u200b\u200d\u202e\u2066\ufeff\u00ad\ufe0f\ud800\ufffd\ue000"
        ],
        *[(text, 'exactly one "@"') for text in ("dana", "@b.de", "a@", "a@b@c.de")],
        *[
            (text, "another wrong character")
            for text in ("<a@b.de>", "a,b@c.de", '"a"@b.de', "mailto:a@b.de")
        ],
        *[(f"a@{domain}", "has a domain, such as") for domain in ("b", "b..de", ".de", "-b.de")],
        *[
            (f"a@{domain}", "has a domain, such as")
            for domain in ("b/c.de", "\u2100.de", "x" * 64 + ".de")
        ],
        ("a@" + "\u00fc" * 64 + ".de", "has a domain, such as"),
        ("x" * 309 + "@example.com", "longer than 320"),
        ("x" * 305 + "@b\u00fccher.de", "longer than 320"),
    ],
)
def test_an_unusable_address_is_explained_and_the_rest_is_read(sent: object, problem: str) -> None:
    event = read(type="Order", customer={"email": sent}, product={"id": 1})
    assert event.email == ""
    assert problem in event.email_problem
    assert (event.type, event.product_id) == ("Order", "1")


def test_an_address_is_kept_as_it_was_sent_without_what_surrounds_it() -> None:
    assert sample("90")[0].email_as_sent == "Dana@Example.COM"
    assert read(customer={"email": "x" * 400}).email_as_sent == "x" * 320
    assert read(customer={"email": 5}).email_as_sent == "5"
    assert read(customer={"email": " "}).email_as_sent == ""


def test_a_type_is_compared_without_case_blanks_and_joints() -> None:
    spellings = ("PartialRefund", "partial refund", "PARTIAL_REFUND", " Partial-\u00a0Refund\n")
    assert {normalize_type(text) for text in spellings} == {"partialrefund"}


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("before", "unit", "after"),
    [
        (b"", b"[", b""),
        (b'{"a":[', b"{},", b"1]}"),
        (b'{"a":[', b'{"b":1,"b":1},', b"1]}"),
        (b'{"products":{"0":1,', b'"0":{},', b'"1":{}}}'),
        (b'{"a":"', b"\\\\", b'"}'),
        (b'{"order":{"id":"', b"1", b'x"}}'),
        (b'{"product":{"id":"', b"1,", b'"}}'),
        (b'{"customer":{"email":"a', "\u0301".encode(), b'@b.de"}}'),
        (b'{"customer":{"email":"a', b" ", b'@b.de"}}'),
        (b"type=", b"%", b""),
        (b"type=1&a", b"[a]", b"=1"),
        (b"", b"a", b"=1"),
    ],
)
def test_a_hostile_megabyte_does_not_hold_the_inbox_up(
    before: bytes, unit: bytes, after: bytes
) -> None:
    body = before + unit * ((MEGABYTE - len(before + after)) // len(unit)) + after
    started = time.process_time()  # what others do on the machine does not count
    holds(body)
    # Far above what it takes, far below what anything quadratic would take.
    assert time.process_time() - started < 3


def holds(body: bytes, content_type: str = "") -> None:
    try:
        events = parse(body, content_type)
    except Unreadable as error:
        texts = [error.reason]
        assert texts[0]
    else:
        assert 1 <= len(events) <= 200
        texts = [text for event in events for text in texts_of(event)]
    for text in texts:
        assert b"\0" not in text.encode()


def texts_of(event: SaleEvent) -> list[str]:
    texts = [
        getattr(event, field.name)
        for field in fields(event)
        if field.name not in {"custom_fields", "ordered_at"}
    ]
    for custom in event.custom_fields:
        texts += [custom.name, custom.slug, custom.value]
    return texts


FUZZ = settings(max_examples=300, derandomize=True, deadline=None)
ANY_TEXT = st.text(st.characters(), max_size=20)
PARTS = ["type", "product", "products", "course", "customer", "order", "email", "name", "status"]
FIELDS = ["id", "0", "custom_fields", "value", "slug", "transaction_id", "subscription_id"]
OUR_KEYS = st.sampled_from([*PARTS, *FIELDS]) | ANY_TEXT
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(OUR_KEYS, inner, max_size=4),
    max_leaves=6,
)
BODIES = [path.read_bytes() for path in sorted(SAMPLES.values())]


@given(st.binary(max_size=200), st.sampled_from(["", "application/x-www-form-urlencoded"]))
@FUZZ
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    holds(body, content_type)


@given(st.dictionaries(OUR_KEYS, ANY_JSON, max_size=5) | ANY_JSON, st.booleans())
@FUZZ
def test_any_json_is_read_or_refused(value: object, escaped: bool) -> None:
    holds(json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


@given(
    st.sampled_from(BODIES),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=8)),
        min_size=1,
        max_size=3,
    ),
)
@FUZZ
def test_a_damaged_sample_is_read_or_refused(
    body: bytes, cuts: list[tuple[float, int, bytes]]
) -> None:
    for where, length, put in cuts:
        start = int(where * len(body))
        body = body[:start] + put + body[start + length :]
    holds(body)


@given(ANY_TEXT, st.sampled_from(["", "b.de", "B\u00dcCHER.de", "\u03a3\u03c2.gr"]))
@example("\u0130", "\u0130.de")
@FUZZ
def test_a_normal_address_stays_as_it_is(local: str, domain: str) -> None:
    key = normalize_email(f"{local}@{domain}")
    assert normalize_email(key) == key
