"""Changes as a creator reads it: one row for what was done, with its Undo; sign-ins apart."""

import html
import re
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.admin.pages.staff import changes_undo
from config.admin.pages.staff.change_line import Undo
from config.admin.pages.staff.others_changes import OF_SIGN_IN
from config.admin.parts.buttons import page_of
from config.staff import roles
from events.models import EventLog
from integrations.audit import Act, Actor, acting, record
from integrations.models import AuditEntry, Product
from integrations.sentences import format_time
from integrations.who import shown_who
from rules import changing, pairing
from rules.history import undoing
from rules.models import Rule
from tests.support import factories, queued
from tests.support.pages import markup, press, said, signed_in, words
from tests.support.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
LIST = reverse("admin:integrations_auditentry_changelist")
BEN = Actor("ben@example.com", "203.0.113.9", "/admin/somewhere/")
GIVES = "create_course_enrollment"


@pytest.fixture
def manager(db: None) -> Client:
    return signed_in(roles.MANAGER)


@pytest.fixture
def rule(world: World) -> Rule:
    return world.rule("product_purchased", GIVES, world.course("Ink"), product="1048001")


def lines(client: Client, **asked: Any) -> list[Any]:
    found: list[Any] = client.get(LIST, asked).context["cl"].result_list
    return found


def undos(client: Client) -> list[Undo]:
    return [row.line.undo for row in lines(client)]


def way(page: Any, label: str) -> str:
    """The address of the only button with this label that is a link."""
    text = markup(page)
    (found,) = re.findall(rf'<a href="([^"]+)" class="button[^"]*">{re.escape(label)}<', text)
    return html.unescape(found)


# Batches


def test_running_a_rule_for_earlier_buyers_is_one_row_with_undo_and_its_results(manager, world):
    for number in range(3):
        world.sell("10_product", customer__email=f"b{number}@example.com", order__id=number + 1)
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="1048001")
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    page = manager.get(LIST)
    line = page.context["cl"].result_list[0]
    assert {each.act for each in line.line.entries} == {"buyers_enrolled", "event_rerun"}
    text = words(page)
    assert "Ran rules for 3 earlier buyers" in text
    assert re.search(r"b\d@example.com, b\d@example.com and 1 more", text)
    assert "See the results" in text
    asks = manager.get(way(page, "Undo"))
    assert "Undo it for 3 purchases" in words(asks)
    assert f'<a href="{LIST}">Back</a>' in markup(asks)
    chosen = ",".join(map(str, asks.context["chosen"]))
    manager.post(way(page, "Undo"), {"chosen": chosen})
    world.settle()
    again = manager.get(LIST)
    assert [each.line.undo.is_done for each in again.context["cl"].result_list][:2] == [False, True]
    assert 'class="button small ">Undo<' not in markup(again)


def test_a_retry_of_many_is_one_row_that_leads_to_its_results(manager, rule):
    runs = [queued.run(rule.destination, status="failed") for _ in range(3)]
    manager.post(reverse("admin:many-retry"), {"chosen": ",".join(str(run.pk) for run in runs)})
    line = lines(manager)[0]
    assert len(line.line.entries) == 3
    text = words(manager.get(LIST))
    assert "Retried an action, 3 times" in text
    assert "See the results" in text


def test_running_events_again_that_also_retries_is_one_row(manager, world, rule):
    world.sell("10_product", customer__email="dana@example.com")
    event = EventLog.objects.get()
    event.runs.update(status="failed")
    manager.post(reverse("admin:many-rerun"), {"chosen": event.pk})
    line = lines(manager)[0]
    assert {each.act for each in line.line.entries} == {"run_retried", "event_rerun"}
    assert "Ran the rules again" in words(manager.get(LIST))


# Sign-ins


def test_sign_ins_are_left_out_until_they_are_asked_for(manager):
    for act in OF_SIGN_IN:
        record(act)
    record(Act.EXPORTED)
    assert [line.act for line in lines(manager)] == ["exported"]
    page = manager.get(LIST)
    assert "?act=sign_ins" in page.content.decode()
    assert {line.act for line in lines(manager, act="sign_ins")} == {
        act.value for act in OF_SIGN_IN
    }
    assert [line.act for line in lines(manager, act="signed_in")] == ["signed_in"]


# Undo


@pytest.fixture
def switched(rule: Rule) -> list[AuditEntry]:
    """Ben turns five rules off in one step."""
    pairing.add(pairing.companions([rule]))
    with acting(lambda: BEN):
        changing.switch(Rule.objects.all(), on=False)
    return list(AuditEntry.objects.filter(act=Act.RULE_CHANGED).order_by("pk"))


def test_rules_that_were_changed_in_one_step_are_shown_and_then_are_as_before(manager, switched):
    page = manager.get(LIST, {"act": "rule_changed"})
    assert "Changed a rule, 5 times" in words(page)
    address = way(page, "Undo all 5")
    asks = words(manager.get(address))
    assert "Undo 5 changed rules?" in asks
    assert asks.count("State: On → Off") == 5
    assert len(re.findall(r" → (?:enroll in|end access to) ", asks)) == 5
    assert not Rule.objects.filter(enabled=True).exists()
    done = manager.post(address, follow=True)
    assert said(done) == ["Undone: 5 rules are as before."]
    assert Rule.objects.filter(enabled=True).count() == 5
    assert lines(manager, act="rule_changed")[-1].line.undo.is_done


