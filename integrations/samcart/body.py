"""Read the bytes of a webhook body into one JSON object, or say why that fails.

SamCart sends JSON, but its content type was never recorded and relays re-send bodies as forms, so
the bytes decide, not the header. Everything here takes time proportional to the length.
"""

import codecs
import contextlib
import json
import math
import re
from array import array
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from itertools import accumulate
from typing import NoReturn

from integrations.sentences import Said, say

from .text import json_kind
from .unreadable import Unreadable

JsonObject = dict[str, object]

MAX_DEPTH = 64  # Python's own parser raises RecursionError somewhere beyond 1,000
MAX_NUMBER_LENGTH = 100
MAX_FORM_FIELDS = 2_000  # twice PHP's own limit (max_input_vars)

_PARTS = frozenset({"product", "products", "course", "customer", "order"})

# Only these charsets are read: other codecs may not decode to text, or may be slow.
_READ_CHARSETS = re.compile(r"utf-8|utf-16(-le|-be)?|iso8859-\d+|cp125\d|koi8-[ru]")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_FORM_TYPE = "application/x-www-form-urlencoded"
_FORM_NAME = re.compile(r"[\w.+%\[\]-]{1,200}", re.ASCII)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'"[]{}'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


class DoubledObject(JsonObject):
    """An object in which keys may occur more than once. It has the last value of each."""

    __slots__ = ("doubled",)

    def __init__(self, sent: list[tuple[str, object]]) -> None:
        super().__init__(sent)
        seen: set[str] = set()
        self.doubled: set[str] = set()
        for key, _ in sent:
            if key in seen:
                self.doubled.add(key)
            seen.add(key)

    def put(self, key: str, value: object) -> None:
        """Set a key, noting in `doubled` if it was set before."""
        if key in self:
            self.doubled.add(key)
        self[key] = value


def read_object(body: bytes, content_type: str = "") -> JsonObject:
    """Return the object in a webhook body.

    Tries JSON first, whatever `content_type` says, then a form with PHP-style names
    (`customer[email]=...`) or with one field that contains JSON. The JSON may also be a list of
    one object, or a string that contains JSON. Raises Unreadable.
    """
    text = _decode(body, content_type)
    try:
        return _load_object(text)
    except json.JSONDecodeError as error:
        if _is_form(text, content_type):
            return _read_form(text)
        raise Unreadable(_why_not_json(text, error, content_type)) from None


def needed(found: JsonObject, key: str) -> object:
    """Return `found[key]`, or None if it is absent. Raises Unreadable if the key occurs twice.

    Nobody can know which of the two values was meant, and a wrong guess enrolls the wrong person.
    """
    if isinstance(found, DoubledObject) and key in found.doubled:
        raise Unreadable(
            say('The body names "{key}" twice in one place; which one holds?', key=key[:40])
        )
    return found.get(key)


def _decode(body: bytes, content_type: str) -> str:
    if not body:
        raise Unreadable(say("The body is empty."))
    if body.startswith((BOM_UTF32_LE, BOM_UTF32_BE)):
        raise Unreadable(say("The body is written in UTF-32; only UTF-8 and UTF-16 are read."))
    wide = body.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    declared = _declared(content_type)
    encoding, name = ("utf-16", "UTF-16") if wide else ("utf-8", "UTF-8")
    if not wide and declared.startswith("utf-16"):
        encoding, name = declared, "UTF-16"
    try:
        text = body.removeprefix(BOM_UTF8).decode(encoding)
    except UnicodeDecodeError as error:
        # UTF-8 was tried first: bytes that fit it are hardly anything else, whatever is declared.
        text = "" if wide else _decode_as(body, declared)
        if not text:
            raise Unreadable(
                say(
                    "The body is not {encoding} text: byte {number} is not valid.",
                    encoding=name,
                    number=error.start + 1,
                )
            ) from None
    if "\0" in text:
        raise Unreadable(say("The body holds a NUL byte, which no text may hold."))
    if not text.strip():
        raise Unreadable(say("The body is nothing but spaces."))
    return text


def _declared(content_type: str) -> str:
    """Return the codec of the declared charset, or "" if none is declared or it is not read."""
    found = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(found[1]).name if found else ""
    except LookupError:
        return ""
    return name if _READ_CHARSETS.fullmatch(name) else ""


def _decode_as(body: bytes, declared: str) -> str:
    """Return the text decoded by the declared charset, or "" if none is declared or fits."""
    # As browsers do: text declared as Latin-1 is mostly Windows-1252, which has more characters.
    names = ["cp1252", declared] if declared == "iso8859-1" else [declared]
    for name in filter(None, names):
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(name)
    return ""


