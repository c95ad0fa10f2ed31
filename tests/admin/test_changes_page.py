"""The page Changes, what a rule's page says about its last change, and Undo."""

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from config.staff import roles
from integrations.audit import Act, Actor, Subject, acting, record, record_change, stored
from integrations.audit_values import all_values, values
from integrations.models import AuditEntry, Destination, Integration
from rules import changing, pairing
from rules.history import undoing
from rules.models import Rule
from rules.short_sentences import in_short
from rules.triggers import Trigger
from tests.support import factories, queued
from tests.support.pages import client_of, markup, person, press, said, signed_in, words
from tests.support.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
LIST = reverse("admin:integrations_auditentry_changelist")
ADA = Actor("ada@example.com", "203.0.113.9", "/admin/somewhere/")


@pytest.fixture
def manager() -> Client:
    return client_of(person(roles.MANAGER))


@pytest.fixture
def rule() -> Rule:
    made: Rule = factories.RuleFactory.create(destination__name="Course Two")
    return made


def switch_off(rule: Rule) -> AuditEntry:
    """Ada turns the rule off."""
    with acting(lambda: ADA):
        changing.switch(Rule.objects.filter(pk=rule.pk), on=False)
    return AuditEntry.objects.latest("pk")


def switch_on(rule: Rule) -> AuditEntry:
    with acting(lambda: ADA):
        changing.switch(Rule.objects.filter(pk=rule.pk), on=True)
    return AuditEntry.objects.latest("pk")


def edit(client: Client, rule: Rule, **changes: Any) -> AuditEntry:
    """A manager saves the rule's page with these changes."""
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    form = client.get(page).context["adminform"].form
    sent = {each.html_name: each.value() for each in form if each.value() not in (None, False)}
    assert client.post(page, sent | changes).status_code == 302
    return AuditEntry.objects.latest("pk")


def delete(client: Client, rule: Rule) -> AuditEntry:
    client.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    return AuditEntry.objects.latest("pk")


# The list


def test_each_line_says_who_did_what_to_what_and_what_differs(manager, rule):
    switch_off(rule)
    page = words(manager.get(LIST))
    for text in ("ada@example.com", "Changed a rule", in_short(rule.sentence()), "State: On → Off"):
        assert text in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"who": "ada@example.com"}, {"Changed a rule"}),
        ({"act": "exported"}, {"Exported a person's data"}),
        ({"kind": "rule"}, {"Changed a rule"}),
        ({"q": "dana"}, {"Exported a person's data"}),
        ({"when": "7"}, {"Changed a rule", "Exported a person's data"}),
        ({"who": "nobody"}, set()),
    ],
)
def test_the_list_is_filtered_by_who_what_about_what_and_when(manager, rule, asked, found):
    switch_off(rule)
    record(Act.EXPORTED, Subject("customer", "1", "dana@example.com"))
    table = manager.get(LIST, asked).context["cl"].result_list
    assert {entry.sentence.capitalize() for entry in table} == found


def test_what_was_done_about_the_events_and_actions_of_a_customer_is_found_by_the_customer(
    manager, rule
):
    gail, other = (
        factories.CustomerFactory.create(
            email=f"gail.{name}@example.com", first_name="Gail", last_name=name.capitalize()
        )
        for name in ("gray", "green")
    )
    run = queued.run(rule.destination, gail)
    record(Act.REFUNDED_KEPT, run.event)
    record(Act.RUN_RETRIED, run)
    record(Act.NOTE_ADDED, gail)
    record(Act.RUN_RELEASED, queued.run(rule.destination, other))

    def found(typed: str) -> set[str]:
        return {entry.act for entry in manager.get(LIST, {"q": typed}).context["cl"].result_list}

    every = {"refunded_kept", "run_retried", "note_added"}
    assert found("gail.gray@example.com") == found("gray, Gail") == found("Gail gray") == every
    assert found("gail") == every | {"run_released"}
    assert found("gail green") == {"run_released"}
    assert found("nobody@example.com") == set()


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_rule_is_found_by_both_forms_of_its_sentence(manager, rule, language):
    switch_off(rule)
    other = factories.RuleFactory.create(
        action="expire_course_enrollment",
        destination=rule.destination,
        trigger="product_refunded",
        marketplace=rule.marketplace,
    )
    record(Act.RULE_CHANGED, other)

    def found(typed: str) -> set[str]:
        asked = manager.get(LIST, {"q": typed}, HTTP_ACCEPT_LANGUAGE=language)
        return {entry.number for entry in asked.context["cl"].result_list}

    with override(language):
        both = rule.sentence(), in_short(rule.sentence())
        ends = in_short(other.sentence())
    for typed in both:
        assert found(typed) == {str(rule.pk)}
    assert found(ends) == {str(other.pk)}