def test_a_row_says_what_became_of_the_rules_that_its_undo_leaves_alone(manager, switched):
    one, two, three, *_ = (Rule.objects.get(pk=int(entry.number)) for entry in switched)
    changing.switch(Rule.objects.filter(pk__in=[one.pk, two.pk]), on=True)
    changing.delete(Rule.objects.filter(pk=three.pk))
    page = manager.get(LIST, {"act": "rule_changed", "who": BEN.who})
    stays = "2 were changed since and stay, 1 was deleted since."
    assert stays in words(page)
    address = way(page, "Undo the other 2")
    assert stays in words(manager.get(address))
    manager.post(address)
    assert Rule.objects.filter(enabled=True).count() == 4


def test_turning_a_rule_on_marks_the_change_that_turned_it_off_as_undone(manager, switched):
    off = switched[0]
    press(manager, Rule.objects.get(pk=int(off.number)), "switch_on")
    on = AuditEntry.objects.latest("pk")
    assert on.undoes == off.pk
    assert undoing.undone_changes([*switched, on]) == {off.pk}
    page = words(manager.get(page_of(off)))
    assert "ben@example.com changed a rule. Undone" in page
    assert "This cannot be undone." not in page
    assert said(press(manager, off, "undo"))[0].startswith("Not undone. The rule was changed")
    press(manager, Rule.objects.get(pk=int(off.number)), "switch_off")
    assert undoing.undone_changes([*switched, on]) == {off.pk}


def test_turning_a_rule_on_undoes_no_change_that_changed_more_than_that(world, rule):
    rule.enabled = False
    changing.point_to([rule], world.course("Oil"), on=True)
    changing.switch(Rule.objects.all(), on=False)
    changing.point_to([rule], world.course("Ink"), on=True)
    entries = list(AuditEntry.objects.filter(act=Act.RULE_CHANGED))
    assert len(entries) == 3
    assert not undoing.undone_changes(entries)


def test_a_step_of_changes_is_undone_as_a_whole_or_not_at_all(manager, switched):
    Rule.objects.filter(pk=int(switched[0].number)).update(enabled=True)  # past the audit
    address = f"{reverse('admin:undo-step')}?undoes={switched[0].pk}"
    assert "This cannot be undone. The rule was changed since." in words(manager.get(address))
    (text,) = said(manager.post(address, follow=True))
    assert text.startswith("Not undone. The rule was changed since.")
    assert Rule.objects.filter(enabled=True).count() == 1


def test_undoing_a_step_says_who_keeps_what_and_leads_from_there_back_to_changes(
    manager, world, rule
):
    pairing.add(pairing.companions([rule]))
    with acting(lambda: BEN):
        changing.point_to(Rule.objects.order_by("pk"), world.course("Wash"), on=False)
    world.sell("10_product", customer__email="dana@example.com")
    world.settle()
    page = manager.get(LIST, {"act": "rule_changed"})
    done = manager.post(way(page, "Undo all 5"), follow=True)
    assert "1 buyer got Wash through this rule, and keeps it. See and move them" in said(done)
    (address,) = set(re.findall(r'href="(/admin/given-by-rule/[^"]+)"', done.content.decode()))
    buyers = manager.get(html.unescape(address)).content.decode()
    assert f'<a href="{LIST}?act=rule_changed">Back</a>' in buyers


def rename(client: Client, product: Product, name: str) -> AuditEntry:
    page = reverse("admin:integrations_product_change", args=[product.pk])
    form = client.get(page).context["adminform"].form
    sent = {each.html_name: each.value() for each in form if each.value() not in (None, False)}
    assert client.post(page, sent | {"name": name}).status_code == 302
    return AuditEntry.objects.latest("pk")


def test_undo_gives_a_product_its_former_name_and_can_be_undone_itself(manager):
    product = factories.ProductFactory.create(name="Ink Club")
    entry = rename(manager, product, "Ink Circle")
    assert [each.is_possible for each in undos(manager)] == [True]
    done = press(manager, entry, "undo")
    assert said(done) == ["Undone. The product is called Ink Club again."]
    assert Product.objects.get().name == "Ink Club"
    assert [(each.is_possible, each.is_done) for each in undos(manager)] == [
        (True, False),
        (False, True),
    ]


def test_a_product_that_was_renamed_since_keeps_its_name(manager):
    product = factories.ProductFactory.create(name="Ink Club")
    entry = rename(manager, product, "Ink Circle")
    rename(manager, product, "Ink School")
    assert [each.is_possible for each in undos(manager)] == [True, False]
    (text,) = said(press(manager, entry, "undo"))
    assert text.startswith("Not undone. The product was renamed since.")
    assert Product.objects.get().name == "Ink School"
    assert "The product was renamed since." in words(manager.get(page_of(entry)))


# Queries