def _load_object(text: str) -> JsonObject:
    value = _load(text)
    if isinstance(value, str):
        # A relay has encoded the JSON as a JSON string.
        try:
            value = _load(value)
        except json.JSONDecodeError:
            raise Unreadable(_no_object(value)) from None
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, list) and value:
        raise Unreadable(
            say("The body is a list of {number}; only a list of one is read.", number=len(value))
        )
    if not isinstance(value, dict):
        raise Unreadable(_no_object(value))
    return value


def _no_object(value: object) -> Said:
    return say("The body is {kind} where an object is expected.", kind=json_kind(value))


def _load(text: str) -> object:
    _check_depth(text)
    value: object = json.loads(
        text,
        # A raw tab or line break inside a string is invalid, but no reason to lose a sale.
        strict=False,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=_refuse_constant,
    )
    return value


def _check_depth(text: str) -> None:
    # Escapes are removed first, so that every remaining quote opens or closes a string. In broken
    # JSON, depth may be counted wrongly after the first mistake, but the parser stops there anyway.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    plain = text.encode().replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(plain.translate(None, _NO_STRUCTURE).split(b'"')[::2])
    if max(accumulate(array("b", outside.translate(_STEPS))), default=0) > MAX_DEPTH:
        raise _too_deep()


def _too_deep() -> Unreadable:
    return Unreadable(say("The body is nested more than {number} levels deep.", number=MAX_DEPTH))


def _object(pairs: list[tuple[str, object]]) -> JsonObject:
    found = dict(pairs)
    return found if len(found) == len(pairs) else DoubledObject(pairs)


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_LENGTH:
        _refuse_length()
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_NUMBER_LENGTH:
        _refuse_length()
    number = float(digits)
    if math.isinf(number):
        raise Unreadable(say("The body holds a number that is too large to be one."))
    return number


def _refuse_length() -> NoReturn:
    raise Unreadable(
        say("The body holds a number of more than {number} digits.", number=MAX_NUMBER_LENGTH)
    )


def _refuse_constant(name: str) -> NoReturn:
    raise Unreadable(say("The body holds {name} where a number is expected.", name=name))


def _why_not_json(text: str, error: json.JSONDecodeError, content_type: str) -> Said:
    if content_type.strip().lower().startswith("multipart/"):
        return say("The body is not JSON: it is a multipart form, which SamCart does not send.")
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return say(
            "The body is not JSON: it breaks off after {number} characters.", number=len(text)
        )
    return say(
        "The body is not JSON: character {number} of {all} is not valid.",
        number=error.pos + 1,
        all=len(text),
    )


def _is_form(text: str, content_type: str) -> bool:
    name, equals, _ = text.partition("=")
    # Broken JSON and XML contain "=", too. Calling them a form would give a wrong explanation.
    if not equals or name.lstrip().startswith(("{", "[", '"', "<")):
        return False
    declared = content_type.partition(";")[0].strip().lower() == _FORM_TYPE
    return declared or _FORM_NAME.fullmatch(name) is not None


def _read_form(text: str) -> JsonObject:
    if text.count("&") >= MAX_FORM_FIELDS:
        raise Unreadable(
            say("The body is a form of more than {number} fields.", number=MAX_FORM_FIELDS)
        )
    form = DoubledObject([])
    for field in filter(None, text.strip().split("&")):
        name, _, value = field.partition("=")
        _place(form, _path(_unquote(name)), _unquote(value))
    inside = [sent for sent in form.values() if isinstance(sent, str) and _opens_object(sent)]
    if len(inside) == 1 and _PARTS.isdisjoint(form):
        try:
            return _load_object(inside[0])
        except json.JSONDecodeError:
            raise Unreadable(say("The body is a form with a field of broken JSON.")) from None
    if _PARTS.isdisjoint(form) and "type" not in form:
        raise Unreadable(say("The body is not JSON, and no form with a field that SamCart sends."))
    return form


def _opens_object(text: str) -> bool:
    return text.lstrip().startswith("{")


def _unquote(text: str) -> str:
    # Not urllib's unquote, which takes half a second for a megabyte of stray percent signs.
    raw = text.replace("+", " ").encode()
    try:
        return _PERCENT.sub(lambda found: bytes.fromhex(found[1].decode()), raw).decode()
    except UnicodeDecodeError:
        raise Unreadable(say("The body is a form whose text is not UTF-8.")) from None


def _path(name: str) -> list[str]:
    """Split a PHP field name: `products[0][id]` -> products, 0, id. `[]` gives an empty step."""
    first, bracket, rest = name.partition("[")
    if not (first and bracket and rest.endswith("]")):
        return [name]
    if rest.count("[") >= MAX_DEPTH:
        raise _too_deep()
    return [first, *rest[:-1].split("][")]


def _place(form: DoubledObject, path: list[str], value: str) -> None:
    node = form
    for step in path[:-1]:
        key = step or str(len(node))
        child = node.get(key)
        if not isinstance(child, DoubledObject):
            child = DoubledObject([])
            node.put(key, child)
        node = child
    node.put(path[-1] or str(len(node)), value)
