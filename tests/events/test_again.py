"""What a retry or a rerun does, and whom it leaves out."""

import pytest
from cryptography.fernet import Fernet
from django_q.models import OrmQ

from events.access import revocations
from events.execution import retry_by_hand, reviewing
from events.execution.rerun import rerun
from events.models import EventLog, RuleRun
from events.reports import review
from events.reports.earlier import earlier
from events.reports.owed import promise
from integrations.models import Destination
from rules import engine
from rules.models import Rule
from tests.support import factories, queued
from tests.support.queued import event

pytestmark = pytest.mark.first_database


@pytest.fixture
def dana(db):
    return factories.CustomerFactory.create()


# Taken back since


@pytest.mark.parametrize(
    ("later", "taken_back"),
    [
        ([], False),
        ([("product_refunded", {"order": "1"})], True),
        ([("subscription_canceled", {"order": "1"})], True),
        ([("subscription_delinquent", {"order": "1"})], True),
        ([("product_partially_refunded", {"order": "1"})], False),
        ([("product_refunded", {"order": "2"})], False),
        ([("product_refunded", {})], True),
        ([("product_refunded", {"order": "1", "other": True})], False),
        ([("product_refunded", {"order": "1"}), ("product_purchased", {"order": "2"})], True),
        ([("product_refunded", {"order": "1"}), ("product_purchased", {"order": "1"})], True),
        ([("product_refunded", {"order": "1"}), ("product_purchased", {})], False),
        (
            [
                ("product_refunded", {"order": "1"}),
                ("product_purchased", {"order": "1", "ordered": 2}),
            ],
            False,
        ),
        ([("product_refunded", {"order": "1"}), ("subscription_charged", {"order": "1"})], False),
        (
            [("subscription_canceled", {"order": "1"}), ("subscription_charged", {"order": "1"})],
            False,
        ),
        (
            [("subscription_completed", {"order": "1"}), ("subscription_canceled", {"order": "1"})],
            False,
        ),
        ([("subscription_canceled", {"order": "1"}), ("subscription_recovered", {})], False),
        ([("subscription_canceled", {"order": "1"}), ("subscription_restarted", {})], False),
        (
            [
                ("subscription_canceled", {"order": "1"}),
                ("subscription_recovered", {}),
                ("product_refunded", {"order": "1"}),
            ],
            True,
        ),
    ],
)
def test_a_purchase_counts_as_taken_back(dana, later, taken_back):
    product, other = factories.ProductFactory.create_batch(2)
    bought = event(dana, order="1", product=product)
    for at, (trigger, facts) in enumerate(later, start=1):
        about = other if facts.get("other") else product
        sent = event(dana, at=at, order=facts.get("order", ""), trigger=trigger, product=about)
        sent.ordered_at = sent.received_at if "ordered" in facts else bought.received_at
        sent.save()
    assert (bought.pk in revocations.later_endings([bought])) is taken_back


def test_a_renewal_pays_again_though_the_purchase_names_no_subscription(dana):
    product = factories.ProductFactory.create()
    bought = event(dana, order="1", product=product)
    facts = {"product": product, "subscription_id": "s1"}
    event(dana, at=1, order="1", trigger="subscription_canceled", **facts)
    assert bought.pk in revocations.later_endings([bought])
    event(dana, at=2, order="9", trigger="subscription_recovered", **facts)
    assert revocations.later_endings([bought]) == {}


@pytest.mark.parametrize("refund", [{"order": "1"}, {"subscription_id": "s1"}])
def test_a_refund_under_another_address_takes_its_purchase_back_until_it_is_paid_for(dana, refund):
    moved = factories.CustomerFactory.create()
    facts = {"product": factories.ProductFactory.create()}
    bought = event(dana, order="1", subscription_id="s1", **facts)
    other = event(dana, at=1, order="2", **facts)
    ended = event(moved, at=2, trigger="product_refunded", **facts, **refund)
    assert revocations.later_endings([bought, other]) == {bought.pk: ended}
    event(moved, at=3, order="9", trigger="subscription_charged", subscription_id="s1", **facts)
    assert revocations.later_endings([bought, other]) == {}


