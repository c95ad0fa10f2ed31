"""All that Admit holds about one person, as JSON that the person can read."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import BinaryField, ForeignKey, Model
from django.utils.translation import gettext_lazy as _

from events.models import ComparisonFinding, Delivery, EventLog, RuleRun
from events.receiving import spool_contents
from events.reports.personal_data import mentions
from events.reports.personal_data.mentions import Closed
from events.reports.personal_data.person import Person
from integrations.models import ApiCall, Intent, ThinkificUser
from integrations.redaction import Redactor
from integrations.sealed import UNREADABLE
from integrations.secrets import SecretUnreadable
from integrations.sentences import say, say_count

# Internal columns that mean nothing to the person.
LEFT_OUT = {"uuid", "lease_token", "lease_until", "body_digest", "rule_texts", "secret", "line"}
# What the rows name, and so is read with them.
RELATED_TO_EVENT = (
    "delivery__marketplace",
    "delivery__repeat_of",
    "marketplace",
    "product",
    "customer",
    "rule_texts",
)
RELATED_TO_RUN = (
    "event",
    "rule__product",
    "rule__integration",
    "rule__destination",
    "integration",
    "customer",
    "grant__customer",
)
RELATED_TO_GRANT = ("marketplace", "product", "customer", "integration", "event")
ABOUT = _(
    "This is all that Admit holds about this person. Of a sale that names two people, only what "
    "is about this person is included. The search words that Admit makes from the name and the "
    "address are left out."
)


def collect(person: Person) -> dict[str, Any]:
    """Return everything about the person, from every table, sealed or not, and from the spool."""
    events = person.events().order_by("received_at", "pk")
    runs = person.runs().order_by("received_at", "pk")
    own = {event.pk: event for event in events.select_related(*RELATED_TO_EVENT)}
    own_runs = {run.pk: run for run in runs.select_related(*RELATED_TO_RUN)}
    calls = _calls(own_runs)
    grants, closed = person.grants().order_by("pk"), Closed()
    found = {
        "about": str(ABOUT),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": f"Admit {settings.VERSION}",
        "addresses": sorted(person.addresses),
        "customers": [_facts(each) for each in person.customers],
        "events": [_event(event) for event in own.values()],
        "actions": [_action(run, calls[run.pk]) for run in own_runs.values()],
        "access": [_facts(grant) for grant in grants.select_related(*RELATED_TO_GRANT)],
        "students_in_thinkific": _of(person, ThinkificUser, "integration", "customer"),
        "calls_without_answer": _of(person, Intent, "integration", "customer"),
        "findings_of_comparisons": _of(
            person, ComparisonFinding, "comparison__integration", "customer", "grant__customer"
        ),
        "not_read_yet": list(_not_read_yet(person.redactor)),
        "elsewhere": [
            {"where": str(each.row._meta.verbose_name), "id": each.row.pk, **each.told}
            for each in mentions.mentions(
                person.redactor, own=own, own_runs=own_runs, closed=closed
            )
        ],
    }
    if closed.number:
        found["not_looked_into"] = say_count(
            closed.number,
            "1 payload, because no key of Admit opens it.",
            "{number} payloads, because no key of Admit opens them.",
        )
    return found


def as_json(person: Person) -> str:
    """Return the same as indented text."""
    return json.dumps(collect(person), indent=2, ensure_ascii=False, default=str) + "\n"


def _event(event: EventLog) -> dict[str, Any]:
    facts = _facts(event) | {"what_happened": event.what_happened}
    facts["rules"] = [
        {"rule": sentence, "ran": ran, "reason": why} for sentence, ran, why in event.sentences()
    ]
    facts.pop("verdicts", None)
    if event.delivery is not None:
        facts["delivery"] = _facts(event.delivery) | {"what_samcart_sent": _sent(event.delivery)}
    return facts


def _calls(runs: Collection[int]) -> dict[int, list[ApiCall]]:
    """Return the calls of these runs, by run ID, in order."""
    found: dict[int, list[ApiCall]] = defaultdict(list)
    calls = ApiCall.objects.filter(run_id__in=runs).select_related("integration")
    for call in calls.order_by("pk"):
        if call.run_id is not None:
            found[call.run_id].append(call)
    return found


def _action(run: RuleRun, calls: Iterable[ApiCall]) -> dict[str, Any]:
    texts = ("request_body", "response_body")
    return _facts(run) | {
        "what": run.spec.label,
        "calls": [
            {name: value for name, value in _facts(call).items() if name not in texts}
            | {"sent": _read(call.request_text), "answer": _read(call.response_text)}
            for call in calls
        ],
    }


def _of(person: Person, model: Any, *related: str) -> list[dict[str, Any]]:
    rows = model.objects.filter(customer__in=person.customers).order_by("pk")
    rows = rows.select_related(*related)
    return [_facts(row) for row in rows]


def _facts(row: Model) -> dict[str, Any]:
    """Return {column: value} without blank values. A related row is given as its name."""
    found: dict[str, Any] = {}
    for column in row._meta.concrete_fields:
        if isinstance(column, BinaryField) or column.name in LEFT_OUT:
            continue
        value = getattr(row, column.attname)
        if value is not None and isinstance(column, ForeignKey) and column.name != "delivery":
            value = str(getattr(row, column.name))
        if value not in (None, "", [], {}):
            found[column.name] = value
    return found


def _sent(delivery: Delivery) -> Any:
    if delivery.body_removed_at is not None:
        return say("(removed)")
    try:
        return _read(mentions.text_of(delivery))
    except SecretUnreadable:
        return str(UNREADABLE)


def _read(text: str) -> Any:
    """Return the parsed JSON, or the text itself if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _not_read_yet(redactor: Redactor) -> Iterator[dict[str, Any]]:
    """What no worker has read yet, in the database and in the spool of this machine."""
    new = Delivery.objects.filter(state=Delivery.State.NEW).order_by("pk")
    yield from _naming(redactor, new.iterator(100))
    try:
        yield from _naming(redactor, (spooled.delivery for _, spooled in spool_contents.opened()))
    except OSError as error:
        reason = type(error).__name__
        yield {"not_looked_into": say("The spool cannot be read ({error}).", error=reason)}


def _naming(redactor: Redactor, deliveries: Iterable[Delivery]) -> Iterator[dict[str, Any]]:
    for delivery in deliveries:
        try:
            if mentions.is_mentioned(redactor, delivery):
                yield {"what_samcart_sent": _read(mentions.text_of(delivery))}
        except SecretUnreadable:
            continue
