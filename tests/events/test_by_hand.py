"""Access that a person gives, ends or moves by hand, carried out against the sandbox."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.execution import moving, results, retry_by_hand
from events.execution.rerun import rerun
from events.models import EventLog, Grant, RuleRun
from events.reports.customers import customer_access
from integrations.models import Customer, Destination, ThinkificUser
from tests.support import factories
from tests.support.world import World

pytestmark = pytest.mark.first_database

DANA = "dana@example.com"
SUPPORT = Author("mia@example.com", "Lost her receipt")


@pytest.fixture
def dana(db: None) -> Customer:
    made: Customer = factories.CustomerFactory.create(email=DANA)
    return made


def ends_of(run: RuleRun) -> tuple[str, str]:
    return run.status, run.code


def sells(world: World, course: Destination, product: str = "1048001") -> None:
    """Rules by which buying the product gives the course, and a refund ends it."""
    gives = f"create_{course.kind}_enrollment"
    world.rule("product_purchased", gives, course, product=product)
    world.rule("product_refunded", f"expire_{course.kind}_enrollment", course, product=product)


def buy(world: World, product: str = "1048001", order: int = 1183, **changes: Any) -> EventLog:
    facts: dict[str, Any] = {"product__id": int(product), "order__id": order}
    event = world.sell(**(facts | {"customer__email": DANA} | changes))
    world.settle()
    return event


def refund(world: World, product: str = "1048001", order: int = 1183, **changes: Any) -> RuleRun:
    facts: dict[str, Any] = {"product__id": int(product), "order__id": order}
    world.sell("20_product", **(facts | {"customer__email": DANA} | changes))
    return world.settle()[-1]


def subscribed(world: World, course: Destination) -> None:
    """The course is sold by subscription, and bought; each charge gives it again."""
    sells(world, course, product="1048010")
    world.rule("subscription_charged", "create_course_enrollment", course, product="1048010")
    world.sell("12_product")
    world.settle()


def renew(world: World) -> RuleRun:
    world.sell("31_subscription_charged")
    return world.settle()[-1]


# Give access


@pytest.mark.parametrize("kind", ["course", "bundle"])
def test_access_given_by_hand_opens_and_is_an_event_with_its_author(world, dana, kind):
    course = world.course()
    given = world.bundle(course) if kind == "bundle" else course
    event = by_hand.give(dana, given, SUPPORT)
    (run,) = world.settle()
    assert ends_of(run) == ("done", "enrolled")
    assert world.access(DANA, course)
    event.refresh_from_db()
    assert (event.by_hand, event.author, event.author_note) == (
        "give",
        "mia@example.com",
        "Lost her receipt",
    )
    assert (event.status, event.what_happened) == ("done", "Access given by hand")
    assert (run.event, run.rule, run.customer) == (event, None, dana)
    assert run.rule_sentence.startswith(f"By hand: Create {kind.title()} Enrollment, {given.name}")
    grant = Grant.objects.get()
    assert (grant.source, grant.state, grant.event, grant.customer) == (
        "hand",
        "active",
        event,
        dana,
    )
    assert grant.seen_at is not None


def test_a_refund_keeps_what_was_also_given_by_hand(world, dana):
    course = world.course()
    sells(world, course)
    buy(world)
    by_hand.give(dana, course, SUPPORT)
    world.settle()
    run = refund(world)
    assert ends_of(run) == ("done", "kept")
    assert "access given by hand still gives it" in run.message
    assert world.access(DANA, course)


def test_what_was_given_by_hand_is_not_called_the_gift_of_a_deleted_rule(world, dana):
    by_hand.give(dana, world.course(), SUPPORT)
    world.settle()
    assert not any("deleted" in line.text for line in customer_access.describe(dana).lines)


def test_the_same_is_not_given_by_hand_twice(world, dana):
    course = world.course()
    by_hand.give(dana, course, SUPPORT)
    with pytest.raises(ValueError, match="was given Course Two by hand before"):
        by_hand.give(dana, course, SUPPORT)
    assert (EventLog.objects.count(), Grant.objects.count()) == (1, 1)


def test_what_is_gone_from_thinkific_is_not_given(world, dana):
    course = world.course()
    course.gone_at = timezone.now()
    with pytest.raises(ValueError, match="is gone from Thinkific"):
        by_hand.give(dana, course, SUPPORT)
    assert not EventLog.objects.exists()


def test_a_failed_gift_is_retried_as_it_was_decided(world, dana):
    course = world.course()
    by_hand.give(dana, course, SUPPORT)
    RuleRun.objects.update(status="failed")
    assert retry_by_hand.retry(RuleRun.objects.all()) == (1, {})
    (run,) = world.settle()
    assert ends_of(run) == ("done", "enrolled")
    assert Grant.objects.get().source == "hand"


def test_no_rule_is_run_for_what_a_person_did(world, dana):
    event = by_hand.give(dana, world.course(), SUPPORT)
    world.settle()
    done = rerun([event])
    assert done.queued == 0
    assert done.left == {"a person did this by hand, not a rule": 1}


# End access


def test_access_ended_by_hand_ends_whatever_gave_it(world, dana):
    course = world.course()
    sells(world, course)
    buy(world)
    by_hand.give(dana, course, SUPPORT)
    world.settle()
    (holding,) = holdings.of_customer(dana)
    assert len(holding.grants) == 2
    event = by_hand.end(dana, holding.key, Author("mia@example.com", "Charged back"))
    run = world.settle()[-1]
    assert (run.event, *ends_of(run)) == (event, "done", "ended")
    assert not world.access(DANA, course)
    assert {(each.state, each.because) for each in Grant.objects.all()} == {("ended", "by_hand")}
    assert holdings.of_customer(dana) == []


def test_what_was_ended_by_hand_stays_ended_until_a_new_purchase(world, dana):
    course = world.course()
    subscribed(world, course)
    by_hand.end(dana, holdings.of_customer(dana)[0].key, SUPPORT)
    world.settle()
    assert ends_of(renew(world)) == ("skipped", "ended_by_hand")
    assert not world.access(DANA, course)
    world.sell("12_product", order__id=1190, order__subscription_id=66)
    world.settle()
    assert world.access(DANA, course)


def test_a_bundle_keeps_its_course_when_the_course_alone_is_ended_by_hand(world, dana):
    course = world.course()
    bundle = world.bundle(course)
    by_hand.give(dana, course, SUPPORT)
    by_hand.give(dana, bundle, SUPPORT)
    world.settle()
    (key,) = [each.key for each in holdings.of_customer(dana) if "course" in each.key]
    by_hand.end(dana, key, SUPPORT)
    assert ends_of(world.settle()[-1]) == ("done", "kept")
    assert world.access(DANA, course)


def test_the_end_by_hand_is_for_all_customers_who_are_the_same_thinkific_user(world, dana):
    course = world.course()
    by_hand.give(dana, course, SUPPORT)
    world.settle()
    known = ThinkificUser.objects.get(customer=dana)
    other = factories.CustomerFactory.create(email="dana@home.example.com")
    ThinkificUser.objects.create(
        integration=known.integration, customer=other, user_id=known.user_id
    )
    by_hand.give(other, course, SUPPORT)
    world.settle()
    (holding,) = holdings.of_customer(dana)
    by_hand.end(dana, holding.key, SUPPORT)
    assert ends_of(world.settle()[-1]) == ("done", "ended")
    assert not world.access(DANA, course)
    assert not Grant.objects.active().exists()


def test_a_move_leaves_what_another_customer_has_who_is_the_same_thinkific_user(world, dana):
    course = world.course()
    by_hand.give(dana, course, SUPPORT)
    world.settle()
    known = ThinkificUser.objects.get(customer=dana)
    other = factories.CustomerFactory.create(email="dana@home.example.com")
    ThinkificUser.objects.create(
        integration=known.integration, customer=other, user_id=known.user_id
    )
    by_hand.give(other, course, SUPPORT)
    world.settle()
    by_hand.move(dana, "dana@new.example.com", SUPPORT)
    away = [run for run in world.settle() if run.event.by_hand == "move_away"]
    assert [ends_of(run) for run in away] == [("done", "kept")]
    assert world.access(DANA, course)
    assert world.access("dana@new.example.com", course)


def test_a_gift_that_waits_is_not_given_after_it_was_ended(world, dana):
    course = world.course()
    by_hand.give(dana, course, SUPPORT)
    by_hand.end(dana, holdings.of_customer(dana)[0].key, SUPPORT)
    given, ended = world.settle()
    assert ends_of(given) == ("skipped", "not_due")
    assert ended.status == "done"
    assert not world.access(DANA, course)


def test_what_is_given_anyway_after_it_ended_is_no_longer_let_keep(world, dana):
    bought = buy(world)
    by_hand.give(dana, world.course(), SUPPORT, purchase=bought)
    moving.keep([(bought, [Grant.objects.get()])], why="She may stay")
    by_hand.end(dana, holdings.of_customer(dana)[0].key, SUPPORT)
    given = world.settle()[-2]
    assert ends_of(given) == ("skipped", "not_due")
    assert retry_by_hand.retry([given], anyway=True) == (1, {})
    grant = Grant.objects.get()
    assert (grant.is_active, grant.kept_at, grant.kept_by, grant.kept_note) == (True, None, "", "")


def test_what_the_customer_does_not_have_is_not_ended(world, dana):
    by_hand.give(dana, world.course(), SUPPORT)
    key = holdings.of_customer(dana)[0].key
    by_hand.end(dana, key, SUPPORT)
    with pytest.raises(ValueError, match="does not have this access anymore"):
        by_hand.end(dana, key, SUPPORT)
    assert EventLog.objects.filter(by_hand="end").count() == 1


# Move to another e-mail

NEW = "dana@new.example.com"


def test_moved_access_opens_for_the_other_e_mail_and_ends_for_this_one(world):
    course, bundled = world.course(), world.course("Inside")
    sells(world, course)
    sells(world, world.bundle(bundled), product="1048002")
    buy(world)
    buy(world, product="1048002", order=1190)
    dana = Customer.objects.get(email=DANA)
    other = by_hand.move(dana, " Dana@New.example.com ", SUPPORT)
    world.settle()
    assert (other.email, other.first_name) == (NEW, dana.first_name)
    for each in (course, bundled):
        assert world.access(NEW, each)
        assert not world.access(DANA, each)
    assert {grant.customer for grant in Grant.objects.active()} == {other}
    assert not Grant.objects.owed().exists()
    away, here = EventLog.objects.exclude(by_hand="").order_by("pk")
    assert (away.customer, away.by_hand, away.reason) == (dana, "move_away", f"Moved to {NEW}.")
    assert (here.customer, here.by_hand, here.reason) == (other, "move_here", f"Moved from {DANA}.")
    assert (away.status, here.status) == ("done", "done")


def had_before_admit(world: World, email: str, order: int) -> None:
    """The school had given the course to this student, who buys it now."""
    (course,) = world.school.courses.values()
    row = world.school.enroll(world.school.add_user(email), course)
    row.activated_at = timezone.now() - timedelta(days=200)
    buy(world, order=order, customer__email=email)


@pytest.mark.parametrize("ended", [(), (DANA,), (NEW,), (DANA, NEW)])
def test_access_moves_to_somebody_who_had_the_course_before_admit_too(world, ended):
    course = world.course()
    sells(world, course)
    for order, email in enumerate((DANA, NEW), start=1):
        had_before_admit(world, email, order)
    before = Grant.objects.filter(source="before")
    assert before.count() == 2
    before.filter(customer__email__in=ended).update(state="ended", ended_at=timezone.now())
    by_hand.move(Customer.objects.get(email=DANA), NEW, SUPPORT)
    assert {ends_of(run) for run in world.settle() if run.event.by_hand == "move_here"} == {
        ("done", "already_enrolled")
    }
    (kept,) = before
    assert (kept.customer.email, kept.is_active) == (NEW, ended != (DANA, NEW))
    assert (world.access(DANA, course), world.access(NEW, course)) == (False, True)


def test_later_events_of_a_moved_purchase_are_about_the_new_student(world):
    course = world.course()
    subscribed(world, course)
    by_hand.move(Customer.objects.get(email=DANA), NEW, SUPPORT)
    world.settle()
    renewed = renew(world)
    assert (str(renewed.customer), str(renewed.event.customer)) == (NEW, DANA)
    assert ends_of(renewed) == ("done", "already_enrolled")
    assert not world.access(DANA, course)
    ended = refund(world, "1048010", 23300011)
    assert (str(ended.customer), *ends_of(ended)) == (NEW, "done", "ended")
    assert not world.access(NEW, course)


def test_a_canceled_subscription_that_is_moved_recovers_for_the_new_student(world, dana):
    course = world.course()
    subscribed(world, course)
    world.rule("subscription_canceled", "expire_course_enrollment", course, product="1048010")
    world.rule("subscription_recovered", "create_course_enrollment", course, product="1048010")
    world.sell("30_subscription_canceled")
    world.settle()
    by_hand.give(dana, world.course("Another"), SUPPORT)
    by_hand.move(dana, NEW, SUPPORT)
    world.sell("34a_subscription_recovered")
    world.settle()
    assert world.access(NEW, course)
    assert not world.access(DANA, course)


def test_what_waits_for_the_old_student_is_not_given_after_the_move(world):
    course = world.course()
    sells(world, course)
    world.sell(product__id=1048001, customer__email=DANA)
    by_hand.move(Customer.objects.get(email=DANA), NEW, SUPPORT)
    bought = world.settle()[0]
    assert ends_of(bought) == ("skipped", "not_due")
    assert bought.message == "Nothing to do: a person moved this access to another e-mail."
    assert world.access(NEW, course)
    assert not world.access(DANA, course)


def test_what_ran_for_the_old_student_during_the_move_is_not_taken_for_seen(world, dana):
    by_hand.give(dana, world.course(), SUPPORT)
    run = RuleRun.objects.get()
    by_hand.move(dana, NEW, SUPPORT)
    results.write([(run, results.Result(run.Status.DONE, "enrolled", "Enrolled."))])
    assert Grant.objects.owed().count() == 1
    world.settle()
    assert not Grant.objects.owed().exists()


@pytest.mark.each_database
def test_two_people_who_give_the_same_at_once_give_it_once(world, dana):
    course = world.course()

    def give(name: str) -> str:
        try:
            by_hand.give(dana, course, Author(name, "Lost her receipt"))
        except ValueError as error:
            return str(error)
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(2) as threads:
        said = sorted(threads.map(give, ["mia@example.com", "sam@example.com"]))
    assert said == ["", "This customer was given Course Two by hand before."]
    assert (Grant.objects.count(), EventLog.objects.count()) == (1, 1)


def test_a_failed_end_of_what_was_moved_is_retried_for_the_old_student(world, dana):
    course = world.course()
    by_hand.give(dana, course, SUPPORT)
    world.settle()
    by_hand.move(dana, NEW, SUPPORT)
    RuleRun.objects.filter(event__by_hand="move_away").update(status="failed")
    world.settle()
    assert world.access(DANA, course)
    retry_by_hand.retry(RuleRun.objects.filter(status="failed"))
    world.settle()
    assert not world.access(DANA, course)
    assert world.access(NEW, course)
    assert Grant.objects.active().count() == 1


def test_a_failed_end_of_what_had_ended_before_a_move_is_retried_for_the_old_student(world):
    course, other = world.course(), world.course("Another")
    sells(world, course)
    sells(world, other, product="1048002")
    buy(world)
    buy(world, product="1048002", order=1190)
    world.sell("20_product", product__id=1048001, order__id=1183, customer__email=DANA)
    failed = RuleRun.objects.filter(status="waiting")
    failed.update(status="failed", next_attempt_at=None)
    by_hand.move(Customer.objects.get(email=DANA), NEW, SUPPORT)
    world.settle()
    assert world.access(DANA, course)
    assert retry_by_hand.retry(RuleRun.objects.filter(status="failed")) == (1, {})
    world.settle()
    assert not world.access(DANA, course)
    assert (world.access(NEW, other), world.access(DANA, other)) == (True, False)


@pytest.mark.parametrize(
    ("email", "says"),
    [
        (" ", "Enter the other address."),
        ("dana@@example.com", "e-mail"),
        ("DANA@example.com", "has already"),
        (NEW, "knows of no access"),
    ],
)
def test_a_move_that_cannot_be_is_refused_in_words(dana, email, says):
    with pytest.raises(ValueError, match=says):
        by_hand.move(dana, email, SUPPORT)
    assert not EventLog.objects.exists()
    assert Customer.objects.count() == 1


# In a terminal and for scripts


def test_what_was_done_by_hand_is_told_with_its_author_and_reason(dana, capsys):
    by_hand.note(dana, SUPPORT)
    call_command("events", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["by_hand"], told["author"], told["note"]) == (
        "note",
        "mia@example.com",
        "Lost her receipt",
    )
    assert (told["trigger"], told["status"], told["email"]) == (None, "noted", DANA)
    call_command("events")
    said = capsys.readouterr().out
    assert "Note for dana@example.com: Noted." in said
    assert "mia@example.com: Lost her receipt" in said