def test_what_names_no_order_takes_back_nothing_of_another_address(dana):
    facts = {"product": factories.ProductFactory.create(), "trigger": "product_refunded"}
    bought = event(dana, order="1", **facts | {"trigger": "product_purchased"})
    event(factories.CustomerFactory.create(), at=1, **facts)
    assert revocations.later_endings([bought]) == {}
    event(dana, at=2, **facts)
    assert set(revocations.later_endings([bought])) == {bought.pk}


def test_what_came_before_or_concerns_somebody_else_takes_nothing_back(dana):
    product = factories.ProductFactory.create()
    event(dana, at=-5, order="1", trigger="product_refunded", product=product)
    bought = event(dana, order="1", product=product)
    event(
        factories.CustomerFactory.create(),
        at=5,
        order="2",
        trigger="product_refunded",
        product=product,
    )
    nobody = event(None, order="1", product=product)
    assert revocations.later_endings([bought, nobody]) == {}


def test_the_sentence_names_the_order_and_the_day(dana):
    refund = event(dana, order="1183", trigger="product_refunded")
    day = refund.received_at
    assert revocations.sentence(refund) == f"order 1183 was refunded on {day.day} {day:%b}"
    assert revocations.sentence(event(dana, trigger="subscription_canceled")).startswith(
        "it was canceled"
    )


def test_many_events_are_asked_for_in_one_query(dana, django_assert_num_queries):
    bought = [event(dana, at=at, order=str(at)) for at in range(20)]
    with django_assert_num_queries(1):
        revocations.later_endings(bought)
    with django_assert_num_queries(0):
        assert revocations.later_endings([]) == {}


def test_of_buyers_of_whom_nothing_else_is_known_nothing_more_is_asked(
    db, django_assert_num_queries
):
    ink, faces = factories.ProductFactory.create_batch(2)
    for at in range(3):
        buyer = factories.CustomerFactory.create()
        event(buyer, at=at, trigger="product_refunded", product=ink)
        event(buyer, at=at + 1, gave_nothing=True, product=ink)
        event(buyer, at=at + 2, trigger="product_refunded", product=faces)
    with django_assert_num_queries(1):
        owed = promise.unfulfilled()
    assert owed.count() == 3


# Retry


