"""Comparing with Thinkific: schools answer over real sockets, and buyers are enrolled."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from events.comparison import comparing, scope
from events.comparison import lease as leases
from events.execution import enroll_again
from events.models import ComparisonFinding, ComparisonRun, Delivery, Grant, RuleRun
from events.reports import comparison
from events.worker import background
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration, Marketplace
from integrations.thinkific import calls
from integrations.thinkific.sandbox import Fault
from tests.support import queued
from tests.support.samcart import changed

Kind, Shows = ComparisonFinding.Kind, ComparisonFinding.Shows
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


@pytest.fixture
def course(world):
    """A course that a purchase gives and a refund ends."""
    found = world.course()
    world.rule("product_purchased", GIVES, found)
    world.rule("product_refunded", ENDS, found)
    return found


@pytest.fixture
def in_pages(monkeypatch):
    """Thinkific's lists in pages of two."""
    monkeypatch.setattr(calls, "PAGE_LENGTH", 2)


def buy(world, email: str = "dana@example.com", *, order: int = 1183, done: bool = True) -> None:
    world.sell(customer__email=email, order__id=order)
    if done:
        world.settle()


def compare(world) -> ComparisonRun:
    """Compare the school to the end."""
    run = comparing.start(world.integration, by="test")
    comparing.go_on()
    run.refresh_from_db()
    assert run.finished_at, run.message
    return run


def found(run: ComparisonRun) -> list[tuple[str, str, str]]:
    """Each finding as kind, student and what Thinkific shows."""
    rows = run.findings.select_related("customer").order_by("pk")
    return [(each.kind, each.student, each.shows) for each in rows]


def close(world, email: str, course) -> None:
    row = world.school.enrollment(email, course.external_id)
    row.expiry_date = datetime.now(UTC) - timedelta(days=1)


def stranger(world, course, email: str = "sam@example.com", **how: Any):
    """A student whom nobody sold anything."""
    user = world.school.user(email) or world.school.add_user(email)
    return world.school.enroll(user, world.school.courses[course.external_id], **how)


def listed(world) -> list[str]:
    return [call for call in world.calls() if call == "GET /enrollments"]


# What is found


def test_nothing_differs_and_a_whole_course_costs_one_call(world, course):
    for number in range(5):
        buy(world, f"buyer{number}@example.com", order=1183 + number)
    world.sandbox.clear_calls()
    run = compare(world)
    assert found(run) == []
    assert world.calls() == ["GET /enrollments"]
    assert run.enrollments == 5
    assert comparison.summary(run) == "Nothing differs."


def test_each_kind_is_found(world, course):
    for number, name in enumerate(["closed", "ends", "refunded", "gone", "fine"]):
        buy(world, f"{name}@example.com", order=1183 + number)
    close(world, "closed@example.com", course)
    world.school.enrollment("ends@example.com", course.external_id).expiry_date = datetime(
        2090, 1, 1, tzinfo=UTC
    ) - timedelta(days=1)
    world.sell("20_product_refunded", customer__email="refunded@example.com", order__id=1185)
    world.settle()
    world.school.enrollment("refunded@example.com", course.external_id).expiry_date = None
    world.school.remove_user(world.school.user("gone@example.com"))
    stranger(world, course)
    old = stranger(world, course, "old@example.com")
    old.activated_at = datetime(2020, 1, 1, tzinfo=UTC)
    stranger(world, course, "looks@example.com", free_trial=True)
    assert sorted(found(compare(world))) == [
        (Kind.BEFORE, "old@example.com", Shows.FULL),
        (Kind.ENDS, "ends@example.com", Shows.UNTIL),
        (Kind.MISSING, "closed@example.com", Shows.ENDED),
        (Kind.MISSING, "gone@example.com", Shows.NO_ACCOUNT),
        (Kind.UNEXPLAINED, "refunded@example.com", Shows.FULL),
        (Kind.UNEXPLAINED, "sam@example.com", Shows.FULL),
    ]


def test_courses_that_nothing_gives_are_not_read(world, course):
    other = world.course("Course Three")
    stranger(world, other)
    assert found(compare(world)) == []
    assert len(listed(world)) == 1