def test_what_one_act_did_to_several_is_one_line_with_the_way_to_each(manager, rule):
    same = {"marketplace": rule.marketplace, "destination": rule.destination}
    triggers = Trigger.SUBSCRIPTION_CHARGED, Trigger.SUBSCRIPTION_RECOVERED
    others = [factories.RuleFactory.build(**same, trigger=trigger) for trigger in triggers]
    with acting(lambda: ADA):
        changing.add_all(others)
        changing.switch(Rule.objects.all(), on=False)
    page = manager.get(LIST)
    switched, added = page.context["cl"].result_list
    assert (len(switched.line.entries), len(added.line.entries)) == (3, 2)
    text = words(page)
    assert "Added a rule, 2 times every product Show each" in text
    assert "Changed a rule, 3 times every product State: On → Off Show each" in text
    for entry in (*switched.line.entries, *added.line.entries):
        assert (
            reverse("admin:integrations_auditentry_change", args=[entry.pk])
            in page.content.decode()
        )


def test_what_one_save_adds_one_after_the_other_is_one_line(manager, rule):
    chosen = {"scope": "global", "account": rule.marketplace_id, "action": rule.action}
    chosen |= {"integration": rule.integration_id, "trigger": "product_purchased"}
    others = factories.DestinationFactory.create_batch(2, integration=rule.integration)
    courses = [each.pk for each in others]
    manager.post(reverse("admin:new-rule"), chosen | {"destination": courses})
    (line,) = manager.get(LIST, {"act": "rule_added"}).context["cl"].result_list
    assert len(line.line.entries) == 2


def test_a_line_names_the_customer_and_a_change_is_undone_from_its_line(manager, rule):
    run = queued.run(rule.destination, status="failed")
    with acting(lambda: ADA):
        record(Act.RUN_RETRIED, run)
        record(Act.EVENT_RERUN, run.event)
    page = manager.get(LIST)
    of_customer = reverse("admin:integrations_customer_change", args=[run.customer_id])
    assert markup(page).count(f'<a href="{of_customer}">') == 2
    entry = switch_off(rule)
    undo = reverse("admin:integrations_auditentry_do_undo", args=[entry.pk])
    assert f'formaction="{undo}"' in markup(manager.get(LIST))
    again = switch_on(rule)
    shown = markup(manager.get(LIST))
    assert f'formaction="{undo}"' not in shown
    assert f'formaction="{undo.replace(str(entry.pk), str(again.pk))}"' in shown


def test_the_page_of_an_entry_has_all_of_it_and_escapes_it(manager, rule):
    with acting(lambda: ADA):
        entry = record(
            Act.RULE_CHANGED, rule, before={"delay_days": 0}, after={"delay_days": 3}, note="<b>x"
        )
    answer = manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk]))
    page = words(answer)
    for text in (
        "ada@example.com changed a rule.",
        "203.0.113.9",
        "/admin/somewhere/",
        "Days later",
    ):
        assert text in page
    assert "&lt;b&gt;x" in answer.content.decode()


def test_an_entry_outlives_what_it_is_about(manager, rule):
    entry = delete(manager, rule)
    Integration.objects.all().delete()
    page = words(manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk])))
    assert "deleted a rule." in page
    assert "Course Two" in page


