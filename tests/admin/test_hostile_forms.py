"""Odd values in addresses and forms, rows that disappear meanwhile, two people at once."""

from typing import Any, cast

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.admin.parts import csv_file
from config.staff import roles
from config.wsgi import Request
from events.models import LetterTemplate
from integrations.models import AuditEntry, Destination
from rules import changing
from rules.models import Rule
from tests.support import factories, queued
from tests.support.pages import ACTIONS, markup, press, said, signed_in, words

pytestmark = pytest.mark.django_db
LONG = "%" * 60_000


@pytest.fixture
def manager() -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def rule() -> Rule:
    """A rule of one product, in the only account."""
    sold = factories.ProductFactory.create(name="Drawing")
    facts = {"product": sold, "marketplace": sold.marketplace}
    return cast(Rule, factories.RuleFactory.create(**facts))


def answers(rule: Rule, **changes: Any) -> dict[str, Any]:
    """What the page of a new rule posts for one as this, but for the refund."""
    found = {
        "scope": rule.scope,
        "product": rule.product_id,
        "trigger": "product_refunded",
        "integration": rule.integration_id,
        "action": "expire_course_enrollment",
        "destination": rule.destination_id,
    } | changes
    return {name: value for name, value in found.items() if value is not None}


def add(client: Client, data: dict[str, Any]) -> Any:
    return client.post(reverse("admin:new-rule"), data, follow=True)


# Texts that no name has


@pytest.mark.parametrize("text", ["a\x00b", LONG])
def test_no_text_to_look_for_breaks_a_page(manager, rule, text):
    gone = factories.DestinationFactory.create(gone_at=timezone.now())
    addresses = [reverse(f"admin:{name}") for name in ("new-rule", "search", "coverage")]
    models = ["rules_rule", "integrations_product", "integrations_destination"]
    models += ["integrations_auditentry", "integrations_customer", "events_eventlog"]
    addresses += [reverse(f"admin:{name}_changelist") for name in models]
    another = f"{reverse('admin:another-course')}?course={gone.pk}"
    for address in [*addresses, another]:
        answer = manager.get(address, {"q": text, "course": gone.pk, "products_like": text})
        assert answer.status_code in {200, 302}, address


@pytest.mark.parametrize("name", ["log", "actions", "customers", "coverage"])
@pytest.mark.parametrize("asked", [{"q": "a\x00b"}, {"other\x00": "x"}, {"q": LONG}])
def test_no_filter_breaks_a_file_or_its_entry_in_the_audit(manager, name, asked):
    address = manager.get("/", asked).request["QUERY_STRING"]
    answer = manager.post(f"{reverse(f'admin:csv-{name}')}?{address}")
    assert answer.status_code in {200, 302}
    for entry in AuditEntry.objects.filter(act="list_downloaded"):
        assert "\x00" not in str(entry.after)
        assert len(str(entry.after)) < 1000


def test_a_letter_is_saved_without_what_no_database_keeps(manager):
    page = manager.post(reverse("admin:letter"), {"text": "Hi\x00 {first name}"}, follow=True)
    assert said(page)[0].startswith("Saved.")
    assert LetterTemplate.objects.get().text == "Hi {first name}"


@pytest.mark.first_database
@pytest.mark.parametrize("field", ["+", "id", "\x00"])
@pytest.mark.parametrize("page", ["auth_user", "rules_rule", "integrations_auditentry"])
def test_no_list_is_a_popup_that_asks_for_a_field(page, field):
    owner = signed_in(is_superuser=True)
    answer = owner.get(reverse(f"admin:{page}_changelist"), {"_to_field": field})
    assert answer.status_code == 400
    assert "cannot read" in words(answer)


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Reyes;=1+1", "Reyes;'=1+1"),
        ("A; @SUM(1)", "A; '@SUM(1)"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("A; B", "A; B"),
    ],
)
def test_no_cell_is_a_formula_in_any_language(text, kept):
    assert csv_file.cell(text) == kept


