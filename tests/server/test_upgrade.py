"""An installation of the first release upgrades with all of its data."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.utils import timezone

from config.staff import roles
from events.access import history
from events.models import EventLog, Grant, History, RuleRun
from events.reports import activity_search, review
from events.worker import tasks
from integrations.models import Integration
from rules.models import Rule
from rules.triggers import Trigger
from tests.support import old_release
from tests.support.old_release import upgrade
from tests.support.samcart import payload

FIRST = [("integrations", "0001_first"), ("rules", "0001_first"), ("events", "0001_first")]
BEFORE_NOTIFY_URLS = [
    ("integrations", "0007_thinkific_user"),
    ("rules", "0002_actions_of_specs"),
    ("events", "0009_run_code"),
    ("admit", "0001_roles"),
]
BEFORE_THE_LEDGER = [
    ("integrations", "0008_notify_url"),
    ("rules", "0003_notify_url"),
    ("events", "0010_notify_url"),
    ("admit", "0001_roles"),
]

BEFORE_REFUNDS_WERE_MARKED = [
    ("integrations", "0019_samcart_name"),
    ("rules", "0008_labels"),
    ("events", "0038_refunds_that_ended_nothing"),
    ("admit", "0007_language"),
]


@pytest.fixture
def first_release(transactional_db, tmp_path) -> Iterator[Any]:
    """The models of 0.1.0, and a database of its time."""
    with old_release.database(tmp_path, *FIRST) as apps:
        yield apps


@pytest.fixture
def before_notify_urls(transactional_db, tmp_path) -> Iterator[Any]:
    """The same with the last release that knew only Thinkific."""
    with old_release.database(tmp_path, *BEFORE_NOTIFY_URLS) as apps:
        yield apps


@pytest.fixture
def before_the_ledger(transactional_db, tmp_path) -> Iterator[Any]:
    """The same with 0.4.0, whose actions knew no grants."""
    with old_release.database(tmp_path, *BEFORE_THE_LEDGER) as apps:
        yield apps


# What an installation has: each story fills it, is given the models of today, and looks at them.
Story = Callable[[Callable[[str, str], Any]], Generator[None, Any, None]]


def tell(old: Any, *stories: Story) -> None:
    """Fill an old installation with all of them, upgrade it once, and let each one look."""
    told = [story(old.get_model) for story in stories]
    for each in told:
        next(each)
    newest = upgrade().get_model
    for each in told:
        with suppress(StopIteration):
            each.send(newest)


def what_was_there(new: Any) -> Generator[None, Any, None]:
    """What was there is there, and what is new is empty."""
    shop = new("integrations", "Marketplace").objects.create(name="Main shop")
    site = new("integrations", "Integration").objects.create(
        name="Art Academy", site="acme", sealed_secret="x"
    )
    course = new("integrations", "Destination").objects.create(
        integration=site, kind="course", external_id=501, name="Course Two"
    )
    left_the_list = new("integrations", "Destination").objects.create(
        integration=site, kind="course", external_id=502, name="Moved", gone_at=timezone.now()
    )
    rule = new("rules", "Rule").objects.create(
        marketplace=shop,
        scope="global",
        trigger="product_purchased",
        integration=site,
        action="create_course_enrollment",
        destination=course,
    )
    delivery = new("events", "Delivery").objects.create(
        marketplace=shop, body=b"{}", body_digest="x", state="read"
    )
    delivery.refresh_from_db()
    event = new("events", "EventLog").objects.create(
        delivery=delivery,
        marketplace=shop,
        trigger="product_purchased",
        status="done",
        reason="SamCart reports this line as Pending. Release it if the customer has paid.",
        received_at=delivery.received_at,
    )
    new("events", "RuleRun").objects.create(
        event=event,
        rule=rule,
        integration=site,
        received_at=delivery.received_at,
        action="create_course_enrollment",
        destination_id=501,
        status="done",
        message="Enrolled in Course Two.",
    )

    found = yield

    run = found("events", "RuleRun").objects.select_related("event", "rule").get()
    assert (run.message, run.rule.trigger) == ("Enrolled in Course Two.", "product_purchased")
    assert run.event.reason == ""
    assert (run.event.status, run.event.dealt_with_at, run.event.dealt_with_by) == (
        "done",
        None,
        "",
    )
    assert bytes(found("events", "Delivery").objects.get(pk=delivery.pk).sealed_body) == b"{}"
    # What is not sealed yet is noted, for the workers.
    (todo,) = found("events", "Unsealed").objects.all()
    newest = found("events", "Delivery").objects.latest("pk").pk
    assert (todo.table, todo.last_id) == ("deliveries", newest)
    assert found("integrations", "Marketplace").objects.get(pk=shop.pk).own_rules_off is False
    site = found("integrations", "Integration").objects.get(pk=site.pk)
    assert (site.secret_expires_on, site.welcome_emails_on) == (None, False)
    # Until now "gone" meant that Thinkific's list did not name it.
    for one, unlisted_at in ((course, None), (left_the_list, left_the_list.gone_at)):
        there = found("integrations", "Destination").objects.get(pk=one.pk)
        assert (there.unlisted_at, there.gone_at, there.by_hand) == (unlisted_at, None, False)


def an_unusable_address(new: Any) -> Generator[None, Any, None]:
    """An old event without a usable address is found by what was sent."""
    shop = new("integrations", "Marketplace").objects.create(name="Second shop")
    body = payload("10_product")
    body["customer"] |= {"email": "dana at example", "first_name": "Dana", "last_name": "Buyer"}
    for number, sent in enumerate((json.dumps(body).encode(), b"{", b"")):
        delivery = new("events", "Delivery").objects.create(
            marketplace=shop, body=sent, body_digest=str(number), state="read"
        )
        delivery.refresh_from_db()
        new("events", "EventLog").objects.create(
            delivery=delivery,
            marketplace=shop,
            trigger="product_purchased",
            status="failed",
            received_at=delivery.received_at,
        )

    yield

    (found,) = EventLog.objects.exclude(email_as_sent="")
    assert (found.email_as_sent, found.name_as_sent) == ("dana at example", "Dana Buyer")
    for typed in ("dana at example", "buyer"):
        assert list(activity_search.events(EventLog.objects.all(), typed)) == [found], typed


def who_is_known(new: Any) -> Generator[None, Any, None]:
    """Who is known on a site, and who may look there, stay when the model is renamed."""
    site = new("integrations", "Integration").objects.create(
        name="Music Academy", site="music", sealed_secret="x"
    )
    dana = new("integrations", "Customer").objects.create(email="dana@example.com")
    new("integrations", "Learner").objects.create(integration=site, customer=dana, user_id=7)
    kind, _ = ContentType.objects.get_or_create(app_label="integrations", model="learner")
    support = Group.objects.create(name="Night shift")
    support.permissions.add(
        Permission.objects.create(content_type=kind, codename="check_learner", name="Can look")
    )

    found = yield

    known = found("integrations", "ThinkificUser").objects.get()
    assert (known.user_id, known.customer_id, known.integration_id) == (7, dana.pk, site.pk)
    codes = support.permissions.values_list("codename", flat=True)
    assert list(codes) == ["check_thinkificuser"]


def test_an_installation_of_the_first_release_goes_forward_with_all_that_it_has(first_release):
    tell(first_release, what_was_there, an_unusable_address, who_is_known)


@pytest.mark.first_database
def test_an_empty_installation_gets_its_roles_and_has_no_history(first_release):
    Group.objects.all().delete()
    upgrade()
    assert history.unread() is None
    assert not History.objects.exists()
    held = {
        group.name: {
            f"{each.content_type.app_label}.{each.codename}"
            for each in group.permissions.select_related("content_type")
        }
        for group in Group.objects.all()
    }
    assert held == {role: set(codes) for role, codes in roles.ROLES.items()}


@pytest.mark.first_database
def test_what_gave_nothing_before_notify_urls_is_still_found_and_each_run_keeps_its_course(
    before_notify_urls,
):
    new = before_notify_urls.get_model
    shop = new("integrations", "Marketplace").objects.create(name="Main shop")
    site = new("integrations", "Integration").objects.create(
        name="Art Academy", site="acme", sealed_secret="x"
    )
    course = new("integrations", "Destination").objects.create(
        integration=site, kind="course", external_id=501, name="Course Two"
    )
    rule = new("rules", "Rule").objects.create(
        marketplace=shop,
        scope="global",
        trigger="product_purchased",
        integration=site,
        action="create_course_enrollment",
        destination=course,
    )
    events = {}
    for status in ("done", "no_rule", "unknown_type", "repeat"):
        delivery = new("events", "Delivery").objects.create(
            marketplace=shop, body=b"{}", body_digest=status, state="read"
        )
        delivery.refresh_from_db()
        events[status] = new("events", "EventLog").objects.create(
            delivery=delivery,
            marketplace=shop,
            trigger="product_purchased",
            status=status,
            received_at=delivery.received_at,
        )
    new("events", "RuleRun").objects.create(
        event=events["done"],
        rule=rule,
        integration=site,
        received_at=events["done"].received_at,
        action="create_course_enrollment",
        destination_id=501,
        destination_name="Course Two",
        target="course:501",
        site="acme",
        status="done",
    )

    upgrade()

    assert [event.pk for event in review.gave_nothing()] == [events["no_rule"].pk]
    run = RuleRun.objects.get()
    assert (run.destination_id, run.target, run.site) == (501, "course:501", "acme")
    assert run.message_id is None
    assert Rule.objects.get().place == "Course Two on Art Academy"
    # A school is still connected once, and receivers share a host.
    with pytest.raises(IntegrityError), transaction.atomic():
        Integration.objects.create(name="Twice", site="acme")
    for name in ("One", "Two"):
        Integration.objects.create(name=name, site="acme", app=Integration.App.NOTIFY_URL)


def a_history(new: Any) -> Generator[None, Any, None]:
    """The ledger reads what happened before it, and changes nothing else."""
    shop = new("integrations", "Marketplace").objects.create(name="Main shop")
    site = new("integrations", "Integration").objects.create(
        name="Art Academy", site="acme", sealed_secret="x"
    )
    dana = new("integrations", "Customer").objects.create(email="dana@example.com")
    story = (
        ("1", "product_purchased", "create_course_enrollment", "done", "enrolled"),
        ("2", "product_purchased", "create_course_enrollment", "done", "already_enrolled"),
        ("1", "product_refunded", "expire_course_enrollment", "done", "ended"),
        ("3", "product_purchased", "create_course_enrollment", "skipped", "dismissed"),
        ("4", "product_purchased", "create_course_enrollment", "failed", "refused"),
        ("5", "product_purchased", "create_course_enrollment", "held", "held"),
        ("6", "product_purchased", "create_course_enrollment", "waiting", "not_started"),
    )
    for number, (order, trigger, action, status, code) in enumerate(story):
        delivery = new("events", "Delivery").objects.create(
            marketplace=shop, body=b"{}", body_digest=str(number), state="read"
        )
        delivery.refresh_from_db()
        event = new("events", "EventLog").objects.create(
            delivery=delivery,
            marketplace=shop,
            customer=dana,
            trigger=trigger,
            order_id=order,
            status=status,
            received_at=delivery.received_at,
        )
        over = None if status in {"held", "waiting"} else timezone.now()
        new("events", "RuleRun").objects.create(
            event=event,
            customer=dana,
            integration=site,
            received_at=delivery.received_at,
            action=action,
            destination_id=501,
            destination_name="Course Two",
            target="course:501",
            site="acme",
            status=status,
            code=code,
            started_at=over,
            finished_at=over,
        )
    before = list(new("events", "RuleRun").objects.order_by("pk").values_list("status", "code"))

    yield

    assert str(history.unread()) == "0 of 7 events"
    assert not Grant.objects.exists()
    tasks.work()
    assert history.unread() is None
    assert list(RuleRun.objects.order_by("pk").values_list("status", "code")) == before
    assert dict(Grant.objects.values_list("order_id", "state")) == {
        "1": "ended",
        "2": "active",
        "3": "waived",
        "4": "active",
        "6": "active",
    }
    assert [grant.order_id for grant in Grant.objects.owed()] == ["2", "4", "6"]
    assert [grant.order_id for grant in Grant.objects.stranded()] == ["2"]


def rules_that_end_access(new: Any) -> Generator[None, Any, None]:
    """A rule that ended access with a purchase or a course still ends all of it."""
    shop = new("integrations", "Marketplace").objects.create(name="Second shop")
    site = new("integrations", "Integration").objects.create(
        name="Music Academy", site="music", sealed_secret="x"
    )
    course = new("integrations", "Destination").objects.create(
        integration=site, kind="course", external_id=501, name="Course Two"
    )
    for trigger in Trigger:
        for action in ("create_course_enrollment", "expire_course_enrollment"):
            new("rules", "Rule").objects.create(
                marketplace=shop,
                scope="global",
                trigger=trigger.value,
                integration=site,
                action=action,
                destination=course,
            )

    yield

    ending_all = Rule.objects.filter(ends_all=True)
    assert set(ending_all.values_list("action", flat=True)) == {"expire_course_enrollment"}
    assert set(ending_all.values_list("trigger", flat=True)) == {
        "product_purchased",
        "course_student_added",
        "course_student_removed",
        "course_started",
        "course_finished",
    }


@pytest.mark.first_database
def test_an_installation_of_before_the_ledger_goes_forward_with_all_that_it_has(before_the_ledger):
    tell(before_the_ledger, a_history, rules_that_end_access)


def test_refunds_that_left_access_open_are_marked(transactional_db, tmp_path):
    with old_release.database(tmp_path, *BEFORE_REFUNDS_WERE_MARKED) as old:
        new = old.get_model
        shop = new("integrations", "Marketplace").objects.create(name="Main shop")
        site = new("integrations", "Integration").objects.create(
            name="Art Academy", site="acme", sealed_secret="x"
        )
        dana = new("integrations", "Customer").objects.create(email="dana@example.com")
        for order, state, nothing in (
            ("1", "active", False),  # a rule ended something else
            ("2", "ended", False),
            ("3", "ended", True),
        ):
            delivery = new("events", "Delivery").objects.create(
                marketplace=shop, body_digest=order, state="read"
            )
            delivery.refresh_from_db()
            new("events", "EventLog").objects.create(
                delivery=delivery,
                marketplace=shop,
                trigger="product_refunded",
                order_id=order,
                status="no_rule" if nothing else "done",
                gave_nothing=nothing,
                received_at=delivery.received_at,
            )
            new("events", "Grant").objects.create(
                marketplace=shop,
                order_id=order,
                customer=dana,
                integration=site,
                target="course:501",
                name="Ink",
                state=state,
                decided_at=delivery.received_at,
                because="product_purchased",
            )
        upgrade()
        marked = EventLog.objects.filter(left_open=True).order_by("pk")
        assert [event.order_id for event in marked] == ["1", "3"]