@pytest.mark.parametrize("role", [roles.SUPPORT, roles.VIEWER])
def test_who_only_helps_or_looks_sees_no_changes(rule, role):
    switch_off(rule)
    client = signed_in(role)
    assert client.get(LIST).status_code == 403
    page = client.get(reverse("admin:rules_rule_change", args=[rule.pk]))
    assert "ada@example.com" not in words(page)


def test_the_pages_of_a_rule_and_an_integration_say_who_changed_it_last(manager, rule):
    switch_off(rule)
    with acting(lambda: ADA):
        record(Act.KEY_REPLACED, rule.integration)
    for row, text in (
        (rule, "Last changed by ada@example.com , just now · All changes Undo"),
        (rule.integration, "Last changed by ada@example.com , just now · All changes"),
    ):
        meta = row._meta
        page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
        assert text in words(manager.get(page))


def test_of_a_replaced_key_it_says_that_and_nothing_of_the_old_one(manager, rule):
    site, before = rule.integration, stored(rule.integration)
    site.set_secret("a-secret-of-which-nothing-is-shown")
    with acting(lambda: ADA):
        entry = record_change(Act.KEY_REPLACED, site, before)
    assert entry is not None
    assert "Key: replaced" in words(manager.get(LIST))
    page = words(manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk])))
    assert "Key – replaced" in page


# Undo


def test_undo_turns_a_rule_on_again_and_is_recorded_itself(manager, rule):
    entry = switch_off(rule)
    (text,) = said(press(manager, entry, "undo"))
    assert text.startswith("Undone. It is on again: Product Purchased, ")
    rule.refresh_from_db()
    assert rule.enabled
    latest = AuditEntry.objects.latest("pk")
    assert (latest.act, latest.before, latest.after) == (
        "rule_changed",
        {"enabled": False},
        {"enabled": True},
    )
    assert latest.note == f"Undo of change {entry.pk}"


def take_back(answer: Any) -> str:
    """The link with which the page takes back the undo that it tells of."""
    (found,) = re.findall(r'href="([^"]+)">Take back this undo', markup(answer))
    return html.unescape(found)


def test_an_undo_is_taken_back_from_the_message_that_tells_of_it(manager, rule):
    link = take_back(press(manager, switch_off(rule), "undo"))
    page = manager.get(link)
    assert "Undo 1 changed rule?" in words(page)
    rule.refresh_from_db()
    assert rule.enabled  # the page asks first
    again = manager.post(link, follow=True)
    rule.refresh_from_db()
    assert not rule.enabled
    assert "Undone: 1 rule is as before." in said(again)[0]
    manager.post(take_back(again))
    rule.refresh_from_db()
    assert rule.enabled


def test_a_rule_that_an_undo_brought_back_is_deleted_again_after_the_page_that_asks(manager, rule):
    link = take_back(press(manager, delete(manager, rule), "undo"))
    assert Rule.objects.filter(pk=rule.pk).exists()
    assert manager.get(link).status_code == 200
    manager.post(link, {"post": "yes"})
    assert not Rule.objects.filter(pk=rule.pk).exists()


def test_who_may_not_take_an_undo_back_is_not_led_there(manager, rule):
    entry = delete(manager, rule)
    Permission.objects.get(codename="delete_rule").group_set.clear()
    assert "Take back this undo" not in markup(press(manager, entry, "undo"))


def test_undo_leads_back_to_the_page_where_it_was_pressed_and_says_what_is_true_again(
    manager, rule
):
    entry = switch_on(rule) if not rule.enabled else switch_off(rule)
    answer = press(manager, entry, "undo")
    assert answer.redirect_chain[-1][0] == LIST
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    assert f'href="{page}"' in answer.content.decode().partition("messagelist")[2]
    again = AuditEntry.objects.latest("pk")
    answer = press(manager, again, "undo", back=page)
    assert answer.redirect_chain[-1][0] == page
    assert said(answer)[0].startswith("Undone. It is off again: Product Purchased, ")