def test_a_course_that_only_a_grant_gives_is_read(world, course):
    buy(world)
    world.integration.rules.all().delete()
    close(world, "dana@example.com", course)
    assert found(compare(world)) == [(Kind.MISSING, "dana@example.com", Shows.ENDED)]


def test_each_course_of_a_bundle_is_compared(world):
    first, second = world.course(), world.course("Course Three")
    world.rule("product_purchased", "create_bundle_enrollment", world.bundle(first, second))
    buy(world)
    close(world, "dana@example.com", second)
    (finding,) = compare(world).findings.all()
    assert (finding.kind, finding.name) == (Kind.MISSING, "Course Three")


def test_an_owed_grant_that_thinkific_shows_is_owed_no_longer(world, course):
    buy(world)
    Grant.objects.update(seen_at=None, opened_at=Now() - timedelta(hours=1))
    assert found(compare(world)) == []
    assert not Grant.objects.owed().exists()


def test_two_customers_who_are_one_thinkific_user_are_one_student(world, course):
    buy(world)
    user = world.school.user("dana@example.com")
    world.school.change_email(user, "dana@new.example.com")
    buy(world, "dana@new.example.com", order=1184)
    world.sell("20_product_refunded", customer__email="dana@example.com", order__id=1183)
    world.settle()
    assert found(compare(world)) == []


def test_an_administrator_is_not_compared(world, course):
    world.school.add_user("dana@example.com", roles=["site_admin"])
    buy(world)
    row = world.school.enrollment("dana@example.com", course.external_id)
    row.expiry_date = datetime.now(UTC) - timedelta(days=1)
    Grant.objects.update(state="ended")
    row.expiry_date = None
    assert found(compare(world)) == []


def test_who_is_having_something_done_is_left_to_the_next_comparison(world, course, monkeypatch):
    buy(world)
    monkeypatch.setattr(leases, "_buyers_wait", lambda site: False)
    world.sell("20_product_refunded", customer__email="dana@example.com", order__id=1183)
    assert found(compare(world)) == []
    RuleRun.objects.filter(status="waiting").update(status="failed")
    assert [kind for kind, *_ in found(compare(world))] == [Kind.UNEXPLAINED]


def test_a_school_that_is_not_in_admit_by_its_own_purchases_only(world, course):
    Marketplace.objects.update(created_at=Now() - timedelta(days=900))
    Integration.objects.update(created_at=Now() - timedelta(days=10))
    stranger(world, course).activated_at = datetime.now(UTC) - timedelta(days=20)
    assert [kind for kind, *_ in found(compare(world))] == [Kind.BEFORE]


# How it reads


def test_a_course_is_read_page_by_page(world, course, in_pages):
    for number in range(5):
        stranger(world, course, f"s{number}@example.com")
    run = compare(world)
    assert len(found(run)) == 5
    assert len(listed(world)) == 3


class Killed(Exception):
    """The process dies."""


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_after_a_kill_between_two_steps_another_one_goes_on(world, course, in_pages, steps):
    for number in range(3):
        buy(world, f"buyer{number}@example.com", order=1183 + number)
    close(world, "buyer1@example.com", course)
    stranger(world, course)
    world.sandbox.clear_calls()
    comparing.start(world.integration, by="test")
    asked = 0

    def killed() -> bool:
        nonlocal asked
        asked += 1
        if asked > 1 + steps:  # it is asked once before there is a lease
            raise Killed
        return False

    with pytest.raises(Killed):
        comparing.go_on(enough=killed)
    ComparisonRun.objects.update(next_at=Now() - timedelta(seconds=1))  # the lease is over
    run = compare(world)
    assert ComparisonRun.objects.count() == 1
    assert sorted(found(run)) == [
        (Kind.MISSING, "buyer1@example.com", Shows.ENDED),
        (Kind.UNEXPLAINED, "sam@example.com", Shows.FULL),
    ]
    assert len(world.calls()) == 2  # no page is read twice


