"""One person's data: all of it is exported, and none is found after erasing."""

import io
import json
import logging
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.staff.session_store import SessionStore
from events.access import by_hand, erasures
from events.access.by_hand import Author
from events.models import (
    Alert,
    AlertChannel,
    AlertMessage,
    Batch,
    ComparisonFinding,
    ComparisonRun,
    Delivery,
    Erasure,
    ErasureKey,
    EventLog,
    Grant,
    LetterTemplate,
    RuleRun,
)
from events.receiving import spool, spool_contents, spool_folder
from events.reports.personal_data import mentions, person, person_data
from events.retention import erase_person, own_rows, returned
from integrations import audit, sealed
from integrations.audit import Act
from integrations.calls.call_log import as_row
from integrations.calls.exchanges import Exchange
from integrations.models import ApiCall, AuditEntry, Customer, Destination
from integrations.sentences import say
from rules.actions import Action
from tests.support import factories
from tests.support.samcart import changed
from tests.support.world import World

HER, AS_SENT = "quenby@farquharson.example", "Quenby@Farquharson.example"
NEIGHBOR, PAYER = "nora@neighbor.example", "pat@payer.example"
FIELD = "Student e-mail"
# What must be found nowhere afterwards, in whatever capitals. The last are numbers of hers.
HERS = ["quenby", "farquharson", "555019977", "7 Wren Lane", "88800111", "Walks with a stick"]
WHO: dict[str, Any] = {
    "customer__email": AS_SENT,
    "customer__first_name": "Quenby",
    "customer__last_name": "Farquharson",
    "customer__phone_number": "+1555019977",
    "customer__customer_id": 88800111,
    "customer__billing_address": "7 Wren Lane",
    "order__shipping_address": "7 Wren Lane",
}
AUTHOR = Author("mia@example.com", "Quenby Farquharson called. Walks with a stick.")


def sale(sample: str = "10_product", **changes: Any) -> dict[str, Any]:
    return changed(sample, **(WHO | changes))


def for_student(email: str) -> list[dict[str, str]]:
    return [{"name": FIELD, "slug": "custom_1", "value": email}]


@pytest.fixture(autouse=True)
def _files(settings: Any, tmp_path: Path) -> None:
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.ERASED_FILE = tmp_path / "erased.jsonl"


@pytest.fixture
def course(world: World) -> Destination:
    """A course that is sold, also for somebody else, and ended by a refund."""
    world.integration.student_field = FIELD
    world.integration.save()
    course = world.course("Watercolors")
    world.rule("product_purchased", Action.CREATE_COURSE_ENROLLMENT, course)
    world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course)
    return course


@pytest.fixture
def past(world: World, course: Destination) -> World:
    """A person with everything, and others with the same orders."""
    world.bundle(course)
    world.post(sale(order__id=501, product__transaction_id="ch_501"))
    world.post(sale(order__id=502, order__custom_fields=for_student(NEIGHBOR)))
    payer = {"customer__email": PAYER, "customer__first_name": "Pat", "customer__last_name": "Lee"}
    world.post(changed("10_product", order__id=503, order__custom_fields=for_student(HER), **payer))
    world.settle()
    her = Customer.objects.get(email=HER)
    by_hand.give(her, Destination.objects.get(kind="bundle"), AUTHOR)
    by_hand.note(her, AUTHOR)
    by_hand.note(Customer.objects.get(email=PAYER), Author("mia@example.com", f"Pays for {HER}."))
    world.settle()
    world.post(sale("20_product_refunded", order__id=777))
    world.settle()
    failed = RuleRun.objects.filter(customer=her).latest("pk")
    RuleRun.objects.filter(pk=failed.pk).update(status="failed", message=f"Refused {AS_SENT}")
    _beside(world, her, failed)
    return world


