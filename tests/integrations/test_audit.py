"""The audit: entries are only added, show what differs, and hold no secrets."""

import contextlib

import pytest
from django.db import DatabaseError, connection, transaction

from integrations import audit, audit_erasure
from integrations.models import Act, AuditEntry, Marketplace
from integrations.models.audit import AppendOnly, AuditUnlock
from integrations.sentences import say, write
from tests.support import factories

pytestmark = pytest.mark.django_db
ADA = audit.Actor(who="ada@example.com", address="203.0.113.9", place="/admin/samcart/1/rename/")


def test_an_entry_names_who_did_what_to_which_thing_from_where(db):
    account = Marketplace.objects.create(name="Art shop")
    with audit.acting(lambda: ADA):
        audit.record(Act.ACCOUNT_CHANGED, account, before={"name": "Shop"}, note="A new name")
    account.delete()

    entry = AuditEntry.objects.get()
    assert (entry.who, entry.address, entry.place) == (ADA.who, ADA.address, ADA.place)
    assert (entry.kind, entry.name) == ("marketplace", "Art shop")
    assert str(entry) == "ada@example.com changed a SamCart account"
    assert (entry.before, entry.after, entry.note) == ({"name": "Shop"}, None, "A new name")


def test_outside_of_a_page_the_user_of_the_operating_system_acts_by_the_command(monkeypatch):
    monkeypatch.setenv("LOGNAME", "deploy")
    monkeypatch.setattr("sys.argv", ["/srv/manage.py", "erase_person", "dana@example.com"])

    entry = audit.record(Act.ERASED)

    assert (entry.who, entry.place) == ("deploy (command line)", "manage.py erase_person")


def test_only_what_differs_is_kept_and_of_a_secret_only_that_it_was_replaced(shop):
    school = shop.integration
    before = audit.stored(school)
    school.name, school.student_field = "Sculpture Academy", "Student"
    school.set_secret("a-secret-of-which-nothing-is-kept")
    entry = audit.record_change(Act.KEY_REPLACED, school, before)

    assert audit.record_change(Act.INTEGRATION_CHANGED, school, audit.values(school)) is None
    assert entry is not None
    assert entry.before == {"name": "Art Academy", "student_field": ""}
    assert entry.after == {
        "name": "Sculpture Academy",
        "student_field": "Student",
        "sealed_secret": "replaced",
    }


def test_the_model_refuses_to_change_or_delete_an_entry():
    entry = audit.record(Act.TIDIED)
    for attempt in (entry.save, entry.delete, AuditEntry.objects.get().save):
        with pytest.raises(AppendOnly):
            attempt()


@pytest.mark.parametrize("reason", ["", *AuditUnlock.Reason.values])
@pytest.mark.parametrize(
    ("statement", "allowed_for"),
    [
        ("UPDATE integrations_auditentry SET note = 'x'", AuditUnlock.Reason.ERASURE),
        ("DELETE FROM integrations_auditentry", AuditUnlock.Reason.RETENTION),
    ],
)
def test_the_database_refuses_it_too_except_for_the_one_reason(statement, allowed_for, reason):
    audit.record(Act.TIDIED)
    if reason:
        AuditUnlock.objects.create(reason=reason)
    with connection.cursor() as cursor:
        if reason == allowed_for:
            cursor.execute(statement)
        else:
            with pytest.raises(DatabaseError, match="only added"), transaction.atomic():
                cursor.execute(statement)


def test_retention_leaves_the_table_locked_again():
    old, new = audit.record(Act.TIDIED), audit.record(Act.TIDIED)
    assert audit_erasure.remove([old.pk]) == 1
    assert AuditEntry.objects.get() == new
    assert not AuditUnlock.objects.exists()