def test_a_line_for_several_customers_names_two_and_says_how_many_more(manager, rule):
    runs = [queued.run(rule.destination, status="failed") for _ in range(3)]
    with acting(lambda: ADA):
        for run in runs:
            record(Act.BUYERS_MOVED, run.event)
    one, two, _ = [run.customer.email for run in reversed(runs) if run.customer]
    line = f"Moved a buyer to what a rule gives now, 3 times {one}, {two} and 1 more"
    assert line in words(manager.get(LIST))


def test_undo_takes_an_edit_back_with_the_course_and_the_trigger(manager, rule):
    other = factories.DestinationFactory.create(integration=rule.integration)
    entry = edit(manager, rule, destination=other.pk, trigger="subscription_recovered")
    rule.refresh_from_db()
    assert rule.destination == other
    press(manager, entry, "undo")
    rule.refresh_from_db()
    assert (rule.destination.name, rule.trigger) == ("Course Two", "product_purchased")


def sold_by(world: World) -> tuple[Rule, Destination]:
    """A rule by which two buyers got a course, and another course."""
    course, other = world.course("Ink and Wash"), world.course("Drawing Faces")
    rule = world.rule("product_purchased", "create_course_enrollment", course, "1048001")
    for number in (1, 2):
        world.sell("10_product", customer__email=f"p{number}@example.com", order__id=number)
    world.settle()
    return rule, other


def moved(client: Client, page: Any) -> Any:
    """What follows when the person goes the way that the message names, and presses the button."""
    (address,) = set(re.findall(r'href="(/admin/given-by-rule/[^"]+)"', markup(page)))
    look = client.get(address)
    chosen = ",".join(str(number) for number in look.context["chosen"])
    return look, client.post(address, {"chosen": chosen}, follow=True)


def test_an_edit_and_its_undo_say_who_has_the_old_course_and_move_them(manager, world):
    rule, other = sold_by(world)
    page_of_rule = reverse("admin:rules_rule_change", args=[rule.pk])
    entry = edit(manager, rule, destination=other.pk)
    page = manager.get(page_of_rule)
    text = "2 buyers got Ink and Wash through this rule, and keep it. See and move them"
    assert text in said(page)
    look, after = moved(manager, page)
    assert "Give Drawing Faces, end Ink and Wash" in words(look)
    assert said(after) == ["4 actions queued."]
    world.settle()
    page = press(manager, entry, "undo")
    assert text.replace("Ink and Wash", "Drawing Faces") in said(page)
    moved(manager, page)
    world.settle()
    assert {row.course.name for row in world.school.enrollments if row.active} == {"Ink and Wash"}


def test_each_of_several_changes_keeps_its_way_to_the_buyers_while_there_are_any(manager, world):
    rule, other = sold_by(world)
    third = world.course("Portraits")
    second = world.rule("product_purchased", "create_course_enrollment", third, "1048001")
    entry = edit(manager, rule, destination=other.pk)
    press(manager, entry, "undo")
    press(manager, switch_off(second), "undo")
    page = manager.get(LIST)
    assert words(page).count("2 earlier buyers do not have Portraits") == 1
    latest = AuditEntry.objects.filter(number=str(second.pk)).latest("pk")
    detail = reverse("admin:integrations_auditentry_change", args=[latest.pk])
    told = "2 earlier buyers do not have Portraits. See and enroll them"
    assert told in words(manager.get(detail))
    edit(manager, rule, destination=world.course("Oils").pk)
    text = "2 buyers got Ink and Wash through this rule, and keep it. See and move them"
    assert text in words(manager.get(LIST))
    page = manager.get(LIST)  # without the message of the change itself
    assert text in words(page)
    assert text in words(
        manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk]))
    )
    moved(manager, page)
    world.settle()
    assert text not in words(manager.get(LIST))
    assert text not in words(signed_in(roles.VIEWER).get(LIST))