# What went away meanwhile


@pytest.mark.first_database
def test_a_product_that_went_away_is_not_left_out_unseen(manager, rule):
    gone = factories.ProductFactory.create(marketplace=rule.marketplace)
    data = answers(rule, product=[rule.product_id, gone.pk])
    gone.delete()
    assert "has gone meanwhile" in said(add(manager, data))[0]
    assert Rule.objects.get() == rule


@pytest.mark.first_database
def test_a_global_rule_is_for_the_account_that_is_chosen(manager, rule):
    other = factories.MarketplaceFactory.create(name="Second shop")
    data = answers(rule, scope="global", product=None, account=other.pk)
    page = markup(manager.get(reverse("admin:new-rule"), data))
    assert f'name="account" value="{other.pk}" id="m{other.pk}" checked' in page
    add(manager, data)
    assert Rule.objects.get(scope="global").marketplace == other
    # An account that went away is not replaced by another one.
    Rule.objects.filter(scope="global").delete()
    other.delete()
    assert "has gone meanwhile" in said(add(manager, data))[0]
    assert Rule.objects.get() == rule


@pytest.mark.first_database
def test_where_there_is_one_account_none_is_asked_for(manager, rule):
    page = manager.get(reverse("admin:new-rule"), answers(rule, scope="global", product=None))
    assert 'name="account"' not in markup(page)


@pytest.mark.first_database
def test_all_courses_that_are_ticked_get_their_rule(manager, rule):
    some = factories.DestinationFactory.create_batch(25, integration=rule.integration)
    data = answers(rule, destination=[course.pk for course in some])
    assert "25 rules added" in words(add(manager, data))


@pytest.mark.first_database
def test_what_is_left_out_or_too_much_is_said_when_it_is_added(manager, rule, monkeypatch):
    second = factories.ProductFactory.create(marketplace=rule.marketplace)
    data = answers(rule, product=[rule.product_id, second.pk])
    monkeypatch.setattr("config.admin.pages.rules.rule_draft.MAX_RULES", 1)
    monkeypatch.setattr("config.admin.pages.rules.new_rule.MAX_RULES", 1)
    assert said(add(manager, data)) == ["Nothing was added: at most 1 rules are added at once."]
    monkeypatch.setattr("config.admin.pages.rules.rule_draft.MAX_PRODUCTS", 1)
    assert "so 1 of those chosen were left out" in said(add(manager, data))[0]
    assert "was not entered right" in said(add(manager, answers(rule, number="x")))[0]


@pytest.mark.first_database
def test_another_course_chosen_twice_is_said_to_have_changed_nothing(manager, rule):
    course = rule.destination
    Destination.objects.filter(pk=course.pk).update(gone_at=timezone.now())
    other = factories.DestinationFactory.create(integration=rule.integration)
    data = {"course": course.pk, "rule": rule.pk, "destination": other.pk}
    where = reverse("admin:another-course")
    assert said(manager.post(where, data, follow=True)) == [f"1 rule uses {other} from now on."]
    assert "No rule uses it anymore, so nothing was changed." in words(manager.post(where, data))
    # What is in no list anymore is not said to be there.
    Destination.objects.filter(pk=course.pk).delete()
    assert "was removed from Admit's list" in said(manager.get(where, data, follow=True))[0]


# Two people at once: the other one saves between the look and the insert