@pytest.fixture
def failed(world) -> RuleRun:
    """A purchase whose course was gone; it is back now."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    school = world.school.courses[course.external_id]
    world.school.remove_course(school)
    world.sell("10_product")
    world.settle()
    back = world.school.add_course(school.name)
    course.external_id = back.id
    course.save()
    run = RuleRun.objects.get()
    RuleRun.objects.update(destination_id=back.id, target=f"course:{back.id}")
    assert run.status == "failed"
    return RuleRun.objects.get()


@pytest.mark.parametrize("email", ["dana@example.com", "dana@new.example.com"])
def test_a_retry_leaves_out_what_was_refunded_since_and_names_it(failed, world, email):
    world.sell("20_product", customer__email=email)
    queued_now, left = retry_by_hand.retry([failed])
    assert queued_now == 0
    (reason,) = left
    assert reason.startswith("order ")
    assert "was refunded on" in reason
    assert retry_by_hand.retried_sentence(queued_now, left).startswith(
        "0 queued, 1 skipped: order "
    )
    assert queued.again(failed).status == "failed"
    assert retry_by_hand.retry([failed], anyway=True) == (1, {})


@pytest.mark.parametrize(
    ("edited", "gives"),
    [
        ({}, "Course One"),
        ({"destination": "Course Two"}, "Course Two"),
        ({"destination": "Course Two", "trigger": "subscription_recovered"}, "Course One"),
        ({"action": "expire_course_enrollment"}, "Course One"),
    ],
)
@pytest.mark.parametrize("again_by", ["retry", "rerun"])
def test_a_retry_gives_what_the_edited_rule_names_when_the_course_is_gone(
    world, edited, gives, again_by
):
    one, two = world.course("Course One"), world.course("Course Two")
    rule = world.rule("product_purchased", "create_course_enrollment", one)
    taken = world.school.courses.pop(one.external_id)
    world.sell("10_product")
    (run,) = world.settle()
    assert (run.status, "Choose another course" in run.message) == ("failed", True)
    world.school.courses[one.external_id] = taken
    Rule.objects.filter(pk=rule.pk).update(
        **edited | ({"destination": two} if "destination" in edited else {})
    )
    if again_by == "retry":
        retry_by_hand.retry([run])
    else:
        rerun([run.event])
    (run,) = world.settle()
    assert (run.status, run.message) == ("done", f"Enrolled in {gives}.")
    assert run.destination_name == gives


def test_a_retry_does_not_give_what_the_rule_gives_for_another_product_now(world):
    one, two = world.course("Course One"), world.course("Course Two")
    rule = world.rule("product_purchased", "create_course_enrollment", one, product="1048001")
    world.sell("10_product")
    RuleRun.objects.update(status="failed")
    Destination.objects.filter(pk=one.pk).update(gone_at=rule.created_at)
    other = factories.ProductFactory.create(marketplace=world.marketplace)
    Rule.objects.filter(pk=rule.pk).update(destination=two, product=other)
    assert retry_by_hand.retry([RuleRun.objects.get()]) == (1, {})
    assert RuleRun.objects.get().destination_name == "Course One"


def test_a_retry_repeats_what_was_decided_while_the_course_is_there(world):
    one, two = world.course("Course One"), world.course("Course Two")
    rule = world.rule("product_purchased", "create_course_enrollment", one)
    world.sell("10_product")
    run = RuleRun.objects.get()
    RuleRun.objects.update(status="failed")
    Rule.objects.filter(pk=rule.pk).update(destination=two)
    retry_by_hand.retry([queued.again(run)])
    assert world.settle()[0].message == "Enrolled in Course One."


def test_a_retry_of_ending_an_access_is_never_left_out(db):
    course = factories.DestinationFactory.create()
    dana = factories.CustomerFactory.create()
    refund = event(dana, order="1", trigger="product_refunded")
    run = queued.run(course, of=refund, action="expire_course_enrollment", status="failed")
    event(dana, at=5, order="1", trigger="subscription_canceled")
    assert retry_by_hand.retry([run]) == (1, {})


# Dismiss


@pytest.mark.parametrize(
    ("status", "ends"),
    [("failed", True), ("held", True), ("waiting", False), ("running", False), ("done", False)],
)
def test_only_what_needs_a_person_is_dismissed(db, status, ends):
    run = queued.run(factories.DestinationFactory.create(), status=status, message="It broke.")
    assert retry_by_hand.dismiss([run], by="Mia") == int(ends)
    stored = queued.again(run)
    assert (stored.status, stored.message) == (
        ("skipped", "Dismissed by Mia. Before: It broke.") if ends else (status, "It broke.")
    )
    if ends:
        assert stored.event.status == "skipped"
        assert retry_by_hand.retry([stored], anyway=True) == (1, {})


# Running the rules again


def test_a_purchase_that_gave_nothing_gets_the_rule_that_was_made_later(world):
    course = world.course()
    bought = world.sell("10_product")
    assert bought.status == "no_rule"
    rule = world.rule("product_purchased", "create_course_enrollment", course, product="1048001")
    assert list(earlier.gave_nothing([rule])) == [bought]
    done = rerun([bought])
    assert (done.queued, done.left) == (1, {})
    assert done.sentence() == "1 action queued."
    assert OrmQ.objects.exists()
    world.settle()
    bought.refresh_from_db()
    assert bought.status == "done"
    assert bought.sentences() == [(rule.sentence(), True, "run")]
    assert world.access("dana@example.com", course)
    assert not earlier.gave_nothing([rule]).exists()


def test_what_ran_once_is_not_run_again(world):
    course, other = world.course(), world.course("Another")
    first = world.rule("product_purchased", "create_course_enrollment", course)
    bought = world.sell("10_product")
    world.settle()
    second = world.rule("product_purchased", "create_course_enrollment", other)
    world.rule("product_refunded", "expire_course_enrollment", other)
    sentence = first.sentence()
    Rule.objects.filter(pk=first.pk).delete()
    assert rerun([bought]).queued == 1
    assert rerun([bought]).queued == 0
    world.settle()
    assert RuleRun.objects.count() == 2
    bought.refresh_from_db()
    found = {(text, ran) for text, ran, _ in bought.sentences()}
    assert {(sentence, True), (second.sentence(), True)} <= found
    assert len(found) == 3


def test_a_rerun_queues_what_failed(failed, world):
    assert rerun([failed.event]).queued == 1
    world.settle()
    assert queued.again(failed).status == "done"


@pytest.mark.parametrize("email", ["dana@example.com", "dana@new.example.com"])
def test_a_rerun_leaves_out_what_was_refunded_since_and_names_it(world, email):
    bought = world.sell("10_product")
    world.sell("20_product", customer__email=email)
    world.rule("product_purchased", "create_course_enrollment", world.course())
    done = rerun([bought])
    assert done.queued == 0
    assert done.sentence().startswith("0 actions queued, 1 event left out: order ")
    assert "was refunded on" in done.sentence()
    assert not RuleRun.objects.filter(event=bought).exists()


def test_what_cannot_be_decided_is_left_out_in_words(world):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell("91_edge_unknown")
    world.post(b"no json")
    world.sell("10_product")
    world.sell("10_product")
    done = rerun(EventLog.objects.order_by("pk"))
    assert done.queued == 0
    assert set(done.left) == {
        "its type has not been named yet",
        "it cannot be read",
        "it repeats an event that was decided already",
        "its action continues by itself",
    }


def test_what_cannot_be_read_now_is_left_out_with_the_reason(world, settings, monkeypatch):
    bought = world.sell("10_product")
    world.rule("product_purchased", "create_course_enrollment", world.course())

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as fault:
        fault.setattr(engine, "decide", broken)
        assert set(rerun([bought]).left) == {
            "Admit itself failed on it (ZeroDivisionError): call your technician"
        }
    key = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert set(rerun([bought]).left) == {
        "what SamCart sent cannot be opened with FIELD_ENCRYPTION_KEYS"
    }
    settings.FIELD_ENCRYPTION_KEYS = key
    assert rerun([bought]).queued == 1


@pytest.mark.each_database
def test_two_who_press_at_once_queue_it_once(world):
    bought = world.sell("10_product")
    world.rule("product_purchased", "create_course_enrollment", world.course())
    done = queued.at_once(*[lambda: rerun([EventLog.objects.get(pk=bought.pk)]).queued] * 4)
    assert sum(done) == 1
    assert RuleRun.objects.count() == 1


# Dealing with what was left undone


def test_what_was_left_undone_stands_out_until_somebody_deals_with_it(world):
    paid = world.sell("10_product")
    unknown = world.sell("91_edge_unknown", customer__email="x@example.com")
    world.sell("31_subscription", customer__email="y@example.com")
    world.post(b"no json")
    world.settle()
    assert list(review.gave_nothing()) == [paid]
    assert set(review.not_understood().values_list("status", flat=True)) == {
        "unknown_type",
        "unreadable",
    }
    assert all(review.needs_a_person(each) for each in (paid, unknown))
    assert reviewing.mark_reviewed(EventLog.objects.all(), by="Mia") == 3
    assert not review.gave_nothing().exists()
    assert not review.not_understood().exists()
    paid.refresh_from_db()
    assert paid.dealt_with_by == "Mia"
    assert paid.dealt_with_at is not None
    assert not review.needs_a_person(paid)
    assert reviewing.mark_reviewed(EventLog.objects.all(), by="Sam") == 0