def test_an_erased_address_is_nowhere_in_the_entries_and_others_stay():
    told = "Ana@Example.com wrote; so did joana@example.com and ana@example.com.au."
    audit.record(
        Act.ACCESS_GIVEN,
        audit.Subject("customer", "7", "ana@example.com"),
        before={"students": ["ANA@example.com", 7, None]},
        after={"email": {"number": 7, "name": "<ana@example.com>"}},
        note=told,
    )
    audit.record(Act.TIDIED, note="joana@example.com")

    assert audit_erasure.forget(["ana@example.com"]) == 1

    entry = AuditEntry.objects.order_by("pk")[0]
    assert entry.name == "(erased)"
    assert entry.before == {"students": ["(erased)", 7, None]}
    assert entry.after == {"email": {"number": 7, "name": "<(erased)>"}}
    assert entry.note == "(erased) wrote; so did joana@example.com and ana@example.com.au."
    assert (entry.kind, entry.number) == ("customer", "7")
    assert audit_erasure.forget([]) == 0


def test_of_what_is_about_the_erased_only_who_and_when_stay_and_words_go_beside_the_address():
    ana = factories.CustomerFactory.create(email="ana@example.com")
    audit.record(Act.NOTE_ADDED, ana, after={"a": 1}, note="Grace walks with a stick.")
    audit.record(Act.TIDIED, note="Grace of ana@example.com called.")
    audit.record(Act.RULE_CHANGED, note="Renamed to Grace and Truth.")

    audit.record(Act.LIST_DOWNLOADED, after={"rows": 1, "filter": {"q": "grace"}})

    assert audit_erasure.forget(["ana@example.com"], beside=["Grace"], about=[ana]) == 3

    about, beside, other, list_of = AuditEntry.objects.order_by("pk")
    assert list_of.after == {"rows": 1, "filter": {"q": "(erased)"}}
    assert (about.name, about.after, about.note, about.act) == ("(erased)", None, "", "note_added")
    assert beside.note == "(erased) of (erased) called."
    assert other.note == "Renamed to Grace and Truth."


def test_a_sentence_without_the_erased_is_still_one_for_readers_of_each_language():
    to = say("Moved to {email}.", email="ana@example.com")
    audit.record(Act.ACCESS_MOVED, audit.Subject(name=to), note=to)

    audit_erasure.forget(["ana@example.com"])

    entry = AuditEntry.objects.get()
    for kept in (entry.name, entry.note):
        assert kept == "Moved to (erased)."
        assert write(kept) == write(say("Moved to {email}.", email="(erased)"))


def test_one_act_on_several_rows_is_one_entry_that_names_their_numbers():
    shops = [Marketplace.objects.create(name=name) for name in ("One", "Two")]
    audit.record_all(Act.ACCOUNT_CHANGED, shops)
    audit.record_all(Act.ACCOUNT_CHANGED, [])

    entry = AuditEntry.objects.get()
    assert (entry.name, entry.number) == ("2 SamCart accounts", "")
    assert entry.after == {"numbers": [shop.pk for shop in shops]}


def test_the_log_line_of_an_entry_has_no_names_and_no_values(
    caplog, django_capture_on_commit_callbacks
):
    who = audit.Actor("mia@example.com")
    commit = django_capture_on_commit_callbacks(execute=True)
    with caplog.at_level("INFO"), audit.acting(lambda: who), commit:
        audit.record(Act.ERASED, audit.Subject("customer", "7", "ana@example.com"), note="ana")
    line = caplog.records[-1]
    assert (line.message, line.act, line.subject) == ("audit", "erased", "7")
    assert "ana" not in str(vars(line))


def test_an_entry_that_is_rolled_back_leaves_no_log_line(
    caplog, django_capture_on_commit_callbacks
):
    commit = django_capture_on_commit_callbacks(execute=True)
    broken = contextlib.suppress(ZeroDivisionError)
    with caplog.at_level("INFO"), audit.acting(lambda: ADA), commit, broken, transaction.atomic():
        audit.record(Act.ERASED)
        1 / 0  # noqa: B018 - what breaks off the change
    assert not AuditEntry.objects.exists()
    assert "audit" not in caplog.messages
