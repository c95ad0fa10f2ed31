"""What was done or deleted for several at once can be found and undone later."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.alerts import finding
from events.alerts.problems import ProblemCode
from events.models import Batch, EventLog
from events.reports.earlier import backfill
from events.reports.products import coverage
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.models import AuditEntry, Customer, Destination, Product
from integrations.models.audit import AuditUnlock
from rules import pairing
from rules.models import Rule
from rules.short_sentences import in_short
from tests.support import factories, queued
from tests.support.pages import plain, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = "create_course_enrollment"
CHANGES = "admin:integrations_auditentry_changelist"


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER)


def page_of(thing: Any) -> str:
    meta = thing._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[thing.pk])


# A batch


@pytest.fixture
def ran(world: World, manager: Client) -> Rule:
    """A rule that was run for two earlier buyers, by its page."""
    for each in range(2):
        world.sell("10_product", customer__email=f"b{each}@example.com", order__id=1180 + each)
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="1048001")
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    return rule


def places(rule: Rule) -> list[str]:
    """Where somebody looks who wants to see what came of it."""
    return [
        reverse(CHANGES),
        page_of(AuditEntry.objects.get(act="buyers_enrolled")),
        page_of(rule),
        page_of(Product.objects.get()),
        page_of(EventLog.objects.earliest("pk")),
        page_of(Customer.objects.earliest("pk")),
    ]


def test_what_was_done_for_several_is_found_again_from_all_that_it_is_about(manager, ran):
    for place in places(ran):
        page = manager.get(place).content.decode()
        (link, *_) = re.findall(rf'href="({reverse("admin:batch")}[?]number=[^"]+)"', page)
        batch = manager.get(html.unescape(link))
        assert batch.context["batch"] == Batch.objects.get()
        assert f'<a href="{place}">Back</a>' in batch.content.decode()
    assert "Ran for 2 earlier buyers on " in words(manager.get(page_of(ran)))


def test_no_link_leads_to_what_is_not_kept_any_more(manager, ran):
    Batch.objects.all().delete()
    for place in places(ran):
        assert "See the results" not in words(manager.get(place))


def test_who_may_not_see_it_sees_no_link(manager, ran):
    client = signed_in(roles.MANAGER)
    Permission.objects.get(codename="view_rulerun").group_set.clear()
    for place in places(ran):
        page = client.get(place)
        assert page.status_code == 200
        assert "See the results" not in words(page)


def test_a_rule_that_ran_for_no_earlier_buyer_is_not_said_to_have_run(world, manager):
    world.sell("10_product", order__id=1180)
    course = world.course("Ink")
    gives = world.rule("product_purchased", GIVES, course, product="1048001")
    again = world.rule("subscription_restarted", GIVES, course, product="1048001")
    manager.post(reverse("admin:earlier"), {"rule": [gives.pk, again.pk]})
    world.settle()
    of_both = words(manager.get(page_of(Product.objects.get())))
    assert "Ran for 1 earlier buyer on " in of_both
    assert "earlier buyer" not in words(manager.get(page_of(again)))
    assert AuditEntry.objects.filter(act="buyers_enrolled").count() == 1


def test_of_a_products_rules_the_one_that_ran_for_most_buyers_says_for_how_many(world, manager):
    world.sell("10_product")
    course = world.course("Ink")
    rules = [
        world.rule(trigger, GIVES, course, product="1048001")
        for trigger in ("product_purchased", "subscription_restarted")
    ]
    entries = [
        AuditEntry(act="buyers_enrolled", kind="rule", number=str(rule.pk), after=after)
        for rule, after in zip(
            rules, ({"buyers": 2, "batch": 7}, {"buyers": 1, "batch": 7}), strict=True
        )
    ]
    Batch.objects.create(pk=7, title="x", started_by="Mia")
    AuditEntry.objects.bulk_create(entries)
    assert "Ran for 2 earlier buyers on " in words(manager.get(page_of(Product.objects.get())))
    assert "Ran for 1 earlier buyer on " in words(manager.get(page_of(rules[1])))


def test_a_rule_ran_when_it_was_run_and_not_when_its_event_came(manager, world, ran):
    EventLog.objects.update(received_at="2026-01-02T12:00:00Z")
    for run in EventLog.objects.latest("pk").runs.model.objects.all():
        run.received_at = run.event.received_at
        run.rule = None  # as after an undo
        run.save()
    assert "Never" not in words(manager.get(reverse("admin:rules_rule_changelist")))
    assert "Never" not in words(manager.get(page_of(Product.objects.get())))


def undo(world: World, client: Client) -> Any:
    """Undo all that was done first; the page that asked."""
    page = f"{reverse('admin:undo-batch')}?number={Batch.objects.earliest('pk').pk}"
    look = client.get(page)
    chosen = re.findall(r'name="chosen" value="([^"]+)"', look.content.decode())
    client.post(page, {"chosen": chosen})
    world.settle()
    return look


def page_of_batch(client: Client, batch: Batch) -> Any:
    return client.get(reverse("admin:batch"), {"number": batch.pk})


def test_what_was_undone_on_purpose_is_no_alarm_anywhere(manager, world, ran):
    product = Product.objects.get()
    undo(world, manager)
    overview = words(manager.get(reverse("admin:index")))
    assert re.search(r"person \d+ undid access for 2 buyers on \d", overview)
    for place, alarm in [
        (reverse("admin:index"), "no access"),
        (page_of(product), "got nothing"),
        (page_of(EventLog.objects.earliest("pk")), "Somebody paid"),
        (reverse("admin:integrations_customer_changelist"), "Paid, no access"),
    ]:
        assert alarm not in words(manager.get(place)), place
    log = words(manager.get(reverse("admin:events_eventlog_changelist"), {"result": "not_in"}))
    assert "No events match." in log
    assert [row.without_access for row in coverage.judge_all()] == [0]
    assert not list(finding.lasting(codes={ProblemCode.NOTHING_GIVEN}))


def test_what_was_undone_is_offered_again_quietly(manager, world, ran):
    undo(world, manager)
    text = words(manager.get(page_of(Product.objects.get())))
    assert "Access for 2 buyers was undone. The rule still matches. See them" in text
    earlier = words(manager.get(reverse("admin:earlier"), {"rule": ran.pk}))
    assert "Nobody else is left to enroll." in earlier
    assert "Enroll these 2 customers after all" in earlier
    assert "What was given for it was undone on " in earlier
    event = EventLog.objects.earliest("pk")
    assert "A rule still matches it. Run the rules again for this event" in words(
        manager.get(page_of(event))
    )
    press(manager, event, "rerun")
    world.settle()
    overview = words(manager.get(reverse("admin:index")))
    assert re.search(
        "1 of this week's 2 paying buyers has access\\. person \\d+ undid access for 1 buyer",
        overview,
    )


def test_who_was_undone_is_enrolled_only_by_a_button_of_its_own(manager, world, ran):
    undo(world, manager)
    Rule.objects.update(enabled=False)
    world.sell("10_product", customer__email="new@example.com", order__id=1199)
    Rule.objects.update(enabled=True)
    earlier = words(manager.get(reverse("admin:earlier"), {"rule": ran.pk}))
    assert "Enroll this customer now" in earlier
    above, below = earlier.split("Undone by a person")
    assert "new@example.com" in above
    assert "b0@example.com" not in above
    assert "The button above leaves these out" in below
    assert "Enroll these 2 customers after all" in below
    done = manager.post(reverse("admin:earlier"), {"rule": ran.pk}, follow=True)
    assert said(done) == ["1 action queued."]
    world.settle()
    course = Destination.objects.get(name="Ink")
    assert world.access("new@example.com", course)
    assert not world.access("b0@example.com", course)
    asked = {"rule": ran.pk, "undone": "1"}
    assert said(manager.post(reverse("admin:earlier"), asked, follow=True)) == ["2 actions queued."]
    world.settle()
    assert world.access("b0@example.com", course)


def test_the_newest_of_those_who_are_owed_hide_behind_nobody_who_was_undone(
    manager, world, ran, monkeypatch
):
    Rule.objects.update(enabled=False)
    world.sell("10_product", customer__email="old@example.com", order__id=1100)
    Rule.objects.update(enabled=True)
    EventLog.objects.filter(order_id="1100").update(received_at="2026-01-02T12:00:00Z")
    undo(world, manager)
    monkeypatch.setattr(backfill, "MAX_EVENTS", 1)
    found = backfill.preview(ran)
    assert [row.event.order_id for row in found.run] == ["1100"]
    assert (found.customers, found.customers_undone, found.more) == (1, 0, True)


def test_the_page_of_a_batch_says_that_it_was_undone_and_offers_no_second_undo(manager, world, ran):
    batch = Batch.objects.get()
    assert "Undo this" in words(page_of_batch(manager, batch))
    undo(world, manager)
    page = page_of_batch(manager, batch)
    assert re.search("Undone [^.]+ by person \\d+\\. See the results", words(page))
    assert f"?number={Batch.objects.latest('pk').pk}" in page.content.decode()
    assert "Undo th" not in words(page)
    assert "There is nothing to do for any of these." in words(undo(world, manager))
    assert Batch.objects.count() == 2


def test_the_results_of_an_undo_say_what_to_do_if_it_was_a_mistake(manager, world, ran):
    page = undo(world, manager)
    new = Batch.objects.latest("pk")
    text = words(page_of_batch(manager, new))
    assert "An undo for several buyers cannot be undone itself. To give it to them again" in text
    earlier = f"{reverse('admin:earlier')}?rule={ran.pk}"
    assert f'href="{earlier}"' in page_of_batch(manager, new).content.decode()
    assert manager.get(earlier).status_code == 200
    manager.post(earlier, {"rule": ran.pk, "undone": "1"})
    world.settle()
    assert world.access("b0@example.com", ran.destination)
    assert page.status_code == 200


def test_what_a_batch_did_is_marked_as_undone_in_changes_for_each_buyer(manager, world, ran):
    batch = Batch.objects.get()
    events = list(EventLog.objects.order_by("pk"))
    for each in events:
        audit.record(Act.EVENT_RERUN, each, after={BATCH: batch.pk})
    asked = {"act": Act.EVENT_RERUN.value}
    assert "2 times Undone" not in words(manager.get(reverse(CHANGES), asked))
    undo(world, manager)
    assert "Ran the rules again, 2 times Undone" in words(manager.get(reverse(CHANGES), asked))
    entry = AuditEntry.objects.filter(act=Act.EVENT_RERUN).latest("pk")
    assert "ran the rules again. Undone" in words(manager.get(page_of(entry)))
    alone = factories.CustomerFactory.create()
    audit.record(Act.EVENT_RERUN, queued.event(alone), after={BATCH: batch.pk})
    entry = AuditEntry.objects.filter(act=Act.EVENT_RERUN).latest("pk")
    assert "ran the rules again. Undone" not in words(manager.get(page_of(entry)))


def test_after_an_undo_pages_say_who_undid_it_and_the_rule_that_stays_is_named(manager, world, ran):
    look = undo(world, manager)
    assert "The rule stays on: a later buyer still gets Ink. See the rule" in words(look)
    text = words(manager.get(page_of(Customer.objects.earliest("pk"))))
    assert "has no access to Ink:" in text
    assert re.search(r"undid on [^.]+ what had given it\.", text)
    assert re.search(r"undid on [^.]+ what was given for .+ A rule still matches it\.", text)
    assert "after its rule had changed" not in text


def test_of_many_rules_that_stay_on_after_an_undo_the_others_are_counted(world, manager):
    world.sell("10_product")
    rules = [
        world.rule("product_purchased", GIVES, world.course(f"Ink {number}"), product="1048001")
        for number in range(5)
    ]
    manager.post(reverse("admin:earlier"), {"rule": [rule.pk for rule in rules]})
    world.settle()
    text = words(undo(world, manager))
    assert text.count("The rule stays on: a later buyer still gets Ink") == 3
    assert "2 other rules that gave it stay on, too." in text


def test_a_long_title_ends_on_the_customers_page_after_a_word_and_with_one_sign(manager, ran):
    Batch.objects.update(title=f"{'When Ink is bought, ' * 5}enrolls in Ink on the Art School.")
    text = words(manager.get(page_of(Customer.objects.earliest("pk"))))
    assert "enrolls in Ink on… See the results" in text


def test_a_batch_is_undone_from_its_page_after_its_product_was_deleted(world, manager, ran):
    # Deleting the row itself stands for an older Admit, which deleted products that had been sold.
    Product.objects.get().delete()
    assert not Rule.objects.exists()
    look = undo(world, manager)
    assert "Undo it for 2 purchases" in words(look)
    assert "The rule stays on" not in words(look)
    course = ran.destination
    assert not any(world.access(f"b{each}@example.com", course) for each in range(2))
    for place in (reverse(CHANGES), page_of(EventLog.objects.earliest("pk"))):
        assert "See the results" in words(manager.get(place))
    text = words(manager.get(page_of(Customer.objects.earliest("pk"))))
    assert "undid on" in text
    assert "for something" not in text


# Rules that were deleted in one step


def undo_page(entry: AuditEntry) -> str:
    return f"{reverse('admin:undo-step')}?undoes={entry.pk}"


def undo_step(client: Client, entry: AuditEntry) -> Any:
    """Press the button of the page that shows what is undone."""
    return client.post(undo_page(entry), follow=True)


@pytest.fixture
def deleted(world: World, manager: Client) -> list[AuditEntry]:
    """A rule and its four companions, deleted at once."""
    rule = world.rule("product_purchased", GIVES, world.course("Ink"), product="77")
    pairing.add(pairing.companions([rule]))
    page = reverse("admin:rules_rule_delete", args=[rule.pk])
    others = [each.pk for each in Rule.objects.exclude(pk=rule.pk)]
    manager.post(page, {"post": "yes", "too": "1", "companion": others})
    return list(AuditEntry.objects.filter(act="rule_deleted").order_by("pk"))


@pytest.fixture
def slowly(deleted: list[AuditEntry]) -> list[AuditEntry]:
    """As if it had taken some seconds for each rule."""
    unlock = AuditUnlock.objects.create(reason=AuditUnlock.Reason.ERASURE)
    for number, entry in enumerate(deleted):
        at = entry.at + timedelta(seconds=3 * number)
        AuditEntry.objects.filter(pk=entry.pk).update(at=at)
    unlock.delete()
    return deleted


def test_a_line_of_rules_that_were_deleted_together_brings_all_of_them_back(manager, deleted):
    product = deleted[0].before["product"]["name"]
    page = manager.get(reverse(CHANGES)).content.decode()
    text = plain(page)
    assert f"Deleted a rule, 5 times {product}" in text
    assert "Undo all 5" in text
    (address,) = re.findall(r'<a href="([^"]+)" class="button[^>]+>Undo all 5', page)
    look = manager.get(html.unescape(address))
    assert "Bring back 5 rules?" in words(look)
    for entry in deleted:
        assert in_short(entry.name) in words(look)
    assert not Rule.objects.exists()
    back = manager.post(html.unescape(address), follow=True)
    assert back.request["PATH_INFO"] == reverse(CHANGES)
    assert said(back) == ["Undone: 5 rules are back."]
    assert Rule.objects.count() == 5
    added, gone, *_ = manager.get(reverse(CHANGES)).context["cl"].result_list
    added, gone = added.line.undo, gone.line.undo
    assert (added.left, gone.left, gone.is_done) == (5, 0, True)  # and they can be deleted again


def test_one_of_them_says_that_the_others_are_still_gone_and_brings_them_back(manager, deleted):
    told = said(press(manager, deleted[0], "undo"))
    assert any(text.startswith("4 rules deleted with it are still gone.") for text in told)
    text = words(manager.get(page_of(deleted[0])))
    assert "4 rules deleted with it are still gone. Undo the other 4" in text
    assert "Undo the other 4" in words(manager.get(reverse(CHANGES)))
    undo_step(manager, deleted[0])
    assert Rule.objects.count() == 5
    assert "still gone" not in words(manager.get(page_of(deleted[0])))


def test_the_page_of_one_of_them_brings_all_back_at_once(manager, deleted):
    text = words(manager.get(page_of(deleted[2])))
    assert "4 rules deleted with it are still gone. Undo all 5" in text


def test_a_deletion_that_took_long_is_one_step(manager, slowly):
    assert "Undo all 5" in words(manager.get(reverse(CHANGES)))
    undo_step(manager, slowly[0])
    assert Rule.objects.count() == 5


def test_a_search_that_shows_some_of_a_step_says_how_many_come_back(manager, deleted):
    asked = {"q": "Subscription"}
    text = words(manager.get(reverse(CHANGES), asked))
    assert "Deleted a rule, 3 times" in text
    assert "Undo all 5" in text
    press(manager, deleted[0], "undo")
    assert "Undo the other 4" in words(manager.get(reverse(CHANGES), asked))


def test_what_was_restored_and_deleted_again_does_not_keep_the_others_from_coming_back(
    manager, deleted
):
    press(manager, deleted[0], "undo")
    number = deleted[0].number
    manager.post(reverse("admin:rules_rule_delete", args=[number]), {"post": "yes"})
    back = undo_step(manager, deleted[1])
    assert said(back)[-1] == "Undone: 4 rules are back."


def test_who_may_not_add_rules_brings_none_back(manager, deleted):
    client = signed_in(roles.MANAGER)
    Permission.objects.get(codename="add_rule").group_set.clear()
    assert client.post(undo_page(deleted[0])).status_code == 403
    assert not Rule.objects.exists()


def test_a_step_whose_product_was_deleted_is_refused_in_words(manager, deleted):
    Product.objects.all().delete()
    look = words(manager.get(undo_page(deleted[0])))
    assert "This cannot be undone." in look
    assert "no longer exists, so the rule cannot be restored. Back" in look
    before = AuditEntry.objects.count()
    told = said(undo_step(manager, deleted[0]))[-1]
    assert told.startswith("Not undone. ")
    assert "no longer exists, so the rule cannot be restored." in told
    assert not Rule.objects.exists()
    assert AuditEntry.objects.count() == before
    assert manager.get(page_of(deleted[0])).status_code == 200


def test_a_step_that_was_undone_is_not_undone_twice(manager, deleted):
    undo_step(manager, deleted[0])
    told = said(undo_step(manager, deleted[0]))[-1]
    assert told == "Nothing was left to undo."
    assert Rule.objects.count() == 5


# The bar right after a deletion


def test_a_page_offers_to_undo_the_last_deletion_that_is_about_it(manager, world):
    course = world.course("Ink")
    for product in ("77", "78", "79"):
        rule = world.rule("product_purchased", GIVES, course, product=product)
        if product != "79":
            manager.post(reverse("admin:rules_rule_delete", args=[rule.pk]), {"post": "yes"})
    bars = [
        manager.get(page).content.decode().count("/admin/undo-step/")
        for page in (
            reverse("admin:rules_rule_changelist"),
            page_of(Product.objects.get(external_id="77")),
            page_of(Product.objects.get(external_id="79")),
        )
    ]
    assert bars == [1, 1, 0]