def test_who_died_holds_the_comparison_until_the_lease_is_over(world, course):
    run = comparing.start(world.integration, by="test")
    lease = leases.claim(ComparisonRun.objects.all())
    assert comparing.go_on() == 0
    ComparisonRun.objects.update(next_at=Now() - timedelta(seconds=1))
    comparing.go_on()
    run.refresh_from_db()
    assert run.finished_at
    assert lease
    with pytest.raises(leases.LeaseLost), lease.writing():
        pass


def test_the_one_that_stood_still_writes_nothing_and_calls_nobody(world, course, caplog):
    comparing.start(world.integration, by="test")
    lease = leases.claim(ComparisonRun.objects.all())
    assert lease
    ComparisonRun.objects.update(token=None)
    lease.run.phase = ComparisonRun.Phase.READING
    with pytest.raises(leases.LeaseLost):
        comparing._step(lease)
    assert world.calls() == []


def test_what_is_listed_is_listed_in_pieces(world, course, monkeypatch):
    monkeypatch.setattr(scope, "CHUNK", 2)
    for number in range(5):
        buy(world, f"buyer{number}@example.com", order=1183 + number)
    for user in world.school.users:
        world.school.remove_user(user)
    assert len(found(compare(world))) == 5


def test_buyers_go_first(world, course, monkeypatch):
    monkeypatch.setattr(leases, "GIVE_WAY_SECONDS", 0.0)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.0)
    buy(world, done=False)
    world.sandbox.clear_calls()
    run = comparing.start(world.integration, by="test")
    comparing.go_on()
    run.refresh_from_db()
    assert run.message == str(leases.BUYERS_FIRST)
    assert world.calls() == []
    world.settle()
    ComparisonRun.objects.update(next_at=Now())
    comparing.go_on()
    run.refresh_from_db()
    assert run.finished_at
    assert found(run) == []


