"""Read the sale events in one SamCart webhook body.

What is known about these bodies, and how surely, is noted beside the samples in `tests/payloads/`:
`products` as a list was seen in a real log; public code reads a single `product` and the
comma-joined form; the Courses bodies are inferred. So both product keys are read, in any mix.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from integrations.samcart.body import JsonObject, needed, read_object
from integrations.samcart.custom_fields import CustomField, read_custom_fields
from integrations.samcart.encoding import decompress
from integrations.samcart.normalize import (
    MAX_EMAIL_LENGTH,
    MAX_ID_LENGTH,
    NO_EMAIL,
    examine_email,
    normalize_email,
    normalize_id,
    split_ids,
    strip_invisible,
)
from integrations.samcart.order_time import read_moment
from integrations.samcart.text import is_none, json_kind, line, storable
from integrations.samcart.unreadable import Unreadable
from integrations.sentences import say

__all__ = [
    "CustomField",
    "SaleEvent",
    "Unreadable",
    "normalize_email",
    "normalize_type",
    "parse",
]

MAX_TYPE_LENGTH = 100
MAX_NAME_LENGTH = 255
# No cart has a tenth of this, and each line may become a row for every rule.
MAX_LINES = 200
ID_OF = {"product": _("product id"), "course": _("course id")}


@dataclass(frozen=True, slots=True)
class SaleEvent:
    """What one body says about one product or course and one customer.

    No text contains NUL or a lone surrogate. IDs are normalized text of at most 64 characters, ""
    if absent. A body that names neither product nor course gives one event of kind "".
    """

    type: str  # as sent, at most 100 characters; "" if absent: the address may name the trigger
    kind: str  # what product_id identifies: "product", "course" or ""
    product_id: str
    product_name: str
    email: str  # the match key; "" if there is no usable address
    email_as_sent: str  # for display
    email_problem: str  # a sentence if email is "", else ""
    first_name: str = ""
    last_name: str = ""
    customer_id: str = ""
    order_id: str = ""
    subscription_id: str = ""
    transaction_id: str = ""
    custom_fields: tuple[CustomField, ...] = ()
    line_status: str = ""  # as sent ("Charged", "Declined"); "" if the body gives none
    ordered_at: datetime | None = None  # aware; None if the order has no usable time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    kind: str = ""
    id: str = ""
    name: str = ""
    status: str = ""
    subscription_id: str = ""
    transaction_id: str = ""


def parse(body: bytes, content_type: str = "", content_encoding: str = "") -> list[SaleEvent]:
    """Return the sale events of a webhook body: one per product or course, at least one.

    Raises only Unreadable: the body is damaged, or a part that decides who gets what makes no
    sense. A missing or unusable e-mail address is noted in the event.
    """
    found = read_object(decompress(body, content_encoding), content_type)
    whole = _without_product(found)
    return [
        replace(
            whole,
            kind=sold.kind,
            product_id=sold.id,
            product_name=sold.name,
            line_status=sold.status,
            subscription_id=sold.subscription_id or whole.subscription_id,
            transaction_id=sold.transaction_id or whole.transaction_id,
        )
        for sold in _lines(found) or [_Line()]
    ]


def _without_product(found: JsonObject) -> SaleEvent:
    """Return what the body says about customer and order, which is the same for all its lines."""
    type_as_sent = _type(found)
    customer = _part(found, "customer")
    order = _part(found, "order")
    email, email_as_sent, email_problem = _email(needed(customer, "email"))
    return SaleEvent(
        type=type_as_sent,
        kind="",
        product_id="",
        product_name="",
        email=email,
        email_as_sent=email_as_sent,
        email_problem=email_problem,
        order_id=normalize_id(needed(order, "id"), what=_("order id")),
        customer_id=_customer_id(customer),
        subscription_id=_subscription_id(order) or _subscription_id(found),
        transaction_id=_first_text(found.get("refund_transaction_id"))
        or _first_text(order.get("transaction_id")),
        first_name=line(customer.get("first_name"), MAX_NAME_LENGTH),
        last_name=line(customer.get("last_name"), MAX_NAME_LENGTH),
        custom_fields=read_custom_fields(order),
        ordered_at=read_moment(order.get("created_at")),
    )


def normalize_type(text: str) -> str:
    """Return a `type` for comparing: casefolded, without spaces, "_" and "-"."""
    return "".join(text.casefold().replace("_", "").replace("-", "").split())


def _customer_id(customer: JsonObject) -> str:
    """Return SamCart's ID of the customer, "" if there is none or it makes no sense.

    No access depends on it, so an odd one must not cost the buyer the course.
    """
    for key in ("customer_id", "id"):
        with suppress(Unreadable):
            if named := normalize_id(needed(customer, key), what=_("customer id")):
                return named
    return ""


def _type(found: JsonObject) -> str:
    value = needed(found, "type")
    if is_none(value):
        return ""
    if not isinstance(value, str):
        kind_sent = json_kind(value)
        raise Unreadable(
            say("The type of the event is {kind} where a text is expected.", kind=kind_sent)
        )
    if any("\ud800" <= character <= "\udfff" for character in value[:MAX_TYPE_LENGTH]):
        raise Unreadable(say("The type of the event holds half a character."))
    text = storable(value, MAX_TYPE_LENGTH)
    return text if text.strip() else ""


def _email(value: object) -> tuple[str, str, str]:
    if is_none(value):
        return "", "", say(NO_EMAIL)
    if not isinstance(value, str):
        kind = json_kind(value)
        problem: str = say("The e-mail address is {kind} where a text is expected.", kind=kind)
        return "", line(value, MAX_EMAIL_LENGTH), problem
    value = strip_invisible(value)
    email, problem = examine_email(value)
    return email, storable(value, MAX_EMAIL_LENGTH), problem


def _part(found: JsonObject, key: str) -> JsonObject:
    value = needed(found, key)
    if is_none(value):
        return {}
    if not isinstance(value, dict):
        raise Unreadable(
            say("The {key} is {kind} where an object is expected.", key=key, kind=json_kind(value))
        )
    return value


def _lines(found: JsonObject) -> list[_Line]:
    """Return one line per distinct product or course, and per subscription to it.

    Two lines with the same ID become one, because nobody needs to be enrolled twice. If both name a
    subscription, each is a purchase: one may be canceled while the other is paid. Further
    subscriptions come last, because the number of a line identifies its event.
    """
    lines: dict[tuple[str, str, str], dict[str, _Line]] = {}
    for key, kind in (("product", "product"), ("products", "product"), ("course", "course")):
        for entry in _entries(found, key):
            for sold in _sold(entry, kind):
                same = (kind, sold.id, "" if sold.id else sold.name)
                _add(lines.setdefault(same, {}), sold)
            if sum(map(len, lines.values())) > MAX_LINES:
                raise Unreadable(say("The body has more than {number} products.", number=MAX_LINES))
    by_product = [sorted(each.values(), key=_weight, reverse=True) for each in lines.values()]
    return [each[0] for each in by_product] + [one for each in by_product for one in each[1:]]


def _add(lines: dict[str, _Line], sold: _Line) -> None:
    """Add the line to those of its product, by subscription; merge it if it is one of them."""
    if (unnamed := lines.pop("", None)) is not None:  # then it is the only one so far
        sold = _better(unnamed, sold)
    same = sold.subscription_id or next(iter(lines), "")
    lines[same] = _better(lines[same], sold) if same in lines else sold


def _entries(found: JsonObject, key: str) -> list[JsonObject]:
    value = needed(found, key)
    if isinstance(value, dict):
        # PHP writes a list with gaps as an object with numeric keys, and so do forms.
        numbered = all(name.isascii() and name.isdecimal() for name in value)
        value = [needed(value, name) for name in value] if numbered else [value]
    if is_none(value):
        return []
    if not isinstance(value, list):
        raise Unreadable(
            say(
                "The {key} entry is {kind} where an object is expected.",
                key=key,
                kind=json_kind(value),
            )
        )
    if len(value) > MAX_LINES:
        raise Unreadable(
            say("The body has more than {number} entries in {key}.", number=MAX_LINES, key=key)
        )
    entries = [entry for entry in value if not is_none(entry)]
    for entry in entries:
        if not isinstance(entry, dict):
            raise Unreadable(
                say("An entry of {key} is {kind}, not an object.", key=key, kind=json_kind(entry))
            )
    return entries


def _sold(entry: JsonObject, kind: str) -> Iterator[_Line]:
    sent = needed(entry, "id")
    if isinstance(sent, str) and sent.count(",") >= MAX_LINES:
        raise Unreadable(
            say("The {what} joins more than {number} ids.", what=ID_OF[kind], number=MAX_LINES)
        )
    ids = split_ids(sent, what=ID_OF[kind])
    one = _Line(
        kind=kind,
        status=line(needed(entry, "status"), MAX_TYPE_LENGTH),
        subscription_id=_subscription_id(entry),
        transaction_id=_first_text(entry.get("transaction_id")),
    )
    for product_id, name in zip(ids, _names(entry.get("name"), len(ids)), strict=True):
        yield replace(one, id=product_id, name=line(name, MAX_NAME_LENGTH))


def _names(sent: object, count: int) -> list[object]:
    """Return one name per ID of a comma-joined product.

    Names may contain commas, too. If the number of pieces differs from the number of IDs, the first
    ID gets the whole text, where a person can still read it: a name on the wrong product would
    mislead.
    """
    if count > 1 and isinstance(sent, str):
        pieces = [piece for piece in sent.split(",", MAX_LINES) if piece.strip()]
        if len(pieces) == count:
            return list(pieces)
    return [sent, *[None] * (count - 1)]


def _better(kept: _Line, other: _Line) -> _Line:
    """Merge two lines of one product. "Charged" wins over other statuses, any status over none."""
    if _weight(other) > _weight(kept):
        kept, other = other, kept
    return replace(
        kept,
        name=kept.name or other.name,
        subscription_id=kept.subscription_id or other.subscription_id,
        transaction_id=kept.transaction_id or other.transaction_id,
    )


def _weight(sold: _Line) -> int:
    return 2 if sold.status.casefold() == "charged" else bool(sold.status)


def _subscription_id(found: JsonObject) -> str:
    return normalize_id(needed(found, "subscription_id"), what=_("subscription id"))


def _first_text(value: object) -> str:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        value = value[0] if value else None
    return line(value, MAX_ID_LENGTH)
