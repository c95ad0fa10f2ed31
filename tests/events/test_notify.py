"""Send HTTP POST, end to end: SamCart posts to the webhook, and a receiver gets the same bytes."""

import base64
import gzip
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config.staff import roles
from events.execution import retry_by_hand
from events.models import Delivery, EventLog, RuleRun
from events.retention import delete_integration
from integrations import secrets
from integrations.calls import rate_limit
from integrations.models import ApiCall, CallBudget, Integration, Intent
from integrations.notify_url import signature
from rules.models import Rule
from rules.triggers import Trigger
from tests.support import queued, receiver
from tests.support.pages import press, said, signed_in
from tests.support.queued import claim
from tests.support.receiver import Receiver, answers
from tests.support.samcart import PAYLOADS, changed
from tests.support.wire import Request
from tests.support.world import World

pytestmark = pytest.mark.first_database

SECRET = signature.new_secret()
THREE_LINES = "02_order_products_array_bump_and_upsell"


@pytest.fixture
def crm(settings: Any) -> Iterator[Receiver]:
    """A healthy receiver on loopback."""
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    with Receiver(SECRET) as running:
        yield running


@pytest.fixture
def connected(world: World, crm: Receiver) -> Integration:
    """The receiver as an integration."""
    return world.receiver(crm.url, SECRET)


@pytest.fixture
def rule(world: World, connected: Integration) -> Rule:
    """A global rule that posts each purchase."""
    return world.notify_rule("product_purchased", connected)


def only() -> RuleRun:
    return RuleRun.objects.get()


def end_pause(integration: Integration) -> None:
    CallBudget.objects.filter(pk=integration.pk).update(blocked_until=0)


# What the receiver gets

BODIES: list[tuple[str, bytes, dict[str, str]]] = [
    ("json", (PAYLOADS / "10_product_purchased_one_time.json").read_bytes(), {}),
    (
        "odd_spacing_and_a_charset",
        b' {"type":\t"Product Purchased", "product": {"id": 1048001, "name": "\xc3\x89tude"},'
        b'"customer": {"email": "dana@example.com"}, "order": {"id": 1}}\r\n\r\n',
        {"content_type": "application/json; charset=UTF-8"},
    ),
    (
        "form",
        next(PAYLOADS.glob("06_*")).read_bytes(),
        {"content_type": "application/x-www-form-urlencoded"},
    ),
    (
        "gzip",
        gzip.compress((PAYLOADS / "10_product_purchased_one_time.json").read_bytes(), mtime=0),
        {"HTTP_CONTENT_ENCODING": "gzip"},
    ),
]


@pytest.mark.parametrize(("name", "body", "sent"), BODIES, ids=[each[0] for each in BODIES])
def test_the_receiver_gets_the_bytes_of_samcart_under_a_signature_of_its_own(
    world, crm, rule, name, body, sent
):
    assert world.post(body, **sent).status_code == 200
    (run,) = world.settle()
    assert (run.status, run.code, run.message) == ("done", "posted", "Sent to My CRM.")
    (got,) = crm.requests
    assert (got.method, got.target, got.body) == ("POST", "/hook", body)
    assert got.headers["content-type"] == sent.get("content_type", "application/json")
    assert got.headers.get("content-encoding") == sent.get("HTTP_CONTENT_ENCODING")
    assert got.headers["webhook-id"] == str(run.message_id)
    assert _is_signed(got)
    if name != "gzip":  # the package verifies text alone
        assert crm.verified()
    assert got.headers["admit-trigger"] == "product_purchased"
    assert got.headers["admit-event"] == str(run.event_id)
    assert got.headers["user-agent"].startswith("Admit/")
    assert not Intent.objects.exists()