def test_a_deletion_keeps_its_way_to_the_buyers_in_changes(manager, world):
    rule, _ = sold_by(world)
    entry = delete(manager, rule)
    assert "2 buyers" in words(manager.get(LIST))  # the message of the change itself, once
    text = "2 buyers got Ink and Wash through a deleted rule, and keep it."
    assert text in words(manager.get(LIST))
    assert text in words(
        manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk]))
    )


def test_a_deletion_says_who_has_the_course_and_ends_it(manager, world):
    rule, _ = sold_by(world)
    address = reverse("admin:rules_rule_delete", args=[rule.pk])
    page = manager.post(address, {"post": "yes"}, follow=True)
    text = "2 buyers got Ink and Wash through a deleted rule, and keep it. See them and end it"
    assert text in said(page)
    look, after = moved(manager, page)
    assert "End Ink and Wash" in words(look)
    assert said(after) == ["2 actions queued."]
    world.settle()
    assert not [row for row in world.school.enrollments if row.active]


def test_a_rule_that_was_restored_has_its_history_again(manager, world):
    rule, _ = sold_by(world)
    page = press(manager, delete(manager, rule), "undo")
    assert "See and move them" not in " ".join(said(page))
    assert rule.runs.count() == 2
    assert "Never" not in words(manager.get(reverse("admin:rules_rule_changelist")))


def test_undo_brings_a_deleted_rule_back_under_its_number(manager, rule):
    entry = delete(manager, rule)
    assert not Rule.objects.exists()
    press(manager, entry, "undo")
    assert Rule.objects.get().sentence() == rule.sentence()
    assert Rule.objects.get().pk == rule.pk
    assert AuditEntry.objects.latest("pk").act == "rule_added"


def test_a_deletion_can_be_undone_on_the_page_that_follows(manager, rule):
    page = reverse("admin:rules_rule_delete", args=[rule.pk])
    answer = manager.post(page, {"post": "yes"}, follow=True)
    entry = AuditEntry.objects.latest("pk")
    undo = f"{reverse('admin:undo-step')}?undoes={entry.pk}"
    assert f'action="{undo}"' in answer.content.decode()
    link = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    assert 'type="submit"' in manager.get(link).content.decode()


def course_gone(rule: Rule) -> None:
    Destination.objects.update(gone_at=rule.created_at)


def another_field_changed_since(rule: Rule) -> None:
    rule.refresh_from_db()
    before = stored(rule)
    rule.trigger = Trigger.SUBSCRIPTION_RECOVERED
    rule.save()
    record_change(Act.RULE_CHANGED, rule, before)


def changed_past_the_audit(rule: Rule) -> None:
    Rule.objects.update(enabled=True)


def deleted_past_the_audit(rule: Rule) -> None:
    Rule.objects.all().delete()


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        (
            course_gone,
            "Not undone. Course Two is gone from Thinkific. Choose another course for it.",
        ),
        (another_field_changed_since, "Not undone. The rule was changed since."),
        (changed_past_the_audit, "Not undone. The rule was changed since."),
        (deleted_past_the_audit, "Not undone. The rule was changed since."),
    ],
)
def test_undo_is_refused_in_words_and_not_offered(manager, rule, meanwhile, why):
    entry = switch_off(rule)
    meanwhile(rule)
    stood = list(Rule.objects.values())
    (text,) = said(press(manager, entry, "undo"))
    assert text.startswith(why)
    assert list(Rule.objects.values()) == stood
    page = words(manager.get(reverse("admin:integrations_auditentry_change", args=[entry.pk])))
    assert f"This cannot be undone. {why.removeprefix('Not undone. ')}" in page


def test_a_deleted_rule_stays_deleted_when_its_integration_or_its_twin_says_so(manager, rule):
    entry = delete(manager, rule)
    twin = factories.RuleFactory.create(marketplace=rule.marketplace, destination=rule.destination)
    text = said(press(manager, entry, "undo"))[-1]
    assert text == "Not undone. There is this very global rule already."
    twin.delete()
    rule.integration.delete()
    text = said(press(manager, entry, "undo"))[-1]
    assert "no longer exists, so the rule cannot be restored." in text