@pytest.fixture
def _unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing sees what the other person saved, but the database does."""
    monkeypatch.setattr(Rule, "validate_constraints", lambda *_, **__: None)
    monkeypatch.setattr("rules.pairing.stored_among", lambda _: {})


@pytest.mark.usefixtures("_unseen")
def test_a_rule_that_another_person_adds_at_once_is_said_and_kept(manager, rule):
    data = answers(rule, trigger=rule.trigger, action=rule.action)
    assert str(changing.CHANGED_MEANWHILE) in said(add(manager, data))[0]
    ends = factories.RuleFactory.create(
        marketplace=rule.marketplace,
        product=rule.product,
        trigger="product_refunded",
        action="expire_course_enrollment",
        destination=rule.destination,
    )
    page = press(manager, rule.product, "end_access", pair="product_refunded")
    assert said(page) == [str(changing.CHANGED_MEANWHILE)]
    address = reverse("admin:rules_rule_change", args=[ends.pk])
    form = data | {"marketplace": rule.marketplace_id, "enabled": "1", "_save": "1"}
    page = manager.post(address, form, follow=True)
    assert str(changing.CHANGED_MEANWHILE) in said(page)
    # What was chosen stays.
    assert f'value="{rule.trigger}" id="t{rule.trigger}" checked' in markup(page)
    other = factories.DestinationFactory.create(integration=rule.integration)
    factories.RuleFactory.create(
        marketplace=rule.marketplace, product=rule.product, destination=other
    )
    Destination.objects.filter(pk=rule.destination_id).update(gone_at=timezone.now())
    chosen = {"course": rule.destination_id, "rule": rule.pk, "destination": other.pk}
    assert str(changing.CHANGED_MEANWHILE) in words(
        manager.post(reverse("admin:another-course"), chosen)
    )


@pytest.mark.usefixtures("_unseen")
def test_an_undo_that_another_person_was_faster_than_is_said(manager, rule):
    manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    factories.RuleFactory.create(
        marketplace=rule.marketplace, product=rule.product, destination=rule.destination
    )
    entry = AuditEntry.objects.get(act="rule_deleted")
    assert said(press(manager, entry, "undo"))[-1] == f"Not undone. {changing.CHANGED_MEANWHILE}"
    assert Rule.objects.count() == 1


@pytest.mark.first_database
def test_a_text_that_no_address_holds_is_refused_on_the_page(manager, rule):
    page = add(manager, answers(rule, number="7", name="x" * 60_000))
    assert page.status_code == 200
    assert "at most 255 characters" in words(page)


@pytest.mark.first_database
def test_what_a_colleague_retried_meanwhile_is_still_owed_when_it_is_dismissed():
    course = factories.DestinationFactory.create()
    run = queued.run(course, factories.CustomerFactory.create(), status="waiting")
    grant = queued.grant(run)
    support = signed_in(roles.SUPPORT)
    page = support.post(reverse("admin:many-dismiss"), {"chosen": str(run.pk)}, follow=True)
    assert said(page) == ["Dismiss: done for 0."]
    run.refresh_from_db()
    grant.refresh_from_db()
    assert (run.status, grant.state) == ("waiting", "active")


@pytest.mark.first_database
def test_a_look_at_many_that_succeeded_costs_no_question_for_each():
    course = factories.DestinationFactory.create()
    support = signed_in(roles.SUPPORT)
    asked = []
    for number in (2, 20):
        for order in range(number):
            queued.run(course, factories.CustomerFactory.create(), order=str(order), status="done")
        with CaptureQueriesContext(connection) as queries:
            form = {"action": "retry_chosen", "select_across": "1"}
            page = support.post(reverse(ACTIONS), form)
        assert "It had succeeded" in words(page)
        asked.append(len(queries))
    assert asked[1] <= asked[0] + 1


@pytest.mark.first_database
@pytest.mark.parametrize("charset", ["idna", "unicode_escape", "utf-7", "utf-16", "hex"])
def test_no_charset_brings_what_no_page_can_show(rf, charset):
    part = b'--X\r\nContent-Disposition: form-data; name="text"\r\n\r\n\\ud800+2AA-\r\n--X--\r\n'
    environ = rf.post("/?q=%5Cud800%2B2AA-", part, content_type="multipart/form-data").environ
    environ["CONTENT_TYPE"] = f"multipart/form-data; boundary=X; charset={charset}"
    request = Request(environ)
    assert request.GET["q"] == request.POST["text"] == "\\ud800+2AA-"