def test_each_call_takes_a_slot_of_the_site(world, course, in_pages, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 600
    world.sandbox.switches.calls_per_minute = 600
    for number in range(5):
        stranger(world, course, f"s{number}@example.com")
    before = CallBudget.objects.get().next_slot
    compare(world)
    assert CallBudget.objects.get().next_slot > before


# Schools that misbehave


def test_rows_of_other_courses_do_not_count_where_the_filter_is_ignored(world, course):
    other = world.course("Course Three")
    buy(world)
    row = stranger(world, other)
    theirs = {"id": row.id, "user_id": row.user.id, "user_email": "sam@example.com"}
    theirs |= {"course_id": other.external_id, "activated_at": "2026-11-01T00:00:00Z"}
    body = {"items": [theirs, "nonsense", {"id": None}], "meta": {"pagination": {}}}
    world.sandbox.faults.add(Fault("status", status=200, path="^/enrollments$", body=body))
    run = compare(world)
    assert found(run) == []  # who was not in the list was asked for alone
    assert len(listed(world)) == 2


def test_a_page_that_comes_for_ever_ends_the_list(world, course):
    row = stranger(world, course)
    theirs = {"id": row.id, "user_id": row.user.id, "user_email": "sam@example.com"}
    theirs |= {"course_id": course.external_id, "activated_at": "2026-11-01T00:00:00Z"}
    for page in range(2, 9):
        body = {"items": [theirs], "meta": {"pagination": {"next_page": page}}}
        world.sandbox.faults.add(Fault("status", status=200, path="^/enrollments$", body=body))
    run = compare(world)
    assert [kind for kind, *_ in found(run)] == [Kind.BEFORE]
    assert run.enrollments == 1
    assert len(world.sandbox.faults.fired) == 2


def test_who_is_left_out_of_the_list_is_asked_for_alone(world, course):
    buy(world)
    body: dict[str, Any] = {"items": [], "meta": {"pagination": {"next_page": None}}}
    world.sandbox.faults.add(Fault("status", status=200, path="^/enrollments$", body=body))
    assert found(compare(world)) == []


@pytest.mark.parametrize("kind", ["status", "drop", "html", "garbage", "truncated"])
def test_after_a_fault_it_goes_on_where_it_was(world, course, kind, monkeypatch):
    buy(world)
    stranger(world, course)
    monkeypatch.setattr(leases, "DELAYS", (0, 0))
    world.sandbox.faults.add(Fault(kind, path="^/enrollments$", times=2))
    run = compare(world)
    assert [kind for kind, *_ in found(run)] == [Kind.UNEXPLAINED]
    assert run.message == ""


def test_a_school_that_stays_away_stops_it_until_a_person_lets_it_go_on(world, course, monkeypatch):
    stranger(world, course)
    monkeypatch.setattr(leases, "DELAYS", (0,))
    world.sandbox.faults.add(Fault("status", path="^/enrollments$", times=None))
    run = comparing.start(world.integration, by="test")
    comparing.go_on()
    run.refresh_from_db()
    assert run.has_stopped
    assert "Try again later" in run.message
    assert not comparing.due()
    world.sandbox.faults.clear()
    assert compare(world).pk == run.pk
    assert len(found(run)) == 1


def test_a_slow_school_is_waited_for(world, course):
    buy(world)
    stranger(world, course)
    world.sandbox.switches.latency = 0.2
    assert [kind for kind, *_ in found(compare(world))] == [Kind.UNEXPLAINED]


def test_a_limit_that_is_reached_puts_it_off(world, course):
    fault = Fault("status", status=429, path="^/enrollments$", headers={"Retry-After": "7"})
    world.sandbox.faults.add(fault)
    run = comparing.start(world.integration, by="test")
    comparing.go_on()
    run.refresh_from_db()
    assert run.message == str(leases.LIMIT)
    assert not run.has_stopped
    assert run.failures == 0
    queued.end_pause(world.integration)
    ComparisonRun.objects.update(next_at=Now())
    comparing.go_on()
    run.refresh_from_db()
    assert run.finished_at


@pytest.mark.parametrize(
    ("why", "says", "stops"),
    [
        (CallBudget.Blocked.KEY, "Thinkific rejects the key of Art Academy, so nothing can", True),
        (CallBudget.Blocked.AWAY, "Art Academy could not be reached. Admit tries", False),
        (CallBudget.Blocked.LIMIT, "Thinkific's limit of calls is used up. Admit tries", False),
    ],
)
def test_where_buyers_wait_for_the_site_too_the_real_reason_is_said(
    world, course, why, says: str, stops: bool
):
    world.sell("10_product")
    rate_limit.block(world.integration.pk, why, 100)
    comparing.start(world.integration, by="Mia")
    comparing.go_on()
    run = ComparisonRun.objects.get()
    assert run.message.startswith(says)
    assert run.has_stopped is stops


def test_a_rejected_key_stops_it_and_says_so(world, course):
    world.school.change_key("f" * 32)
    run = comparing.start(world.integration, by="test")
    comparing.go_on()
    run.refresh_from_db()
    assert run.has_stopped
    assert "rejects this key" in run.message
    assert rate_limit.blocked_for(world.integration.pk)[0] == CallBudget.Blocked.KEY


def test_a_course_that_thinkific_refuses_is_left_out_and_named(world, course):
    other = world.course("Course Three")
    world.rule("subscription_charged", GIVES, other)
    buy(world)
    refused = Fault("status", status=404, about=str(course.external_id), times=None)
    world.sandbox.faults.add(refused)
    stranger(world, other)
    run = compare(world)
    assert [what for what, _ in run.left_out] == ["Course Two"]
    assert [kind for kind, *_ in found(run)] == [Kind.UNEXPLAINED]


def test_an_integration_that_is_off_is_not_called(world, course):
    run = comparing.start(world.integration, by="test")
    Integration.objects.update(enabled=False)
    comparing.go_on()
    run.refresh_from_db()
    assert (run.has_stopped, run.message) == (True, str(comparing.TURNED_OFF))
    assert world.calls() == []


# Which comparison there is


def test_only_the_last_comparison_is_kept(world, course):
    first = compare(world)
    second = compare(world)
    assert list(ComparisonRun.objects.all()) == [second]
    assert first.pk != second.pk


def test_to_start_twice_is_one_comparison(world, course):
    first = comparing.start(world.integration, by="test")
    assert comparing.start(world.integration, by="test") == first


def test_who_starts_and_who_goes_on_at_the_same_moment_is_one(world, course):
    def start() -> int:
        return comparing.start(world.integration, by="test").pk

    assert len(set(queued.at_once(start, start, start))) == 1

    def claim() -> bool:
        return leases.claim(ComparisonRun.objects.due()) is not None

    assert sorted(queued.at_once(claim, claim, claim)) == [False, False, True]


def test_what_stopped_days_ago_is_begun_again(world, course):
    first = comparing.start(world.integration, by="test")
    ComparisonRun.objects.update(next_at=None, started_at=Now() - timedelta(days=2))
    assert comparing.start(world.integration, by="test") != first


def test_the_worker_goes_on_with_what_is_due_beside_its_other_work(world, course):
    assert background.COMPARING.begin() is None
    assert not background.COMPARING.due()
    run = comparing.start(world.integration, by="test")
    assert background.COMPARING.due()
    working = background.COMPARING.begin()
    assert working
    working.join(10)
    run.refresh_from_db()
    assert run.finished_at
    assert not background.COMPARING.due()


# What is done about it


def reconcile(*arguments: str) -> str:
    out = StringIO()
    call_command("reconcile", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def never_enrolled(world, course) -> None:
    """A purchase whose action failed, so that Thinkific was never seen to give it."""
    world.sandbox.faults.add(Fault("status", status=422, path="^/users$", times=None))
    buy(world)
    world.sandbox.faults.clear()
    assert RuleRun.objects.get().status == "failed"


def test_without_apply_nothing_is_changed(world, course):
    never_enrolled(world, course)
    said = reconcile()
    assert said == (
        "Art Academy: 1 paid without access.\n"
        "  Paid without access: dana@example.com, Course Two: no account with this e-mail; "
        "order 1183 gives it.\n"
    )
    assert RuleRun.objects.get().status == "failed"


def test_apply_gives_what_was_never_seen(world, course):
    never_enrolled(world, course)
    assert reconcile("--apply").endswith("Enrolled again: 1 queued.\n")
    world.settle()
    assert world.access("dana@example.com", course)
    assert found(compare(world)) == []


def test_apply_leaves_what_was_seen_and_has_changed_since_to_a_person(world, course):
    buy(world)
    close(world, "dana@example.com", course)
    said = reconcile("--apply")
    assert "ended on" in said
    assert "and it was seen before." in said
    assert said.endswith("Enrolled again: 0 queued.\n")
    world.settle()
    assert not world.access("dana@example.com", course)


def test_apply_twice_does_nothing_twice(world, course):
    never_enrolled(world, course)
    reconcile("--apply")
    run = comparison.last(world.integration)
    assert run
    assert enroll_again.enroll_again(comparison.never_seen(run)) == (0, {"continues by itself": 1})
    world.settle()
    world.sandbox.clear_calls()
    assert enroll_again.enroll_again(comparison.never_seen(run)) == (0, {})
    assert reconcile("--apply").endswith("Enrolled again: 0 queued.\n")
    world.settle()
    assert "POST /enrollments" not in world.calls()


def test_a_purchase_that_came_by_a_withdrawn_address_and_is_held_is_not_applied(world, course):
    assert world.post(changed("10_product")).status_code == 200
    Delivery.objects.update(withdrawn=True)
    world.settle()
    assert RuleRun.objects.get().status == "held"
    assert "Nothing differs." in reconcile("--apply")
    world.settle()
    assert RuleRun.objects.get().status == "held"


def test_what_a_person_approves_is_enrolled_again(world, course):
    buy(world)
    close(world, "dana@example.com", course)
    run = compare(world)
    assert enroll_again.enroll_again(comparison.to_approve(run)) == (1, {})
    world.settle()
    assert world.access("dana@example.com", course)
    (row,) = comparison.rows(run.findings.all())
    assert row.why_not == str(enroll_again.DONE_SINCE)


def test_an_end_date_is_lifted_when_a_person_approves(world, course):
    buy(world)
    row = world.school.enrollment("dana@example.com", course.external_id)
    row.expiry_date = datetime.now(UTC) + timedelta(days=30)
    run = compare(world)
    assert enroll_again.enroll_again(comparison.to_approve(run)) == (1, {})
    world.settle()
    assert row.expiry_date is None
    assert found(compare(world)) == []


def test_what_was_refunded_since_is_not_enrolled_again(world, course):
    buy(world)
    close(world, "dana@example.com", course)
    run = compare(world)
    world.sell("20_product_refunded", customer__email="dana@example.com", order__id=1183)
    left = {"this access is not due anymore": 1}
    assert enroll_again.enroll_again(comparison.to_approve(run)) == (0, left)


def test_a_bundle_with_two_closed_courses_is_enrolled_again_once(world):
    first, second = world.course(), world.course("Course Three")
    world.rule("product_purchased", "create_bundle_enrollment", world.bundle(first, second))
    buy(world)
    close(world, "dana@example.com", first)
    close(world, "dana@example.com", second)
    run = compare(world)
    assert len(found(run)) == 2
    assert enroll_again.enroll_again(comparison.to_approve(run)) == (1, {})
    world.settle()
    assert world.access("dana@example.com", first)
    assert world.access("dana@example.com", second)


def test_a_finding_whose_grant_is_removed_says_what_to_do(world, course):
    buy(world)
    close(world, "dana@example.com", course)
    run = compare(world)
    Grant.objects.all().delete()
    left = {str(enroll_again.NO_RUN): 1}
    assert enroll_again.enroll_again(comparison.to_approve(run)) == (0, left)


def test_no_more_than_so_many_are_enrolled_again_at_once(world, course, monkeypatch):
    monkeypatch.setattr(enroll_again, "CHUNK", 2)
    for number in range(5):
        buy(world, f"buyer{number}@example.com", order=1183 + number)
        close(world, f"buyer{number}@example.com", course)
    run = compare(world)
    assert enroll_again.enroll_again(comparison.to_approve(run), at_most=2)[0] == 2
    assert enroll_again.enroll_again(comparison.to_approve(run), at_most=2)[0] == 2
    assert enroll_again.enroll_again(comparison.to_approve(run))[0] == 1


# The command


def test_json_is_one_object_per_line_and_a_summary(world, course):
    never_enrolled(world, course)
    stranger(world, course)
    lines = [json.loads(line) for line in reconcile("--json").splitlines()]
    assert [line["kind"] for line in lines] == ["missing", "unexplained", "summary"]
    missing, unexplained, summary = lines
    assert missing["email"] == "dana@example.com"
    assert missing["source"] == "order 1183"
    assert missing["was_seen"] is False
    assert unexplained["shows"] == "full"
    assert (summary["missing"], summary["unexplained"], summary["queued"]) == (1, 1, 0)


def test_what_ended_the_access_that_is_still_there_is_named(world, course):
    buy(world)
    world.sell("20_product_refunded", customer__email="dana@example.com", order__id=1183)
    world.settle()
    world.school.enrollment("dana@example.com", course.external_id).expiry_date = None
    assert "dana@example.com, Course Two: full access; the refund of order 1183" in reconcile()


def test_a_site_that_cannot_be_read_is_named_and_the_exit_is_1(world, course):
    world.school.change_key("f" * 32)
    err = StringIO()
    with pytest.raises(CommandError, match="1 of 1 not compared: Art Academy") as caught:
        call_command("reconcile", stdout=StringIO(), stderr=err)
    assert caught.value.returncode == 1
    assert err.getvalue().startswith("Art Academy: not compared. Thinkific does not know")


def test_a_site_that_is_not_there_is_named(world):
    with pytest.raises(CommandError, match="There is no integration Nowhere") as caught:
        call_command("reconcile", "--site", "Nowhere")
    assert caught.value.returncode == 2


def test_without_a_site_it_says_so(world):
    Integration.objects.update(enabled=False)
    assert "nothing to compare" in reconcile()