def test_only_a_change_of_a_rule_can_be_undone(manager, rule):
    (text,) = said(press(manager, record(Act.EXPORTED), "undo"))
    assert text == "Not undone. Only what was done to a rule can be undone."


def add(rule: Rule) -> AuditEntry:
    """Ada adds the rule; it must not be there yet."""
    with acting(lambda: ADA):
        changing.add(rule)
    return AuditEntry.objects.latest("pk")


def test_a_rule_that_was_added_is_deleted_by_undo(manager, rule):
    rule.delete()
    rule.pk = None
    rule._state.adding = True
    entry = add(rule)
    asks = press(manager, entry, "undo")
    assert Rule.objects.exists()
    assert "From the next event on, this stops:" in words(asks)
    only = f"New buyers get {rule.destination} only where a rule of their product gives it, too."
    assert f"{only} Those who have it keep it." in words(asks)
    manager.post(asks.request["PATH_INFO"] + "?" + asks.request["QUERY_STRING"], {"post": "yes"})
    assert not Rule.objects.exists()
    assert AuditEntry.objects.latest("pk").undoes == entry.pk


def added(client: Client, rule: Rule) -> list[AuditEntry]:
    """What Changes keeps of the rule's four companions, which were added in one step."""
    with acting(lambda: ADA):
        pairing.add(pairing.companions([rule]))
    return list(AuditEntry.objects.filter(act=Act.RULE_ADDED).order_by("pk"))


def way(page: Any, label: str) -> str:
    """The address of the link with this label."""
    text = markup(page)
    (found,) = re.findall(rf'<a href="([^"]+)" class="button[^"]*">{re.escape(label)}<', text)
    return html.unescape(found)


def test_undoing_an_added_rule_asks_as_deleting_it_does_and_leads_back_to_changes(manager, world):
    rule, _ = sold_by(world)
    rule_entry = record(Act.RULE_ADDED, rule, after=all_values(values(rule)))
    pairing.add(pairing.companions([rule]))
    for page in (LIST, reverse("admin:integrations_auditentry_change", args=[rule_entry.pk])):
        asked = {"number": rule.pk, "kind": "rule"} if page == LIST else {}
        shown = manager.get(page, asked)
        address = way(shown, "Undo" if page == LIST else "Undo: delete this rule")
        if page != LIST:  # not among the first things of the page
            assert "Undo: delete this rule First you see what that stops. Admit" in words(shown)
        assert address.startswith(reverse("admin:rules_rule_delete", args=[rule.pk]))
        asks = manager.get(address)
        text = words(asks)
        assert "These 4 rules belong to it, and would keep running:" in text
        assert "2 buyers have access through this rule, and keep it until you end it." in text
        assert "Delete all 5 rules Delete only this rule" in text
        (keeps,) = re.findall(r'href="([^"]+)" class="button">No, keep it', asks.content.decode())
        assert html.unescape(keeps) == shown.wsgi_request.get_full_path()
    companions = re.findall(r'name="companion" value="(\d+)"', asks.content.decode())
    after = manager.post(
        way(manager.get(LIST, {"number": rule.pk, "kind": "rule"}), "Undo"),
        {"post": "yes", "too": "1", "companion": companions},
        follow=True,
    )
    assert after.request["PATH_INFO"] == LIST
    assert not Rule.objects.exists()
    (address,) = set(re.findall(r'href="(/admin/given-by-rule/[^"]+)"', after.content.decode()))
    buyers = manager.get(html.unescape(address)).content.decode()
    assert f'<a href="{LIST}?number={rule.pk}&amp;kind=rule">Back</a>' in buyers
    assert undoing.undone_changes([rule_entry]) == {rule_entry.pk}