def _beside(world: World, her: Customer, failed: RuleRun) -> None:
    """What no sale brings: messages, findings, calls of nobody's, log entries, a session."""
    body = json.dumps(sale())
    said = Exchange("POST", "https://crm.example/", body, 200, "ok", "", 4, timezone.now())
    as_row(said, world.integration, run_id=failed.pk).save()
    listed = json.dumps(
        {
            "items": [
                {"user_email": AS_SENT, "user_name": "Quenby Farquharson", "user_id": 88800111},
                {"user_email": NEIGHBOR, "user_name": "Nora Near", "user_id": 3},
            ]
        }
    )
    url = "https://x/enrollments?query%5Bemail%5D=quenby%40farquharson.example"
    as_row(Exchange("GET", url, "", 200, listed, "", 4, timezone.now()), world.integration).save()
    comparison = ComparisonRun.objects.create(
        integration=world.integration, started_by="mia", message=f"Stopped at {HER}."
    )
    finding = {"comparison": comparison, "course_id": 1, "name": "Watercolors"}
    ComparisonFinding.objects.create(kind="missing", customer=her, **finding)
    ComparisonFinding.objects.create(kind="unexplained", email=AS_SENT, user_id=9, **finding)
    world.integration.connection_message = f"Refused for {HER}."
    world.integration.save()
    mia = get_user_model().objects.create_user("mia@example.com")
    LogEntry.objects.create(
        user=mia,
        content_type=ContentType.objects.get_for_model(Customer),
        object_id=str(her.pk),
        object_repr=HER,
        action_flag=CHANGE,
        change_message="[]",
    )
    session = SessionStore()
    session["_messages"] = f'["acme has no student with {HER}."]'
    session["rule"] = {"note": HER}
    session.create()


def spooled(body: dict[str, Any]) -> None:
    """A delivery that the database did not take, set aside since."""
    delivery = Delivery(
        marketplace_id=None,  # type: ignore[misc]
        sealed_body=sealed.seal(json.dumps(body).encode()),
        body_digest="0" * 64,
    )
    spool.keep(delivery, secret_digest="none", received_at=timezone.now())
    (file,) = Path(django_settings.SPOOL_DIR).glob("*.unknown")
    file.rename(file.with_name(file.name + spool_folder.SET_ASIDE))


