"""Actions on many rows: first a preview, then progress, then the results."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.execution import rerun
from events.models import Batch, EventLog, Grant, RuleRun
from events.reports import batches
from events.reports.earlier import batch_preview
from integrations.models import Customer, Integration
from integrations.sentences import Said, say
from integrations.thinkific.sandbox import Fault
from rules.actions import Action
from tests.support import factories, queued
from tests.support.pages import ACTIONS, LOG, bulk, markup, plain, press, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database

GIVES = Action.CREATE_COURSE_ENROLLMENT


@pytest.fixture
def support(db) -> Client:
    return signed_in(roles.SUPPORT)


def go(client: Client, look: Any) -> Any:
    """Press the button of a look; the page that follows."""
    page = markup(look)
    (form,) = re.findall(
        r'<form method="post" action="(/admin/many/[^"]+)">(.*?)</form>', page, re.S
    )
    hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[1])
    return client.post(form[0], {name: unescape(value) for name, value in hidden}, follow=True)


@pytest.fixture
def sold(world: World) -> list[EventLog]:
    """Three purchases of a product that no rule gave anything for, and a rule since."""
    course = world.course()
    events = [
        world.sell(customer__email=f"b{number}@example.com", order__id=1180 + number)
        for number in range(3)
    ]
    world.sell("20_product", customer__email="b2@example.com", order__id=1182)
    world.rule("product_purchased", GIVES, course)
    return events


def test_rules_are_run_again_for_many_after_a_look_and_the_page_tells_what_came_of_it(
    support, world, sold
):
    look = bulk(support, LOG, "rerun_chosen", *sold)
    text = words(look)
    assert "Run the rules again for 2" in text
    assert re.search(
        r"What will be done .*b0@example.com .*order 1180 .*Enroll in Course Two"
        r".* Left out .*b2@example.com .*order 1182 .*Order 1182 was refunded",
        text,
    )
    assert not RuleRun.objects.exists()
    page = go(support, look)
    assert said(page) == [f"2 actions queued, 1 event left out: {_reason(text)}."]
    assert "0 of 2 done." in words(page)
    assert "progress.js" in page.content.decode()
    world.settle()
    batch = Batch.objects.get()
    page = support.get(reverse("admin:batch"), {"number": batch.pk})
    assert "2 enrolled" in words(page)
    assert "For Dana Example (b0@example.com) , Dana Example (b1@example.com)" in words(page)
    Customer.objects.filter(email="b1@example.com").update(first_name="Ann")
    page = support.get(reverse("admin:batch"), {"number": batch.pk})
    assert "For Dana Example , Ann Example" in words(page)
    Customer.objects.filter(email="b1@example.com").update(last_name="Example, MD")
    page = support.get(reverse("admin:batch"), {"number": batch.pk})
    assert "For Dana Example ; Ann Example, MD" in words(page)
    assert "Left out 1: order 1182 was refunded" in words(page)
    assert "progress.js" not in page.content.decode()


def _reason(text: str) -> str:
    (reason,) = re.findall(r"(rder 1182 was refunded on \d+ \w+)", text)
    return f"o{reason}"


def test_what_failed_is_listed_and_retried_from_there(support, world, sold):
    world.sandbox.faults.add(Fault("status", status=400, method="POST", path="^/users$"))
    page = go(support, bulk(support, LOG, "rerun_chosen", *sold))
    world.settle()
    batch = Batch.objects.get()
    address = f"{reverse('admin:batch')}?number={batch.pk}"
    text = words(support.get(address))
    assert "1 enrolled · 1 failed" in text
    failed = RuleRun.objects.get(status="failed")
    assert f'href="{reverse("admin:events_rulerun_change", args=[failed.pk])}"' in (
        support.get(address).content.decode()
    )
    again = press(support, failed, "retry", back=address)
    assert "1 of 2 done." in words(again)
    world.settle()
    assert "2 enrolled" in words(support.get(address))
    assert page.status_code == 200


@pytest.mark.parametrize(("action", "number"), [("retry_chosen", 1), ("do_chosen_anyway", 2)])
def test_actions_are_looked_at_before_they_are_queued_again(support, action, number):
    course = factories.DestinationFactory.create()
    chosen = [
        queued.run(course, status="failed"),
        queued.run(course, status="done"),
        queued.run(course, status="skipped", code="dismissed"),
    ]
    look = bulk(support, ACTIONS, action, *chosen)
    assert "It had succeeded" in words(look)
    assert queued.again(chosen[0]).status == "failed"
    page = go(support, look)
    assert said(page)[0].startswith(f"{number} queued, 1 skipped: it had succeeded")
    queued_now = [run.pk for run in chosen if queued.again(run).status == "waiting"]
    assert Batch.objects.get().run_ids == queued_now
    assert len(queued_now) == number


def test_one_that_is_ticked_alone_is_done_at_once(support):
    run = queued.run(factories.DestinationFactory.create(), status="failed")
    assert said(bulk(support, ACTIONS, "retry_chosen", run)) == ["1 queued."]


def test_where_nothing_can_be_done_nothing_can_be_pressed(support):
    course = factories.DestinationFactory.create()
    chosen = [queued.run(course, status="done") for _ in range(2)]
    look = bulk(support, ACTIONS, "retry_chosen", *chosen)
    assert "There is nothing to do for any of these." in words(look)
    assert 'action="/admin/many/' not in markup(look)


def test_more_than_go_at_once_are_said_to_be_there(support, monkeypatch):
    monkeypatch.setattr(batch_preview, "MAX_LINES", 1)
    course = factories.DestinationFactory.create()
    runs = [queued.run(course, status="failed") for _ in range(2)]
    look = batch_preview.of_retry(runs, anyway=False)
    assert (len(look.lines), look.more) == (1, True)


def test_who_paid_and_is_not_in_is_enrolled_by_one_button_of_their_list(support, sold):
    page = support.get(reverse(LOG), {"result": "not_in"})
    (form,) = re.findall(r'<form method="post" class="note.*?</form>', page.content.decode(), re.S)
    assert "See and enroll them" in form
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', form))
    look = support.post(f"{reverse(LOG)}?result=not_in", hidden)
    assert "Run the rules again for 2" in words(look)
    assert "Nothing is done yet." in words(look)
    assert "enroll them" not in words(support.get(reverse(LOG)))
    assert "enroll them" not in words(
        signed_in(roles.VIEWER).get(reverse(LOG), {"result": "not_in"})
    )


def not_in(client: Client) -> Any:
    """What [See and enroll them] shows."""
    page = client.get(reverse(LOG), {"result": "not_in"})
    (form,) = re.findall(r'<form method="post" class="note.*?</form>', markup(page), re.S)
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', form))
    return client.post(f"{reverse(LOG)}?result=not_in", hidden)


def test_who_waits_for_the_next_attempt_is_tried_now_beside_those_whose_rules_run(support, world):
    course = world.course()
    world.rule("product_purchased", GIVES, course, product="77")
    world.sandbox.faults.add(Fault("status", times=None))
    world.sell(product__id=77, customer__email="waits@example.com")
    world.settle()
    world.sandbox.faults.clear()
    world.sell(product__id=78, customer__email="nothing@example.com", order__id=1184)
    world.rule("product_purchased", GIVES, course, product="78")
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=3))
    look = not_in(support)
    text = words(look)
    assert "Run the rules again for 2" in text
    assert "Left out" not in text
    assert "Try now: Enroll in Course Two (it waits, next try" in text
    assert said(go(support, look)) == ["2 actions queued."]
    world.settle()
    assert world.access("waits@example.com", course)
    assert world.access("nothing@example.com", course)


def test_who_waits_for_a_key_that_is_refused_leads_to_the_key(world):
    course = world.course()
    world.rule("product_purchased", GIVES, course, product="77")
    world.sandbox.faults.add(Fault("status", status=401, times=None))
    event = world.sell(product__id=77)
    world.settle()
    assert Integration.objects.get().connection == Integration.Connection.REFUSED
    manager = signed_in(roles.MANAGER)
    page = manager.get(reverse(LOG), {"result": "not_in"})
    assert "Thinkific rejected the key of Art Academy." in words(page)
    key = (
        f"{reverse('admin:integrations_integration_change', args=[world.integration.pk])}#id_secret"
    )
    assert re.search(rf'href="{key}">Enter the key<', markup(page))
    assert "enroll them" not in words(page)
    first = signed_in(roles.SUPPORT).get(reverse(LOG), {"result": "not_in"})
    assert "Thinkific rejected the key of Art Academy." in words(first)
    assert "Ask a manager to look at the integration." in words(first)
    assert "#id_secret" not in markup(first)
    again = manager.post(reverse("admin:events_eventlog_do_rerun", args=[event.pk]), follow=True)
    assert said(again) == [
        "0 actions queued, 1 event left out: its action continues as soon as the key of Art "
        "Academy works again or another one is entered."
    ]
    world.sandbox.faults.clear()
    world.sell(product__id=78, customer__email="nothing@example.com", order__id=1184)
    world.rule("product_purchased", GIVES, course, product="78")
    both = words(manager.get(reverse(LOG), {"result": "not_in"}))
    assert "Thinkific rejected the key of Art Academy." in both
    assert "See and enroll them" in both


def test_who_waits_for_a_site_that_is_off_leads_to_its_button(world):
    world.rule("product_purchased", GIVES, world.course(), product="77")
    event = world.sell(product__id=77)
    Integration.objects.update(enabled=False)
    manager = signed_in(roles.MANAGER)
    page = manager.get(reverse(LOG), {"result": "not_in"})
    assert "Art Academy is turned off. When it is on, 1 buyer gets access." in words(page)
    turn_on = reverse("admin:integrations_integration_do_turn_on", args=[world.integration.pk])
    assert f'action="{turn_on}"' in page.content.decode()
    assert "enroll them" not in words(page)
    again = manager.post(reverse("admin:events_eventlog_do_rerun", args=[event.pk]), follow=True)
    assert said(again) == [
        "0 actions queued, 1 event left out: its action continues as soon as Art Academy is "
        "turned on."
    ]


def test_why_nothing_can_be_done_for_who_is_not_in_is_told_of_the_action(support, world):
    course = world.course()
    world.rule("product_purchased", GIVES, course, product="77")
    for number, status in enumerate(("waiting", "held", "failed")):
        email = "no address" if status == "failed" else f"b{number}@example.com"
        world.sell(product__id=77, customer__email=email, order__id=1190 + number)
        RuleRun.objects.filter(event__order_id=str(1190 + number)).update(status=status)
    Grant.objects.update(decided_at=timezone.now() - timedelta(minutes=3))
    Integration.objects.update(enabled=False)
    text = words(not_in(support))
    assert "Art Academy is turned off; this continues when it is turned on." in text
    assert "Its action waits for you: release it if it is right" in text
    assert "Its e-mail address cannot be used: open the event and enter the right e-mail" in text
    assert "There is nothing to do for any of these." in text


def test_what_waits_for_nothing_is_said_to_be_carried_out(support, world):
    run = queued.run(world.course())
    RuleRun.objects.update(status="running", message="")
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk])
    text = words(support.get(reverse("admin:batch"), {"number": batch.pk}))
    assert "1 action: being carried out now" in text


def test_why_actions_wait_is_a_sentence_with_their_number_behind_it(support, world):
    course = world.course()
    runs = [queued.run(course) for _ in range(2)]
    Integration.objects.update(enabled=False)
    batch = Batch.objects.create(title="Retry", started_by="Mia", run_ids=[run.pk for run in runs])
    text = words(support.get(reverse("admin:batch"), {"number": batch.pk}))
    off = "Art Academy is turned off; this continues when it is turned on."
    assert f"{off} (2 actions)" in text
    assert "actions: " not in text


def test_an_action_that_ends_while_its_batch_is_read_is_not_left_out_of_the_sentence(world):
    run = queued.run(world.course())
    batch = Batch(run_ids=[run.pk])

    def read_then_end(execute, sql, *rest):
        answer = execute(sql, *rest)
        if "events_rulerun" in sql and not sql.startswith("UPDATE"):
            RuleRun.objects.update(status="done", code="enrolled")
        return answer

    with connection.execute_wrapper(read_then_end):
        found = batches.progress(batch)
    assert not found.is_over
    assert batches.progress(batch).sentence() == "1 enrolled"


@pytest.mark.parametrize("number", ["0", "x", "9" * 30])
def test_a_batch_that_is_not_there_leads_to_the_actions(support, number):
    page = support.get(reverse("admin:batch"), {"number": number}, follow=True)
    assert said(page) == ["The results are no longer kept. The list of actions is shown instead."]


def test_each_way_that_an_action_ends_is_counted_in_words(db):
    course = factories.DestinationFactory.create()
    states = [
        ("done", "enrolled"),
        ("done", "enrolled"),
        ("done", "already_enrolled"),
        ("done", "kept"),
        ("skipped", "not_due"),
        ("held", "braked"),
        ("waiting", "delayed"),
        ("waiting", "no_slot"),
    ]
    runs = [queued.run(course, status=status, code=code) for status, code in states]
    found = batches.progress(Batch(run_ids=[*(run.pk for run in runs), 0]))
    assert found.sentence() == (
        "2 enrolled · 1 had it already · 1 kept, because something else gives it · "
        "1 had nothing to do · 1 waiting for you · 1 end on a day to come · 1 removed since"
    )
    assert (found.over, found.total, found.is_over) == (8, 9, False)
    assert [number for _, number in found.waits] == [1]


def test_what_a_batch_is_called_and_why_some_are_left_out_is_kept_for_each_reader(
    support, world, sold
):
    go(support, bulk(support, LOG, "rerun_chosen", *sold))
    title = Batch.objects.get().title
    assert isinstance(title, Said)
    assert title.source == {"say": "Run the rules again"}
    Batch.objects.update(left_out={say("Paid by {name}.", name="Dana"): 1200})
    page = support.get(f"{reverse('admin:batch')}?number={Batch.objects.get().pk}")
    assert "Left out 1200: Paid by Dana." in words(page)


def test_what_came_of_a_single_retry_is_told_by_the_page_that_its_message_follows(
    support, world, sold
):
    world.sandbox.faults.add(Fault("status", status=400, method="POST", path="^/users$"))
    go(support, bulk(support, LOG, "rerun_chosen", *sold))
    world.settle()
    failed = RuleRun.objects.filter(status="failed").earliest("pk")
    world.sandbox.faults.add(Fault("status", status=400, method="POST", path="^/users$"))
    overview = press(support, failed, "retry", back=reverse("admin:index"))
    assert said(overview) == ["1 queued."]
    (address,) = re.findall(r'data-follow="([^"]+)"', markup(overview))
    page = markup(support.get(unescape(address)))
    assert (in_short(page)[0], "See the results" in in_short(page)[1]) == ("yes", True)
    world.settle()
    running, text = in_short(markup(support.get(unescape(address))))
    failed.refresh_from_db()
    assert failed.customer is not None
    assert running == ""
    assert text.startswith("Retry: 1 failed. ")
    assert f"{failed.customer.email}, Enroll in Course Two: {failed.message}" in text
    assert "queued" not in text
    assert "data-follow" not in markup(support.get(reverse("admin:index")))


def in_short(page: str) -> tuple[str, str]:
    """Whether it goes on, and what a message shows of it."""
    ((running, text),) = re.findall(
        r'<template id="in-short" data-running="(\w*)".*?>(.*?)</template>', page, re.DOTALL
    )
    return running, plain(text)


def level(page: Any) -> str:
    """The class of the only message of a page."""
    (found,) = re.findall(r'<ul class="messagelist"><li class="([^"]*)">', markup(page))
    return str(found).split()[-1]


def test_a_try_that_failed_again_is_no_success(support, world):
    course = world.course()
    world.rule("product_purchased", GIVES, course, product="77")
    world.sandbox.faults.add(Fault("status", status=503, path="/enrollments", times=None))
    world.sell(product__id=77)
    world.settle()
    run = RuleRun.objects.get()
    assert run.waits_to_retry
    index = reverse("admin:index")
    support.post(reverse("admin:events_rulerun_do_try_now", args=[run.pk]), {"back": index})
    world.settle()
    page = support.get(index)
    assert level(page) == "warning"
    (address,) = re.findall(r'data-follow="([^"]+)"', markup(page))
    assert 'data-waits="yes"' in markup(support.get(unescape(address)))
    world.sandbox.faults.clear()
    support.post(reverse("admin:events_rulerun_do_try_now", args=[run.pk]), {"back": index})
    assert level(support.get(index)) == "success"
    support.post(reverse("admin:events_rulerun_do_try_now", args=[run.pk]), {"back": index})
    world.settle()
    assert 'data-waits=""' in markup(support.get(unescape(address)))


def test_what_waits_for_a_refused_key_is_no_success(support, world):
    world.rule("product_purchased", GIVES, world.course(), product="77")
    world.sell(product__id=77)
    RuleRun.objects.update(status="failed", code="worker_stopped")
    Integration.objects.update(connection=Integration.Connection.REFUSED)
    run = RuleRun.objects.get()
    assert level(press(support, run, "retry", back=reverse("admin:index"))) == "warning"


def test_an_undo_takes_only_those_whom_its_page_said_it_would_be_done_for(support, world, sold):
    go(support, bulk(support, LOG, "rerun_chosen", *sold))
    world.settle()
    batch, given = Batch.objects.get(), RuleRun.objects.order_by("pk")
    Grant.objects.filter(runs=given[0]).update(state="ended")
    look = support.get(reverse("admin:undo-batch"), {"number": batch.pk})
    text = words(look)
    assert "Undo it for 1 purchase" in text
    assert (
        "Accounts that were made in Thinkific stay there, and messages that were sent cannot be "
        "taken back." in text
    )
    Grant.objects.update(state="active")  # meanwhile, before the button is pressed
    kept, undone = given
    page = go(support, look)
    assert said(page) == ["1 action queued."]
    assert [run.grant for run in RuleRun.objects.exclude(pk__in=[kept.pk, undone.pk])] == [
        undone.grant
    ]


def test_an_undo_says_what_no_longer_waits_to_end(support, world):
    course = world.course()
    world.rule("product_purchased", GIVES, course)
    world.sell(order__id=1180)
    refund = world.sell("20_product", order__id=1180)
    rule = world.rule("product_refunded", Action.EXPIRE_COURSE_ENROLLMENT, course)
    rule.delay_days = 30
    rule.save()
    batch = Batch.objects.create(title="Run the rules again", started_by="Mia")
    rerun.rerun([refund], batch=batch)
    batch.save()
    look = support.get(reverse("admin:undo-batch"), {"number": batch.pk})
    assert "Drop what waits to end Course Two" in words(look)
    assert said(go(support, look)) == ["0 actions queued. 1 ending that waited is dropped."]
    assert not RuleRun.objects.delayed().exists()