def test_after_one_of_several_added_rules_went_the_others_are_named_with_the_way(manager, rule):
    entry, *_ = added(manager, rule)
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    assert "3 rules added with it are still there. Undo all 4" in words(manager.get(page))
    done = manager.post(
        way(manager.get(page), "Undo: delete this rule"), {"post": "yes"}, follow=True
    )
    assert "3 rules added with it are still there. Undo the other 3" in said(done)
    (line,) = manager.get(LIST, {"act": "rule_added"}).context["cl"].result_list
    assert line.line.undo.left == 3
    text = words(manager.get(LIST))
    assert "Undo the other 3" in text
    assert "1 was deleted since." in text
    switched = switch_off(rule)
    assert "Undo this change" in words(
        manager.get(reverse("admin:integrations_auditentry_change", args=[switched.pk]))
    )


def test_rules_that_were_added_in_one_step_are_shown_with_their_buyers_and_then_go(manager, world):
    world.rule("product_purchased", "create_course_enrollment", world.course("Ink"), "1048002")
    kept = Rule.objects.get()
    course, other = world.course("Ink and Wash"), world.course("Drawing Faces")
    same = {"marketplace": kept.marketplace, "integration": kept.integration}
    product = factories.ProductFactory.create(marketplace=kept.marketplace, external_id="1048001")
    same |= {"product": product}
    rules = [factories.RuleFactory.build(**same, destination=each) for each in (course, other)]
    with acting(lambda: ADA):
        changing.add_all(rules)
    pairing.add(pairing.companions([rules[0]]))
    for number in (1, 2, 3, 4):
        world.sell("10_product", customer__email=f"p{number}@example.com", order__id=number)
    world.settle()
    address = way(manager.get(LIST), "Undo all 2")
    text = words(manager.get(address))
    assert "Delete 2 rules?" in text
    who = "p1@example.com, p2@example.com, p3@example.com and 1 more"
    assert text.count(f"4 buyers have access through it: {who}.") == 2
    assert "4 buyers have access through these rules, and keep it until you end it." in text
    assert "These 4 rules belong to them, and would keep running:" in text
    assert Rule.objects.count() == 7
    after = press_yes(manager, address)
    assert after.request["PATH_INFO"] == LIST
    assert list(Rule.objects.all()) == [kept]
    assert any("See them and end it" in text for text in said(after))
    line = manager.get(LIST, {"act": "rule_added"}).context["cl"].result_list[-1]
    assert (line.line.undo.is_done, line.line.undo.left) == (True, 0)


def press_yes(client: Client, address: str) -> Any:
    """Look at the page that asks, and press its red button."""
    page = markup(client.get(address))
    names = ("_selected_action", "companion")
    sent = {name: re.findall(rf'name="{name}" value="(\d+)"', page) for name in names}
    return client.post(address, sent | {"post": "yes", "too": "1"}, follow=True)


def test_what_was_changed_since_it_was_added_with_others_stays_and_is_told(manager, rule):
    _, *others = added(manager, rule)
    changed = Rule.objects.get(pk=int(others[0].number))
    switch_off(changed)
    address = way(manager.get(LIST), "Undo the other 3")
    text = words(manager.get(address))
    assert "1 was changed since and stays." in text
    press_yes(manager, address)
    assert set(Rule.objects.all()) == {rule, changed}
    assert said(manager.get(address, follow=True)) == ["Nothing was left to undo."]


def test_only_what_the_page_showed_is_deleted(manager, rule):
    entries = added(manager, rule)
    address = way(manager.get(LIST), "Undo all 4")
    shown = [each.number for each in entries[:3]]
    manager.post(address, {"post": "yes", "_selected_action": [*shown, rule.pk]}, follow=True)
    assert set(Rule.objects.all()) == {rule, Rule.objects.get(pk=int(entries[3].number))}
    nothing = manager.post(way(manager.get(LIST), "Undo the other one"), {"post": "yes"})
    assert said(manager.get(nothing["Location"])) == ["Nothing was left to undo."]
    assert Rule.objects.count() == 2


def test_who_may_not_delete_rules_undoes_no_adding(manager, rule):
    entry, *_ = added(manager, rule)
    Permission.objects.get(codename="delete_rule").group_set.clear()
    client = client_of(person(roles.MANAGER))
    Permission.objects.get(codename="delete_rule").group_set.clear()
    assert "Undo all" not in words(client.get(LIST))
    page = f"{reverse('admin:undo-step')}?undoes={entry.pk}"
    assert [client.get(page).status_code, client.post(page).status_code] == [403, 403]
    assert press(client, entry, "undo").status_code == 403