def test_the_list_takes_the_same_queries_for_one_step_as_for_many(manager, rule):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert manager.get(LIST).status_code == 200
        return len(asked)

    def change(times: int) -> None:
        for _ in range(times):
            course = factories.DestinationFactory.create(integration=rule.integration)
            made = [
                factories.RuleFactory.build(
                    marketplace=rule.marketplace,
                    product=rule.product,
                    integration=rule.integration,
                    destination=course,
                    trigger=trigger,
                )
                for trigger in ("product_purchased", "subscription_restarted")
            ]
            with acting(lambda: BEN):
                changing.add_all(made)
            with acting(lambda: BEN):
                changing.switch(Rule.objects.filter(pk__in=[each.pk for each in made]), on=False)
            with acting(lambda: BEN):
                changing.delete(Rule.objects.filter(pk__in=[each.pk for each in made]))
            product = factories.ProductFactory.create(marketplace=rule.marketplace)
            rename(manager, product, f"Named {product.pk}")
            manager.post(
                reverse("admin:integrations_product_delete", args=[product.pk]), {"post": "yes"}
            )

    change(1)
    few = queries()
    change(4)
    assert queries() == few


def test_the_page_of_a_change_asks_once_whether_it_was_undone(manager, rule, monkeypatch):
    asked: list[Sequence[AuditEntry]] = []
    ask = changes_undo.undone_entries

    def counted(entries: Sequence[AuditEntry]) -> set[int]:
        asked.append(entries)
        return ask(entries)

    monkeypatch.setattr(changes_undo, "undone_entries", counted)
    with acting(lambda: BEN):
        changing.switch(Rule.objects.all(), on=False)
    entry = AuditEntry.objects.latest("pk")
    assert "Undo this change" in words(manager.get(page_of(entry)))
    assert asked == [[entry]]


def test_a_row_of_the_list_is_the_newest_entry_of_its_line(manager, switched):
    (row,) = lines(manager, act="rule_changed")
    assert row == row.line.newest == switched[-1]
    assert list(row.line.entries) == switched[::-1]


def test_changes_says_who_bought_since_a_rule_was_turned_off(manager, world, rule):
    own = world.rule("product_purchased", rule.action, world.course("Oil"), product="1048001")
    with acting(lambda: BEN):
        changing.switch(Rule.objects.filter(pk=own.pk), on=False)
    entry = AuditEntry.objects.latest("pk")
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    assert "since then" not in words(manager.get(LIST))
    world.sell("10_product", customer__email="dana@example.com", product__id=99)
    world.sell("10_product", customer__email="eve@example.com", order__id=2)
    world.settle()
    for where in (LIST, page):
        assert "1 buyer since then does not have Oil. See the rule" in words(manager.get(where))


def test_changes_says_who_got_the_new_course_and_offers_to_undo_beside_moving(manager, world, rule):
    world.sell("10_product", customer__email="dana@example.com")
    world.settle()
    with acting(lambda: BEN):
        changing.point_to([rule], world.course("Wash"), on=False)
    entry = AuditEntry.objects.latest("pk")
    world.sell("10_product", customer__email="eve@example.com", order__id=2)
    world.settle()
    page = reverse("admin:integrations_auditentry_change", args=[entry.pk])
    for where in (LIST, page):
        shown = words(manager.get(where))
        assert "1 buyer since then got Wash. See who" in shown
        assert "See and move them" in shown
    moves = manager.get(f"{reverse('admin:given-by-rule')}?rule={rule.pk}")
    assert f'href="{page}?back=' in moves.content.decode()
    (who,) = re.findall(r'Wash. <a href="([^"]+)">See who<', markup(manager.get(page)))
    led = manager.get(html.unescape(who))
    shown = words(led)
    order = ["See the change by", "eve@example.com", "Move 1 buyer to Wash", "dana@example.com"]
    assert sorted(order, key=shown.index) == order
    assert "primary" not in led.content.decode().partition("<main")[2]
    press(manager, entry, "undo")
    assert "since then got" not in words(manager.get(LIST))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("off", "Undid a change of a rule by ben@example.com"),
        ("delete", "Undid the deletion of a rule by ben@example.com"),
    ],
)
def test_an_undo_says_whose_change_it_undid_and_the_change_by_whom_and_when(
    manager, rule, change, told
):
    with acting(lambda: BEN):
        if change == "off":
            changing.switch(Rule.objects.all(), on=False)
        else:
            changing.delete(Rule.objects.all())
    entry = AuditEntry.objects.latest("pk")
    press(manager, entry, "undo")
    undo = AuditEntry.objects.latest("pk")
    shown = words(manager.get(LIST, {"kind": "rule"}))
    assert told in shown
    by = f"Undone by {shown_who(undo.who)} on {format_time(undo.at)}"
    assert shown.count(by) == 1
    pages = {
        each.pk: words(manager.get(reverse("admin:integrations_auditentry_change", args=[each.pk])))
        for each in (entry, undo)
    }
    assert told in pages[undo.pk]
    assert by in pages[entry.pk]
    changing.switch(Rule.objects.all(), on=False)
    assert by in words(manager.get(LIST, {"kind": "rule"}))
