"""Where else a person is named: in rows of other customers, and in rows of no customer.

Every text that may contain an address is searched. `LOOKED_THROUGH` lists these columns, and a test
compares it with the models, so that no new column is forgotten.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models import JSONField, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast, Now

from events.models import (
    Alert,
    AlertMessage,
    Batch,
    ComparisonFinding,
    ComparisonRun,
    Delivery,
    EventLog,
    Grant,
    LetterTemplate,
    RuleRun,
)
from integrations import sealed
from integrations.models import ApiCall, AuditEntry, Integration, ThinkificUser
from integrations.redaction import Redactor
from integrations.samcart.body import read_object
from integrations.samcart.encoding import decompress
from integrations.samcart.unreadable import Unreadable
from integrations.secrets import SecretUnreadable

PAGE = 500
# One query looks for at most this many texts: SQLite allows no condition of more than 1,000 parts.
NEEDLES_AT_ONCE = 40
# Texts in the clear, in which the database itself looks for the addresses.
LOOKED_THROUGH: dict[Any, tuple[str, ...]] = {
    EventLog: ("reason", "author_note", "email_as_sent", "name_as_sent", "custom_fields"),
    RuleRun: ("message", "rule_sentence"),
    Grant: ("kept_note",),
    ComparisonFinding: ("email",),
    ComparisonRun: ("message", "left_out"),
    ThinkificUser: ("fields_known",),
    Integration: ("connection_message",),
    # Changed by `audit_erasure.forget` alone.
    AuditEntry: ("name", "before", "after", "note"),
    Alert: ("subject", "facts"),
    Batch: ("title", "left_out"),
    AlertMessage: ("subject", "text", "problem"),
    # The owner may have put a customer's name into it.
    LetterTemplate: ("text",),
    LogEntry: ("object_repr", "change_message"),
}


@dataclass(frozen=True, slots=True)
class Mention:
    """A row that names the person: what it says of the person, and its columns without that."""

    row: Model
    told: dict[str, Any]
    without: dict[str, Any]


@dataclass(slots=True)
class Closed:
    """The number of bodies that could not be searched, because no key opens them."""

    number: int = 0


def mentions(
    redactor: Redactor,
    *,
    own: Collection[int] = (),
    own_runs: Collection[int] = (),
    closed: Closed | None = None,
) -> Iterator[Mention]:
    """Yield each row that names the person, except the person's own events and runs.

    `own` and `own_runs` are their IDs. Bodies that no key opens are counted in `closed`.
    """
    if not redactor.addresses:
        return
    closed = closed or Closed()
    own_pks = {EventLog: set(own), RuleRun: set(own_runs)}
    for model in LOOKED_THROUGH:
        for found in _in_texts(redactor, model):
            if found.row.pk not in own_pks.get(model, ()):
                yield found
    yield from _in_exchanges(redactor, set(own_runs))
    yield from _in_deliveries(redactor, set(own), closed)
    yield from _in_sessions(redactor)


def _in_texts(redactor: Redactor, model: Any) -> Iterator[Mention]:
    fields, needles = LOOKED_THROUGH[model], redactor.needles()
    for at in range(0, len(needles), NEEDLES_AT_ONCE):
        yield from _in_rows(redactor, _holding(model, needles[at : at + NEEDLES_AT_ONCE]), fields)


def _holding(model: Any, needles: list[str]) -> QuerySet[Any]:
    """The rows that have one of the texts in a column of LOOKED_THROUGH."""
    rows, some = model._default_manager.all(), Q(pk__in=[])
    for name in LOOKED_THROUGH[model]:
        column = name
        if isinstance(model._meta.get_field(name), JSONField):
            column = f"{name}_as_text"
            rows = rows.annotate(**{column: Cast(name, TextField())})
        for needle in needles:
            some |= Q(**{f"{column}__icontains": needle})
    return rows.filter(some)  # type: ignore[no-any-return]


def _in_rows(redactor: Redactor, rows: QuerySet[Any], fields: tuple[str, ...]) -> Iterator[Mention]:
    for row in rows.order_by("pk").iterator(PAGE):
        values = {name: getattr(row, name) for name in fields}
        if any(redactor.parts(value) for value in values.values()):
            without = {name: redactor.data(value) for name, value in values.items()}
            told = {name: value for name, value in values.items() if value != without[name]}
            yield Mention(row, told, without)


def _in_exchanges(redactor: Redactor, own_runs: set[int]) -> Iterator[Mention]:
    for call in ApiCall.objects.order_by("pk").iterator(PAGE):
        texts = {
            "url": call.url,
            "error": call.error,
            "request_body": call.request_text,
            "response_body": call.response_text,
        }
        found = {name: text for name, text in texts.items() if redactor.mentions(text)}
        if not found or call.run_id in own_runs:
            continue
        without = {name: redactor.text(text) for name, text in found.items()}
        for name in {"request_body", "response_body"} & without.keys():
            without[name] = sealed.seal_text(without[name])
        yield Mention(call, {name: _parts(redactor, text) for name, text in found.items()}, without)


def _in_deliveries(redactor: Redactor, own: set[int], closed: Closed) -> Iterator[Mention]:
    kept = Delivery.objects.filter(body_removed_at=None, state=Delivery.State.READ)
    own_deliveries = set(
        EventLog.objects.filter(pk__in=own).values_list("delivery", flat=True).order_by()
    )
    for delivery in kept.order_by("pk").iterator(PAGE):
        if delivery.pk in own_deliveries:
            continue
        try:
            is_named = is_mentioned(redactor, delivery)
        except SecretUnreadable:
            closed.number += 1
            continue
        if is_named:
            told = {"body": _parts(redactor, text_of(delivery)), "query": delivery.query}
            yield Mention(delivery, told, redacted_columns(redactor, delivery))


def is_mentioned(redactor: Redactor, delivery: Delivery) -> bool:
    """Whether what was sent names the person. Raises SecretUnreadable."""
    return redactor.mentions(text_of(delivery)) or redactor.mentions(delivery.query)


def redacted_columns(redactor: Redactor, delivery: Delivery) -> dict[str, Any]:
    """Return the columns of the delivery without the person. Raises SecretUnreadable.

    A body that is neither JSON nor a form cannot be taken apart, so it is removed.
    """
    try:
        body = decompress(delivery.body, delivery.content_encoding)
        sent = redactor.data(read_object(body, delivery.content_type))
    except Unreadable:
        return {"sealed_body": b"", "query": "", "body_digest": "", "body_removed_at": Now()}
    return {
        "sealed_body": sealed.seal(json.dumps(sent).encode()),
        "content_type": "application/json",
        "content_encoding": "",
        "query": redactor.data(delivery.query),
        "body_digest": "",
    }


def text_of(delivery: Delivery) -> str:
    """Return what was sent as text, to be searched. Raises SecretUnreadable."""
    body = delivery.body
    try:
        body = decompress(body, delivery.content_encoding)
    except Unreadable:
        return body.decode("utf-8", "replace")
    if b"\0" in body[:4]:
        return body.decode("utf-16", "replace")
    return body.decode("utf-8", "replace")


def _in_sessions(redactor: Redactor) -> Iterator[Mention]:
    """Yield the sessions that name the person: a message that was not shown yet may do so."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    for session in store.get_model_class().objects.order_by("pk").iterator(PAGE):
        data = session.get_decoded()
        if any(redactor.mentions(text) for text in _texts(data)):
            cleared = {key: value for key, value in data.items() if key != "_messages"}
            without = {"session_data": store().encode(redactor.data(cleared))}
            yield Mention(session, {"session": redactor.parts(data)}, without)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _parts(redactor: Redactor, text: str) -> Any:
    """Return the JSON objects in the text that are about the person, or the text as a whole."""
    try:
        return redactor.parts(json.loads(text)) or text
    except ValueError:
        return text