def test_an_added_rule_that_was_changed_since_is_not_undone(manager, rule):
    rule.delete()
    rule.pk = None
    rule._state.adding = True
    entry = add(rule)
    switch_off(rule)
    (text,) = said(press(manager, entry, "undo"))
    assert text.startswith("Not undone. The rule was changed since.")
    assert Rule.objects.exists()


def test_a_rule_leads_to_those_who_have_access_by_it(manager, world):
    rule, _ = sold_by(world)
    page = manager.get(reverse("admin:rules_rule_change", args=[rule.pk]))
    assert "Who has it through this rule" in words(page)
    (address,) = re.findall(r'href="(/admin/given-by-rule/[^"]+)"', page.content.decode())
    text = words(manager.get(address))
    assert "p1@example.com" in text
    assert "p2@example.com" in text
    assert "There is nothing to do" not in text
    delete = reverse("admin:rules_rule_delete", args=[rule.pk])
    assert "2 buyers have access through this rule, and keep it until you end it. See who" in words(
        manager.get(delete)
    )
    assert f'href="{delete}?back=' in manager.get(address).content.decode()
    world.sell("10_product", "product_refunded", customer__email="p1@example.com", order__id=1)
    world.settle()
    world.rule("product_purchased", "create_course_enrollment", world.course(), "1048009")
    nobody = Rule.objects.latest("pk")
    assert "Nobody has Course Two through this rule now." in words(
        manager.get(address.replace(f"={rule.pk}", f"={nobody.pk}"))
    )


def test_what_one_save_changed_is_one_line_also_at_the_end_of_a_page(manager, rule):
    triggers = [Trigger.SUBSCRIPTION_CHARGED, Trigger.SUBSCRIPTION_RECOVERED]
    products = factories.ProductFactory.create_batch(25, marketplace=rule.marketplace)
    same = {"marketplace": rule.marketplace, "destination": rule.destination}
    others = [
        factories.RuleFactory.build(**same, product=product, trigger=trigger)
        for product in products
        for trigger in triggers
    ]
    with acting(lambda: ADA):
        changing.add_all(others)
        for _ in range(7):
            record(Act.EXPORTED, Subject("customer", "7", "dana@example.com"))
    first, second = (manager.get(LIST, {"p": page}).context["cl"].result_list for page in (1, 2))
    assert [len(line.line.entries) for line in first] == [1] * 7 + [50]
    assert "Added a rule, 50 times" in words(manager.get(LIST))
    with acting(lambda: ADA):
        for _ in range(3):
            record(Act.EXPORTED, Subject("customer", "7", "dana@example.com"))
    (again,) = manager.get(LIST, {"p": 2}).context["cl"].result_list
    assert (len(second), len(again.line.entries)) == (1, 50)  # nothing else is on that page


def test_what_was_undone_is_marked_until_its_undoing_is_undone(manager, rule):
    def marked() -> list[bool]:
        return [
            row.line.undo.is_done
            for row in manager.get(LIST, {"kind": "rule"}).context["cl"].result_list
        ]

    entry = switch_off(rule)
    assert marked() == [False]
    press(manager, entry, "undo")
    assert marked() == [False, True]
    assert "Changed a rule Undone" in words(manager.get(LIST))
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    assert "changed a rule. Undone" in words(manager.get(page))
    press(manager, AuditEntry.objects.latest("pk"), "undo")
    assert marked() == [False, True, False]
    with acting(lambda: ADA):
        changing.add(
            factories.RuleFactory.build(
                marketplace=rule.marketplace,
                integration=rule.integration,
                destination=rule.destination,
                trigger="subscription_recovered",
            )
        )
    press_yes(manager, way(manager.get(LIST, {"act": "rule_added"}), "Undo"))
    assert marked()[:2] == [False, True]
