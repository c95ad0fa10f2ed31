"""The commands that report and try things: trigger, status, events, retry."""

import json
import time
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command, load_command_class
from django.utils import timezone

from events.management.commands import trigger as trigger_command
from events.models import Delivery, EventLog, Grant, History, RuleRun, Worker
from integrations.calls import rate_limit
from integrations.models import CallBudget, Customer, Marketplace
from integrations.thinkific.sandbox import Fault
from rules.actions import ACTIONS
from rules.triggers import Category, Trigger
from tests.support import factories, live, queued
from tests.support.wire import Wire, always, closed_port

COMMANDS = {
    "config": ["up", "setup", "demo", "new_password"],
    "events": ["trigger", "status", "events", "explain", "retry", "grant", "end"],
    "integrations": ["sandbox"],
}
EVENT_KEYS = [
    "id",
    "received_at",
    "type",
    "trigger",
    "product",
    "order",
    "email",
    "status",
    "reason",
    "runs",
    "verdicts",
    "ordered_at",
    "by_hand",
    "author",
    "note",
]
RUN_KEYS = [
    "id",
    "rule",
    "action",
    "destination",
    "status",
    "attempts",
    "code",
    "message",
    "next_attempt_at",
    "student",
]


def run(*arguments: str) -> str:
    """What the command prints."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    """Exit code and sentence of a command that does not do it."""
    with pytest.raises(CommandError) as error:
        run(*arguments)
    return error.value.returncode, str(error.value)


def events(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("events", "--json", *arguments).splitlines()]


@pytest.mark.parametrize(
    ("app", "command"), [(app, name) for app, names in COMMANDS.items() for name in names]
)
def test_help_has_an_example(app: str, command: str):
    text = load_command_class(app, command).create_parser("manage.py", command).format_help()
    assert f"manage.py {command}" in " ".join(text.split()).partition("usage:")[2][20:]
    assert "xample" in text


# trigger


@pytest.fixture
def served(world, live_server, settings):
    """The world behind a real web server, with a worker."""
    settings.PUBLIC_URL = live_server.url
    with live.working():
        yield world


def test_trigger_sends_a_purchase_waits_and_says_what_came_of_it(served):
    course = served.course()
    served.rule("product_purchased", "create_course_enrollment", course)
    said = run("trigger", "product_purchased", "--product", "77", "--email", "me@example.com")
    assert "Product Purchased of Product 77 for me@example.com" in said
    assert "Create Course Enrollment, Course Two: Done. Enrolled in Course Two." in said
    assert served.access("me@example.com", course)


@pytest.mark.first_database
def test_trigger_takes_an_order_and_a_hyphen_for_an_underscore(served):
    said = run("trigger", "subscription-canceled", "--product", "77", "--order", "23300011")
    assert "Subscription Canceled of Product 77" in said
    assert "(order 23300011): No rule." in said


@pytest.mark.first_database
def test_every_trigger_can_be_sent_and_is_read_as_itself(served):
    for trigger in Trigger:
        said = run("trigger", trigger.value, "--product", "77")
        assert said.startswith(f"{trigger.label} of "), said
    found = list(EventLog.objects.order_by("pk"))
    assert [event.trigger for event in found] == Trigger.values
    for event in found:
        assert event.product is not None
        assert event.product.external_id == "77"
        courses = Trigger(str(event.trigger)).category is Category.COURSES
        assert event.product.kind == ("course" if courses else "product")


@pytest.mark.parametrize(
    ("product", "says"),
    [
        ("red-shoes", "Product Purchased of Product red-shoes"),
        ("²", "Unreadable"),
        ("9" * 5000, "Unreadable"),
        ("<script>", "Product Purchased of Product <script>"),
    ],
)
def test_trigger_sends_any_text_as_product(served, product: str, says: str):
    assert says in run("trigger", "product_purchased", "--product", product)


@pytest.mark.first_database
def test_trigger_ends_with_1_when_the_action_failed(served):
    served.rule("product_purchased", "create_course_enrollment", served.course())
    served.sandbox.faults.add(Fault("status", status=422))
    out = StringIO()
    with pytest.raises(CommandError, match="It failed; the reason is above") as failed:
        call_command("trigger", "product_purchased", product="77", stdout=out)
    assert failed.value.returncode == 1
    assert "Create Course Enrollment, Course Two: Failed." in out.getvalue()


def test_trigger_does_not_wait_for_what_takes_long(served):
    served.rule("product_purchased", "create_course_enrollment", served.course())
    rate_limit.block(served.integration.pk, CallBudget.Blocked.KEY, 600)
    start = time.monotonic()
    said = run("trigger", "product_purchased", "--product", "77")
    assert time.monotonic() - start < trigger_command.WAIT_SECONDS / 2
    assert "Waits because the API key of Art Academy does not work." in said
    assert "It continues by itself" in said


@pytest.mark.first_database
def test_trigger_takes_the_whole_address(served, live_server, settings):
    settings.PUBLIC_URL = "https://elsewhere.example.com"
    address = f"{live_server.url}/hooks/samcart/{served.secret}"
    factories.MarketplaceFactory()  # a second one, and yet no name is asked for
    assert "No rule" in run("trigger", "product_refunded", "--product", "7", "--url", address)


@pytest.mark.first_database
def test_trigger_says_that_no_worker_runs(world, live_server, monkeypatch):
    monkeypatch.setattr(trigger_command, "WAIT_SECONDS", 0.2)
    code, said = refused("trigger", "product_purchased", "--product=7", f"--url={live_server.url}")
    assert code == 1
    assert "no worker has read it yet. Is `manage.py up` running?" in said
    assert Delivery.objects.count() == 1


@pytest.mark.first_database
def test_an_unknown_trigger_ends_with_2_and_lists_the_known(db):
    code, said = refused("trigger", "product_bought", "--product", "7")
    assert code == 2
    assert said.startswith("product_bought is no trigger. There are: product_purchased, ")
    assert all(name in said for name in Trigger.values)


@pytest.mark.first_database
def test_trigger_says_that_nobody_answers(world):
    port = closed_port()
    code, said = refused(
        "trigger", "product_purchased", "--product=7", f"--url=http://127.0.0.1:{port}"
    )
    assert code == 1
    assert said == (
        f"Admit does not answer at http://127.0.0.1:{port} (ConnectionRefusedError). "
        "Is `manage.py up` running?"
    )


@pytest.mark.first_database
@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://127.0.0.1:8000/ä",
        "http://127.0.0.1:8000/\n",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_ends_with_2(world, url: str):
    code, said = refused("trigger", "product_purchased", "--product", "7", "--url", url)
    assert code == 2
    assert said.startswith("--url takes an address such as http://127.0.0.1:8000; not ")


@pytest.mark.first_database
@pytest.mark.parametrize(
    ("script", "says"),
    [
        (always(404, "<h1>Nothing</h1>", {"Content-Type": "text/html"}), "answered 404 instead"),
        (always(200, "fine"), "took the event, but into another database than this one"),
    ],
)
def test_trigger_says_that_somebody_else_answers(world, script, says: str):
    with Wire(script) as other:
        code, said = refused("trigger", "product_purchased", "--product=7", f"--url={other.url}")
    assert code == 1
    assert says in said
    assert world.secret not in said
    assert "<h1>" not in said


@pytest.mark.first_database
def test_trigger_repeats_what_the_webhook_says(world, live_server):
    address = f"{live_server.url}/hooks/samcart/a-secret-that-nobody-knows-at-all"
    code, said = refused("trigger", "product_purchased", "--product=7", f"--url={address}")
    assert code == 1
    assert "answered 404 instead of 200. This address is not known." in said
    assert "nobody-knows" not in said


def test_trigger_asks_for_the_account_when_it_cannot_tell(db):
    assert "none yet: manage.py setup" in refused("trigger", "product_purchased", "--product=7")[1]
    for name in ("One", "Two"):
        Marketplace.objects.create(name=name)
    code, said = refused("trigger", "product_purchased", "--product=7")
    assert (code, said) == (1, "Name one SamCart account with --marketplace. There are: One, Two.")
    said = refused("trigger", "product_purchased", "--product=7", "--marketplace=Three")[1]
    assert "There are: One, Two." in said
    said = refused("trigger", "product_purchased", "--product=7", "--marketplace=One")[1]
    assert said == "One has no webhook secret yet."


def test_trigger_says_that_the_secret_cannot_be_opened(world, settings):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    code, said = refused("trigger", "product_purchased", "--product=7")
    assert code == 1
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS" in said


# events


def test_events_are_told_with_exactly_these_keys(world):
    course = world.course()
    rule = world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    event = world.sell("10_product")
    (done,) = world.settle()
    (found,) = events()
    assert list(found) == EVENT_KEYS
    assert found | {"runs": [], "verdicts": []} == {
        "id": event.pk,
        "received_at": event.received_at.isoformat(),
        "type": "Order",
        "trigger": "product_purchased",
        "product": "1048001",
        "order": event.order_id,
        "email": "dana@example.com",
        "status": "done",
        "reason": "",
        "runs": [],
        "verdicts": [],
        "ordered_at": event.ordered_at.isoformat() if event.ordered_at else None,
        "by_hand": None,
        "author": None,
        "note": None,
    }
    assert found["runs"] == [
        {
            "id": done.pk,
            "rule": rule.sentence(),
            "action": "create_course_enrollment",
            "destination": course.external_id,
            "status": "done",
            "attempts": 1,
            "code": "enrolled",
            "message": "Enrolled in Course Two.",
            "next_attempt_at": None,
            "student": found["email"],
        }
    ]
    assert [list(verdict) for verdict in found["verdicts"]] == [["rule", "runs", "reason"]] * 2
    assert [verdict["runs"] for verdict in found["verdicts"]] == [True, False]
    assert found["verdicts"][1]["reason"] == "It waits for another trigger."


def test_an_unreadable_one_has_no_trigger_and_its_reason(world):
    assert world.post(b'{"type": "Order", ').status_code == 200
    world.settle()
    (found,) = events()
    assert list(found) == EVENT_KEYS
    assert (found["trigger"], found["status"]) == (None, "unreadable")
    assert found["reason"]
    assert (found["runs"], found["verdicts"], found["email"]) == ([], [], None)


def test_one_that_nobody_has_read_yet_has_a_line_too(world):
    world.post({"type": "Order"})
    (found,) = events()
    assert list(found) == EVENT_KEYS
    assert (found["id"], found["trigger"], found["status"]) == (None, None, "waiting")
    assert found["reason"].startswith("Not read yet")
    assert "Not read yet" in run("events")
    assert events("--email", "dana@example.com") == events("--order", "1") == []
    world.settle()
    (found,) = events()
    assert found["id"] is not None


def test_one_that_is_read_again_has_one_line(world):
    world.sell("91_edge_unknown")
    Delivery.objects.update(state=Delivery.State.NEW)
    assert len(events()) == 1


def test_a_waiting_run_says_what_it_waits_for_now(world):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    world.sell("10_product")
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    (found,) = events()
    (waiting,) = found["runs"]
    assert list(waiting) == RUN_KEYS
    assert waiting["status"] == "waiting"
    assert "the API key of Art Academy does not work" in waiting["message"]
    assert waiting["next_attempt_at"]


def test_events_come_newest_first_by_customer_by_order_and_so_many(world):
    for number in range(4):
        world.sell(
            "10_product", customer__email=f"Buyer{number % 2}@Example.com", order__id=500 + number
        )
    assert [found["order"] for found in events()] == ["503", "502", "501", "500"]
    assert [found["order"] for found in events("--limit", "2")] == ["503", "502"]
    assert [found["order"] for found in events("--email", " BUYER1@example.com")] == ["503", "501"]
    assert [found["order"] for found in events("--order", "502")] == ["502"]
    assert events("--email", "buyer0@example.com", "--order", "501") == []
    assert events("--email", "nobody") == events("--order", "nothing") == []
    assert len(run("events", "--limit", "3").splitlines()) == 6  # each with its reason


def test_a_waiting_delivery_is_put_in_its_place(world):
    world.sell("10_product", order__id=500)
    world.post({"type": "Order"})
    Delivery.objects.filter(state="new").update(received_at=timezone.now() - timedelta(hours=1))
    assert [found["id"] is None for found in events()] == [False, True]
    assert [found["id"] is None for found in events("--limit", "1")] == [False]


@pytest.mark.parametrize("limit", ["0", "-5"])
def test_a_limit_below_1_ends_with_2(db, limit: str):
    code, said = refused("events", f"--limit={limit}")
    assert (code, said) == (2, "--limit takes a whole number of at least 1.")


def test_the_events_of_more_customers_than_one_query_looks_for_are_told(world):
    course = world.course("Course One")
    world.rule("product_purchased", "create_course_enrollment", course)
    event = world.sell("10_product")
    (action,) = event.runs.all()
    numbers = range(1100)
    buyers = factories.CustomerFactory.build_batch(len(numbers))
    Customer.objects.bulk_create(buyers)
    bought = [copy(event, customer=buyer, line=line) for line, buyer in enumerate(buyers, 1)]
    EventLog.objects.bulk_create(bought)
    RuleRun.objects.bulk_create(
        copy(action, event=each, customer=each.customer, grant=None) for each in bought
    )
    assert len(events("--limit", "5000")) == len(numbers) + 1


def copy(row: Any, **facts: Any) -> Any:
    """A new row like this one, not saved, but for these facts."""
    made = type(row)(**{each.attname: getattr(row, each.attname) for each in row._meta.fields})
    made.pk = None
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_events_in_words_steer_no_terminal(world):
    hostile = "\x1b[2J\u202eevil\u2028<b>"
    world.sell("10_product", product__name=hostile, customer__first_name=hostile)
    said = run("events")
    assert "evil" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)
    # One line of JSON stays one line, whatever the reader takes for the end of a line.
    assert len(run("events", "--json").splitlines()) == 1


# status


def test_status_of_a_fresh_installation(db):
    assert json.loads(run("status", "--json")) == {
        "worker_seen_seconds": None,
        "deliveries_waiting": 0,
        "history": None,
        "spool": {"waiting": 0, "set_aside": 0, "not_ours": 0},
        "runs": dict.fromkeys(["waiting", "running", "done", "skipped", "failed", "held"], 0),
        "oldest_due_seconds": None,
        "problems": [],
        "integrations": [],
    }
    assert "The worker was never seen: start it with manage.py up." in run("status")


def test_status_counts_what_is_there(world):
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.sell("10_product", customer__email="one@example.com")
    world.settle()
    world.sell("10_product", customer__email="two@example.com")
    RuleRun.objects.filter(status="waiting").update(
        next_attempt_at=timezone.now() - timedelta(seconds=90)
    )
    world.post({"type": "Order"})
    Worker.objects.create(name="one", seen_at=timezone.now() - timedelta(seconds=5))
    Worker.objects.create(name="two", seen_at=timezone.now() - timedelta(hours=5))
    rate_limit.block(world.integration.pk, CallBudget.Blocked.KEY, 600)
    factories.IntegrationFactory(name="Zero", enabled=False)
    found = json.loads(run("status", "--json"))
    assert list(found) == [
        "worker_seen_seconds",
        "deliveries_waiting",
        "history",
        "spool",
        "runs",
        "oldest_due_seconds",
        "problems",
        "integrations",
    ]
    assert 5 <= found["worker_seen_seconds"] < 60
    assert found["deliveries_waiting"] == 1
    assert found["runs"] | {"done": 1, "waiting": 1} == found["runs"]
    assert sum(found["runs"].values()) == 2
    assert 90 <= found["oldest_due_seconds"] < 150
    art, zero = found["integrations"]
    assert list(art) == ["name", "connection", "paused_until", "calls_last_minute"]
    assert (art["name"], art["connection"]) == ("Art Academy", "connected")
    assert art["paused_until"].endswith("+00:00")
    assert art["calls_last_minute"] >= 2
    assert (zero["connection"], zero["paused_until"]) == ("off", None)
    said = run("status")
    assert "1 deliveries wait to be read." in said
    assert "Art Academy: connected, paused until" in said


def test_status_tells_how_far_the_history_is_read_and_who_may_have_lost_access(db):
    History.objects.create(pk=1, events=12_000, read=3_000, unclear=2)
    course = factories.DestinationFactory.create()
    for seen_at in (None, timezone.now()):
        queued.grant(queued.run(course, status="done"), seen_at=seen_at)
    assert json.loads(run("status", "--json"))["history"] == {
        "events": 12_000,
        "read": 3_000,
        "unclear": 2,
        "stranded": 0,
    }
    History.objects.update(read=12_000, done_at=timezone.now())
    assert (
        "History: 12,000 of 12,000 events read, actions of no certain purchase: 2, "
        "students who paid and may have lost access: 1."
    ) in run("status")


# retry


@pytest.fixture
def four(world):
    """One done, two failed, one held; newest last."""
    world.rule("product_purchased", "create_course_enrollment", world.course())
    for number in range(4):
        world.sell("10_product", customer__email=f"b{number}@example.com", order__id=600 + number)
    runs = list(RuleRun.objects.order_by("pk"))
    for found, status in zip(runs, ["done", "failed", "failed", "held"], strict=True):
        RuleRun.objects.filter(pk=found.pk).update(status=status, next_attempt_at=None)
        EventLog.objects.filter(pk=found.event_id).update(status=status)
    Grant.objects.filter(runs=runs[0]).update(seen_at=timezone.now())
    return world, runs


def test_retry_queues_what_failed_and_it_is_carried_out(four):
    world, _ = four
    assert run("retry", "--failed") == "2 queued.\n"
    assert [found.status for found in world.settle()] == ["done", "done", "done", "held"]
    assert run("retry", "--failed") == "0 queued.\n"


def test_retry_of_one_says_why_it_was_left(four):
    _, (done, failed, *_) = four
    assert run("retry", f"--run={done.pk}") == "0 queued, 1 skipped: it had succeeded.\n"
    assert run("retry", f"--event={failed.event_id}") == "1 queued.\n"
    again = "0 queued, 1 skipped: continues by itself.\n"
    assert run("retry", f"--event={failed.event_id}") == again


def test_retry_of_failed_ones_of_an_event_leaves_the_others(four):
    _, (done, failed, *_) = four
    assert run("retry", "--failed", f"--event={failed.event_id}") == "1 queued.\n"
    assert run("retry", "--failed", f"--event={done.event_id}") == "0 queued.\n"
    assert RuleRun.objects.filter(status="failed").count() == 1


def test_retry_wakes_a_worker(four):
    from django_q.models import OrmQ

    OrmQ.objects.all().delete()
    run("retry", "--failed")
    assert OrmQ.objects.count() == 1


def test_retry_asks_which(db):
    assert refused("retry") == (2, "Say which: --failed, --event ID or --run ID.")


@pytest.mark.parametrize("option", ["--event", "--run"])
@pytest.mark.parametrize("number", ["4711", "99999999999999999999999"])
def test_retry_says_that_there_is_none(db, option: str, number: str):
    code, said = refused("retry", f"{option}={number}")
    assert code == 1
    assert "There is no " in said
    assert number in said


def test_actions_of_every_kind_have_words(world):
    """`in_words` spells out what a run does, whatever it is."""
    course = world.course()
    world.notify_rule("product_purchased")
    for spec in ACTIONS.values():
        if spec.target is not None:
            fits = course if spec.target == course.kind else world.bundle(course, name=spec.key)
            world.rule("product_purchased", spec.key, fits)
    world.sell("10_product")
    said = run("events")
    assert all(str(spec.label) in said for spec in ACTIONS.values())