def _is_signed(got: Request) -> bool:
    """Whether the signature is that of Standard Webhooks, worked out by its text."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    headers = got.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + got.body
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return headers["webhook-signature"] == f"v1,{digest}"


@pytest.mark.parametrize("trigger", Trigger)
def test_each_trigger_can_be_passed_on(world, crm, connected, trigger):
    world.notify_rule(trigger, connected)
    product = changed("10_product")
    course = changed("41_course") if trigger.value.startswith("course_") else product
    world.post(course, trigger.value)
    world.settle()
    (got,) = crm.requests
    assert json.loads(got.body) == course
    assert got.headers["admit-trigger"] == trigger


def test_a_rule_for_one_product_posts_that_product_alone(world, crm, connected):
    world.notify_rule("product_purchased", connected, product="1048001")
    world.sell("10_product", product__id=7)
    world.sell("10_product", product__id=1048001)
    world.settle()
    assert [json.loads(got.body)["product"]["id"] for got in crm.requests] == [1048001]


def test_it_runs_beside_an_enrollment_and_takes_nothing_from_it(world, crm, rule):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    event = world.sell("10_product", customer__email="dana@example.com")
    world.settle()
    event.refresh_from_db()
    assert (event.status, event.gave_nothing) == ("done", False)
    assert world.access("dana@example.com", course)
    assert len(crm.requests) == 1


def test_what_no_customer_can_be_read_from_is_passed_on_all_the_same(world, crm, rule):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    event = world.sell("10_product", customer__email="dana@@example.com")
    world.settle()
    assert {run.action: run.status for run in event.runs.all()} == {
        "create_course_enrollment": "failed",
        "send_http_post": "done",
    }
    assert len(crm.requests) == 1


def test_an_unpaid_line_is_passed_on_as_samcart_tells_it(world, crm, rule):
    world.sell("10_product", product__status="Declined")
    assert [run.status for run in world.settle()] == ["done"]
    assert len(crm.requests) == 1


def test_what_came_by_a_withdrawn_address_waits_for_a_person(world, crm, rule):
    world.marketplace.webhook_secrets.update(expires_at=queued.START)
    world.sell()
    (run,) = world.settle()
    assert (run.status, crm.requests) == ("held", [])
    retry_by_hand.retry([run])
    world.settle()
    assert len(crm.requests) == 1


def test_the_exchange_is_kept_without_the_secret(world, crm, rule):
    crm.behavior = answers(200, body="Taken <b>")
    world.sell()
    with queued.log_lines() as lines:
        (run,) = world.settle()
    call = ApiCall.objects.get(run_id=run.pk)
    assert (call.method, call.url, call.status) == ("POST", crm.url, 200)
    assert (call.response_text, call.error) == ("Taken <b>", "")
    assert call.request_text.encode() == crm.requests[0].body
    told = f"{call.request_text}{call.response_text}{call.error}{lines}{run.message}"
    assert SECRET not in told
    assert SECRET.removeprefix("whsec_") not in told


# Once for a delivery


def test_a_body_of_three_lines_is_posted_once_with_the_first_that_fits(world, crm, rule):
    world.sell(THREE_LINES)
    first, *others = EventLog.objects.order_by("line")
    assert len(others) == 2
    world.settle()
    assert len(crm.requests) == 1
    assert only().event == first
    for event in EventLog.objects.order_by("line")[1:]:
        assert (event.status, event.gave_nothing) == ("skipped", True)
        assert "passed on once, with another line of the same delivery" in event.reason
        assert [code for _, _, code in event.sentences()] == ["other_line"]
        assert [ran for _, ran, _ in event.sentences()] == [False]


def test_the_first_line_that_fits_need_not_be_the_first_line(world, crm, connected):
    body = changed(THREE_LINES)
    second = str(body["products"][1]["id"])
    rule = world.notify_rule("product_purchased", connected, product=second)
    world.post(body)
    world.settle()
    assert (only().event.line, only().rule) == (1, rule)
    assert len(crm.requests) == 1


def test_two_rules_post_two_messages(world, crm, connected, rule):
    world.notify_rule("product_purchased", connected, product="1048001")
    world.sell("10_product")
    world.settle()
    assert len(set(crm.verified())) == 2


def test_a_repeat_posts_nothing(world, crm, rule):
    for _ in range(2):
        world.sell("10_product")
        world.settle()
    assert EventLog.objects.filter(status="repeat").count() == 1
    assert len(crm.requests) == 1


def test_what_failed_for_the_customer_is_done_by_a_repeat_though_it_was_passed_on(world, crm, rule):
    course = world.course()
    made = world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product", customer__email="dana@example.com")
    world.settle()
    RuleRun.objects.filter(rule=made).update(status="failed")
    event = world.sell("10_product", customer__email="dana@example.com")
    assert event.status != "repeat"


def test_a_delivery_that_is_read_again_is_not_posted_again(world, crm, rule):
    world.sell(THREE_LINES)
    world.settle()
    Delivery.objects.update(state=Delivery.State.NEW)
    world.settle()
    assert len(crm.requests) == 1


# Attempts and retries


def test_a_retry_keeps_the_id_and_signs_anew_and_a_persons_retry_is_a_new_message(
    world, crm, rule, settings
):
    settings.RETRY_DELAYS = [0.0, 30.0]
    crm.behavior = answers(500)
    world.sell()
    (run,) = world.settle()
    assert (run.status, run.attempts, run.code) == ("waiting", 1, "receiver_failed")
    (run,) = world.later()
    assert (run.status, run.attempts) == ("failed", 2)
    assert "Retry when the receiver works again." in run.message
    first, second = crm.verified()
    assert first == second
    crm.behavior = receiver.healthy
    retry_by_hand.retry([run])
    world.settle()
    assert only().status == "done"
    assert crm.verified()[2] not in {first}
    assert len({got.body for got in crm.requests}) == 1


def test_run_again_sends_what_was_sent_as_a_new_message_while_it_is_kept(world, crm, rule):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    support = signed_in(roles.SUPPORT)
    world.sell()
    world.settle()
    run = RuleRun.objects.get(action="send_http_post")
    enrolled = RuleRun.objects.exclude(pk=run.pk).get()
    assert said(press(support, run, "run_again")) == ["Queued as a new message."]
    world.settle()
    assert len(set(crm.verified())) == 2
    assert crm.requests[0].body == crm.requests[1].body
    (text,) = said(press(support, enrolled, "run_again"))
    assert text == "Not sent again: only what was sent to a receiver can be sent again."
    Delivery.objects.update(sealed_body=b"", body_removed_at=queued.START)
    (text,) = said(press(support, run, "run_again"))
    assert text == "Not sent again: what SamCart sent is not kept anymore."
    run.refresh_from_db()
    assert (run.status, len(crm.requests)) == ("done", 2)


ANSWERS: list[tuple[Callable[..., None], str, str, str]] = [
    (answers(204), "done", "posted", "Sent to My CRM."),
    (receiver.gone, "failed", "receiver_gone", "does not want these messages anymore"),
    (receiver.redirects("https://example.com/"), "waiting", "redirected", "does not follow"),
    (answers(404), "waiting", "refused", "it did not accept the message"),
    (answers(503), "waiting", "receiver_failed", "it failed on its side"),
    (answers(429), "waiting", "limit_reached", "fewer messages"),
    (receiver.sends(b"nonsense\r\n\r\n"), "waiting", "unreachable", "broke off"),
]


@pytest.mark.parametrize(("behavior", "status", "code", "says"), ANSWERS)
def test_each_answer_ends_in_words_and_a_code(world, crm, rule, behavior, status, code, says):
    crm.behavior = behavior
    event = world.sell()
    (run,) = world.settle()
    assert (run.status, run.code) == (status, code)
    assert says in run.message
    assert run.attempts == 1
    event.refresh_from_db()
    assert event.status == status
    assert "Thinkific" not in run.message


def test_a_body_that_is_not_kept_any_more_fails_and_sends_nothing(world, crm, rule):
    world.sell()
    Delivery.objects.update(sealed_body=b"", body_removed_at=queued.START)
    (run,) = world.settle()
    assert (run.status, run.code) == ("failed", "no_body")
    assert "is not kept anymore, so nothing was sent to My CRM" in run.message
    assert crm.requests == []


def test_what_somebody_dismissed_is_sent_when_somebody_wants_it_anyway(world, crm, rule):
    crm.behavior = receiver.gone
    world.sell()
    (run,) = world.settle()
    assert retry_by_hand.dismiss([run], by="Mia") == 1
    crm.behavior = receiver.healthy
    (run,) = world.settle()
    assert retry_by_hand.retry([run]) == (0, {"somebody has dismissed it": 1})
    assert retry_by_hand.retry([run], anyway=True) == (1, {})
    world.settle()
    first, second = crm.verified()
    assert first != second


def test_nothing_is_sent_to_a_private_address_unless_that_is_allowed(world, crm, rule, settings):
    settings.ALLOW_PRIVATE_NOTIFY_URLS = False
    world.sell()
    (run,) = world.settle()
    assert (run.status, run.code) == ("waiting", "address_not_allowed")
    assert crm.requests == []


def test_a_receiver_that_is_off_or_deleted_gets_nothing(world, crm, rule, connected):
    Integration.objects.filter(pk=connected.pk).update(enabled=False)
    world.sell()
    (run,) = world.settle()
    assert (run.status, run.attempts) == ("waiting", 0)
    assert delete_integration.delete(connected)
    (run,) = world.settle()
    assert (run.status, run.code) == ("failed", "deleted")
    assert crm.requests == []


def test_a_secret_that_cannot_be_opened_pauses_the_receiver(world, crm, rule, connected):
    Integration.objects.filter(pk=connected.pk).update(sealed_secret=secrets.seal("x")[:-8])
    world.sell()
    (run,) = world.settle()
    assert (run.status, run.code, run.attempts) == ("waiting", "key_unreadable", 0)
    assert crm.requests == []


# Pauses


def test_a_receiver_without_an_answer_is_left_alone_and_its_other_messages_wait_uncounted(
    world, crm, rule, connected
):
    for number in (1, 2, 3):
        buyer = f"buyer{number}@example.com"
        world.sell("10_product", customer__email=buyer, order__id=1000 + number)
    crm.behavior = receiver.sends(b"")
    world.settle()
    attempts = sorted(run.attempts for run in RuleRun.objects.all())
    assert attempts[0] == 0  # one waits for the end of the pause
    assert rate_limit.blocked_for(connected.pk)[0] == CallBudget.Blocked.AWAY
    connected.refresh_from_db()
    assert connected.connection == Integration.Connection.UNREACHABLE
    crm.behavior = receiver.healthy
    world.later()
    assert RuleRun.objects.filter(status="done").count() == 0
    end_pause(connected)
    world.later()
    assert RuleRun.objects.filter(status="done").count() == 3
    connected.refresh_from_db()
    assert connected.connection == Integration.Connection.CONNECTED


def test_retry_after_pauses_the_receiver_and_counts_the_attempt_of_the_message_it_met(
    world, crm, rule, connected, settings
):
    settings.RETRY_DELAYS = [0.0, 1.0]
    crm.behavior = answers(429, {"Retry-After": "120"})
    world.sell()
    (run,) = world.settle()
    assert (run.status, run.attempts) == ("waiting", 1)
    assert run.next_attempt_at is not None
    why, seconds = rate_limit.blocked_for(connected.pk)
    assert why == CallBudget.Blocked.LIMIT
    assert 110 < seconds <= 120
    end_pause(connected)
    (run,) = world.later()
    # Or it would go on for as long as the receiver asks for a pause.
    assert (run.status, run.attempts) == ("failed", 2)


def test_an_answer_of_the_address_of_before_pauses_nothing(world, crm, rule, connected):
    crm.behavior = receiver.sends(b"")
    world.sell()
    world.read()
    (claimed,) = claim(16)
    Integration.objects.filter(pk=connected.pk).update(secret_version=9)
    queued.carry_out(claimed)
    assert only().status == "waiting"
    assert rate_limit.blocked_for(connected.pk) == ("", 0.0)
    connected.refresh_from_db()
    assert connected.connection == Integration.Connection.UNKNOWN


def test_a_message_that_waits_for_its_retry_holds_no_later_one_of_the_customer(
    world, crm, rule, connected
):
    crm.behavior = answers(400)
    world.sell("10_product", customer__email="dana@example.com", order__id=1)
    world.settle()
    crm.behavior = receiver.healthy
    world.sell("10_product", customer__email="dana@example.com", order__id=2)
    first, second = world.settle()
    assert (first.status, second.status) == ("waiting", "done")


@pytest.mark.each_database
def test_two_messages_at_once_are_the_most_for_a_receiver(world, rule, settings):
    settings.WORKER_PROCESSES = 1
    for number in range(4):
        buyer = f"buyer{number}@example.com"
        world.sell("10_product", customer__email=buyer, order__id=1000 + number)
    assert len(claim(16)) == 2
    assert claim(16) == []


def test_however_many_receivers_there_are_they_leave_three_quarters_to_schools(world, settings):
    settings.WORKER_THREADS, settings.WORKER_PROCESSES = 16, 1
    world.rule("product_purchased", "create_course_enrollment", world.course())
    for _ in range(8):
        world.notify_rule("product_purchased")
    for number in range(8):
        buyer = f"buyer{number}@example.com"
        world.sell("10_product", customer__email=buyer, order__id=1000 + number)
    claimed = claim(64)
    by_action = Counter(run.action for run in claimed)
    assert by_action == {"create_course_enrollment": 8, "send_http_post": 4}
    # Nor do they get more with the next claim, while those are under way.
    sites = Counter((run.spec.app.value, run.integration_id or 0) for run in claimed)
    assert claim(64, busy=sites) == []


@pytest.mark.parametrize("behavior", [receiver.sends(b""), answers(500), answers(429)])
def test_a_dead_receiver_leaves_the_school_beside_it_alone(world, crm, rule, connected, behavior):
    crm.behavior = behavior
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    emails = [f"buyer{number}@example.com" for number in range(6)]
    for number, email in enumerate(emails):
        world.sell("10_product", customer__email=email, order__id=1000 + number)
    world.settle()
    enrolled = RuleRun.objects.filter(action="create_course_enrollment")
    assert {(run.status, run.attempts) for run in enrolled} == {("done", 1)}
    assert all(world.access(email, course) for email in emails)
    assert rate_limit.blocked_for(world.integration.pk)[0] == ""
    assert RuleRun.objects.filter(integration=connected, status="waiting").count() == 6