def everything_stored() -> Iterator[tuple[str, str]]:
    """Where, and what: each table's rows, sealed bodies opened, and the files."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names of our own
            for row in cursor.fetchall():
                for value in row:
                    if isinstance(value, bytes | memoryview):
                        value = bytes(value).decode("utf-8", "replace")
                    yield table, str(value)
    for delivery in Delivery.objects.all():
        yield "delivery", delivery.body.decode()
    for call in ApiCall.objects.all():
        yield "call", call.request_text + call.response_text
    for session in SessionStore.get_model_class().objects.all():
        yield "session", str(session.get_decoded())
    for _, each in spool_contents.opened():
        yield "spool", each.delivery.body.decode()
    if connection.vendor == "sqlite":
        file = Path(str(connection.settings_dict["NAME"]))
        for part in (file, file.with_name(file.name + "-wal")):
            if part.exists():
                # By another process: closing the file in this one would drop SQLite's locks.
                lying = subprocess.run(["cat", part], capture_output=True, check=True).stdout
                yield part.name, lying.decode("latin-1")


def found_of(words: list[str]) -> set[tuple[str, str]]:
    return {
        (where, word)
        for where, text in everything_stored()
        for word in words
        if word.casefold() in text.casefold()
    }


def erase(*emails: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("erase_person", *emails, yes=True, stdout=out, **options)
    return out.getvalue()


def refund_of(order: int, who: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return changed("20_product_refunded", **(who | {"order__id": order} | changes))


# Export


def test_each_known_thing_is_in_the_export(past: World):
    spooled(sale(order__id=900))
    text = person_data.as_json(person.find([HER]))
    told = json.loads(text)
    assert told["addresses"] == [HER]
    orders = {event.get("order_id") for event in told["events"]}
    assert {"501", "502", "777", None} == orders
    assert {event.get("by_hand") for event in told["events"]} == {None, "give", "note"}
    assert "7 Wren Lane" in json.dumps(told["events"][0]["delivery"]["what_samcart_sent"])
    assert {run["status"] for run in told["actions"]} == {"done", "failed"}
    assert any(call["sent"] for run in told["actions"] for call in run["calls"])
    assert {grant["source"] for grant in told["access"]} == {"purchase", "hand"}
    assert told["students_in_thinkific"][0]["user_id"]
    assert len(told["findings_of_comparisons"]) == 1
    assert [each["what_samcart_sent"]["order"]["id"] for each in told["not_read_yet"]] == [900]
    elsewhere = {each["where"] for each in told["elsewhere"]}
    names = {"event", "API call", "comparison run", "comparison finding", "delivery", "session"}
    assert elsewhere == names | {"integration", "log entry", "change"}
    for word in HERS:
        assert word.casefold() in text.casefold(), word
    # Nothing that is said of others.
    assert "Nora Near" not in text
    assert "Pat" not in json.dumps(told["elsewhere"])


def test_many_events_and_actions_are_exported_with_as_many_queries_as_few(past: World, course):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            person_data.as_json(person.find([HER]))
        return len(asked)

    few = queries()
    for number in range(3):
        past.post(sale(order__id=510 + number, product__id=77 + number))
        past.settle()
        past.post(refund_of(510 + number, WHO, product__id=77 + number))
        past.settle()
    assert queries() == few


def test_the_command_writes_a_private_file_and_names_who_may_be_the_same(past: World, tmp_path):
    twin = factories.CustomerFactory.create(email="q@other.example")
    user = Customer.objects.get(email=HER).thinkific_users.get()
    twin.thinkific_users.create(integration=user.integration, user_id=user.user_id)
    out, err = io.StringIO(), io.StringIO()
    file = tmp_path / "her.json"
    call_command("export_person", HER, to=str(file), stdout=out, stderr=err)
    assert json.loads(file.read_text())["addresses"] == [HER]
    assert file.stat().st_mode & 0o077 == 0
    assert "Maybe the same person: q@other.example" in err.getvalue()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_person", HER, to=str(file))
    call_command("export_person", HER, stdout=out)
    assert '"customers": [' in out.getvalue()
    entry = AuditEntry.objects.latest("pk")
    assert (entry.act, entry.name) == ("exported", HER)


# Erase


def test_erasing_leaves_nothing_of_the_person_anywhere(past: World, caplog):
    spooled(sale(order__id=900))
    caplog.set_level(logging.DEBUG)
    assert {word for _, word in found_of(HERS)} == set(HERS)
    caplog.clear()
    kept_facts = EventLog.objects.order_by("pk").values_list(
        "pk", "trigger", "raw_type", "received_at"
    )
    before = list(kept_facts)
    said = erase(HER)
    assert "Erased: 1 customer, 5 events, " in said
    assert "1 file of the spool" in said
    assert found_of(HERS) == set()
    entry = AuditEntry.objects.latest("pk")
    assert (entry.act, entry.name, (entry.after or {})["events"]) == ("erased", "(erased)", 5)
    assert not any(word.casefold() in caplog.text.casefold() for word in HERS)
    assert "person_erased" in caplog.text
    # Type, time and outcome stay.
    assert list(kept_facts.all()) == before
    gone = EventLog.objects.filter(reason=say(own_rows.NOTE))
    assert {event.status for event in gone} == {"done", "skipped", "noted"}
    assert not gone.exclude(order_id="").exists()
    assert not RuleRun.objects.filter(status__in=["waiting", "failed"]).exists()
    # Thinkific was not called about it.
    assert past.school.enrollment(HER, Destination.objects.filter(kind="course")[0].external_id)


def sentences_about(world: World) -> None:
    """What sentences of pages, alerts, lists and the audit may say of her."""
    said = say("{name} of {shop}.", name=f"Quenby <{AS_SENT}>", shop="Art shop")
    now = timezone.now()
    ComparisonRun.objects.update(left_out=[[f"{HER}, Ink", said]], message=said)
    Batch.objects.create(title=said, started_by="mia", left_out={said: 2})
    alert = Alert.objects.create(code="x", began_at=now, seen_at=now, facts={"what": said})
    channel = AlertChannel.objects.create(person=get_user_model().objects.get(), kind="email")
    told = {"channel": channel, "alert": alert, "subject": said, "text": said, "problem": said}
    AlertMessage.objects.create(what="began", uuid=uuid4(), **told)
    LetterTemplate.objects.create(pk=LetterTemplate.ONLY, text=f"Dear {AS_SENT}", language="en")
    kept = {"access": [said], "by": {"number": 1, "name": said}}
    audit.record(Act.ACCESS_GIVEN, world.integration, before=kept, after=kept, note=said)
    audit.record(Act.LIST_DOWNLOADED, after={"filter": {"q": "Farquharson"}})


def test_what_sentences_say_of_the_person_goes_and_the_rest_of_them_stays(past: World):
    sentences_about(past)
    erase(HER)
    assert found_of(HERS) == set()
    left = "(erased) <(erased)> of Art shop."
    assert Batch.objects.get().left_out == {left: 2}
    assert Alert.objects.get().facts == {"what": left}
    entry = AuditEntry.objects.get(act=Act.ACCESS_GIVEN, kind="integration")
    assert entry.after == {"access": [left], "by": {"number": 1, "name": left}}
    assert entry.after["by"]["name"].source["with"]["shop"] == "Art shop"


def test_what_is_said_of_others_stays(past: World, course: Destination):
    erase(HER)
    assert set(Customer.objects.values_list("email", flat=True)) == {NEIGHBOR, PAYER}
    held = Grant.objects.get(customer__email=NEIGHBOR)
    assert (held.state, held.order_id) == ("active", "502")
    shared = EventLog.objects.get(order_id="502")
    assert shared.custom_fields == for_student(NEIGHBOR)
    assert shared.runs.get(customer__email=NEIGHBOR).message.startswith("Enrolled")
    paid = EventLog.objects.select_related("delivery").get(order_id="503")
    assert str(paid.customer) == PAYER
    assert paid.delivery
    sent = json.loads(paid.delivery.body)
    assert sent["customer"]["email"] == PAYER
    assert sent["order"]["custom_fields"][0] == {
        "name": FIELD,
        "slug": "custom_1",
        "value": "(erased)",
    }
    call = ApiCall.objects.get(run_id=None, url__contains="enrollments")
    assert json.loads(call.response_text)["items"][1]["user_name"] == "Nora Near"
    # A refund of the shared order still ends the neighbor's access, and names nobody.
    past.post(refund_of(502, WHO))
    past.settle()
    assert not past.access(NEIGHBOR, course)
    assert found_of(HERS) == set()


def test_an_event_stands_as_the_actions_for_others_do(past: World):
    """And not as those for the erased payer, which are dropped."""
    bay = factories.connected("bay", name="Bay")  # where the payer would be the student
    other = factories.DestinationFactory.create(integration=bay)
    past.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, other)
    erase(HER)
    past.post(refund_of(502, WHO))
    past.read()
    event = EventLog.objects.latest("pk")
    assert list(event.runs.values_list("status", flat=True)) == ["waiting"]
    assert event.status == "waiting"


@pytest.mark.parametrize("who", [WHO, {"customer__email": PAYER}], ids=["hers", "student"])
def test_a_replay_brings_nobody_back(past: World, who: dict[str, Any]):
    erase(HER)
    calls = len(past.sandbox.calls)
    order = 501 if who is WHO else 503
    fields = [] if who is WHO else for_student(AS_SENT)
    replays = [
        changed("10_product", **who, order__id=order, order__custom_fields=fields),
        refund_of(order, who, order__custom_fields=fields),
    ]
    for body in replays:
        past.post(body)
        past.settle()
        event = EventLog.objects.latest("pk")
        assert event.status == "skipped"
        assert "data was erased" in event.reason
    assert len(past.sandbox.calls) == calls
    assert not Customer.objects.filter(email=HER).exists()
    assert {word for where, word in found_of(HERS) if "sqlite" not in where} == set()


def test_a_new_purchase_is_served_as_anybodys(past: World, course: Destination):
    erase(HER)
    past.school.enrollments.clear()
    past.post(
        sale(order__id=601, product__transaction_id="ch_new", order__transaction_id=["ch_new"])
    )
    past.settle()
    assert past.access(HER, course)
    past.post(refund_of(601, WHO))
    past.settle()
    assert not past.access(HER, course)
    assert returned.find()[1] == [Customer.objects.get(email=HER)]
    assert "has bought again since" in erase(reapply=True)
    assert Customer.objects.filter(email=HER).exists()


def test_after_a_restored_copy_the_list_of_the_file_erases_again(past: World):
    """The database of before knows nothing of the erasing, as a restored one."""
    copy = _dump()
    erase(HER)
    _load(copy)
    assert Customer.objects.filter(email=HER).exists()
    assert not Erasure.objects.exists()
    said = erase(reapply=True)
    assert "Erased: 1 customer" in said
    assert found_of(HERS) == set()
    assert "No erased person is back" in erase(reapply=True)
    past.post(sale(order__id=501))
    past.settle()
    assert EventLog.objects.latest("pk").status == "skipped"


def test_the_list_outlives_a_change_of_the_keys(past: World, settings):
    (old,) = settings.FIELD_ENCRYPTION_KEYS
    new = Fernet.generate_key().decode()
    erase(HER)
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    call_command("rotate_keys", stdout=io.StringIO())
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert erasures.erased_among({HER, PAYER}) == {HER}
    Erasure.objects.all().delete()
    ErasureKey.objects.all().delete()
    assert erasures.restore().has(HER)
    assert erasures.erased_among({HER}) == {HER}


def test_without_the_key_of_the_list_sales_are_served_and_it_is_said(past, settings, caplog):
    erase(HER)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert erasures.erased_among({HER}) == set()
    assert "erasures_not_opened" in caplog.text
    with pytest.raises(CommandError, match="list of the erased cannot be read"):
        erase(reapply=True)


def _dump() -> str:
    out = io.StringIO()
    # Without the words of the search, made of the rest, and the audit, which takes no such row.
    but = ["events.EventTerm", "integrations.SearchTerm", "integrations.AuditEntry"]
    call_command("dumpdata", "events", "integrations", exclude=but, stdout=out)
    return out.getvalue()


def _load(copy: str) -> None:
    Erasure.objects.all().delete()
    ErasureKey.objects.all().delete()
    with transaction.atomic():
        for row in serializers.deserialize("json", copy):
            row.save()


def test_a_sale_with_an_address_that_cannot_be_used_goes_with_the_address(past: World):
    bad = "quenby@@farquharson.example"
    past.post(sale(customer__email=bad, order__id=950))
    past.settle()
    event = EventLog.objects.latest("pk")
    assert (event.customer, event.email_as_sent) == (None, bad)
    erase(HER, bad.upper())
    assert found_of(HERS) == set()
    past.post(sale(customer__email=bad, order__id=950))
    past.settle()
    assert EventLog.objects.latest("pk").status == "skipped"


def test_many_persons_are_erased_at_once(past: World):
    """As after a restore: SQLite has a limit for conditions."""
    others = [f"other{number}@many.example" for number in range(110)]
    by_hand.note(Customer.objects.get(email=PAYER), Author("mia", f"Beside {others[100]}."))
    erase(HER, *others)
    assert found_of([*HERS, others[100]]) == set()


def test_nothing_is_erased_while_an_action_is_under_way_or_when_the_list_takes_nothing(
    past: World, settings, tmp_path
):
    RuleRun.objects.filter(customer__email=HER, status="failed").update(
        status="running", lease_until=timezone.now() + timedelta(minutes=9)
    )
    with pytest.raises(ValueError, match="under way"):
        erase_person.erase(person.find([HER]))
    assert Customer.objects.filter(email=HER).exists()
    RuleRun.objects.filter(status="running").update(status="failed", lease_until=None)
    settings.ERASED_FILE = tmp_path
    with pytest.raises(CommandError, match="ERASED_FILE cannot be written"):
        erase(HER)
    assert Customer.objects.filter(email=HER).exists()


def test_the_command_asks_first_and_says_what_it_means_for_access(past: World, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_person", HER, stdout=out)
    said = out.getvalue()
    assert f"To be erased: {HER}." in said
    assert "Thinkific is not touched" in said
    assert "- Watercolors on " in said
    assert Customer.objects.filter(email=HER).exists()
    for arguments in ([], [HER]):
        with pytest.raises(CommandError, match="Give the person's e-mail"):
            call_command("erase_person", *arguments, reapply=bool(arguments))


def labels(text: str) -> set[str]:
    """ "events.Grant: name because" is {"events.Grant.name", "events.Grant.because"}."""
    return {
        f"{model.strip()}.{column}"
        for model, columns in (line.split(":") for line in text.strip().splitlines())
        for column in columns.split()
    }


OPENED_FIRST = labels(
    """
    integrations.ApiCall: url error request_body response_body
    events.Delivery: query content_type content_encoding body_digest
    sessions.Session: session_data
    """
)
# Emptied or deleted with the rows that are the person's own.
OF_HER_ROWS = labels(
    """
    integrations.Customer: email email_as_sent first_name last_name
    integrations.Intent: target
    events.EventLog: order_id subscription_id transaction_id samcart_customer_id
    events.Grant: order_id subscription_id because course_ids name product_name target
    """
)
# What the shop, its staff or Admit itself has written, and no customer.
NAMES_NOBODY = labels(
    """
    admin.LogEntry: object_id
    events.Alert: code
    integrations.AuditEntry: act address kind number place who
    events.AlertChannel: codes sealed_address sealed_secret
    events.AlertMessage: code
    events.LetterTemplate: language
    events.AlertRound: right_silences
    events.Batch: new_ids run_ids started_by
    events.Canary: digest detail
    events.ComparisonFinding: name
    events.ComparisonRun: courses page_digest started_by
    events.Delivery: address_trigger
    events.Erasure: digest
    events.ErasureKey: sealed
    events.EventLog: author dealt_with_by email_given_by raw_type verdicts
    events.Grant: kept_by
    events.RuleRun: code destination_name site target
    events.RuleTexts: digest sentences
    events.Tidying: chore
    events.Worker: name
    integrations.ApiCall: method
    integrations.Destination: course_ids name
    integrations.FieldMapping: samcart_field
    integrations.Integration: name sealed_secret secret_ending site student_field url
    integrations.Marketplace: name source
    integrations.Product: external_id name samcart_name
    integrations.ProfileField: field_type label
    integrations.WebhookSecret: digest sealed
    rules.NamedType: type
    sessions.Session: session_key
    """
)


@pytest.mark.first_database
def test_every_text_of_every_table_is_looked_through_or_known_to_name_nobody():
    """A new column that may name a person has to be put on one of these lists."""
    named = {
        f"{model._meta.label}.{column}"
        for model, columns in mentions.LOOKED_THROUGH.items()
        for column in columns
    }
    texts = {
        f"{model._meta.label}.{column.name}"
        for app in ("events", "integrations", "rules", "admin", "sessions")
        for model in apps.get_app_config(app).get_models()
        for column in model._meta.concrete_fields
        if isinstance(column, models.CharField | models.TextField | models.JSONField)
        and not column.choices
    }
    assert texts - named == OPENED_FIRST | OF_HER_ROWS | NAMES_NOBODY
