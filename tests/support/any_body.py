"""POSTs that nobody would think of: bytes, JSON, and damaged samples of `payloads/`.

Each drawn number picks a place in a sample or a value from a list, so a body costs Hypothesis
few choices and a batch of bodies fits into one example.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from hypothesis import strategies as st

from tests.support.samcart import PAYLOADS

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Post:
    """One request to the webhook; `path` (percent-encoded) follows the secret."""

    body: bytes
    content_type: str
    path: str
    query: str


class Pairs(list[tuple[str, Any]]):
    """A JSON object that may name a key twice."""


class Raw(str):
    """Text that is put into JSON as it is, whether or not it is valid JSON."""


# Replacements for any value: odd numbers, texts that databases refuse, other shapes, no JSON.
ODD = [
    *("null", "true", "false", "0", "-1", "1.5", "1e2", "-0.0", "1e999", "1e16", "1e-400"),
    *("NaN", "Infinity", "-Infinity", "9" * 19, "9" * 64, "9" * 101, "9" * 5_000, "01", "0x1"),
    *('""', '" "', '"0"', '"007"', '"1e400"', '"-5"', '"1,2,,2"', '"' + "1," * 300 + '"'),
    *(r'"\u0000"', r'"\ud800"', r'"\udc00\ud800"', r'"\ud83c\udf93"', '"\ud800"', '"a\0b"'),
    *('"\u0130"', '"\u202e\u200b\ufeff"', '"\u0661\u0662"', '"\u00e9\u0301"', '"\x1b[2J"'),
    *('"' + "x" * 70 + '"', '"' + "\u00fc" * 3_000 + '"', '"' + r"\u0000" * 300 + '"'),
    *('"a@b"', '"A@\u00dc.de"', '"a@b.de\\r\\nBcc: c@d.de"', '"\u00fc@xn--.de"', '"@"'),
    *('"a@\u2100.de"', '"\u0130@\u0130.de"'),
    *("[]", "{}", "[null]", "[[]]", "[{}, 1]", '{"0": {}}', '{"1": {"id": 7}, "0": null}'),
    *('{"id": 1, "id": 2}', '[{"id": true}]', '[{"id": 1}, {"id": "1"}]', '{"": {"": 1}}'),
    *("[" * 60 + "]" * 60, "[" * 70 + "]" * 70, '{"a":' * 2_000 + "1" + "}" * 2_000, "[" * 9_000),
    *('["a", "b"]', '{"value": {"x": ["\\u0000"]}}', '[{"name": "\\ud800", "value": NaN}]'),
    *("'x'", "", ",", "// no", '"open', '"\\x"', "<b>", '"=cmd()|<script>"', '"%00%ff"'),
]  # fmt: skip
KEYS = [
    *("type", "product", "products", "course", "customer", "order", "id", "email", "name"),
    *("status", "subscription_id", "transaction_id", "custom_fields", "upsell_custom_fields"),
    *("customer_id", "refund_transaction_id", "slug", "value", "", "0", "\0", "\ud800", "x" * 400),
]
# None means that the header is not sent. Headers that gunicorn refuses are left out.
CONTENT_TYPES = [
    *("application/json", FORM, "", "text/plain", "application/json; charset=utf-16"),
    *("multipart/form-data; boundary=x", "multipart/form-data", FORM + "; charset=latin-1"),
    *("application/json; charset=nope", "application/json; charset*=nope''%41", ";;;=", "a/b; =;"),
    *("a/b; c*=''%ff", "a/b; c*=zlib''%41", 'a/b; c="' + "x" * 2_000, "x" * 4_000, "\xff\xfe/\x01"),
]
PATHS = [
    *("", "/", "/product_purchased/", "/Product-Purchased", "//course_started", "/a/b/c", "/%00"),
    *("/%ff%fe", "/%ED%A0%80", "/%F0%9F%8E%93", "/" + "x" * 900, "/..%2f.."),
    *("/subscription_canceled", "/product%20purchased"),
]  # fmt: skip
QUERIES = [
    *("", "a=1", "type=Order&id=%00", "%ff=%ED%A0%80", "&&==;", "a=" + "x" * 4_000, "\xff\xfe"),
    *("product[id]=1", "x" * 2_001, "[" * 500),
]
ENCODINGS = [
    *("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
    *("latin-1", "utf-7", "cp037"),
]


def _samples() -> list[Pairs]:
    files = sorted(PAYLOADS.glob("*.json"))
    return [json.loads(file.read_bytes(), object_pairs_hook=Pairs) for file in files]


SAMPLES = _samples()
FORMS = [file.read_bytes() for file in sorted(PAYLOADS.glob("*.form"))]
SMALL = st.integers(0, 255)
Change = tuple[int, int, int]


def written(value: Any, *, escaped: bool) -> str:
    """Return the value as a JSON text, including doubled keys and raw parts."""
    match value:
        case Raw():
            return str(value)
        case Pairs():
            inner = [
                f"{json.dumps(key, ensure_ascii=escaped)}: {written(each, escaped=escaped)}"
                for key, each in value
            ]
            return "{" + ", ".join(inner) + "}"
        case list():
            return "[" + ", ".join(written(each, escaped=escaped) for each in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=escaped)


def changed(value: Any, changes: list[Change]) -> Any:
    """Return a copy of a sample with a key dropped, doubled or renamed, or a value replaced."""
    value = _copy(value)
    for kind, where, what in changes:
        objects = list(_objects(value))
        pairs = objects[where % len(objects)]
        if not pairs:
            pairs.append((KEYS[what % len(KEYS)], Raw(ODD[what % len(ODD)])))
            continue
        CHANGES[kind % len(CHANGES)](pairs, where * 7 % len(pairs), what)
    return value


def _drop(pairs: Pairs, at: int, what: int) -> None:
    del pairs[at]


def _double(pairs: Pairs, at: int, what: int) -> None:
    pairs.insert(what % (len(pairs) + 1), pairs[at])


def _rename(pairs: Pairs, at: int, what: int) -> None:
    pairs[at] = (KEYS[what % len(KEYS)], pairs[at][1])


def _retype(pairs: Pairs, at: int, what: int) -> None:
    pairs[at] = (pairs[at][0], Raw(ODD[what % len(ODD)]))


def _wrap(pairs: Pairs, at: int, what: int) -> None:
    key, value = pairs[at]
    pairs[at] = (
        key,
        [value] * (what % 4) if what < 128 else Pairs([(KEYS[what % len(KEYS)], value)]),
    )


CHANGES: list[Callable[[Pairs, int, int], None]] = [
    _drop,
    _double,
    _rename,
    _retype,
    _retype,
    _wrap,
]


def _copy(value: Any) -> Any:
    if isinstance(value, Pairs):
        return Pairs((key, _copy(each)) for key, each in value)
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _objects(value: Any) -> list[Pairs]:
    found = [value] if isinstance(value, Pairs) else []
    inner = [each for _, each in value] if isinstance(value, Pairs) else value
    for each in inner if isinstance(inner, list) else ():
        found += _objects(each)
    return found


def form(value: Any, name: str = "") -> str:
    """Return the value as PHP would write it into a form."""
    if isinstance(value, Pairs):
        parts = [(f"{name}[{key}]" if name else key, each) for key, each in value]
    elif isinstance(value, list):
        parts = [(f"{name}[{number}]", each) for number, each in enumerate(value)]
    else:
        return f"{_quoted(name)}={_quoted(str(value))}"
    return "&".join(form(each, key) for key, each in parts)


def _quoted(text: str) -> str:
    return quote_plus(text, safe="[]", errors="surrogatepass")


def encoded(text: str, encoding: str) -> bytes:
    """Encode the text; characters that the encoding lacks become "?"; UTF-8 keeps surrogates."""
    return text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")


def _cut(body: bytes, cut: tuple[int, int, bytes] | None) -> bytes:
    if cut is None:
        return body
    start, length, put = cut
    at = start * len(body) // 256
    return body[:at] + put + body[at + length :]


CUTS = st.none() | st.tuples(SMALL, st.integers(0, 12), st.binary(max_size=3))
CHANGED = st.builds(
    changed,
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(SMALL, SMALL, SMALL), min_size=1, max_size=3),
)
AS_JSON = st.builds(
    lambda value, encoding, escaped, cut: _cut(
        encoded(written(value, escaped=escaped), encoding), cut
    ),
    CHANGED,
    st.sampled_from(ENCODINGS),
    st.booleans(),
    CUTS,
)
AS_FORM = st.builds(
    lambda value, cut: _cut(form(value).encode(), cut), CHANGED, CUTS
) | st.builds(
    lambda value, name: f"{name}={_quoted(written(value, escaped=True))}".encode(),
    CHANGED,
    st.sampled_from(["payload", "data", "type", "a[b]", ""]),
) | st.builds(_cut, st.sampled_from(FORMS), CUTS)  # fmt: skip
LEAVES = st.sampled_from(ODD).map(Raw) | st.integers() | st.floats() | st.text(max_size=4)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(Pairs)
    ),
    max_leaves=5,
)
AS_ANY_JSON = ANY_JSON.map(lambda value: encoded(written(value, escaped=False), "utf-8"))
BODIES = AS_JSON | AS_FORM | AS_ANY_JSON | st.binary(max_size=60)
POSTS = st.builds(
    Post,
    BODIES,
    st.sampled_from(CONTENT_TYPES),
    st.sampled_from(PATHS),
    st.sampled_from(QUERIES),
)
